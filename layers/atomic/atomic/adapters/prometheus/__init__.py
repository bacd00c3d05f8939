"""Telemetry for Prometheus."""
