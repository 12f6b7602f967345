"""FADN: each pixel is routed to a branch according to its frequency content."""
