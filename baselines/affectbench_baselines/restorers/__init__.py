"""Public networks that restore a 512-pixel face: thin specs, with weights that users bring."""
