"""Public 512-pixel face restoration networks: thin specs, with weights supplied by the user."""
