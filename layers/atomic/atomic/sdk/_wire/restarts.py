"""The restart of a run, as a flow."""

from typing import Any, Final
from urllib.parse import quote

from pydantic_core import from_json

from atomic.protocol import keys
from atomic.protocol.documents import RunSummary
from atomic.sdk._wire.api import Key, get_of, get_step, key_text, post_of
from atomic.sdk._wire.codecs import Coder
from atomic.sdk._wire.encodings import first_accepted
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow, error_of, read
from atomic.sdk._wire.values import jsonable

# In place of a payload: that of the run.
SAME: Final[Any] = object()
_WHAT: Final = "the payload of the new run"


def restart(
    client_id: str,
    run_id: str,
    coder: Coder | None,
    patience_s: float,
    *,
    payload: Any,
    key: Key | None,
    url: str | None,
) -> Flow[RunSummary]:
    """Start a run again. With a codec, the payload is encoded anew, since it belongs to another run."""
    members = {} if key is None else {"key": key_text(key)}
    at = {} if url is None else {"url": url}
    if coder is None:
        given = {} if payload is SAME else {"payload": jsonable(payload, _WHAT)}
        return (yield from _restart(client_id, run_id, {**members, **at, **given}, patience_s))
    root_id = keys.root_of(run_id)
    root = yield from get_step(client_id, root_id, patience_s)
    if payload is SAME:
        path = f"/{quote(client_id)}/steps/{quote(root_id)}/payload"
        answer = yield from exchange(get_of(path), patience_s)
        if answer.status != 200:
            raise error_of(answer)
        payload = coder.read_payload(from_json(answer.body), root_id)
    new_key = members.get("key") or keys.restart_key(
        root.idempotency_key, is_restart=root.restart_of is not None
    )
    new_root = keys.root_of(keys.run_id(client_id, root.workflow_name, new_key))
    return (
        yield from first_accepted(
            coder.payload(jsonable(payload, _WHAT), new_root, _WHAT),
            lambda each: _restart(client_id, run_id, {"key": new_key, **at, "payload": each}, patience_s),
        )
    )


def _restart(client_id: str, run_id: str, document: dict[str, Any], patience_s: float) -> Flow[RunSummary]:
    request = post_of(f"/{quote(client_id)}/runs/{quote(run_id)}/restart", document)
    answer = yield from exchange(request, patience_s)
    if answer.status not in {200, 202}:
        raise error_of(answer)
    return read(RunSummary, answer)
