"""What the programs do: train, evaluate, compare, import, check the machine."""
