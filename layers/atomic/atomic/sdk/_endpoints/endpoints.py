"""Endpoints of an application, alone or below one prefix. The framework modules only mount them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar, Unpack, overload

from atomic.sdk._calls.served import Function, Served
from atomic.sdk._endpoints.endpoint import Endpoint, EndpointOptions
from atomic.sdk.schedules import Times

App = TypeVar("App")
View = TypeVar("View")
AnyFunction = TypeVar("AnyFunction", bound=Function)

# One segment of a path, so that a function's name is also its URL relative to the others.
_NAME: Final = re.compile(r"[A-Za-z0-9_~-]+")


class Decorator(Generic[View]):
    """`@workflow` or `@step` of a framework, bare or with options: makes a function the framework's view.

    One parameter of the function gets the payload, validated by its annotation. A parameter that is
    annotated as a context or `Call` gets this object.
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
        """Make a function an endpoint.

        - `functions`: the function, when the decorator has no options.
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).
        - `build`: which build of the application this is, such as its commit, in up to 64 characters
          (default: ATOMIC_BUILD, else none).
        - `hooks`: objects that are told of its calls, operations and attempts, as `Hooks` (default: none).
        - `codec`: a `Codec` for payloads, results and values (default: that of `client`, else none).

        Returns a view or handler of the framework.

        Raises TypeError for a function that cannot be called by Atomic, or an option that does
        not exist, and ValueError for an invalid name or option.
        """
        if not functions:
            return lambda function: self._make(function, options)
        [function] = functions
        return self._make(function, options)

    def _make(self, function: Function, options: EndpointOptions) -> View:
        return named_view(self._view, Endpoint(function, is_workflow=self._is_workflow, options=options))


def named_view(view_of: Callable[[Endpoint], View], endpoint: Endpoint) -> View:
    """A framework's view of an endpoint, with the names of the user's function."""
    view = view_of(endpoint)
    # Not functools.wraps: frameworks read signatures, and the view must keep its own.
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        # A partial or a callable object does not have all of these, and a method of a list has no module.
        if (given := getattr(endpoint.function, name, None)) is not None:
            setattr(view, name, given)
    return view


class Declared(NamedTuple):
    """A schedule that a workflow declares: its name, the path without a leading slash, and its times."""

    name: str
    path: str
    times: Times


class BaseEndpoints:
    """Functions that are served below one prefix: POST {prefix}/{name} calls the function of that name.

    The functions themselves are not changed. Workflows call a step by its function or by its URL.
    """

    def __init__(
        self, prefix: str = "", *, steps: Iterable[Function] = (), **options: Unpack[EndpointOptions]
    ) -> None:
        self._folder = f"{prefix.strip('/')}/".lstrip("/")
        self._shared = options
        self._names: dict[Function, Served] = {}
        self._scheduled: list[Declared] = []
        # Endpoints by path, without a leading slash, for frameworks that mount them later.
        self._endpoints: dict[str, Endpoint] = {}
        for function in steps:
            self.step(function)

    @overload
    def workflow(self, function: AnyFunction, /) -> AnyFunction: ...
    @overload
    def workflow(
        self,
        *,
        name: str | None = None,
        schedule: Times | None = None,
        **options: Unpack[EndpointOptions],
    ) -> Callable[[AnyFunction], AnyFunction]: ...
    def workflow(
        self,
        *functions: Function,
        name: str | None = None,
        schedule: Times | None = None,
        **options: Unpack[EndpointOptions],
    ) -> Any:
        """Serve a workflow: a function that calls steps. A decorator, bare or with options.

        One parameter gets the payload, validated by its annotation. A parameter that is annotated as a
        context or `Call` gets this object.

        - `functions`: the function, when the decorator has no options.
        - `name`: the last part of its URL (default: the name of the function).
        - `schedule`: when it starts by itself, as a `Cron`, `Every` or `At` of `atomic.sdk.schedules`. The
          command `atomic schedules apply` puts it (default: none).
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).
        - `build`: which build of the application this is, such as its commit, in up to 64 characters
          (default: ATOMIC_BUILD, else none).
        - `hooks`: objects that are told of its calls, operations and attempts, as `Hooks` (default: none).
        - `codec`: a `Codec` for payloads, results and values (default: that of `client`, else none).

        Returns the function as it is, so that other code and tests may call it.

        Raises TypeError for a function that cannot be called by Atomic, or an option that does
        not exist, and ValueError for an invalid name or option.
        """
        return self._served(functions, name, options, is_workflow=True, schedule=schedule)

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

        One parameter gets the payload, validated by its annotation. A parameter that is annotated as a
        context or `Call` gets this object.

        - `functions`: the function, when the decorator has no options.
        - `name`: the last part of its URL (default: the name of the function).
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).
        - `build`: which build of the application this is, such as its commit, in up to 64 characters
          (default: ATOMIC_BUILD, else none).
        - `hooks`: objects that are told of its calls, operations and attempts, as `Hooks` (default: none).
        - `codec`: a `Codec` for payloads, results and values (default: that of `client`, else none).

        Returns the function as it is, so that other code and tests may call it.

        Raises TypeError for a function that cannot be called by Atomic, or an option that does
        not exist, and ValueError for an invalid name or option.
        """
        return self._served(functions, name, options, is_workflow=False)

    def scheduled(self) -> list[Declared]:
        """The schedules that its workflows declare, in their order."""
        return list(self._scheduled)

    def _served(
        self,
        functions: tuple[Function, ...],
        name: str | None,
        own: EndpointOptions,
        *,
        is_workflow: bool,
        schedule: Times | None = None,
    ) -> Any:
        options: EndpointOptions = {**self._shared, **own}

        def serve(function: Function) -> Function:
            named = str(getattr(function, "__name__", "")) if name is None else name
            self._check_name(function, named)
            endpoint = Endpoint(function, is_workflow=is_workflow, options=options, names=self._names)
            self._names[function] = endpoint.as_served(named)
            if schedule is not None:
                self._scheduled.append(Declared(schedule.name or named, self._folder + named, schedule))
            self._add(self._folder + named, endpoint)
            return function

        return serve(*functions) if functions else serve

    def _add(self, path: str, endpoint: Endpoint) -> None:
        """Serve an endpoint at a path."""
        self._endpoints[path] = endpoint

    def _check_name(self, function: Function, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a segment of a path: give {function!r} a name=")
        if not isinstance(function, Hashable):
            raise TypeError(f"{function!r} cannot be served: it has no hash; give its class a __hash__")
        if function in self._names or any(served.name == name for served in self._names.values()):
            raise ValueError(f"{name!r} is served already: give {function!r} another name=")


class MountedEndpoints(BaseEndpoints, ABC, Generic[App]):
    """Endpoints of an application whose routes are added one by one."""

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
        """Route every POST of the path to the endpoint."""
