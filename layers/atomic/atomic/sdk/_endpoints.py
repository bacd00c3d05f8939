"""Functions served below one prefix: what `Endpoints` is in every framework, but for the mounting."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar, Unpack, overload

from atomic.sdk._handler import Endpoint, EndpointOptions
from atomic.sdk._step_call import Function, Served

App = TypeVar("App")
View = TypeVar("View")
AnyFunction = TypeVar("AnyFunction", bound=Function)

# One segment of a path, so that names are beside each other, as relative URLs are.
_NAME: Final = re.compile(r"[A-Za-z0-9_~-]+")


class Decorator(Generic[View]):
    """`@workflow` or `@step` of a framework, bare or with options: makes a function the framework's view.

    One parameter of the function gets the payload, validated by its annotation; one that is annotated as a
    context or `Call` is given that.
    """

    def __init__(self, view: Callable[[Endpoint], View], *, is_workflow: bool) -> None:
        self._view = view
        self._is_workflow = is_workflow

    @overload
    def __call__(self, function: Function, /) -> View: ...
    @overload
    def __call__(self, **options: Unpack[EndpointOptions]) -> Callable[[Function], View]: ...
    def __call__(
        self, *functions: Function, **options: Unpack[EndpointOptions]
    ) -> View | Callable[[Function], View]:
        """Make a function an endpoint of Atomic's.

        - `functions`: the function, when the decorator has no options.
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, nobody checks who calls).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).

        Returns what the framework takes as a view or handler.

        Raises TypeError for a function that cannot be called with what Atomic sends, or an option that does
        not exist, and ValueError for a name or option that cannot be used.
        """
        if not functions:
            return lambda function: self._make(function, options)
        [function] = functions
        return self._make(function, options)

    def _make(self, function: Function, options: EndpointOptions) -> View:
        return named_view(self._view, Endpoint(function, is_workflow=self._is_workflow, options=options))


def named_view(view_of: Callable[[Endpoint], View], endpoint: Endpoint) -> View:
    """A framework's view of an endpoint, which goes by the names of the user's function."""
    view = view_of(endpoint)
    # Not functools.wraps: frameworks read signatures, and this one has the framework's.
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        # A partial and an object that can be called have not all of them.
        if hasattr(endpoint.function, name):
            setattr(view, name, getattr(endpoint.function, name))
    return view


class BaseEndpoints:
    """Functions that are served below one prefix: POST {prefix}/{name} calls the function of that name.

    The functions stay what they are. Workflows call a step by its function or by its URL.
    """

    def __init__(
        self, prefix: str = "", *, steps: Iterable[Function] = (), **options: Unpack[EndpointOptions]
    ) -> None:
        self._folder = f"{prefix.strip('/')}/".lstrip("/")
        self._shared = options
        self._names: dict[Function, Served] = {}
        # Where no application takes them at once: by path, without a leading slash.
        self._endpoints: dict[str, Endpoint] = {}
        for function in steps:
            self.step(function)

    @overload
    def workflow(self, function: AnyFunction, /) -> AnyFunction: ...
    @overload
    def workflow(
        self, *, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Callable[[AnyFunction], AnyFunction]: ...
    def workflow(
        self, *functions: Function, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Any:
        """Serve a workflow: a function that calls steps. A decorator, bare or with options.

        One parameter gets the payload, validated by its annotation; one that is annotated as a context or
        `Call` is given that.

        - `functions`: the function, when the decorator has no options.
        - `name`: the last part of its URL (default: the name of the function).
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, nobody checks who calls).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).

        Returns the function as it is, so that other code and tests may call it.

        Raises TypeError for a function that cannot be called with what Atomic sends, or an option that does
        not exist, and ValueError for a name or option that cannot be used.
        """
        return self._served(functions, name, options, is_workflow=True)

    @overload
    def step(self, function: AnyFunction, /) -> AnyFunction: ...
    @overload
    def step(
        self, *, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Callable[[AnyFunction], AnyFunction]: ...
    def step(
        self, *functions: Function, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Any:
        """Serve a step: a function that has an effect. A decorator, bare or with options.

        One parameter gets the payload, validated by its annotation; one that is annotated as a context or
        `Call` is given that.

        - `functions`: the function, when the decorator has no options.
        - `name`: the last part of its URL (default: the name of the function).
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, nobody checks who calls).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).

        Returns the function as it is, so that other code and tests may call it.

        Raises TypeError for a function that cannot be called with what Atomic sends, or an option that does
        not exist, and ValueError for a name or option that cannot be used.
        """
        return self._served(functions, name, options, is_workflow=False)

    def _served(
        self, functions: tuple[Function, ...], name: str | None, own: EndpointOptions, *, is_workflow: bool
    ) -> Any:
        options: EndpointOptions = {**self._shared, **own}

        def serve(function: Function) -> Function:
            named = str(getattr(function, "__name__", "")) if name is None else name
            self._check_name(function, named)
            endpoint = Endpoint(function, is_workflow=is_workflow, options=options, names=self._names)
            self._names[function] = endpoint.as_served(named)
            self._add(self._folder + named, endpoint)
            return function

        return serve(*functions) if functions else serve

    def _add(self, path: str, endpoint: Endpoint) -> None:
        """Serve an endpoint at a path."""
        self._endpoints[path] = endpoint

    def _check_name(self, function: Function, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no segment of a path: give {function!r} a name=")
        if function in self._names or any(served.name == name for served in self._names.values()):
            raise ValueError(f"{name!r} is served already: give {function!r} another name=")


class MountedEndpoints(BaseEndpoints, ABC, Generic[App]):
    """Those of an application that takes routes while it is built."""

    def __init__(
        self,
        app: App,
        prefix: str = "",
        *,
        steps: Iterable[Function] = (),
        **options: Unpack[EndpointOptions],
    ) -> None:
        self._app = app
        super().__init__(prefix, steps=steps, **options)

    @abstractmethod
    def _add(self, path: str, endpoint: Endpoint) -> None:
        """Have the application pass every POST of the path to the endpoint."""
