"""The flows of keys of flow control."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from atomic.protocol.flow import FlowKeyDocument, FlowKeyList, FlowStepList
from atomic.sdk._wire.api import document_of, get_of, put_of
from atomic.sdk._wire.lists import list_all
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow


def all_of(client_id: str, patience_s: float) -> Flow[list[FlowKeyDocument]]:
    """All keys of the client, by name."""
    return (yield from list_all(client_id, "flow", FlowKeyList, lambda page: page.keys, patience_s))


def get(client_id: str, key: str, patience_s: float) -> Flow[FlowKeyDocument]:
    """A key as it is now."""
    request = get_of(_path(client_id, key))
    return document_of(FlowKeyDocument, (yield from exchange(request, patience_s)))


def steps(client_id: str, key: str, limit: int, patience_s: float) -> Flow[FlowStepList]:
    """The steps under a key."""
    request = get_of(f"{_path(client_id, key)}/steps?limit={limit}")
    return document_of(FlowStepList, (yield from exchange(request, patience_s)))


def pin(client_id: str, key: str, pinned: Mapping[str, Any], patience_s: float) -> Flow[FlowKeyDocument]:
    """Change what is pinned."""
    request = put_of(_path(client_id, key), pinned)
    return document_of(FlowKeyDocument, (yield from exchange(request, patience_s)))


def _path(client_id: str, key: str) -> str:
    return f"/{quote(client_id)}/flow/{quote(key, safe='')}"
