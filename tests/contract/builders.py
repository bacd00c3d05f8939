"""Builders for steps in any state."""

import random
import string
from dataclasses import replace
from typing import Any

from atomic.domain.causes import Cause, Dismissal
from atomic.domain.hooks import Owed, RunHook, Told
from atomic.domain.outcomes import StepError, StoredBody
from atomic.domain.pointers import Debounce, Singleton
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Attempt, Step, StepSpec, Watch
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, HookEvent, OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.strict_json import fingerprint

RETENTION_MS = 1_000_000


def a_spec(
    *,
    client_id: str = "acme",
    workflow_name: str = "createUser",
    key: str = "key-1",
    step_name: str = "",
    payload: bytes = b'{"userName":"ada"}',
    **more: Any,
) -> StepSpec:
    """A spec; run id, identity and fingerprint are derived from the other members."""
    url = "https://app.example/steps"
    return StepSpec(
        client_id=client_id,
        run_id=keys.run_id(client_id, workflow_name, key),
        identity=keys.identity(client_id, workflow_name, more.get("parent") or "", url, step_name, key),
        workflow_name=workflow_name,
        url=url,
        step_name=step_name,
        idempotency_key=key,
        payload=payload,
        fingerprint=fingerprint(payload),
        retention_ms=RETENTION_MS,
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        **more,
    )


def a_root(spec: StepSpec | None = None, *, at_ms: int = 1_000, status: Status = Status.PENDING) -> Step:
    """The root step of a run; if live, it is due at its creation."""
    spec = spec or a_spec()
    settled = status in SETTLED
    return Step(
        spec=spec,
        id=keys.root_of(spec.run_id),
        created_at_ms=at_ms,
        status=status,
        due_at_ms=None if settled else at_ms,
        finished_at_ms=at_ms if settled else None,
        expires_at_ms=at_ms + spec.retention_ms if settled else None,
    )


def a_child(
    name: str,
    spec: StepSpec | None = None,
    *,
    at_ms: int = 1_000,
    status: Status = Status.PENDING,
    parent: str = "",
) -> Step:
    """Another step of the run of `spec`, named `name`, under the root unless a parent is given."""
    spec = spec or a_spec()
    spec = a_spec(
        client_id=spec.client_id,
        workflow_name=spec.workflow_name,
        key=spec.idempotency_key,
        step_name=name,
        parent=parent or keys.root_of(spec.run_id),
    )
    return replace(a_root(spec, at_ms=at_ms, status=status), id=keys.step_id(spec.run_id, spec.identity))


def a_full_step() -> Step:
    """A step whose every field differs from the default."""
    policy = RetryPolicy(
        count=7,
        back_off_ms=250,
        strategy="linear",
        factor=1.5,
        max_back_off_ms=60_000,
        jitter="none",
        on="404,5xx",
        never="501",
    )
    spec = a_spec(
        workflow_name="Nutzer anlegen – 用户 🙂",
        step_name="Grüße",
        payload='{"name":"Ærøskøbing 🙂"}'.encode(),
        parent=keys.root_of(keys.run_id("acme", "another", "k")),
        sent_key="key-1-0123456789abcdef",
        kind="event",
        retry=policy,
        delay_ms=5,
        start_at_ms=6_000,
        start_by_ms=8_000,
        attempt_timeout_ms=1_234,
        deadline_ms=99_000,
        heartbeat_ms=98_000,
        fails_if_lost=True,
        child_name="Rechnung",
        child_key="inv-7",
        detached=True,
        keeps_child=True,
        started_by="run_0-1",
        depth=3,
        continued_from="run_0-root",
        restart_of="run_0",
        unsampled=True,
        singleton=Singleton("sync", "cancel"),
        debounce=Debounce("doc", 5, 6),
        tags=("customer:c-17", "env:prod: b"),
        hook="pager",
        hooks=(RunHook("run.failed", "https://app.example/failed"),),
    )
    return Step(
        spec=spec,
        id=keys.step_id(spec.run_id, spec.identity),
        created_at_ms=1_000,
        awaited=True,
        version=3,
        status=Status.WAITING,
        generation=2,
        due_at_ms=7_000,
        made_due_ms=7_500,
        deadline_at_ms=100_000,
        heartbeat_by_ms=99_000,
        given_deadline_ms=6,
        given_heartbeat_ms=7,
        nonce="f" * 32,
        answer_by_ms=8_000,
        attempt_count=2,
        retries_used=1,
        retries_before=2,
        consecutive_lost=4,
        dated_at_ms=6_000,
        rechecks=5,
        woken=True,
        failed_meanwhile=True,
        told=keys.root_of(spec.run_id),
        waiting_for=(keys.root_of(spec.run_id), "another"),
        wake="settled",
        waiters=("one", "two"),
        watches=(Watch("three", 4, "five"), Watch("six", 7)),
        attempt_log=(
            Attempt(number=1, generation=1, started_at_ms=1_000),
            Attempt(
                number=2,
                generation=2,
                started_at_ms=0,
                ended_at_ms=0,
                outcome=OutcomeKind.NO_ANSWER,
                status=0,
                error=StepError(ErrorKind.TIMED_OUT),
                late="zu spät 🙂",
                build="abc-1",
                unused_results=3,
            ),
        ),
        continued_as="run_1-root",
        response=StoredBody('{"é":"🙂"}'.encode(), "json", "application/json"),
        response_status=200,
        error=StepError(
            ErrorKind.NO_TIME_LEFT,
            "5",
            last=StepError(ErrorKind.ENDPOINT_ANSWERED, "500", "– ü 🙂", "Error"),
        ),
        finished_at_ms=0,
        expires_at_ms=0,
        early="opened",
        message="m-1",
        owes=(an_owed(), an_owed("step.failed", error_kind=ErrorKind.LOST, response_status=500)),
        cause=Cause(
            step_id=keys.step_id(spec.run_id, "0" * 32),
            workflow_name=spec.workflow_name,
            error_kind=ErrorKind.ENDPOINT_ANSWERED,
            response_status=500,
            said="no ü",
        ),
        dismissal=Dismissal(at_ms=5_000, note="known"),
    )


def an_owed(event: HookEvent = "run.succeeded", at_ms: int = 7_500, **more: Any) -> Owed:
    """Something that two hooks are to be told."""
    told = tuple(Told(name, f"https://app.example/{name}") for name in ("mail", "pager"))
    return Owed(event=event, at_ms=at_ms, generation=1, status=Status.SUCCEEDED, told=told, **more)


def settled(step: Step, at_ms: int, status: Status = Status.SUCCEEDED) -> Step:
    """The step's next version, with its outcome."""
    return replace(
        step,
        version=step.version + 1,
        status=status,
        due_at_ms=None,
        response=StoredBody(b'{"ok":true}', "json", "application/json"),
        response_status=200,
        finished_at_ms=at_ms,
        expires_at_ms=at_ms + step.spec.retention_ms,
    )


def incompressible(length: int) -> bytes:
    """Random text, deterministic for each length; zlib compresses it to no less than 75 %."""
    characters = string.ascii_letters + string.digits + "+/"
    return "".join(random.Random(length).choices(characters, k=length)).encode()
