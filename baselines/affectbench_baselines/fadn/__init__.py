"""FADN: every pixel takes the branch that its frequencies need."""
