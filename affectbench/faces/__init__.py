"""Face regions, landmarks and descriptors, shared by several metrics."""
