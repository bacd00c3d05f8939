"""Implementations of the ports. Each folder is one, and imports none of the others."""
