"""The command `atomic`."""
