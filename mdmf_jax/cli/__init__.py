"""One module for each command of `mdmf`."""
