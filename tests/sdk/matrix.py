"""Finds the cases, so that a new one runs on every framework without registration.

`case_*` run on the decorators and on `Endpoints`, `mounted_case_*` on `Endpoints` alone.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import sdk.cases
from sdk.world import Serve, World

Case = Callable[[World], None]


def cases_named(prefix: str, package: ModuleType = sdk.cases) -> Iterator[Case]:
    """Every function in the modules of a package whose name begins with the prefix."""
    for module in pkgutil.iter_modules(package.__path__):
        cases = importlib.import_module(f"{package.__name__}.{module.name}")
        for name, function in inspect.getmembers(cases, inspect.isfunction):
            if name.startswith(prefix):
                yield function


def every_case(*, decorated: list[Serve], mounted: list[Serve]) -> pytest.MarkDecorator:
    """Parametrize a framework's test with each `case` and each `serve`."""
    given = [*params("case_", [*decorated, *mounted]), *params("mounted_case_", mounted)]
    return pytest.mark.parametrize(("case", "serve"), given)


def params(prefix: str, serves: list[Serve]) -> Iterator[Any]:
    """The cases of a kind as parameters, named for the test report."""
    for case in cases_named(prefix):
        for serve in serves:
            name = case.__name__.removeprefix(prefix)
            yield pytest.param(case, serve, id=f"{name}-{serve.__name__}")


def run(case: Case, serve: Serve, atomic_url: str) -> None:
    """Run a case in a world of its own."""
    world = World(atomic_url, serve)
    try:
        case(world)
    finally:
        world.close()
