"""Finds the scenarios, so that a new one runs on every runtime without registration."""

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable

import scenarios.cases
from scenarios.runtime import Runtime

Scenario = Callable[[Runtime], Awaitable[None]]


def scenarios_for(*, locked: bool) -> list[Scenario]:
    """Every `scenario_*` function. Those of `cases/locked*.py` need a runtime with API keys."""
    found: list[Scenario] = []
    for module in pkgutil.iter_modules(scenarios.cases.__path__):
        if module.name.startswith("locked") is not locked:
            continue
        cases = importlib.import_module(f"scenarios.cases.{module.name}")
        found += [
            function
            for name, function in inspect.getmembers(cases, inspect.iscoroutinefunction)
            if name.startswith("scenario_") and function.__module__ == cases.__name__
        ]
    return found


def name_of(scenario: Scenario) -> str:
    """The name of a scenario in a test report."""
    return scenario.__name__.removeprefix("scenario_")
