"""The AWS runtime: Lambda handlers and their wiring."""
