"""The command `affectbench`: one module per verb. Results go to stdout, all else to stderr."""
