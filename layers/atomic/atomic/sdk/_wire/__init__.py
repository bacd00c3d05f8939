"""Requests to Atomic, and values on their way into JSON and back."""
