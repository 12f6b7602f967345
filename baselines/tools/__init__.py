"""Tools that generate this project's own files. Not in the wheel: run from `baselines`."""
