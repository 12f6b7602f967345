"""Face super-resolution models for affectbench, through its public plug-in interface only."""
