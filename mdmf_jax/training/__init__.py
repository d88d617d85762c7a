"""Training: state, sharding, optimizer, the train step, checkpoints and the loop."""
