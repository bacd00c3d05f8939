"""Keys that runs share, by the Python SDK."""

from datetime import timedelta
from typing import Any

import pytest

from atomic import Debounce, Singleton
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.singles import shared_members


def test_a_key_is_written_as_the_api_takes_it() -> None:
    assert shared_members({}) == {}
    assert shared_members({"singleton": Singleton("sync", "skip")}) == {
        "singleton": {"key": "sync", "onBusy": "skip"}
    }
    burst = Debounce("doc", timedelta(seconds=5), max=60)
    assert shared_members({"debounce": burst}) == {"debounce": {"key": "doc", "quiet": 5000, "max": 60_000}}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"singleton": Singleton("no space")}, "singleton: key"),
        ({"singleton": Singleton("k", "wait")}, "singleton: onBusy"),  # type: ignore[arg-type]
        ({"singleton": "sync"}, "use a Singleton"),
        ({"debounce": Debounce("a/b", 5)}, "debounce: key"),
        ({"debounce": Debounce("k", 0)}, "debounce: quiet"),
        ({"debounce": 5}, "use a Debounce"),
    ],
)
def test_what_cannot_be_a_key_is_refused_before_anything_is_sent(wrong: Any, named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named):
        shared_members(wrong)
