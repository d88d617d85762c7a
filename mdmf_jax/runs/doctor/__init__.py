"""What `doctor` looks at: the installation, the machine, and whether a model runs on it."""
