"""The entry points of the runtimes: they turn requests and messages into calls of use cases."""
