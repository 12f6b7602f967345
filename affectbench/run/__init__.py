"""The runner: plan the cells, execute what is missing, keep it on disk."""
