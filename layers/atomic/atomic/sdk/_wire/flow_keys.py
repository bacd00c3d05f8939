"""The flows of keys of flow control."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json

from atomic.protocol import headers
from atomic.protocol.flow import FlowKeyDocument, FlowKeyList
from atomic.sdk._wire.api import document_of, get_of
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow, HttpRequest


def all_of(client_id: str, patience_s: float) -> Flow[list[FlowKeyDocument]]:
    """All keys of the client, by name."""
    path: str | None = f"/{quote(client_id)}/flow?limit=100"
    found: list[FlowKeyDocument] = []
    while path is not None:
        page = document_of(FlowKeyList, (yield from exchange(get_of(path), patience_s)))
        found += page.keys
        path = page.next
    return found


def get(client_id: str, key: str, patience_s: float) -> Flow[FlowKeyDocument]:
    """A key as it is now."""
    request = get_of(_path(client_id, key))
    return document_of(FlowKeyDocument, (yield from exchange(request, patience_s)))


def pin(client_id: str, key: str, pinned: Mapping[str, Any], patience_s: float) -> Flow[FlowKeyDocument]:
    """Change what is pinned."""
    request = HttpRequest(
        method="PUT",
        target=_path(client_id, key),
        body=to_json(pinned),
        headers={headers.CONTENT_TYPE: "application/json"},
    )
    return document_of(FlowKeyDocument, (yield from exchange(request, patience_s)))


def _path(client_id: str, key: str) -> str:
    return f"/{quote(client_id)}/flow/{quote(key, safe='')}"
