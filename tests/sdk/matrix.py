"""Finds the cases, so that a new one runs on every framework without being named anywhere."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable

import sdk.cases
from sdk.world import World

Case = Callable[[World], None]


def all_cases() -> list[Case]:
    """Every `case_*` function in `cases/`."""
    found: list[Case] = []
    for module in pkgutil.iter_modules(sdk.cases.__path__):
        cases = importlib.import_module(f"sdk.cases.{module.name}")
        found += [
            function
            for name, function in inspect.getmembers(cases, inspect.isfunction)
            if name[:5] == "case_"
        ]
    return found


def name_of(case: Case) -> str:
    """The name of a case in a test report."""
    return case.__name__.removeprefix("case_")


CASES = all_cases()
