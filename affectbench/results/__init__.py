"""Records become one tidy frame: comparisons, ranks, ties and flags. Numbers, no glyph."""
