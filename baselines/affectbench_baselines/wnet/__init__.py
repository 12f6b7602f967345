"""W-Net: a parsing map of the face guides its super-resolution."""
