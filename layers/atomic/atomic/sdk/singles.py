"""Runs that share a key, of which only some are made: singletons and debounce."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from atomic.protocol.enums import OnBusy
from atomic.protocol.singles import DebounceOptions, SingletonOptions
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds


@dataclass(frozen=True, slots=True)
class Singleton:
    """Of the runs that share the key, one goes on at a time.

    - `key`: letters, digits and `.`, `_`, `~`, `:`, `@`, `-`.
    - `on_busy`: what a start does while another run has the key. "attach" (the default) gives the outcome
      of that run, "skip" raises `BusyError`, "cancel" cancels that run first, "queue" waits in line.
    """

    key: str
    on_busy: OnBusy = "attach"

    def document(self) -> dict[str, Any]:
        """The wire form. Raises InvalidRequestError that names the invalid options."""
        given = {"key": self.key, "onBusy": self.on_busy}
        try:
            SingletonOptions.model_validate(given)
        except ValidationError as refused:
            raise _refused("singleton", refused) from None
        return given


@dataclass(frozen=True, slots=True)
class Debounce:
    """Of the starts of a burst only the last one runs; those before it have its outcome.

    - `key`: letters, digits and `.`, `_`, `~`, `:`, `@`, `-`.
    - `quiet`: for how long no other start may come before it runs, in seconds or as a timedelta.
    - `max`: so long after the first start of the burst it runs at the latest (default: no limit).
    """

    key: str
    quiet: Seconds
    max: Seconds | None = None

    def document(self) -> dict[str, Any]:
        """The wire form. Raises InvalidRequestError that names the invalid options."""
        given: dict[str, Any] = {"key": self.key, "quiet": milliseconds("debounce: quiet", self.quiet)}
        if self.max is not None:
            given["max"] = milliseconds("debounce: max", self.max)
        try:
            DebounceOptions.model_validate(given)
        except ValidationError as refused:
            raise _refused("debounce", refused) from None
        return given


def shared_members(options: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a start for the key that it shares. Raises InvalidRequestError."""
    members: dict[str, Any] = {}
    for name, kind in (("singleton", Singleton), ("debounce", Debounce)):
        if name not in options:
            continue
        if not isinstance(options[name], kind):
            raise InvalidRequestError(f"{name}: use a {kind.__name__}, not {options[name]!r}.")
        members[name] = options[name].document()
    return members


def _refused(name: str, refused: ValidationError) -> InvalidRequestError:
    errors = refused.errors(include_url=False)
    wrong = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in errors]
    return InvalidRequestError(f"{name}: {'; '.join(wrong)}.")
