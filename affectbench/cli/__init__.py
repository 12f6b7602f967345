"""The command `affectbench`: one module a verb. Results go to stdout, everything else to stderr."""
