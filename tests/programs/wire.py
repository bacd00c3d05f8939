"""What a worker and the one who plays tell each other, over a pipe.

The player sends one command, and the worker answers with one report when all that it set in motion waits
for the player again, or has ended. Virtual time stands still meanwhile.
"""

from collections.abc import Mapping
from typing import NamedTuple

from programs.ledger import Effect

# Commands


class Load(NamedTuple):
    """Take this program; forget the one before. `wait_s` is how long its workflows wait for their steps."""

    source: str
    workflows: tuple[str, ...]
    seed: int
    wait_s: float


class Serve(NamedTuple):
    """Serve a call of an endpoint. `made` is what was done under its key before."""

    number: int
    name: str
    headers: Mapping[str, str]
    body: bytes
    made: Effect | None


class Hear(NamedTuple):
    """An answer to what was asked; status 0: none came."""

    number: int
    status: int
    headers: Mapping[str, str]
    body: bytes


class Die(NamedTuple):
    """A call ends where it is, as its process would."""

    number: int


class Tick(NamedTuple):
    """The moment has come that the worker named."""


class Plant(NamedTuple):
    """Have these faults, and no others, from now on."""

    names: tuple[str, ...]


What = Load | Serve | Hear | Die | Tick | Plant


class Command(NamedTuple):
    """What to do, and what time it is."""

    now_s: float
    what: What


# Reports


class Ask(NamedTuple):
    """A call asks Atomic something."""

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
    """What happened in the order in which it did, and in how many seconds the worker wants a `Tick`."""

    subscription: list[Ask | Served | Effect]
    next_in_s: float | None
