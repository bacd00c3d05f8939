"""The SDK's docstrings: each public function says what it does, and names all of its options."""

import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypedDict, Unpack

import pytest

import atomic.sdk
from atomic.sdk import errors
from atomic.sdk._calls.context import CallOptions

FRAMEWORKS = ("aws_lambda", "django", "fastapi", "flask", "starlette")


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All public functions, by their public names."""
    for name in atomic.sdk.__all__:
        yield from functions_of(name, getattr(atomic.sdk, name))
    for framework in FRAMEWORKS:
        module = importlib.import_module(f"atomic.sdk.{framework}")
        yield from functions_of(f"{framework}.Endpoints", module.Endpoints)
        yield from functions_of(f"{framework}.step", type(module.step))
    yield from functions_of("otel", importlib.import_module("atomic.sdk.otel").OpenTelemetryHooks)
    yield "idempotency.create_table", importlib.import_module("atomic.sdk.idempotency").create_table
    yield "dynamodb.idempotent", importlib.import_module("atomic.sdk.dynamodb").idempotent


def functions_of(name: str, thing: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A function itself, or the methods and the constructor of a class."""
    if not isinstance(thing, type):
        yield name, thing
        return
    if issubclass(thing, BaseException) or thing.__module__.startswith("atomic.protocol"):
        return
    has_no_constructor = name.endswith(".step") or getattr(thing, "_is_protocol", False)
    if not has_no_constructor:
        yield name, thing
    for own, member in inspect.getmembers(thing, inspect.isfunction):
        if own == "__call__" or not own.startswith("_"):
            yield f"{name}.{own}", member


def options_of(function: Callable[..., Any]) -> list[str]:
    """The names of a function's parameters, including those of `**options: Unpack[…]`."""
    names = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and typing.get_origin(parameter.annotation) is Unpack:
            names += typing.get_args(parameter.annotation)[0].__annotations__
        elif parameter.name != "self":
            names.append(parameter.name)
    return names


def missing_in(function: Callable[..., Any]) -> list[str]:
    """The options that a function's docstring does not name."""
    documentation = function.__doc__ or ""
    return [name for name in options_of(function) if f"`{name}`" not in documentation]


FUNCTIONS = dict(public_functions())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_names_every_option(name: str) -> None:
    assert missing_in(FUNCTIONS[name]) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_says_itself_what_the_function_does(name: str) -> None:
    documentation = FUNCTIONS[name].__doc__ or ""
    assert documentation.split()[:2]
    assert not re.match("(As|See|Like) `", documentation), "an editor shows only this docstring"


@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if name.partition(".")[0] in {"Client", "AsyncClient"}]
)
def test_a_method_of_a_client_says_what_it_raises(name: str) -> None:
    if not name.endswith((".close", ".run_flow")):
        assert "raises" in (FUNCTIONS[name].__doc__ or "").lower()


def raised_names(documentation: str) -> set[str]:
    """The names in a docstring that look like errors of the SDK."""
    return {word.strip("`,.()") for word in documentation.split() if word.strip("`,.()").endswith("Error")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_in_docstrings_exist(name: str) -> None:
    known = {*vars(errors), "ValueError", "TypeError", "LookupError", "RuntimeError", "ModuleNotFoundError"}
    assert raised_names(FUNCTIONS[name].__doc__ or "") - known <= {"IntegrityError"}


@pytest.mark.parametrize("kind", ["Client", "Context"])
def test_both_variants_name_the_same_errors_and_options(kind: str) -> None:
    for name, function in FUNCTIONS.items():
        if name.startswith(f"{kind}.") and f"Async{name}" in FUNCTIONS:
            variant = FUNCTIONS[f"Async{name}"]
            assert options_of(function) == options_of(variant)
            assert raised_names(function.__doc__ or "") == raised_names(variant.__doc__ or ""), name


class _Options(TypedDict, total=False):
    variant: str


def test_an_option_that_is_left_out_is_found() -> None:
    def paint(size: int, *, coats: int = 1, **options: Unpack[_Options]) -> None:
        """Paint `size` square metres, with `coats`."""

    assert missing_in(paint) == ["variant"]


def test_functions_are_found() -> None:
    assert {"Client.start", "AsyncClient.wait", "Context.parallel", "AsyncContext", "Retry"} <= set(
        FUNCTIONS
    )
    assert {"fastapi.step.__call__", "starlette.Endpoints.workflow", "idempotent"} <= set(FUNCTIONS)
    assert set(CallOptions.__annotations__) <= set(options_of(FUNCTIONS["Context.step"]))
