"""Rows and clients in SQLite files, for one node."""
