"""HTML from records: one component for tables, shared by the report and the leaderboard site."""
