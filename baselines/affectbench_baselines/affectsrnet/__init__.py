"""AffectSRNet: super-resolution guided by a facial landmark graph and an emotion loss."""
