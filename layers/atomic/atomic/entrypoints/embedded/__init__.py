"""The embedded runtime: one process, SQLite, an ASGI server and timers."""
