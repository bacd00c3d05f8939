"""Crash points: three moments of each operation of a process with store, queue or endpoint.

The moments are `before` it takes effect, `applied` (it took effect, but the process got no answer), and
`after`.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Final

from simulation.faults import NoFaults
from simulation.interleave import LawBroken
from simulation.laws import broken
from simulation.loop import simulation_loop
from simulation.network import Moment
from simulation.scenario import Node, RunPlan, Scenario
from simulation.simulate import story
from simulation.world import World

MOMENTS: Final[tuple[Moment, ...]] = ("before", "applied", "after")
Crashes = tuple[tuple[int, Moment], ...]
_LOOP: Final = simulation_loop()


def _leaf(name: str) -> Node:
    return Node(name=name, takes_s=0.02)


def _nap() -> Node:
    return Node(name="nap", kind="timer", delay_ms=3_600_000)


def _child(root: Node, *, goes_on: bool = False) -> Node:
    """A step that starts a run of this root, which may go on as another one."""
    plan = RunPlan(workflow="c", key="k", root=root, manners=("raises", "suspends"), wait_ms=30)
    if goes_on:
        following = replace(plan, key="k@2", root=replace(root, name=f"{root.name}@2"))
        plan = replace(plan, root=replace(root, then=following))
    return Node(name="link", kind="run", starts=plan)


_TREES: Final[dict[str, Node]] = {
    "single": Node(name="root"),
    "user-creation": Node(name="root", stages=((_leaf("user"),), (_leaf("email"), _leaf("analytics")))),
    "nested": Node(name="root", stages=((Node(name="mid", stages=((_leaf("deep"),),)),),)),
    # Its handler waits for so long that AWS makes attempts inline, and is told that one is unfinished.
    "inline": Node(name="root", stages=((Node(name="slow", takes_s=0.4),), (_leaf("a"),))),
    "timer": Node(name="root", stages=((Node(name="nap", kind="timer", delay_ms=700), _leaf("a")),)),
    "event": Node(name="root", stages=((Node(name="mail", kind="event"),),)),
    "cancel": Node(name="root", stages=((_leaf("user"),), (_leaf("email"),))),
    "cancel what waits": Node(
        name="root",
        stages=(
            (
                Node(name="nap", kind="timer", delay_ms=3_600_000),
                Node(name="mail", kind="event"),
                Node(name="late", takes_s=9.0, timeout_ms=300),
            ),
        ),
    ),
    "graceful": Node(
        name="root",
        stages=(
            (_leaf("user"),),
            (
                Node(name="nap", kind="timer", delay_ms=3_600_000),
                Node(name="mail", kind="event"),
                Node(name="slow", takes_s=1.0),
                Node(name="mid", stages=((_leaf("deep"),), (Node(name="long", takes_s=1.0),))),
            ),
        ),
    ),
    "graceful for too long": Node(
        name="root", stages=((_leaf("user"),), (Node(name="nap", kind="timer", delay_ms=3_600_000),))
    ),
    "redrive": Node(name="root", stages=((Node(name="bad", broken=True), _leaf("a")),)),
    "child run": Node(name="root", stages=((_child(_leaf("child")),),)),
    "child run beside": Node(name="root", stages=((_child(_leaf("child")), _leaf("a")), (_leaf("b"),))),
    "cancel a child run": Node(
        name="root", stages=((_child(Node(name="child", stages=((_leaf("deep"), _nap()),))),),)
    ),
    "cancel a link": Node(name="root", catches=True, stages=((_child(Node(name="child", takes_s=1.0)),),)),
    "redrive a child run": Node(
        name="root", stages=((_child(Node(name="child", stages=((Node(name="bad", broken=True),),))),),)
    ),
    "large": Node(name="root", stages=((_leaf("user"), Node(name="nap", kind="timer", delay_ms=700)),)),
    "large child run": Node(name="root", stages=((_child(_leaf("child")),),)),
    "a child run goes on": Node(name="root", stages=((_child(_leaf("child"), goes_on=True),),)),
}
_CANCELLED_AFTER_S: Final = {
    "cancel": 0.05,
    "cancel what waits": 0.8,
    "cancel a child run": 0.2,
    "graceful": 0.5,
    "graceful for too long": 0.5,
}
WORKLOADS: Final = tuple((name, runtime) for name in _TREES for runtime in ("aws", "embedded"))


def singles(name: str, runtime: str) -> Iterator[Crashes]:
    """Every crash point that the workload reaches without a crash."""
    for number in range(1, points_of(name, runtime) + 1):
        for moment in MOMENTS:
            yield ((number, moment),)


def pairs(name: str, runtime: str) -> Iterator[Crashes]:
    """Every pair of crash points; the second is up to a workload's length after the first."""
    points = points_of(name, runtime)
    for first, later in product(range(1, points + 1), repeat=2):
        for moment, other in product(MOMENTS, repeat=2):
            yield (first, moment), (first + later, other)


def points_of(name: str, runtime: str) -> int:
    """The number of operations of the workload."""
    return crash(name, runtime, ()).points


def crash(name: str, runtime: str, crashes: Crashes) -> World:
    """Run the workload with these crashes. Raises LawBroken."""
    world = _LOOP.play(_play(_scenario(name, runtime), dict(crashes)))
    lines = broken(world)
    if lines:
        raise LawBroken("\n".join([f"{name} {runtime} {crashes}", *lines, *story(world)]))
    return world


async def _play(scenario: Scenario, crashes: dict[int, Moment]) -> World:
    world = World(scenario, NoFaults(), crashes=crashes)
    await world.play()
    return world


def _scenario(name: str, runtime: str) -> Scenario:
    plan = RunPlan(
        workflow="w",
        key="k",
        root=_TREES[name],
        manners=("raises", "suspends"),
        wait_ms=150 if name == "inline" else 30,
        cancel_after_s=_CANCELLED_AFTER_S.get(name),
        graceful_within_ms={"graceful": 120_000, "graceful for too long": 2_000}.get(name),
        is_large=name.startswith("large"),
        undo_takes_s=9.0 if name == "graceful for too long" else 0.0,
        cancels_step="link" if name == "cancel a link" else "",
        cancels_step_after_s=0.15,
        redriven_by=1 if name.startswith("redrive") else 0,
        posts_event_after_s=25.0 if name == "cancel what waits" else 0.1,
    )
    on_aws = runtime == "aws"
    return Scenario(seed=0, on_aws=on_aws, processes=2 if on_aws else 1, runs=(plan,))
