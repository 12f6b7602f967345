"""Face regions: what several metrics share."""
