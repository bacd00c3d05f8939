"""The laws of links: steps that start a run and take over its outcome."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from atomic.domain.links import is_called_off, must_cancel_run
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

if TYPE_CHECKING:
    from simulation.observations import Write
    from simulation.world import World


def laws(world: "World") -> Iterator[str]:
    """A link ends as its run did; a cancel reaches the run that it created, and no call comes after it."""
    for write in world.truth.history:
        before, step = write.before, write.step
        is_end = step.spec.kind == "run" and step.is_settled and (before is None or not before.is_settled)
        if is_end:
            yield from _end(world, write)
    for step in world.truth.rows.values():
        if step.spec.kind == "run":
            yield from _run_of(world, step)


def _end(world: "World", write: "Write") -> Iterator[str]:
    """The outcome of a link is one that its root had."""
    link = write.step
    if link.error is not None and (is_called_off(link) or link.error.kind is ErrorKind.RUN_ENDED):
        return
    root_id = link.continued_as or link.spec.child_root
    ends = [w.step for w in world.truth.history if w.step.id == root_id and w.step.is_settled]
    if not any(_is_end_of(root, link) for root in ends):
        yield f"{link.id} is {link.status} {link.error}, which its run never was"


def _is_end_of(root: Step, link: Step) -> bool:
    same = (root.status, root.response) == (link.status, link.response)
    return same and root.continued_as is None


def _run_of(world: "World", link: Step) -> Iterator[str]:
    """The run of a link exists once, was created by it, and was cancelled with it."""
    root_id = link.continued_as or link.spec.child_root
    root = world.truth.rows.get(root_id)
    if root is None:
        if link.status in {Status.SUCCEEDED, Status.FAILED}:
            yield f"{link.id} is {link.status} and has no run"
        return
    if root.spec.started_by != link.id:
        yield f"{root_id} was not started by its link {link.id}"
    if not (link.is_settled and must_cancel_run(link, link.error)):
        return
    while root.continued_as in world.truth.rows:
        root = world.truth.rows[root.continued_as]
    if root.status is Status.CANCELLED:
        return
    # It ended before the cancel reached it.
    order = [
        w.step.id for w in world.truth.history if w.step.is_settled and w.step.id in {root.id, link.id}
    ]
    if not root.is_settled or order.index(root.id) > order.index(link.id):
        yield f"{link.id} was cancelled, and its run {root.id} is {root.status}"
