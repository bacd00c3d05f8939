"""The runtimes: what translates between the world's events and the use cases."""
