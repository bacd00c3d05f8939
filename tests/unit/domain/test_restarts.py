"""What a run that is started again has of the run before."""

from dataclasses import fields, replace
from typing import Final

from atomic.domain.restarts import restart_spec
from atomic.domain.steps import StepSpec
from atomic.protocol import keys
from contract.builders import a_full_step, a_root, a_spec

# What each run has for itself.
OWN: Final = {
    "run_id",
    "identity",
    "idempotency_key",
    "payload",
    "fingerprint",
    "trace_id",
    "unsampled",
    "retention_ms",
    "restart_of",
}
# When the run before was to begin, and why it was started.
LEFT_OUT: Final = {
    "delay_ms",
    "start_at_ms",
    "start_by_ms",
    "debounce",
    "paused",
    "started_by",
    "depth",
    "detached",
    "continued_from",
}


def test_a_restart_has_what_the_start_asked_for_except_when_to_begin() -> None:
    spec = replace(a_full_step().spec, paused=True)
    plain, root = a_spec(), replace(a_root(), spec=spec)

    again = restart_spec(root, "key-1/2", b"2", "f", trace=(None, False), retention_ms=5)

    for field in fields(StepSpec):
        name = field.name
        if name in LEFT_OUT:
            assert getattr(again, name) == getattr(plain, name) != getattr(spec, name), name
        elif name not in OWN:
            assert getattr(again, name) == getattr(spec, name), name
    assert (again.idempotency_key, again.payload, again.fingerprint) == ("key-1/2", b"2", "f")
    assert (again.restart_of, again.retention_ms) == (spec.run_id, 5)


def test_it_is_the_run_that_a_start_with_its_key_would_make() -> None:
    root, other = a_root(), a_spec(key="key-1/2")
    made = restart_spec(
        root,
        other.idempotency_key,
        other.payload,
        other.fingerprint,
        trace=(other.trace_id, other.unsampled),
        retention_ms=other.retention_ms,
    )
    assert replace(made, restart_of=None) == other
    again = replace(root, spec=made, id=keys.root_of(made.run_id))
    third = restart_spec(again, "key-1/3", b"1", "f", trace=(None, False), retention_ms=5)
    assert third.restart_of == made.run_id
    assert third.trace_id == third.run_id.removeprefix("run_")
