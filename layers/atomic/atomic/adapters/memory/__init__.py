"""Ports without a disk or a network behind them: for simulations, tests and the embedded runtime."""
