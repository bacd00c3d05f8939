"""Atomic: durable workflows made of plain HTTP endpoints."""

__version__ = "0.1.0"
