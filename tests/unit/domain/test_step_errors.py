"""Errors as data: each kind has a sentence, and the excerpt can be separated, whatever text it holds."""

import re
from pathlib import Path

import pytest

from atomic.domain.outcomes import StepError, sentence_of
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.failures import cause, reason

ROOT = Path(__file__).parents[3]
ANSWERED = StepError(ErrorKind.ENDPOINT_ANSWERED, "500", "no tax id")


@pytest.mark.parametrize("kind", ErrorKind)
def test_each_kind_has_a_sentence_of_its_own(kind: ErrorKind) -> None:
    sentence = str(StepError(kind, "§"))
    assert sentence == sentence.strip(". ")
    assert "{" not in sentence
    assert str(StepError(kind, "§", "said")) == f"{sentence}: said"


def test_the_sentence_of_an_end_names_the_last_attempts_error() -> None:
    error = StepError(ErrorKind.DEADLINE_OVER, "60000", last=ANSWERED)
    assert str(error) == ("the deadline of 60000 ms is over; last: the endpoint answered 500: no tax id")
    assert error.said == "no tax id"
    assert sentence_of(error) == str(error)
    assert sentence_of(None) is None


@pytest.mark.parametrize(
    "excerpt",
    ["secret", "a: b: secret", "; last: the endpoint answered 200: secret", "{0} {} secret", "secret: "],
)
def test_what_the_endpoint_said_is_hidden_whatever_it_says(excerpt: str) -> None:
    said = StepError(ErrorKind.FORBADE_RETRY, "400", excerpt)
    for error in (said, StepError(ErrorKind.NO_TIME_LEFT, "9", last=said)):
        assert excerpt in str(error)
        hidden = error.without_excerpt()
        assert (hidden.said, "secret" in str(hidden)) == ("", False)
        assert hidden.kind is error.kind


def test_what_atomic_found_is_kept_whatever_it_looks_like() -> None:
    """The detail contains a colon, and even the sentence of another kind."""
    error = StepError(ErrorKind.NETWORK, "cannot resolve the endpoint answered 500: here.test")
    assert error.without_excerpt() == error
    assert error.said == ""


@pytest.mark.parametrize("excerpt", ["no funds", "a: b", ": ", "the endpoint answered 500: no"])
@pytest.mark.parametrize("ends_by_deadline", [False, True])
def test_a_failure_that_is_passed_on_puts_what_the_endpoint_said_first(
    excerpt: str, *, ends_by_deadline: bool
) -> None:
    error = StepError(ErrorKind.ENDPOINT_ANSWERED, "402", excerpt)
    found = "the endpoint answered 402"
    if ends_by_deadline:
        error = StepError(ErrorKind.DEADLINE_OVER, "9", last=error)
        found = f"the deadline of 9 ms is over; last: {found}"
    problem = {"lastError": str(error), "lastErrorExcerpt": error.said, "stepName": "pay", "attempts": 2}
    assert reason(problem) == excerpt
    assert cause(problem) == f"{excerpt} (step pay failed at attempt 2: {found})"


def test_a_failure_without_an_excerpt_has_the_detail_that_atomic_found() -> None:
    problem = {"lastError": "network: cannot connect: Connection refused", "stepName": "pay", "attempts": 2}
    assert cause(problem) == "network: cannot connect: Connection refused (step pay failed at attempt 2)"
    assert cause({"stepName": "pay"}) == "no answer (step pay)"


def test_the_page_lists_every_kind() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8").partition("## Kinds of errors")[2]
    listed = re.findall(r"^\| `(\w+)` \|", page.partition("\n## ")[0], re.MULTILINE)
    assert listed == [kind.value for kind in ErrorKind]
