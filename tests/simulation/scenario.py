"""The scenario of a seed: the runtime, the runs, and all planned faults."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from atomic.domain.blobs import INLINE_MAX_BYTES
from atomic.domain.hooks import RunHook
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import StepSpec
from atomic.protocol import keys
from atomic.protocol.backoff import JITTERS, STRATEGIES
from atomic.protocol.enums import Kind, WakePolicy
from atomic.protocol.strict_json import canonical_json, fingerprint
from atomic.testing.virtual_time import EPOCH_MS

Manner = Literal["raises", "waits", "suspends"]
CLIENT: Final = "me"
EVENT_RESULT: Final = b'"delivered"'
LARGE: Final = "p" * (INLINE_MAX_BYTES + 1)
_MANNERS: Final[tuple[Manner, ...]] = ("raises", "waits", "suspends")
_LINKS: Final = ("store", "queue", "endpoint")
# Enough to tell a logarithm from a number.
_WIDE: Final = 60
_RETENTION_MS: Final = 30 * 24 * 3600 * 1000
PATIENT: Final = RetryPolicy(count=1000, back_off_ms=300, strategy="fixed")
_STRICT: Final = RetryPolicy(count=0)
_RUN_KINDS: Final = (
    (
        "single",
        "user-creation",
        "user-creation",
        "fan-out",
        "nested",
        "timer",
        "event",
        "cancel",
        "redrive",
        "redrive",
    ),
    ("user-creation", "nested", "cancel", "redrive"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A step of a plan. A node with stages is a workflow handler that waits for each stage before the next.

    A broken node fails permanently until it is repaired. A handler that `catches` continues when a step
    failed. A node that `cancels` is no step: there the handler cancels its own run.
    A node of kind `run` starts the run of the plan `starts`. A root with `then` goes on as the run of this
    plan when it has done its stages.
    """

    name: str
    kind: Kind = "http"
    stages: tuple[tuple["Node", ...], ...] = ()
    takes_s: float = 0.0
    delay_ms: int = 0
    start_at_s: float | None = None
    start_by_s: float | None = None
    broken: bool = False
    catches: bool = False
    cancels: bool = False
    timeout_ms: int = 2_000
    retry: RetryPolicy = PATIENT
    starts: "RunPlan | None" = None
    then: "RunPlan | None" = None

    @property
    def url(self) -> str:
        """The URL of the endpoint; timers and events have none."""
        if self.starts is not None:
            return self.starts.root.url
        return f"https://app.test/{self.name}" if self.kind == "http" else ""

    def tree(self) -> Iterator["Node"]:
        """The node and all nodes under it."""
        yield self
        for stage in self.stages:
            for child in stage:
                yield from child.tree()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """One run: its tree, and the actions of callers and operators on it."""

    workflow: str
    key: str
    root: Node
    manners: tuple[Manner, ...]
    wait_ms: int
    starts_s: float = 0.0
    callers: int = 1
    cancel_after_s: float | None = None
    # The cancel is graceful: its handlers undo their steps within this time.
    graceful_within_ms: int | None = None
    undo_takes_s: float = 0.0
    redriven_by: int = 0
    posts_event_after_s: float = 0.0
    # How its handlers wait when they suspend, and whether they name their steps.
    wake: WakePolicy = "any"
    every_child: bool = False
    # Where its end is told, beside the hooks of the client.
    hooks: tuple[RunHook, ...] = ()
    # Its payloads and answers are stored apart from their rows.
    is_large: bool = False
    # Somebody cancels the step of this name, and not the run.
    cancels_step: str = ""
    cancels_step_after_s: float = 0.0

    @property
    def run_id(self) -> str:
        """The run's id."""
        return keys.run_id(CLIENT, self.workflow, self.key)

    def plans(self) -> Iterator["RunPlan"]:
        """This plan and the plans of the runs that it starts, or goes on as."""
        yield self
        for node in self.root.tree():
            for other in (node.starts, node.then):
                if other is not None:
                    yield from other.plans()

    def with_steps(self, change: Callable[[Node], Node]) -> "RunPlan":
        """The plan with each step of its root changed."""
        stages = tuple(tuple(change(node) for node in stage) for stage in self.root.stages)
        return replace(self, root=replace(self.root, stages=stages))

    def step_id(self, node: Node) -> str:
        """The id of this node's step. The handler of the root names no parent; other handlers do.

        A step of kind `run` always names its parent.
        """
        if node is self.root:
            return keys.root_of(self.run_id)
        parent = next(other for other in self.root.tree() if any(node in stage for stage in other.stages))
        spec = (
            self.spec(node, None).below_root()
            if parent is self.root and node.starts is None
            else self.spec(node, self.step_id(parent))
        )
        return keys.step_id(self.run_id, spec.identity)

    def spec(self, node: Node, parent: str | None, payload: object = "p") -> StepSpec:
        """What the application posts for this step."""
        step_name = "" if node.kind == "http" else node.name
        canonical = canonical_json(LARGE if self.is_large and payload == "p" else payload)
        called, link = node.url or node.kind, {}
        if node.starts is not None:
            called, child = node.starts.run_id, node.starts
            node = replace(child.root, kind="run", starts=child, stages=())
            link = {"child_name": child.workflow, "child_key": child.key}
        return StepSpec(
            client_id=CLIENT,
            run_id=keys.run_of(parent) if parent else self.run_id,
            identity=keys.identity(CLIENT, self.workflow, parent or "", called, step_name, self.key),
            kind=node.kind,
            workflow_name=self.workflow,
            url=node.url,
            step_name=step_name,
            idempotency_key=self.key,
            parent=parent,
            payload=canonical,
            fingerprint=fingerprint(canonical),
            retry=node.retry,
            delay_ms=node.delay_ms,
            start_at_ms=_moment_ms(node.start_at_s),
            start_by_ms=_moment_ms(node.start_by_s),
            attempt_timeout_ms=node.timeout_ms,
            retention_ms=_RETENTION_MS,
            trace_id="0" * 32,
            hooks=self.hooks if node is self.root else (),
            **link,
        )


def _moment_ms(at_s: float | None) -> int | None:
    return None if at_s is None else EPOCH_MS + round(at_s * 1000)


@dataclass(frozen=True, slots=True)
class CutOff:
    """A process cannot reach something for a while."""

    at_s: float
    lasts_s: float
    process: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The whole plan of a seed, except for the random faults.

    `crowded`: destinations are full at times. `remembers`: handlers post values, and read results when they
    are called again. `answers_later`: endpoints postpone answers.
    `starts_runs`: some steps are runs of their own.
    `makes_due`: steps have times by which they start, and operators make them due at others.
    `adapts`: the endpoints are on a small server, and its limit is learned (embedded runtime).
    `pauses`: operators pause runs, and some steps pause theirs without a retry left.
    `pauses_workflows`: operators pause whole workflows.
    `hooks`: the client is told of everything that hooks may tell, and runs have hooks of their own.
    `at_most_once`: steps without steps of their own fail when an attempt is lost.
    """

    seed: int
    on_aws: bool
    processes: int
    runs: tuple[RunPlan, ...]
    calm: bool = False
    crowded: bool = False
    remembers: bool = False
    answers_later: bool = False
    at_most_once: bool = False
    starts_runs: bool = False
    makes_due: bool = False
    adapts: bool = False
    pauses: bool = False
    pauses_workflows: bool = False
    hooks: bool = False
    skew_ms: int = 0
    set_back_s: float | None = None
    cuts: tuple[CutOff, ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether payloads and answers are stored apart from their rows."""
        return any(plan.is_large for plan in self.runs)


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = random.Random(seed)
    on_aws, calm = chance.random() < 0.5, chance.random() < 0.25
    # Dice of their own, so that what is new leaves the other parts of a seed as they were.
    waking = random.Random(f"waking {seed}")
    kinds = chance.choice(([_RUN_KINDS[0]], [_RUN_KINDS[0]], [_RUN_KINDS[0], _RUN_KINDS[1]]))
    processes = chance.choice((1, 2, 3)) if on_aws else 1
    return Scenario(
        seed=seed,
        on_aws=on_aws,
        processes=processes,
        runs=tuple(
            _waking(waking, _run(chance, number, chance.choice(names), calm))
            for number, names in enumerate(kinds)
        ),
        calm=calm,
        skew_ms=0 if calm else chance.choice((0, 0, 2_000, 120_000)),
        set_back_s=None if calm or chance.random() < 0.8 else chance.random() * 30,
        cuts=() if calm or chance.random() < 0.5 else tuple(_cuts(chance, processes)),
    )


def with_runs(scenario: Scenario) -> Scenario:
    """The scenario with runs in place of some steps; now and then, such a run goes on as another one."""
    chance = random.Random(f"runs {scenario.seed}")
    return replace(scenario, runs=tuple(_with_runs(chance, plan, plan.root.name) for plan in scenario.runs))


def _with_runs(chance: random.Random, plan: RunPlan, path: str) -> RunPlan:
    after = plan.with_steps(lambda node: _as_run(chance, plan, node, path))
    is_still_there = any(node.name == plan.cancels_step for node in after.root.tree())
    return replace(after, cancels_step=plan.cancels_step if is_still_there else "")


def _as_run(chance: random.Random, plan: RunPlan, node: Node, path: str) -> Node:
    if node.kind != "http" or chance.random() < 0.3:
        return node
    child = replace(plan, workflow=f"{plan.workflow}/child", key=node.name, root=node)
    child = replace(child, cancel_after_s=None, redriven_by=0, cancels_step="")
    if node.stages:
        child = _with_runs(chance, child, f"{path}/{node.name}")
    elif chance.random() < 0.4 and not node.broken:
        following = replace(child, key=f"{child.key}@2", root=replace(node, name=f"{node.name}@2"))
        child = replace(child, root=replace(node, then=following, timeout_ms=2_000))
    return Node(name=node.name, kind="run", starts=child)


def _run(chance: random.Random, number: int, kind: str, calm: bool) -> RunPlan:
    handler = _STRICT if calm else PATIENT
    prefix = f"r{number}"
    root = Node(
        name=f"{prefix}/root",
        stages=_stages(chance, prefix, kind, handler),
        timeout_ms=chance.choice((400, 1_500, 5_000)),
        retry=handler if kind != "single" else _policy(chance),
    )
    # Parts that joining with a separator would confuse.
    workflow, key = ("w#x", "k") if number else ("w", "x#k")
    return RunPlan(
        workflow=workflow,
        key=key,
        root=root,
        manners=tuple(chance.choice(_MANNERS) for _ in range(chance.choice((1, 2, 3)))),
        wait_ms=chance.choice((1, 30, 200, 800)),
        starts_s=chance.random() * 2,
        callers=chance.choice((1, 1, 2, 3)),
        cancel_after_s=chance.random() * 6 if kind == "cancel" else None,
        redriven_by=chance.choice((1, 2, 2, 3)) if kind == "redrive" else 0,
        posts_event_after_s=chance.random() * 10,
    )


def _waking(chance: random.Random, plan: RunPlan) -> RunPlan:
    """The plan with a way of waiting; now and then with many steps, or with one that is cancelled."""
    drawn = chance.random()
    wake: WakePolicy = chance.choice(("all", "settled")) if drawn < 0.5 else "any"
    plan = replace(plan, wake=wake, every_child=chance.random() < 0.5)
    is_plain = plan.cancel_after_s is None and not plan.redriven_by and bool(plan.root.stages)
    if drawn < 0.06 and is_plain:
        return _wide(plan)
    if drawn > 0.4 and is_plain:
        named = [node.name for node in plan.root.tree() if node is not plan.root]
        after_s = chance.random() * 4
        return replace(plan, cancels_step=chance.choice(named), cancels_step_after_s=after_s)
    return plan


def _wide(plan: RunPlan) -> RunPlan:
    """The plan with many steps, which end in the order of their ids."""
    nodes = [Node(name=f"{plan.root.name}-{number}", timeout_ms=60_000) for number in range(_WIDE)]
    root = replace(plan.root, stages=(tuple(nodes),), timeout_ms=5_000)
    plan = replace(plan, root=root, manners=("suspends",))
    nodes.sort(key=plan.step_id)
    slow = tuple(replace(node, takes_s=6.0 + 0.1 * rank) for rank, node in enumerate(nodes))
    return replace(plan, root=replace(root, stages=(slow,)))


def _stages(
    chance: random.Random, prefix: str, kind: str, handler: RetryPolicy
) -> tuple[tuple[Node, ...], ...]:
    def leaf(name: str) -> Node:
        return _leaf(chance, f"{prefix}/{name}")

    match kind:
        case "single":
            return ()
        case "fan-out":
            return (tuple(leaf(f"f{number}") for number in range(chance.choice((2, 3, 5, 8)))),)
        case "nested":
            middle = Node(name=f"{prefix}/mid", stages=((leaf("deep"),),), timeout_ms=1_500, retry=handler)
            return ((middle, leaf("a")),) if chance.random() < 0.5 else ((middle,), (leaf("a"),))
        case "timer":
            timer = Node(
                name=f"{prefix}/nap", kind="timer", delay_ms=chance.choice((0, 700, 8_000, 40_000))
            )
            return ((timer, leaf("a")), (leaf("b"),))
        case "event":
            return ((leaf("a"), Node(name=f"{prefix}/mail", kind="event")),)
        case "redrive":
            return ((leaf("a"), Node(name=f"{prefix}/bad", broken=True)), (leaf("b"),))
        case _:
            user, email, analytics = leaf("user"), leaf("email"), leaf("analytics")
            left_over = _left_over(chance, prefix) if kind == "cancel" else ()
            return ((user,), (email, analytics, *left_over))


def _left_over(chance: random.Random, prefix: str) -> tuple[Node, ...]:
    """Steps that would be checked only after a long time, or again and again."""
    again = RetryPolicy(count=1000, back_off_ms=400, strategy="fixed")
    return chance.choice(
        (
            (),
            (Node(name=f"{prefix}/nap", kind="timer", delay_ms=3_600_000),),
            (Node(name=f"{prefix}/mail", kind="event"),),
            (Node(name=f"{prefix}/late", takes_s=9.0, timeout_ms=300, retry=again),),
        )
    )


def _leaf(chance: random.Random, name: str) -> Node:
    return Node(
        name=name,
        takes_s=chance.choice((0.0, 0.05, 0.3, 0.9)) * chance.random(),
        timeout_ms=chance.choice((1_000, 2_000)),
        retry=_policy(chance),
    )


def _policy(chance: random.Random) -> RetryPolicy:
    return RetryPolicy(
        count=chance.choice((0, 1, 3, 1000, 1000, 1000)),
        back_off_ms=chance.choice((20, 200, 1_000)),
        strategy=chance.choice(STRATEGIES),
        max_back_off_ms=3_000,
        jitter=chance.choice(JITTERS),
    )


def _cuts(chance: random.Random, processes: int) -> list[CutOff]:
    return [
        CutOff(
            chance.random() * 20, chance.random() * 15, chance.randrange(processes), chance.choice(_LINKS)
        )
        for _ in range(chance.choice((1, 2, 3)))
    ]
