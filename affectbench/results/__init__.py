"""Turn records into one tidy frame: comparisons, ranks, ties and flags. Numbers only, no markup."""
