"""Approaches an origin that is overloaded more slowly, by itself, and lets steps wait for their turn.

For each destination (an origin, as one client calls it), `domain.adaptive` decides how many attempts may be
under way. A handler that waits for a step of its own does no work, so its step takes its permit over: a run
never waits for itself. All of this is memory of one process: after a restart it is learned again.

A step that finds no room is deferred by one write, and waits here. When an attempt ends, the next step is
resumed at once; nothing is polled. If the process ends, the row is due at its time.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from atomic.application.destinations import RUNS_MAX, Destination, Pacer, destination_of
from atomic.application.waiting_lines import Origin, Waiting
from atomic.domain.adaptive import (
    FIRST_LIMIT,
    Concurrency,
    Direction,
    Sign,
    retry_after_s,
    sign_of,
)
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys

# A step that waits is due after this time, in case the process ends before.
LOOK_AFTER_MS: Final = 30_000
_ORIGINS_MAX: Final = 10_000
_WAITING_MAX: Final = 100_000
_URLS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class SlowedOrigin:
    """An origin that gets fewer attempts at once. `rests_ms`: no attempt begins within this time."""

    client_id: str
    origin: str
    limit: int
    under_way: int
    waiting: int
    rests_ms: int


@dataclass(frozen=True, slots=True)
class OriginLoad:
    """How an origin is approached. `limit`: so many attempts at once; None for any number."""

    limit: int | None
    is_slowed: bool
    under_way: int
    waiting: int
    rests_ms: int


# Told when the limit of a destination has turned: of whom it is, and whether it falls.
Tell = Callable[[SlowedOrigin, bool], None]


class UnderWay:
    """An attempt that was let in. Its origin counts it, except while it waits for steps of its own."""

    __slots__ = (
        "above",
        "below",
        "generation",
        "has_ended",
        "has_left",
        "has_posted",
        "origin",
        "owner",
        "step_id",
        "url",
    )

    def __init__(
        self, owner: "Adaptive", origin: "Origin[UnderWay]", url: str, above: "UnderWay | None"
    ) -> None:
        self.owner = owner
        self.origin = origin
        self.url = url
        self.above = above
        # The number of its own steps that are under way, or wait here.
        self.below = 0
        # None while its origin does not count it.
        self.generation: int | None = None
        self.count()
        self.has_posted = self.has_ended = self.has_left = False
        self.step_id = ""

    def count(self) -> None:
        """From now on its origin counts it."""
        self.generation = self.origin.limit.begin()
        self.origin.counted[self.url] += 1

    def count_no_more(self) -> None:
        """From now on its origin does not count it."""
        if self.generation is not None:
            self.origin.limit.end(self.generation)
            self.generation = None
            self.origin.counted[self.url] -= 1
            if not self.origin.counted[self.url]:
                del self.origin.counted[self.url]

    def begins(self, step_id: str) -> None:
        """The attempt is of this step, which may post others."""
        self.owner.begins(self, step_id)

    def ended(self, answer: EndpointResponse, wall_ms: Callable[[], int]) -> None:
        """Learn from the answer."""
        self.owner.ended(self, answer, wall_ms)

    def leave(self) -> None:
        """The attempt is over, or is not made. Further calls do nothing."""
        self.owner.leave(self)


class Adaptive:
    """All destinations of one process. `most`: with so many attempts, a destination is not limited here."""

    def __init__(
        self,
        most: int = RUNS_MAX,
        tell: Tell = lambda _slowed, _falls: None,
        *,
        first: int = FIRST_LIMIT,
    ) -> None:
        """`first`: how many an origin gets that is not known yet."""
        self._most = most
        self._first = first
        self._tell = tell
        self._origins: dict[Destination, Origin[UnderWay]] = {}
        # By run and step: the attempts that may post steps.
        self._inside: defaultdict[str, dict[str, UnderWay]] = defaultdict(dict)
        self._pacer = Pacer(after_ms=LOOK_AFTER_MS)
        self._is_stopped = False
        self.waiting = 0
        self.slowdowns = 0

    def enter(self, spec: StepSpec) -> UnderWay | None:
        """Let an attempt in; None when it has to wait."""
        destination = destination_of(spec)
        assert destination is not None
        origin, above = self._origin(destination), self._above(spec)
        if origin.waiting and above is not None:
            self._waits_for(above, origin, spec)
        if (origin.waiting and above is None) or not self._has_room(origin, above):
            origin.limit.is_wanted = True
            return None
        return self._let_in(origin, spec.url, above)

    def posted(self, spec: StepSpec) -> None:
        """A handler posts what calls no endpoint, and may wait for it until its time is over."""
        above = self._above(spec)
        if above is not None:
            above.has_posted = True

    def is_full(self, spec: StepSpec) -> bool:
        """Whether an attempt would have to wait now."""
        origin = self._origins.get(destination_of(spec) or ("", ""))
        return origin is not None and (origin.waiting > 0 or not self._has_room(origin, self._above(spec)))

    def look_at_ms(self, spec: StepSpec, now_ms: int) -> int:
        """When a step that waits is due all the same: one after the other."""
        return self._pacer.defer_until_ms(destination_of(spec), now_ms)

    def wait(self, step: Step, resume: Callable[[UnderWay], None]) -> None:
        """Wait for room; `resume` is called at once or later, and then has to leave."""
        origin = self._origin(destination_of(step.spec) or ("", ""))
        line = origin.new if step.is_root and not step.attempt_count else origin.begun
        known = line.steps.get(step.id)
        if known is None and self.waiting >= _WAITING_MAX:
            return
        above = self._above(step.spec)
        self._hold(above)
        line.add(step.id, Waiting(step.spec.url, above, resume))
        if known is None:
            self.waiting += 1
            origin.waiting += 1
        else:
            self._release(known.above)
        self._fill(origin)

    def stop(self) -> None:
        """Resume nothing any more: the server is about to end."""
        self._is_stopped = True

    def slowed(self, client_id: str | None = None) -> list[SlowedOrigin]:
        """The origins that are approached more slowly, of one client or of all."""
        return [
            self._shown(origin)
            for destination, origin in self._origins.items()
            if origin.limit.is_slowed and client_id in {None, destination[0]}
        ]

    def loads(self, client_id: str) -> dict[str, OriginLoad]:
        """The origins of a client that this process has called, by their names."""
        found = {}
        for (owner, name), origin in self._origins.items():
            if owner == client_id:
                seen, limit = self._shown(origin), origin.limit
                most = None if limit.is_open else limit.limit
                found[name] = OriginLoad(most, limit.is_slowed, seen.under_way, seen.waiting, seen.rests_ms)
        return found

    def begins(self, attempt: UnderWay, step_id: str) -> None:
        """The attempt is of this step."""
        attempt.step_id = step_id
        self._inside[keys.run_of(step_id)][step_id] = attempt

    def ended(self, attempt: UnderWay, answer: EndpointResponse, wall_ms: Callable[[], int]) -> None:
        """Learn from the end of an attempt."""
        origin, now_s = attempt.origin, _now_s()
        attempt.has_ended = True
        attempt.count_no_more()
        sign = sign_of(answer, has_posted=attempt.has_posted)
        if sign is Sign.NOTHING:
            return
        if sign is Sign.ANSWERED:
            origin.limit.answered(now_s)
            origin.failing.discard(attempt.url)
            if len(origin.heard) < _URLS_MAX:
                origin.heard.add(attempt.url)
        else:
            rest_s = retry_after_s(answer, wall_ms())
            origin.limit.failed(now_s, attempt.step_id, sign, rest_s=rest_s)
            if len(origin.failing) < _URLS_MAX:
                origin.failing.add(attempt.url)
        if origin.direction.turned(origin.limit.limit):
            self.slowdowns += origin.direction.falls
            self._tell(self._shown(origin), origin.direction.falls)

    def leave(self, attempt: UnderWay) -> None:
        """The attempt is over."""
        if attempt.has_left:
            return
        attempt.has_ended = attempt.has_left = True
        attempt.count_no_more()
        run_id = keys.run_of(attempt.step_id)
        inside = self._inside.get(run_id)
        if inside is not None and inside.get(attempt.step_id) is attempt:
            del inside[attempt.step_id]
            if not inside:
                del self._inside[run_id]
        self._release(attempt.above)
        self._fill(attempt.origin)

    def _origin(self, destination: Destination) -> Origin[UnderWay]:
        origin = self._origins.get(destination)
        if origin is None:
            if len(self._origins) >= _ORIGINS_MAX:
                self._origins = {to: each for to, each in self._origins.items() if _is_in_use(each)}
            limit = Concurrency(self._most, _now_s(), self._first)
            origin = Origin(destination, limit, Direction(limit.limit))
            self._origins[destination] = origin
        return origin

    def _above(self, spec: StepSpec) -> UnderWay | None:
        """The attempt that waits for this step, as far as it is known."""
        inside = self._inside.get(spec.run_id)
        if inside is not None:
            return inside.get(spec.parent or keys.root_of(spec.run_id))
        if spec.started_by is None or spec.detached:
            return None
        # The root of a child run: an attempt of the run that started it waits for it.
        inside = self._inside.get(keys.run_of(spec.started_by))
        return None if inside is None else next(reversed(inside.values()))

    def _waits_for(self, above: UnderWay, origin: Origin[UnderWay], spec: StepSpec) -> None:
        """A handler posts a step. It may wait here since before the handler was called again."""
        posted = spec if spec.parent else spec.below_root()
        step_id = keys.step_id(spec.run_id, posted.identity)
        for line in origin.lines:
            waiting = line.steps.get(step_id)
            if waiting is not None and waiting.above is None:
                line.steps[step_id] = replace(waiting, above=above)
                self._hold(above)

    def _has_room(self, origin: Origin[UnderWay], above: UnderWay | None) -> bool:
        return origin.limit.admits(_now_s(), besides=int(_takes_over(origin, above)))

    def _has_room_beside_failing(self, origin: Origin[UnderWay], above: UnderWay | None) -> bool:
        """Whether there is room, if attempts of endpoints that fail do not count.

        An endpoint that never answers holds its permits until its time-outs, and must not keep those of
        the same origin waiting that answer. At most twice the limit is under way.
        """
        is_counted = _takes_over(origin, above) and above is not None and above.url not in origin.failing
        return origin.limit.admits(_now_s(), besides=origin.failing_under_way + is_counted)

    def _let_in(self, origin: Origin[UnderWay], url: str, above: UnderWay | None) -> UnderWay:
        self._hold(above)
        return UnderWay(self, origin, url, above)

    def _hold(self, above: UnderWay | None) -> None:
        """The attempt waits for one step more."""
        if above is None:
            return
        above.below += 1
        above.has_posted = True
        if above.below == 1:
            above.count_no_more()
            if above.origin.waiting:
                asyncio.get_running_loop().call_soon(self._fill, above.origin)

    def _release(self, above: UnderWay | None) -> None:
        """The attempt waits for one step less."""
        if above is None:
            return
        above.below -= 1
        if not above.below and not above.has_ended:
            above.count()

    def _fill(self, origin: Origin[UnderWay]) -> None:
        """Resume as many of those that wait as there is room for."""
        while origin.waiting and not self._is_stopped and (following := origin.next()):
            line, step_id, waiting = following
            if not self._has_room(origin, waiting.above):
                origin.limit.is_wanted = True
                answering = origin.next_that_answers()
                if answering is None or not self._has_room_beside_failing(origin, answering[2].above):
                    self._set_timer(origin, waiting.url)
                    return
                line, step_id, waiting = answering
            line.remove(step_id)
            origin.called += 1
            self.waiting -= 1
            origin.waiting -= 1
            attempt = self._let_in(origin, waiting.url, waiting.above)
            self._release(waiting.above)
            waiting.resume(attempt)

    def _set_timer(self, origin: Origin[UnderWay], url: str) -> None:
        now_s = _now_s()
        if now_s < origin.limit.open_at_s:
            at_s = origin.limit.open_at_s
        elif origin.limit.may_be_long(is_heard=url in origin.heard):
            at_s = max(now_s, origin.limit.look_at_s)
        else:
            return
        if origin.timer is not None:
            if origin.timer_ends_s <= at_s:
                return
            origin.timer.cancel()
        origin.timer_ends_s = at_s
        origin.timer = asyncio.get_running_loop().call_at(at_s, self._timer, origin)

    def _timer(self, origin: Origin[UnderWay]) -> None:
        origin.timer = None
        following, now_s = origin.next(), _now_s()
        if following is not None and now_s >= origin.limit.open_at_s:
            is_heard = following[2].url in origin.heard
            if not self._has_room(origin, following[2].above) and origin.limit.may_be_long(
                is_heard=is_heard
            ):
                origin.limit.still_under_way(now_s)
        self._fill(origin)

    def _shown(self, origin: Origin[UnderWay]) -> SlowedOrigin:
        client_id, name = origin.destination
        rests_ms = max(0, round(1000 * (origin.limit.open_at_s - _now_s())))
        limit = origin.limit.limit
        return SlowedOrigin(client_id, name, limit, origin.limit.under_way, origin.waiting, rests_ms)


def _takes_over(origin: Origin[UnderWay], above: UnderWay | None) -> bool:
    """Whether a step takes over the permit of the attempt that waits for it."""
    return above is not None and above.origin is origin and above.generation is not None


def _is_in_use(origin: Origin[UnderWay]) -> bool:
    return bool(origin.limit.under_way or origin.waiting)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
