"""The flows of bulks: the same act on many runs."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from atomic.protocol import headers
from atomic.protocol.bulk_documents import BulkCount, BulkDocument
from atomic.protocol.enums import BulkAction, StatusName
from atomic.sdk._wire.api import Key, document_of, get_of, key_text, post_of
from atomic.sdk._wire.lists import RunListFilter, filter_document
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow, error_of, read

# What `filter_document` makes texts of, as query strings need them.
_READ: Final[dict[str, Callable[[str], object]]] = {
    "responseStatus": int,
    "dismissed": lambda text: text == "true",
}


class BulkFilter(RunListFilter, total=False):
    """The same, and the status."""

    status: StatusName


def count(client_id: str, do: BulkAction, wanted: Mapping[str, Any], patience_s: float) -> Flow[BulkCount]:
    """How many runs fit."""
    request = post_of(_path(client_id), {"do": do, "filter": _filter(wanted), "dryRun": True})
    return document_of(BulkCount, (yield from exchange(request, patience_s)))


def start(
    client_id: str,
    do: BulkAction,
    wanted: Mapping[str, Any],
    patience_s: float,
    *,
    note: str,
    key: Key | None,
) -> Flow[BulkDocument]:
    """Begin it. The request may be repeated, and has a key in any case."""
    document = {"do": do, "filter": _filter(wanted), "note": note}
    own = {headers.IDEMPOTENCY_KEY: str(uuid4()) if key is None else key_text(key)}
    answer = yield from exchange(post_of(_path(client_id), document, own), patience_s)
    if answer.status != 202:
        raise error_of(answer)
    return read(BulkDocument, answer)


def get(client_id: str, run_id: str, patience_s: float) -> Flow[BulkDocument]:
    """How far it is."""
    request = get_of(f"{_path(client_id)}/{quote(run_id, safe='')}")
    return document_of(BulkDocument, (yield from exchange(request, patience_s)))


def _path(client_id: str) -> str:
    return f"/{quote(client_id)}/bulk"


def _filter(wanted: Mapping[str, Any]) -> dict[str, Any]:
    texts = filter_document(wanted, BulkFilter)
    if isinstance(texts.get("tag"), str):
        texts["tag"] = [texts["tag"]]
    return {name: _READ[name](text) if name in _READ else text for name, text in texts.items()}
