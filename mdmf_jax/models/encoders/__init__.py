"""The encoders, which turn videos and texts into features."""
