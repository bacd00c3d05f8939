"""Random programs: workflows of fewer than 20 commands, and a model that predicts their effects exactly.

Commands are do, fail, sleep, cancel, sequence, parallel and nested workflow, the last with or without a
`catch`. The model is a plain walk over the tree. The engine must have the same effects in spite of retries,
suspensions, crashes and lost answers.
"""

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

from atomic.protocol import keys
from atomic.protocol.enums import Status
from simulation.faults import Faults
from simulation.interleave import LawBroken
from simulation.laws import broken
from simulation.loop import simulation_loop
from simulation.scenario import Manner, Node, RunPlan, Scenario
from simulation.simulate import story
from simulation.world import World

COMMANDS_MAX: Final = 19
_MANNERS: Final[tuple[Manner, ...]] = ("raises", "waits", "suspends")
_CANCEL: Final = Node(name="cancel", kind="timer", cancels=True)
# The model has no random permanent failures; and SQS, unlike this fault, does not lose wake-ups.
_WITHOUT: Final = frozenset({"forbids retry", "wake-up lost", "other payload"})
_LOOP: Final = simulation_loop()
End = Literal["succeeded", "failed", "cancelled"]


@dataclass(slots=True)
class Model:
    """What a program does: how often each endpoint has an effect, and how the run ends.

    `beside` holds effects concurrent with a failure that ends their handler; a cancel may prevent them.
    """

    effects: Counter[str]
    beside: Counter[str]
    end: End


def model_of(root: Node) -> Model:
    """Compute the model of a program."""
    effects: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    return Model(effects=effects, beside=beside, end=_walk(root, effects, beside))


def play_program(seed: int) -> Model:
    """Run the program of the seed, and compare it with the model. Raises LawBroken."""
    scenario = program_of(seed)
    world = _LOOP.play(_play(scenario))
    model = model_of(scenario.runs[0].root)
    lines = [*broken(world), *_differences(world, model)]
    if lines:
        raise LawBroken("\n".join([f"program {seed}", *lines, str(scenario.runs[0].root), *story(world)]))
    return model


def program_of(seed: int) -> Scenario:
    """The scenario of a seed: one run on a runtime of its own."""
    chance = random.Random(f"program {seed}")
    root = _handler(chance, "root", _Budget(chance.randint(1, COMMANDS_MAX)), depth=0, alone=True)
    on_aws = chance.random() < 0.5
    plan = RunPlan(
        workflow="w",
        key="k",
        root=root,
        manners=tuple(chance.choice(_MANNERS) for _ in range(3)),
        wait_ms=chance.choice((1, 30, 200)),
        callers=chance.choice((1, 2)),
    )
    return Scenario(seed=seed, on_aws=on_aws, processes=2 if on_aws else 1, runs=(plan,))


def commands_of(node: Node) -> int:
    """The number of commands of the tree, without its root."""
    return sum(1 + commands_of(child) for stage in node.stages for child in stage)


class _Budget:
    """The number of commands that may still be generated, and the number so far."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.written = 0

    def take(self) -> str:
        self.left -= 1
        self.written += 1
        return str(self.written)


def _handler(chance: random.Random, name: str, budget: _Budget, *, depth: int, alone: bool) -> Node:
    stages: list[tuple[Node, ...]] = []
    while budget.left > 0 and (not stages or chance.random() < 0.75):
        if alone and stages and chance.random() < 0.06:
            budget.take()
            stages.append((_CANCEL,))
            continue
        width = min(budget.left, chance.choice((1, 1, 1, 2, 3)))
        only = alone and width == 1
        stage = (_command(chance, budget, depth, alone=only) for _ in range(width) if budget.left > 0)
        stages.append(tuple(stage))
    return Node(
        name=name,
        stages=tuple(stages),
        catches=chance.random() < 0.4,
        timeout_ms=chance.choice((800, 3_000)),
    )


def _command(chance: random.Random, budget: _Budget, depth: int, *, alone: bool) -> Node:
    name, drawn = budget.take(), chance.random()
    if drawn < 0.25 and depth < 3 and budget.left > 0:
        return _handler(chance, f"n{name}", budget, depth=depth + 1, alone=alone)
    if drawn < 0.35:
        return Node(name=f"s{name}", kind="timer", delay_ms=chance.choice((0, 300, 5_000)))
    if drawn < 0.42:
        return Node(name=f"f{name}", broken=True)
    return Node(name=f"d{name}", takes_s=chance.choice((0.0, 0.02, 0.4)) * chance.random())


def _walk(node: Node, effects: Counter[str], beside: Counter[str]) -> End:
    if node.kind == "http":
        effects[node.name] += 1
    for stage in node.stages:
        if stage[0].cancels:
            return "cancelled"
        before = effects.copy()
        ends = [_walk(child, effects, beside) for child in stage]
        if "cancelled" in ends:
            return "cancelled"
        if "failed" in ends and not node.catches:
            if len(stage) > 1:
                beside += effects - before
            return "failed"
    return "failed" if node.broken else "succeeded"


async def _play(scenario: Scenario) -> World:
    faults = Faults(random.Random(f"faults {scenario.seed}"), scale=0.5, without=_WITHOUT)
    world = World(scenario, faults)
    await world.play()
    return world


def _differences(world: World, model: Model) -> list[str]:
    lines = []
    effects = Counter(world.truth.rows[step_id].spec.url.rpartition("/")[2] for step_id in _called(world))
    least = model.effects - model.beside if model.end == "cancelled" else model.effects
    too_much, too_little = effects - model.effects, least - effects
    if too_much or too_little:
        lines.append(f"too much {too_much}, too little {too_little}")
    root = world.truth.rows[keys.root_of(world.scenario.runs[0].run_id)]
    if root.status is not Status(model.end):
        lines.append(f"the run {root.status}, the model says {model.end}")
    return lines


def _called(world: World) -> set[str]:
    """The called steps, without those that the model cancels before they are posted.

    On AWS, a process that does not know of the cancel yet may call such a step.
    """
    called = {step_id for step_id, _ in world.observed.calls}
    if not world.scenario.on_aws:
        return called
    root_id = keys.root_of(world.scenario.runs[0].run_id)
    history = world.truth.history
    cancels = (w.at_s for w in history if w.step.id == root_id and w.step.status is Status.CANCELLED)
    cancelled_s = min(cancels, default=math.inf)
    return called - {w.step.id for w in history if w.before is None and w.at_s >= cancelled_s}
