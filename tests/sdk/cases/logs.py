"""The logger of a workflow: each line is logged once, however often the workflow is called."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from atomic.sdk import Retry
from sdk.cases.suspension import not_before
from sdk.durable.flows import VARIANTS, Flow, serve
from sdk.world import World

SLOW = Retry(count=20, back_off=0.15, jitter="none", strategy="fixed")


class _Kept(logging.Handler):
    """Keeps all records. They have members that `LogRecord` does not declare: ids, and those of `extra`."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def logged() -> Iterator[list[Any]]:
    """The records of workflows, while the context is open."""
    handler = _Kept()
    logger = logging.getLogger("atomic.workflow")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def case_each_line_of_a_workflow_is_logged_once(world: World) -> None:
    replaying: list[bool] = []

    def flow(ctx: Any, _: Any) -> Flow:
        ctx.logger.info("begin")
        replaying.append(ctx.is_replaying)
        yield ctx.step("/slow", 1, retry=SLOW)
        ctx.logger.info("after %s", "a step")
        yield ctx.run("drawn", lambda: ctx.logger.info("drawn"))
        ctx.logger.info("after a value")
        yield ctx.sleep(0.5)
        ctx.logger.info("after a sleep", extra={"more": 1})
        yield ctx.event("ok", deadline=0.5, default="late")
        ctx.logger.info("end")
        replaying.append(ctx.is_replaying)

    serve(world, "flow", flow, wait=0.1)
    world.step("/slow", not_before(3))
    for variant in VARIANTS:
        replaying.clear()
        with logged() as records:
            outcome = world.start(f"/{variant}/flow", key=variant)
        lines = ["begin", "after a step", "drawn", "after a value", "after a sleep", "end"]
        assert [record.getMessage() for record in records] == lines
        assert outcome.attempts >= 4
        assert (replaying[0], replaying[-2:]) == (False, [True, False])
        of_run = {(record.run_id, record.workflow_name) for record in records}
        assert of_run == {(outcome.run_id, "case")}
        last = records[-2]
        assert (last.name, last.step_id, last.more) == ("atomic.workflow", outcome.id, 1)
        assert (last.filename, last.attempt > 2) == ("logs.py", True)
