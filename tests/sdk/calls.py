"""A call as Atomic makes it."""

from atomic import Call


def call_of(url: str) -> Call:
    """The first call of a run's root step."""
    return Call(
        run_id="run_1", step_id="run_1-root", workflow_name="w", idempotency_key="k", attempt=1, url=url
    )
