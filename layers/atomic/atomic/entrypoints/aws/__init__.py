"""The AWS home: Lambda handlers and their wiring."""
