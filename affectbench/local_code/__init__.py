"""Code of the user: where it comes from, and how a file of it is imported."""
