"""The environment of a case: its own application on a framework, and an Atomic server."""

import itertools
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import requests

from atomic.sdk import AsyncClient, Client, RunDocument, StepOutcome

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path, its function, and how that is decorated."""

    path: str
    function: Callable[..., Any]
    is_workflow: bool
    options: Mapping[str, Any]


def served_by(routes: list[Route], endpoints_below: Callable[[str], Any]) -> None:
    """Serve routes with `Endpoints`, which the function creates for each prefix."""
    made: dict[str, Any] = {}
    for route in routes:
        prefix, _, name = route.path.rpartition("/")
        if prefix not in made:
            made[prefix] = endpoints_below(prefix)
        serve = made[prefix].workflow if route.is_workflow else made[prefix].step
        assert serve(name=name, **route.options)(route.function) is route.function


# Serves routes until the context ends; yields the base URL.
Serve = Callable[[list[Route]], AbstractContextManager[str]]


class World:
    """Register endpoints first; the first `start` or `post` serves them.

    The client is a new one by default. `wait`: how many seconds `start` waits for an outcome.
    """

    def __init__(
        self,
        atomic_url: str,
        serve: Serve,
        *,
        client_id: str = "",
        api_key: str | None = None,
        wait: float = 20,
    ) -> None:
        client_id = client_id or f"sdk{os.getpid()}-{next(_serial)}"
        self.client = Client(atomic_url, client_id=client_id, api_key=api_key)
        self._async_client = AsyncClient(atomic_url, client_id=client_id, api_key=api_key)
        self._serve = serve
        self._wait_s = wait
        self._routes: list[Route] = []
        self._stack = ExitStack()
        self._url = ""

    def workflow(
        self, path: str, function: Callable[..., Any], *, variant: str = "def", **more: Any
    ) -> None:
        """Serve a workflow; `variant` (def or async) decides which client its handler gets."""
        options = {"client": self._async_client if variant == "async" else self.client, **more}
        self._routes.append(Route(path=path, function=function, is_workflow=True, options=options))

    def step(self, path: str, function: Callable[..., Any], **options: Any) -> None:
        """Serve a step."""
        self._routes.append(Route(path=path, function=function, is_workflow=False, options=options))

    def url(self, path: str) -> str:
        """The URL of a path."""
        if not self._url:
            self._url = self._stack.enter_context(self._serve(self._routes))
        return self._url + path

    def start(self, path: str, payload: Any = None, *, key: str = "key-1", **options: Any) -> StepOutcome:
        """Start the workflow at the path and wait for it."""
        options = {"retry": 0, "timeout": self._wait_s, **options}
        return self.client.start("case", self.url(path), payload, key=key, **options)

    def run_of(self, outcome: StepOutcome) -> RunDocument:
        """Read the run of an outcome."""
        return self.client.get(outcome.run_id)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Call an endpoint directly, and not through Atomic."""
        return requests.post(self.url(path), data=body, headers=headers, timeout=10)

    def close(self) -> None:
        """Stop the server."""
        self._stack.close()
        self.client.close()
