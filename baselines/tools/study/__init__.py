"""Studies of this project alone: the choice of a definition, and the table of judges."""
