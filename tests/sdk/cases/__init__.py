"""The cases: each is a `def case_x(world: World)`, and each `test_<framework>.py` runs all of them."""
