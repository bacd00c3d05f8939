"""The messages between a worker and the player, over a pipe.

The player sends one command. The worker sends one report when everything that the command started has ended
or waits for the player. Virtual time does not advance meanwhile.
"""

from collections.abc import Mapping
from typing import NamedTuple

from programs.ledger import Effect

# Commands


class Load(NamedTuple):
    """Replace the program. `wait_s` is how long its workflows wait for their steps."""

    source: str
    workflows: tuple[str, ...]
    seed: int
    wait_s: float


class Serve(NamedTuple):
    """Serve a call of an endpoint. `made` holds earlier effects under its key."""

    number: int
    name: str
    headers: Mapping[str, str]
    body: bytes
    made: Effect | None


class Deliver(NamedTuple):
    """Deliver the answer to a request; status 0 means that none came."""

    number: int
    status: int
    headers: Mapping[str, str]
    body: bytes


class Die(NamedTuple):
    """End a call at its current point, as if its process died."""

    number: int


class Tick(NamedTuple):
    """The time that the worker asked for has come."""


class Plant(NamedTuple):
    """Plant these faults, and no others, from now on."""

    names: tuple[str, ...]


What = Load | Serve | Deliver | Die | Tick | Plant


class Command(NamedTuple):
    """A command, and the current virtual time."""

    now_s: float
    what: What


# Reports


class Ask(NamedTuple):
    """A call sends a request to Atomic."""

    call: int
    number: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Served(NamedTuple):
    """A call has ended with this answer."""

    call: int
    status: int
    headers: Mapping[str, str]
    body: bytes


class Report(NamedTuple):
    """What happened, in order, and after how many seconds the worker needs a `Tick`."""

    subscription: list[Ask | Served | Effect]
    next_in_s: float | None
