"""The embedded home: one process, SQLite, an ASGI server and timers."""
