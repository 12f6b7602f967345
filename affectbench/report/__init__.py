"""Tables and leaderboards from records; nothing here computes a metric."""
