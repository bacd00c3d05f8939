"""What the store does with a row whose bytes have changed on the disk."""

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from atomic.application.ports import StoreUnavailable
from atomic.domain.steps import Step

_log: Final = logging.getLogger("atomic.store")
_TOLD_MAX: Final = 1_000
_KIND: Final = "damaged row"


def damaged_row(step_id: str) -> StoreUnavailable:
    """What to raise for the row; the log names its step once."""
    _tell(step_id)
    return StoreUnavailable(
        f"the row of {step_id} is damaged: the disk gave back other bytes than were written; "
        "restore the data directory from a copy",
        kind=_KIND,
    )


def readable(rows: Iterable[tuple[Any, ...]], decode: Callable[[tuple[Any, ...]], Step]) -> list[Step]:
    """The steps of a list, without those whose row is damaged: one row must not hide all others."""
    steps = []
    for row in rows:
        try:
            steps.append(decode(row))
        except StoreUnavailable as damaged:
            if damaged.kind != _KIND:
                raise
    return steps


@lru_cache(maxsize=_TOLD_MAX)
def _tell(step_id: str) -> None:
    _log.error(
        "the row of a step is damaged, so it is refused and left out of lists; `atomic backup` names all "
        "of them",
        extra={"stepId": step_id},
    )
