"""Calls to endpoints."""
