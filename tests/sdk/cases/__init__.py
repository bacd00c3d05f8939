"""Handlers, written once: a case is `def case_x(world: World)`, and each `test_<framework>.py` runs all."""
