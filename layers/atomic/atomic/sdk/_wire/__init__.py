"""Requests to Atomic, and the conversion of values to JSON and back."""
