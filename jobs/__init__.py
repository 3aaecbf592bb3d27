"""What a user runs: one short module per job, its YAML, and the command line."""
