"""The request that puts a hook."""

import re
from typing import Annotated, Final

from pydantic import Field

from atomic.protocol.enums import HOOK_EVENTS, HookEvent
from atomic.protocol.requests import Name, Url
from atomic.protocol.wire import WireModel

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HOOK_NAME_FORM: Final = "1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first"


def is_hook_name(text: str) -> bool:
    """Whether the text may name a hook."""
    return _NAME.fullmatch(text) is not None


class HookRequest(WireModel):
    """`PUT /{clientId}/hooks/{name}`: tell this URL of these events."""

    url: Url = Field(description="Under a base URL of the client. It is called as a step is, and retried.")
    on: Annotated[list[HookEvent], Field(min_length=1, max_length=len(HOOK_EVENTS))] = Field(
        description="Of what it is told. `step.failed` is of steps below a root, `event.opened` of events "
        "whose result is not there yet, `schedule.missed` of times that passed without a run."
    )
    workflow_name: Name | None = Field(default=None, description="Only of this workflow; null for all.")
