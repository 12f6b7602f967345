"""AffectSRNet: super-resolution guided by a graph of facial landmarks and by an emotion loss."""
