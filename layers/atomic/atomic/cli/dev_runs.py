"""The runs of a client as lines, each as soon as something has happened."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import click

from atomic.protocol.enums import LIVE
from atomic.sdk import AtomicError, AttemptRecord, Client, RunDocument, RunSummary, StepDocument

_RUNS_MAX: Final = 100


class RunLines:
    """Prints what happened to the runs of a client since it looked last.

    On a terminal these are sentences, elsewhere JSON: `{"at", "event", "workflowName", "key", "runId", …}`.
    """

    def __init__(self, url: str, client_id: str, *, as_json: bool) -> None:
        self._client = Client(url, client_id=client_id, api_key="", patience=1.0)
        self._as_json = as_json
        # How much of each run is printed: its status, and the attempts and the state of each step.
        self._told: dict[str, tuple[str, int]] = {}
        self._steps: dict[str, tuple[str, int]] = {}
        self._live: set[str] = set()
        for run in self._newest():
            self._told[run.run_id] = (run.status, run.generation)
            self._note(run)

    def say(self, text: str) -> None:
        """Print something about the programs."""
        click.echo(json.dumps({"event": "said", "text": text}) if self._as_json else text)

    def look(self) -> None:
        """Print what is new."""
        for run in reversed(self._newest()):
            if run.run_id in self._live or self._told.get(run.run_id) != (run.status, run.generation):
                self._look_at(run)

    def _newest(self) -> list[RunSummary]:
        try:
            return self._client.runs(limit=_RUNS_MAX)
        except AtomicError:
            return []

    def _look_at(self, run: RunSummary) -> None:
        try:
            document = self._client.get(run.run_id)
        except AtomicError:
            return
        if run.run_id not in self._told:
            self._print(run.created_at, run, "started", "started")
        for step in (document.root, *document.steps):
            self._look_at_step(document, step)
        now = document.run
        if self._told.get(now.run_id, ("", 0))[0] != now.status and now.status not in LIVE:
            self._print(now.finished_at, now, now.status, _end(now))
        self._told[now.run_id] = (now.status, now.generation)
        self._note(now)

    def _note(self, run: RunSummary) -> None:
        (self._live.add if run.status in LIVE else self._live.discard)(run.run_id)

    def _look_at_step(self, document: RunDocument, step: StepDocument) -> None:
        status, number = self._steps.get(step.id, ("", 0))
        for attempt in step.attempt_log:
            if attempt.number > number and attempt.ended_at is not None:
                number = attempt.number
                words, facts = _attempt(step, attempt), _facts(step, attempt)
                self._print(attempt.ended_at, document.run, "attempt", words, facts)
        if step.kind in {"timer", "event"} and status != step.status:
            facts = {"step": step.step_name, "status": step.status}
            self._print(step.finished_at or step.created_at, document.run, step.kind, _waits(step), facts)
        self._steps[step.id] = (step.status, number)

    def _print(
        self, at: str | None, run: RunSummary, event: str, words: str, more: dict[str, Any] | None = None
    ) -> None:
        if self._as_json:
            known = {"workflowName": run.workflow_name, "key": run.idempotency_key, "runId": run.run_id}
            click.echo(json.dumps({"at": at, "event": event, **known, **(more or {})}))
        else:
            click.echo(f"{_clock(at)}  {run.workflow_name} {run.idempotency_key}  {words}")


def _clock(at: str | None) -> str:
    """A time of the API as the clock on the wall shows it."""
    return "" if at is None else f"{datetime.fromisoformat(at).astimezone():%H:%M:%S}"


def _attempt(step: StepDocument, attempt: AttemptRecord) -> str:
    return "".join(_attempt_parts(step, attempt))


def _attempt_parts(step: StepDocument, attempt: AttemptRecord) -> Iterator[str]:
    yield urlsplit(step.step_invoke_url or "").path or step.step_invoke_url or step.kind
    if attempt.outcome == "suspended":
        yield " waits for its steps"
        return
    yield f" answered {attempt.status}" if attempt.status else " did not answer"
    if attempt.duration is not None:
        yield f" after {attempt.duration} ms"
    if attempt.number > 1:
        yield f", attempt {attempt.number}"
    if attempt.outcome != "succeeded" and attempt.error:
        yield f": {attempt.error}"
    if step.status == "retrying" and attempt is step.attempt_log[-1] and step.due_at is not None:
        yield f"; again at {_clock(step.due_at)}"


def _facts(step: StepDocument, attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "url": step.step_invoke_url,
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "duration": attempt.duration,
        "error": attempt.error,
    }


def _waits(step: StepDocument) -> str:
    what = {"timer": "sleeps", "event": "waits for"}[step.kind]
    if step.status not in LIVE:
        return f"{step.kind} {step.step_name!r} {step.status}"
    until = "" if step.due_at is None else f" until {step.due_at}"
    return f"{what} {step.step_name!r}{until}"


def _end(run: RunSummary) -> str:
    return f"{run.status}: {run.error}" if run.error else run.status
