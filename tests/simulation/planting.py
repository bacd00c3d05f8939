"""Plants a fault in place of a function, for one test."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest


def plant(patching: pytest.MonkeyPatch, owner: object, name: str, fault: Callable[..., Any]) -> None:
    """Replace a function by a fault that can be called like it.

    Any other fault would be found because of its TypeError. That proves nothing, so it is raised here.
    """
    parameters = inspect.signature(getattr(owner, name)).parameters.values()
    named = {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY}
    inspect.signature(fault).bind(*[None] * (len(parameters) - len(named)), **named)
    patching.setattr(owner, name, fault)
