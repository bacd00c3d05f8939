"""The flows of a client's hooks."""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from atomic.protocol.enums import HookEvent
from atomic.protocol.hook_documents import DeletedHook, HookDocument, HookList
from atomic.sdk._wire.api import document_of, get_of, put_of
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow, HttpRequest, error_of, read
from atomic.sdk.errors import InvalidRequestError

_PUT: Final = frozenset({200, 201})


def hooks_document(hooks: object) -> dict[str, str]:
    """The hooks of a start. Raises InvalidRequestError for anything but a mapping of events to URLs."""
    if not isinstance(hooks, Mapping) or not all(
        isinstance(text, str) for pair in hooks.items() for text in pair
    ):
        raise InvalidRequestError(
            'hooks: use events with URLs, such as {"run.failed": "https://app.example/failed"}, not '
            f"{hooks!r}."
        )
    return dict(hooks)


def put(
    client_id: str,
    name: str,
    url: str,
    on: HookEvent | Iterable[HookEvent],
    workflow_name: str | None,
    patience_s: float,
) -> Flow[HookDocument]:
    """Create or replace a hook."""
    events = [on] if isinstance(on, str) else list(on)
    document = {"url": url, "on": events, "workflowName": workflow_name}
    answer = yield from exchange(put_of(_path(client_id, name), document), patience_s)
    if answer.status not in _PUT:
        raise error_of(answer)
    return read(HookDocument, answer)


def get(client_id: str, name: str, patience_s: float) -> Flow[HookDocument]:
    """A hook as it stands."""
    request = get_of(_path(client_id, name))
    return document_of(HookDocument, (yield from exchange(request, patience_s)))


def all_of(client_id: str, patience_s: float) -> Flow[list[HookDocument]]:
    """All hooks of the client, by name."""
    request = get_of(f"/{quote(client_id)}/hooks")
    return document_of(HookList, (yield from exchange(request, patience_s))).hooks


def delete(client_id: str, name: str, patience_s: float) -> Flow[None]:
    """Delete a hook."""
    request = HttpRequest(method="DELETE", target=_path(client_id, name))
    document_of(DeletedHook, (yield from exchange(request, patience_s)))


def _path(client_id: str, name: str) -> str:
    return f"/{quote(client_id)}/hooks/{quote(name, safe='')}"
