"""What a handler remembers from attempt to attempt: a value that it posts, and the results of its steps."""

from typing import TYPE_CHECKING, Final

from atomic.application.ports import StoreUnavailable
from atomic.application.reentry import own_steps
from atomic.application.refusals import Refusal
from atomic.application.start import start
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.strict_json import canonical_json
from simulation.observations import told
from simulation.scenario import Node, RunPlan

if TYPE_CHECKING:
    from simulation.world import World

_UNLUCKY: Final = (ConnectionError, StoreUnavailable, TimeoutError)
_VALUE: Final = Node(name="value", kind="value")


class Memory:
    """That of one attempt of a handler."""

    def __init__(self, world: "World", plan: RunPlan, step_id: str, attempt: int) -> None:
        self._world = world
        self._observed = world.observed
        self._plan, self._step_id, self._attempt = plan, step_id, attempt

    async def has_value(self) -> bool:
        """Post a value that no other attempt has; False when there was no answer."""
        chance = self._world.memory_chance
        payload = f"{self._attempt} {chance.random()}"
        spec = self._plan.spec(_VALUE, self._step_id, payload)
        value_id = keys.step_id(spec.run_id, spec.identity)
        self._observed.values[value_id].add(canonical_json(payload))
        try:
            process = self._world.any_process()
            starting = start(process.engine, spec, wait_ms=None, attempt=self._attempt)
            started = await process.serve(starting)
        except (*_UNLUCKY, Refusal):
            return False
        self._observed.remembered["values"] += 1
        self._observed.acknowledge(started.step, self._world)
        if started.step.id != value_id or not started.step.is_settled:
            self._observed.wrong.append(f"posted the value {value_id}, got {told(started.step)}")
        return True

    async def results(self, *, with_live: bool) -> dict[str, Step]:
        """The steps that need no post: successes, and live ones for a handler that will name them.

        Nothing in a first attempt, and when the results cannot be read.
        """
        known: dict[str, Step] = {}
        if self._attempt == 1:
            return known
        after, limit = None, self._world.memory_chance.choice((1, 2, 1000))
        try:
            while True:
                process = self._world.any_process()
                reading = own_steps(process.engine, self._step_id, after=after, limit=limit)
                page = await process.serve(reading)
                for step in page.steps:
                    self._note(step)
                    if step.status is Status.SUCCEEDED or (with_live and not step.is_settled):
                        known[step.id] = step
                after = page.next_after
                if after is None:
                    return known
        except _UNLUCKY:
            # What was read before is right all the same.
            return known

    def _note(self, step: Step) -> None:
        self._observed.remembered["read"] += 1
        if step.spec.parent != self._step_id:
            self._observed.wrong.append(f"{step.id} is no step of {self._step_id}")
        if step.is_settled:
            self._observed.told.append(told(step))
        elif self._world.truth.rows[step.id].is_settled:
            # Who names a step that has ended waits for nothing, which is a failure of its own.
            self._observed.remembered["outdated"] += 1
            self._observed.own_failures[self._step_id] += 1
