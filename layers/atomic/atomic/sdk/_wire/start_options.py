"""The options of a start by a client."""

from collections.abc import Mapping
from typing import Any

from atomic.protocol.enums import RunEvent
from atomic.sdk._wire.api import StepOptions
from atomic.sdk._wire.client_hooks import hooks_document
from atomic.sdk._wire.tags import tags_document
from atomic.sdk.singles import Debounce, Singleton, shared_members


class StartOptions(StepOptions, total=False):
    """Options of the root of a run: those of a step, and those that only a run has.

    `singleton` or `debounce` is the key that it shares with other runs; `paused` says that it is paused
    from its start; `tags` are names with values by which runs are found; `hooks` are URLs that are told of
    its end.
    """

    singleton: Singleton
    debounce: Debounce
    paused: bool
    tags: Mapping[str, str]
    hooks: Mapping[RunEvent, str]


def members_of_root(options: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a start that only the root of a run has. Raises InvalidRequestError."""
    members = shared_members(options)
    if "paused" in options:
        members["paused"] = options["paused"]
    if "tags" in options:
        members["tags"] = tags_document(options["tags"])
    if "hooks" in options:
        members["hooks"] = hooks_document(options["hooks"])
    return members
