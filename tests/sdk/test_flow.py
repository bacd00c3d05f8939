"""Limits that steps share, by the Python SDK."""

from datetime import timedelta
from typing import Any

import pytest

from atomic import Flow
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.flow import flow_document


def test_a_flow_is_written_with_what_was_given() -> None:
    assert flow_document(Flow("openai")) == [{"key": "openai"}]
    full = Flow("k", 2, rate=(10, timedelta(seconds=1)), scope="run", priority=-1, fair="ada")
    assert flow_document([full]) == [
        {
            "key": "k",
            "concurrency": 2,
            "rate": {"limit": 10, "per": 1000},
            "scope": "run",
            "priority": -1,
            "fair": "ada",
        }
    ]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (Flow("no space"), "key"),
        (Flow("k", 0), "concurrency"),
        (Flow("k", rate=10), "rate"),  # type: ignore[arg-type]
        (Flow("k", rate=(0, 1.0)), "rate.limit"),
        (Flow("k", priority=9), "priority"),
        (Flow("k", scope="all"), "scope"),  # type: ignore[arg-type]
        ("k", "Flow"),
    ],
)
def test_what_is_no_limit_is_refused_before_anything_is_sent(wrong: Any, named: str) -> None:
    with pytest.raises(InvalidRequestError, match=named):
        flow_document([wrong])
