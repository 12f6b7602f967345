"""Training of all networks of this package, on Lightning Fabric: see `train.py`."""
