"""Causes: what differs from run to run is left out of the text, and the rest tells causes apart."""

import itertools
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.domain.causes import TEXT_MAX_CHARS, Cause, found_of, normalized
from atomic.domain.outcomes import StepError
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.keys import is_cause_id
from unit.strategies import examples

CAUSE = Cause(
    step_id="run_0-root",
    workflow_name="order",
    step_name="pay",
    error_kind=ErrorKind.ENDPOINT_ANSWERED,
    error_type="Declined",
    response_status=402,
    found="the endpoint answered 402",
    said="no funds",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("no funds", "no funds"),
        ("order 4711 not found", "order # not found"),
        ("order-17 and cus_028", "order-# and cus_#"),
        ("/orders/88/items/9?page=2", "/orders/#/items/#?page=#"),
        ("run 8f3a2b1c-aaaa-bbbb-cccc-deadbeefdead ended", "run # ended"),
        ("digest deadbeefcafe differs", "digest # differs"),
        ("user 'bob o.' can't read Ann's \"book\"", "user # can't read Ann's #"),
        ("mail to ada.l+x@mail.example.org bounced", "mail to # bounced"),
        ("at 2026-11-29T10:00:00.123Z: full", "at #: full"),
        ("until Sun, 29 Nov 2026 11:07:38 GMT", "until # GMT"),
        ("Market 5 closed in May", "Market # closed in May"),
        ("connect to 10.0.0.1:8080 took 1.5s", "connect to # took #"),
        ("ids 1, 2, 3 are gone", "ids # are gone"),
        ("line one\n  line\ttwo", "line one line two"),
        ("Größe “L” für 12 €", "Größe # für # €"),
        ("‘bob’ can’t pay „Ada“", "# can’t pay #"),
    ],
)
def test_what_differs_from_run_to_run_is_one_sign(text: str, expected: str) -> None:
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KeyError: 'currency'", "KeyError: 'currency'"),
        ("step charge failed: KeyError: 'is_paid'", "step charge failed: KeyError: 'is_paid'"),
        ("AttributeError: 'NoneType' object has no attribute 'total'",) * 2,
        ("NameError: name 'Decimal' is not defined",) * 2,
        ("TypeError: pay() missing 1 required positional argument: 'order'",) * 2,
        ("TypeError: pay() got an unexpected keyword argument 'tip'",) * 2,
        ("No module named 'shop.prices'",) * 2,
        ("TypeError: Cannot read properties of undefined (reading 'currency')",) * 2,
        # Data, also behind these words.
        ("KeyError: 'Ada'", "KeyError: #"),
        ("KeyError: 'cus_028'", "KeyError: #"),
        ("KeyError: 'ada.l@mail.example.org'", "KeyError: #"),
        ("KeyError: 'order of ada'", "KeyError: #"),
        (f"KeyError: '{'a' * 33}'", "KeyError: #"),
        ("KeyError: 17", "KeyError: #"),
        ("customer 'ada' has no account", "customer # has no account"),
        ("ValueError: 'ada'", "ValueError: #"),
        ("MyKeyError: 'ada'", "MyKeyError: #"),
    ],
)
def test_a_quoted_name_of_the_program_stays(text: str, expected: str) -> None:
    assert normalized(text) == expected
    assert normalized(expected) == expected


def test_thousands_of_quoted_customers_are_one_cause() -> None:
    names = ["".join(letters) for letters in itertools.product("abcdefghijklm", repeat=3)]
    assert len(names) > 2_000
    for sentence in ("no account of '{}'", "KeyError: '{}'", "unknown customer “{}”: declined"):
        assert len({normalized(sentence.format(name.capitalize())) for name in names}) == 1
    assert len({normalized(f"ValueError: unknown customer '{name}'") for name in names}) == 1


def test_the_key_of_a_key_error_stays_if_the_type_is_beside_the_text() -> None:
    assert normalized("'currency'", "KeyError, LookupError") == "'currency'"
    assert normalized("'Ada'", "KeyError") == "#"
    assert normalized("'currency'", "ValueError") == "#"
    assert len(normalized("'currency' " + "word " * 100, "KeyError")) == TEXT_MAX_CHARS


_IDS = st.one_of(
    st.uuids().map(str),
    st.integers(0, 10**18).map(str),
    st.datetimes().map(lambda at: at.isoformat()),
    st.binary(min_size=4, max_size=20).map(bytes.hex),
    st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.[a-z]{2,3}", fullmatch=True),
    st.from_regex(r"'[^'\n]{1,40}'", fullmatch=True),
)
_WORDS = st.from_regex(r"[g-z]{1,9}", fullmatch=True)


@examples(300)
@given(words=st.lists(_WORDS, min_size=1, max_size=12), data=st.data())
def test_texts_that_differ_in_ids_only_are_the_same(words: list[str], data: Any) -> None:
    def with_ids() -> str:
        return " ".join(f"{word}: {data.draw(_IDS)}" for word in words)

    assert normalized(with_ids()) == normalized(with_ids())


@examples(500)
@given(
    text=st.text(st.sampled_from("ab1f# '\"`“”«».,:;-_+@/MayJan\n\u00e9\u0661"), max_size=300)
    | st.lists(
        st.sampled_from(["KeyError: ", "'", "a", "1", " ", '"', "has no attribute ", "B", "#"]), max_size=40
    ).map("".join)
    | st.text(max_size=300)
)
def test_a_second_time_changes_nothing_and_the_length_is_bounded(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once
    assert len(once) <= TEXT_MAX_CHARS


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "g",
        "'",
        "a.b-",
        "@",
        "1-",
        "a@",
        "-",
        "'a",
        "\"'`",
        "# ",
        "Jan ",
        "f0",
        "KeyError: '",
        "KeyError: 'a'",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    began_s = time.process_time()
    normalized(piece * 100_000)
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StepError(ErrorKind.ENDPOINT_ANSWERED, "503", "no 17"), "the endpoint answered 503"),
        (StepError(ErrorKind.TIMED_OUT, "20000"), "timeout: no whole answer within # ms"),
        (StepError(ErrorKind.CHILD_FAILED, "run_0af1"), "the run run_# failed"),
        (
            StepError(ErrorKind.DEADLINE_OVER, "60000", last=StepError(ErrorKind.ENDPOINT_ANSWERED, "503")),
            "the deadline of # ms is over; last: the endpoint answered 503",
        ),
    ],
)
def test_what_atomic_found_keeps_the_status(error: StepError, expected: str) -> None:
    assert found_of(error) == expected


def test_an_id_tells_causes_apart_by_everything_but_the_step() -> None:
    assert is_cause_id(CAUSE.id)
    assert replace(CAUSE, step_id="run_1-root").id == CAUSE.id
    others = [
        replace(CAUSE, workflow_name="bill"),
        replace(CAUSE, step_name="mail"),
        replace(CAUSE, error_kind=ErrorKind.FORBADE_RETRY),
        replace(CAUSE, error_type="Expired"),
        replace(CAUSE, response_status=None),
        replace(CAUSE, found="the endpoint answered #"),
        replace(CAUSE, said="no account"),
    ]
    assert len({CAUSE.id, *(other.id for other in others)}) == 8


@pytest.mark.parametrize("text", ["", "0" * 15, "0" * 17, "G" * 16, "A" * 16, "0" * 16 + "\n"])
def test_another_text_is_no_id_of_a_cause(text: str) -> None:
    assert not is_cause_id(text)


def test_the_text_of_a_cause_is_a_sentence() -> None:
    assert CAUSE.text == "the endpoint answered 402: no funds"
    assert replace(CAUSE, said="").text == "the endpoint answered 402"
