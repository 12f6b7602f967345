"""What makes this project's own files. In no wheel: run from the `baselines` folder."""
