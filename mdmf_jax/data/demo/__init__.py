"""The demo data set: generated videos of simple actions."""
