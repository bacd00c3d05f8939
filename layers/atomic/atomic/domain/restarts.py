"""A restart: a run that has ended is started again, as another run."""

from dataclasses import replace
from typing import Final

from atomic.domain.blobs import Text, at_hand
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys

# How canonical JSON of an encrypted value begins; see `docs/encryption.md`.
_ENCRYPTED: Final = b'{"$enc":'


def is_encrypted(payload: Text) -> bool:
    """Whether only the run with this payload, which is at hand, can read it."""
    return at_hand(payload).startswith(_ENCRYPTED)


def restart_spec(
    ended: Step,
    key: str,
    payload: Text,
    fingerprint: str,
    *,
    url: str | None = None,
    trace: tuple[str | None, bool],
    retention_ms: int,
) -> StepSpec:
    """The root that starts the run of this root again, under a key of its own, now and with this payload.

    It keeps what the start asked for, except when to begin: a delay, `startAt`, `startBy`, a pause, the
    quiet time of a burst. `url` is in place of its own. `trace` is that of the request, as `parse_trace` of
    `protocol.headers` reads it. No step and no other run waits for it.
    """
    spec = ended.spec if url is None else replace(ended.spec, url=url)
    run_id = keys.run_id(spec.client_id, spec.workflow_name, key)
    return replace(
        spec,
        run_id=run_id,
        identity=keys.identity(spec.client_id, spec.workflow_name, "", spec.url, spec.step_name, key),
        idempotency_key=key,
        payload=payload,
        fingerprint=fingerprint,
        delay_ms=0,
        start_at_ms=None,
        start_by_ms=None,
        debounce=None,
        paused=False,
        started_by=None,
        depth=0,
        detached=False,
        continued_from=None,
        trace_id=trace[0] or keys.trace_of(run_id),
        unsampled=trace[1],
        retention_ms=retention_ms,
        restart_of=spec.run_id,
    )
