"""Figures from records: drawn with matplotlib (extra `plots`), each from its own table."""
