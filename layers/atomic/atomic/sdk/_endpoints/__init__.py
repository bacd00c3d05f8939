"""Calls from Atomic: functions as endpoints, and how a call is served."""
