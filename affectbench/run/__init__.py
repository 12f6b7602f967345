"""The runner: plan the cells, compute the missing ones, store them on disk."""
