"""One node, one file: rows and clients in SQLite."""
