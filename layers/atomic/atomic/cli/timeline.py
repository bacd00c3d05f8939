"""A run as text: its steps as a tree, each with its attempts."""

from collections.abc import Iterator

from atomic.protocol import keys
from atomic.protocol.constants import EVERY_CHILD
from atomic.protocol.tags import tag_texts
from atomic.protocol.wire import from_rfc3339
from atomic.sdk import AttemptRecord, RunDocument, RunSummary, StepDocument


def run_line(run: RunSummary) -> str:
    """A run in a list."""
    return f"{run.run_id}  {run.created_at}  {run.status:<9}  {run.workflow_name}  {run.idempotency_key}"


def timeline(run: RunDocument) -> str:
    """The steps of a run in the order they began, each above its own steps."""
    began_ms = from_rfc3339(run.root.created_at)
    tags = "".join(f"  {tag}" for tag in tag_texts(run.run.tags or {}))
    names = f"{run.run.workflow_name}  key {run.run.idempotency_key}"
    lines = [f"{run.run.run_id}  {names}{_origin(run.run)}{tags}"]
    for depth, step in _tree(run):
        after_s = (from_rfc3339(step.created_at) - began_ms) / 1000
        name = step.step_name or step.step_invoke_url or step.kind
        lines.append(f"{after_s:>9.3f} s  {'  ' * depth}{name}  {step.status}{_why(step)}{_notes(step)}")
        lines += [f"{'':13}{'  ' * depth}{line}" for line in _attempts(step)]
    return "\n".join(lines)


def goes_on(of: RunSummary) -> str:
    """Where the run of a root goes on, as an end of its line; empty where it does not."""
    return f", and goes on as {keys.run_of(of.continued_as)}" if of.continued_as else ""


def _origin(of: RunSummary) -> str:
    return f", restart of {of.restart_of}" if of.restart_of else ""


def _tree(run: RunDocument) -> Iterator[tuple[int, StepDocument]]:
    known = {step.id for step in run.steps} | {run.root.id}
    below: dict[str, list[StepDocument]] = {}
    for step in run.steps:
        parent = step.parent if step.parent in known else None
        below.setdefault(parent or run.root.id, []).append(step)
    # Not recursive: a run may be deeper than Python's stack.
    left = [(0, run.root)]
    while left:
        depth, step = left.pop()
        yield depth, step
        left += [(depth + 1, child) for child in reversed(below.get(step.id, []))]


def _why(step: StepDocument) -> str:
    if step.rests is not None:
        return " and rests: it needs a resume" if step.rests.exhausted else " and rests"
    cancels = "" if step.cancel_by is None else f", cancelling until {step.cancel_by}"
    return cancels + _reason(step)


def _reason(step: StepDocument) -> str:
    if step.status == "waiting" and step.child_run_id is not None:
        return f" for {step.child_run_id}{_error(step)}"
    if step.status == "waiting":
        if step.waiting_for == [EVERY_CHILD]:
            return " for its steps"
        number = len(step.waiting_for)
        return f" for {number} step{'' if number == 1 else 's'}"
    if step.status == "running" and step.answer_by:
        return f", to be answered by {step.answer_by}"
    if step.status == "cancelled":
        return ""
    if step.status in {"pending", "retrying"} and step.due_at is not None:
        until = f", due {step.due_at}" if step.kind != "event" else f", until {step.due_at}"
        return until + _error(step)
    return goes_on(step) if step.status == "succeeded" else _error(step)


def _error(of: StepDocument | AttemptRecord) -> str:
    """The error of a step or an attempt, and the name that its endpoint gave it."""
    name = f" [{of.error_type}]" if of.error_type else ""
    return f": {of.error}{name}" if of.error else ""


def _notes(step: StepDocument) -> str:
    """What people may want to know of the step whatever its status."""
    lost = ", fails if an attempt is lost" if step.on_lost == "fail" else ""
    number = step.unused_results
    if not number:
        return lost
    return f"{lost}, code changed? {number} {'result was' if number == 1 else 'results were'} not used"


def _attempts(step: StepDocument) -> Iterator[str]:
    for attempt in step.attempt_log:
        took = "…" if attempt.duration is None else f"{attempt.duration} ms"
        status = f" {attempt.status}" if attempt.status else ""
        why = f" ({_error(attempt).removeprefix(': ')})" if attempt.error else ""
        build = f", build {attempt.build}" if attempt.build else ""
        yield f"#{attempt.number} {attempt.outcome or 'running'}{status} {took}{build}{why}"
