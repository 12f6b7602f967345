"""Networks for checkpoints that others published and no library reads. Weights not included."""
