"""The redrive of many dead letters, as a flow."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from atomic.protocol.documents import RedriveResult
from atomic.sdk._wire.api import document_of, post_of
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow


def redrive_all(client_id: str, wanted: Mapping[str, Any], patience_s: float) -> Flow[list[str]]:
    """Redrive every dead letter that matches a filter. Returns their ids."""
    if isinstance(tag := wanted.get("tag"), str):
        wanted = {**wanted, "tag": [tag]}
    redriven: list[str] = []
    document: dict[str, Any] = {"filter": wanted}
    while True:
        request = post_of(f"/{quote(client_id)}/redrive", document)
        page = document_of(RedriveResult, (yield from exchange(request, patience_s)))
        redriven += page.steps
        if not page.more or not (page.steps or page.next):
            return redriven
        if page.next is not None:
            document = {"filter": wanted, "cursor": page.next}
