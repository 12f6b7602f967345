"""Networks for published checkpoints that no library supports. Weights are not included."""
