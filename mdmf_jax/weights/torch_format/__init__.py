"""Reading `.pt` files without PyTorch."""
