"""Training of all networks of this package, with Lightning Fabric: see `train.py`."""
