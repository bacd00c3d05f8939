"""How long a retry waits: the strategies and jitters of the wire, and what each of them means."""

from typing import Final, Literal, get_args

Strategy = Literal["exponential", "linear", "fixed"]
Jitter = Literal["full", "none"]

STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)
JITTERS: Final[tuple[Jitter, ...]] = get_args(Jitter)


def planned_ms(strategy: Strategy, retry: int, *, back_off_ms: int, factor: float, most_ms: int) -> int:
    """The delay before the given retry (from 1), `most_ms` at most."""
    try:
        return min(_grown_ms(strategy, retry, back_off_ms, factor), most_ms)
    except OverflowError:  # a float ends near 2 ** 1024, long after every ceiling
        return most_ms if back_off_ms else 0


def drawn_ms(jitter: Jitter, planned_ms: int, chance: float) -> int:
    """The delay that is taken where this one is planned; `chance` is a random number in [0, 1)."""
    match jitter:
        case "full":
            return int(planned_ms * chance)
        case "none":
            return planned_ms


def _grown_ms(strategy: Strategy, retry: int, back_off_ms: int, factor: float) -> int:
    match strategy:
        case "exponential":
            return int(back_off_ms * factor ** (retry - 1))
        case "linear":
            return back_off_ms * retry
        case "fixed":
            return back_off_ms
