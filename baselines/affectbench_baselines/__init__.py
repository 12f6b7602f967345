"""Face super-resolution models for affectbench; they use its public plug-in interface only."""
