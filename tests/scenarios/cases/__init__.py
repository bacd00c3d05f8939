"""The scenarios, by topic."""
