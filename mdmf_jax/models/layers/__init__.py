"""Modules that several methods or encoders use."""
