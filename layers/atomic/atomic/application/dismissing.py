"""Dismissal: a failed run needs no action any more. It is one write, to the root."""

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.refusals import RunNotFailed
from atomic.domain.events import DismissalUndone, Dismissed
from atomic.domain.steps import Step


async def dismiss_run(engine: Engine, root: Step, note: str) -> Step:
    """Dismiss the failed run of this root. A repeat changes nothing but the note, if one is given.

    Raises RunNotFailed for any other run.
    """
    root, _ = await commit(engine, root, Dismissed(note))
    if root.dismissal is None:
        raise RunNotFailed(root)
    return root


async def undismiss_run(engine: Engine, root: Step) -> Step:
    """Take the dismissal of a run back. A run that is not dismissed is not changed."""
    root, _ = await commit(engine, root, DismissalUndone())
    return root
