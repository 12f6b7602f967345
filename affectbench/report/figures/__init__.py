"""Figures from records: drawn with matplotlib (extra `plots`), each from a table of its own."""
