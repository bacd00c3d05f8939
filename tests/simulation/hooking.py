"""A client with hooks for everything, runs with hooks of their own, their endpoint, and their laws."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from atomic.domain.clients.client import OpenRegistry
from atomic.domain.hooks import OF_START, Hook, RunHook
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import HOOK_EVENTS, Status
from atomic.protocol.wire import from_rfc3339
from atomic.testing.local import open_registry
from simulation.observations import Write
from simulation.scenario import CLIENT, Node, Scenario

if TYPE_CHECKING:
    from simulation.world import World

# Two, so that a process may die between the deliveries of one end.
ENDPOINT: Final = Node(name="told", takes_s=0.05)
HOOKS: Final = tuple(Hook(name=name, url=ENDPOINT.url, on=HOOK_EVENTS) for name in ("mail", "pager"))
RUN_HOOKS: Final = (RunHook("run.succeeded", ENDPOINT.url), RunHook("run.failed", ENDPOINT.url))
_ENDS: Final = {
    Status.SUCCEEDED: "run.succeeded",
    Status.FAILED: "run.failed",
    Status.CANCELLED: "run.cancelled",
}


def with_run_hooks(scenario: Scenario) -> Scenario:
    """The scenario, the first of whose runs has hooks of its own."""
    first, *others = scenario.runs
    return replace(scenario, runs=(replace(first, hooks=RUN_HOOKS), *others))


def unswept(scenario: Scenario) -> frozenset[str]:
    """The steps that no sweep of AWS finds when they owe something: SQS must keep their wake-ups."""
    if not (scenario.hooks and scenario.on_aws):
        return frozenset()
    plans = [plan for run in scenario.runs for plan in run.plans()]
    return frozenset(
        plan.step_id(node) for plan in plans for node in plan.root.tree() if node.kind == "event"
    )


# The step, its generation, the event, and its time.
Event = tuple[str, int, str, int]


def registry_of(scenario: Scenario) -> OpenRegistry:
    """The clients, with their hooks if the scenario has them."""
    registry = open_registry()
    for hook in HOOKS if scenario.hooks else ():
        registry.put_hook(CLIENT, hook)
    return registry


def laws(world: "World") -> Iterator[str]:
    """Each event has exactly one delivery for each hook, and none before its row stands.

    Nothing else has one, and in the end nothing is owed.
    """
    if not world.scenario.hooks:
        return
    yield from _told_once(world)
    for step in world.truth.rows.values():
        if step.owes:
            yield f"{step.id} still owes {[owed.event for owed in step.owes]}"


def _told_once(world: "World") -> Iterator[str]:
    happened = {event: write for write in world.truth.history for event in _events(write)}
    # By the id of the delivery: a write that is sent twice is noted twice.
    told: defaultdict[tuple[str, Event], dict[str, float]] = defaultdict(dict)
    for write in world.truth.history:
        if write.before is None and write.step.spec.hook:
            told[write.step.spec.hook, _told(write.step)].setdefault(write.step.id, write.at_s)
    for event, write in happened.items():
        world.observed.hooks[event[2]] += 1
        own = [OF_START for hook in write.step.spec.hooks if hook.event == event[2]]
        world.observed.hooks[OF_START] += len(own)
        for hook in (*(each.name for each in HOOKS), *own):
            deliveries = told.pop((hook, event), {})
            if len(deliveries) != 1:
                yield f"{event} has {len(deliveries)} deliveries to {hook}"
            yield from (
                f"{event} was told before its row"
                for began_s in deliveries.values()
                if began_s < write.at_s
            )
    yield from (f"{hook} was told of {event}, which never happened" for hook, event in told)


def _events(write: Write) -> Iterator[Event]:
    """What of a write hooks are told."""
    step, before = write.step, write.before
    if before is None:
        if step.spec.kind == "event" and not step.is_settled:
            yield step.id, step.generation, "event.opened", step.created_at_ms
        return
    if step.spec.hook:
        return
    if step.is_settled and not before.is_settled and step.continued_as is None:
        if step.is_root:
            yield step.id, step.generation, _ENDS[step.status], step.finished_at_ms or 0
        elif step.is_dead_letter:
            yield step.id, step.generation, "step.failed", step.finished_at_ms or 0
    pause = step.pause
    if pause is not None and (before.pause is None or before.pause.since_ms != pause.since_ms):
        yield step.id, step.generation, "run.paused", pause.since_ms


def _told(delivery: Step) -> Event:
    """What a delivery tells, by the key of its run."""
    step_id, generation, which, _ = delivery.spec.idempotency_key.split(":")
    event, _, _ = which.partition("@")
    message = json.loads(bytes(delivery.spec.payload))
    assert (message["stepId"], message["event"]) == (step_id, event)
    assert message["runId"] == keys.run_of(step_id)
    return step_id, int(generation), event, from_rfc3339(message["at"])
