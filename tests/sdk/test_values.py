"""Values survive the SDK's JSON round trip, equal and of the same type, or are refused at once."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import math
import os
import re
import subprocess
import sys
import typing
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    model_serializer,
    model_validator,
)

from atomic.protocol.strict_json import canonical_json, parse_json
from atomic.sdk._wire.values import ValueType, jsonable
from atomic.sdk.errors import SerializationError
from sdk import typed_values as tv
from unit.strategies import examples

WHAT = "the payload of step 'pay'"


def stored(written: Any) -> Any:
    """JSON after a round trip through a server."""
    return json.loads(canonical_json(parse_json(json.dumps(written).encode())))


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]], ids=["alone", "in a list"])
def test_an_equal_number_of_another_type_is_refused(wrap: Any) -> None:
    alone = Decimal | Fraction
    annotation: Any = alone if wrap(1) == 1 else list[alone]
    with pytest.raises(SerializationError, match=r"Decimal\('0'\)"):
        ValueType(annotation).kept(wrap(Fraction(0)), WHAT)
    assert ValueType(annotation).kept(wrap(Decimal(0)), WHAT) == wrap("0")


@examples(400)
@given(tv.typed_values())
def test_a_value_comes_back_as_it_is_or_is_refused(drawn: tuple[Any, Any]) -> None:
    annotation, value = drawn
    kept = ValueType(annotation)
    try:
        written = kept.kept(value, WHAT)
    except SerializationError:
        return
    assert stored(written) == written
    got = kept.read(stored(written), WHAT)
    assert tv.is_same(value, got), (value, written, got)


@examples(150)
@given(tv.typed_values())
def test_an_answer_is_stored_as_what_it_is_or_is_refused(drawn: tuple[Any, Any]) -> None:
    annotation, value = drawn
    try:
        written = ValueType(annotation).given(value, WHAT)
    except SerializationError:
        return
    assert stored(written) == written


class Order(BaseModel):
    tags: set[str]
    groups: frozenset[frozenset[int]] = frozenset()
    lines: list[tuple[int, set[UUID]]] = []


KEPT: tuple[tuple[Any, Any, Any], ...] = (
    (int, 2**64 - 1, 2**64 - 1),
    (float, 2.0, 2),
    (float, 2, 2),
    (bytes, b"caf\xc3\xa9", "café"),
    (str, tv.Text.A, "a"),
    (tv.Colour, tv.Colour.ONE, 1),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=5), "-PT23H59M59.999995S"),
    (dt.date | dt.datetime, dt.datetime.fromisoformat("2026-01-01"), "2026-01-01T00:00:00"),
    (dt.date | dt.datetime, dt.date(2026, 1, 1), "2026-01-01"),
    (dt.datetime, dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1), None),
    (int | str, "1", "1"),
    (UUID | str, UUID(int=1), str(UUID(int=1))),
    (set[int], {3, 1, 2}, [1, 2, 3]),
    (dict[int, str], {1: "a"}, {"1": "a"}),
    (dict[tv.Text, int], {tv.Text.A: 1}, {"a": 1}),
    (list[int], (1, 2), [1, 2]),
    (dict[str, int], defaultdict(int, a=1), {"a": 1}),
    (Iterable[int], [1, 2], [1, 2]),
    (Decimal, 5, 5),
    (tv.Strict, tv.Strict(id=UUID(int=1), both=(1, b"x")), None),
    (tv.Strict, {"id": str(UUID(int=1)), "at": "2026-01-01T00:00:00Z"}, None),
    (tv.Closed, tv.Closed(tags={"b", "a"}), {"tags": ["a", "b"]}),
    (tv.Closed, {"tags": {"b", "a"}}, {"tags": ["a", "b"]}),
    (tv.Encoded, tv.Encoded(json_inside="[1,2]"), {"json_inside": "[1,2]", "raw": None, "secret": None}),
    (tv.Aliased, tv.Aliased(bothNames=1, readName=2, one=3), None),
    (tv.Own, tv.Own(parts=frozenset({10, 9})), {"parts": [10, 9]}),
    (tv.PETS, tv.Dog(at=dt.date(2026, 1, 1)), {"kind": "dog", "at": "2026-01-01"}),
    (tv.Box[UUID], tv.Box[UUID](held=UUID(int=1)), {"held": str(UUID(int=1))}),
    (Any, {"a": [1, 2.5, None, "x"]}, {"a": [1, 2.5, None, "x"]}),
    (typing.Optional[tv.Point], tv.Point(1, 2.5), [1, 2.5]),  # noqa: UP045 - as older code has it
)  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "form"), KEPT, ids=lambda value: type(value).__name__)
def test_what_is_kept(annotation: Any, value: Any, form: Any) -> None:
    kept = ValueType(annotation)
    written = kept.kept(value, WHAT)
    assert form is None or written == form
    got = kept.read(stored(written), WHAT)
    assert not isinstance(value, BaseModel) or got == value


class Loud(str):
    """A subclass of str."""


class Shouted(BaseModel):
    """A model whose validation changes the value each time."""

    text: typing.Annotated[str, AfterValidator(lambda text: text + "!")]


@dataclasses.dataclass
class Session:
    """Holds a value without a JSON form."""

    db: Any


REFUSED: tuple[tuple[Any, Any, str], ...] = (
    (int, 2**64, "cannot be stored: an integer is beyond 64 bit; send it as a string"),
    (Any, {"a": [1, math.nan]}, "cannot be stored: at ['a'][1]: nan is not JSON"),
    (Any, {"a\ud800": 1}, "cannot be stored: a string holds half of a surrogate pair"),
    (Any, "b\ud800", "cannot be stored: a string holds half of a surrogate pair"),
    (Any, json.loads("[" * 65 + "]" * 65), "nested deeper than 64 levels; flatten it"),
    (Any, {1: "a", "1": "b"}, "cannot be stored: two keys are equal in JSON"),
    (Any, {(1, 2): 3}, "cannot be stored: the key (1, 2) has no form in JSON; use strings"),
    (Any, {1: "a"}, "would not arrive unchanged: at [1]: 'a' (str) would be lost"),
    (Any, (1, 2), "would not arrive unchanged: (1, 2) (tuple) would arrive as [1, 2] (list)"),
    (Any, UUID(int=1), "would not arrive unchanged: UUID("),
    (Any, tv.Text.A, "would not arrive unchanged: <Text.A: 'a'> (Text) would arrive as 'a' (str)"),
    (Any, Loud("x"), "would arrive as 'x' (str)"),
    (Any, Order(tags=set()), "would not arrive unchanged: Order("),
    (bytes, b"\xff", "has bytes that are not UTF-8: send them as Base64Bytes"),
    (list[float], [2**53 + 1], "at [0]: 9007199254740993 would arrive as 9007199254740992.0"),
    (str, 5, "does not fit: payload: Input should be a valid string"),
    (str, UUID(int=1), "would not arrive unchanged: UUID("),
    (UUID | str, str(UUID(int=1)), "would not arrive unchanged: '00000000-"),
    (int | tv.Number, tv.Number.ONE, "<Number.ONE: 1> (Number) would arrive as 1"),
    (tv.Base, tv.Derived(), "would not arrive unchanged: Derived("),
    (list[tv.Base], [tv.Base(), tv.Derived()], "would not arrive unchanged: at [1]: Derived("),
    (tv.Hiding, tv.Hiding(shown=1, hidden=2), "unchanged: at .hidden: 2 would arrive as 0"),
    (tv.Open, tv.Open(at=UUID(int=1)), "would not arrive unchanged: at .at: UUID("),
    (tv.Encoded, tv.Encoded(json_inside="[]", secret="x"), "at ['secret']: a secret would be stored as"),
    (SecretStr, SecretStr("x"), "a secret would be stored as asterisks; send a reference"),
    (Any, [SecretStr("x")], "cannot be stored: at [0]: a secret would be stored as asterisks"),
    (deque[int], deque([1], 3), "would not arrive unchanged: at .maxlen: 3 would arrive as None"),
    (OrderedDict[str, int], OrderedDict(b=1, a=2), "would not arrive unchanged"),
    (dict[tuple[int, int], int], {(1, 2): 3}, "cannot be stored: the key (1, 2) has no form in JSON"),
    (typing.Pattern[str], re.compile("a", re.IGNORECASE), "would not arrive unchanged: re.compile("),
    (Iterable[int], (n for n in (1, 2)), "would not arrive unchanged"),
    (Session, Session(db=object()), "has no JSON form: it holds a value of type object; use a model"),
    (Any, {"then": len}, "is a call missing, `()`?"),
    (Any, ValueType(int), "that belongs to the SDK and is not a value"),
    (Shouted, Shouted(text="hi"), "at .text: 'hi!' (str) would arrive as 'hi!!' (str)"),
)  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "words"), REFUSED, ids=lambda value: type(value).__name__)
def test_what_is_refused(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(SerializationError) as refused:
        ValueType(annotation).kept(value, WHAT)
    assert words in refused.value.detail
    assert refused.value.detail.startswith("The payload of step 'pay' ")
    assert "declare a type that pydantic reads back" in str(refused.value)
    assert refused.value.is_permanent


def test_a_forgotten_await_is_told_and_ended() -> None:
    async def work() -> None:
        """A coroutine that is never started."""

    with pytest.raises(
        SerializationError, match=r"it holds a value of type coroutine; is an `await` missing\?"
    ):
        jsonable({"a": [work()]})
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        future = loop.create_future()
        with pytest.raises(SerializationError, match="of type Future; is an `await` missing"):
            jsonable(future)


class Drawn(BaseModel):
    id: UUID = Field(default_factory=uuid4)
    name: str
    other: UUID | str = ""


def test_random_defaults_are_left_to_the_reader() -> None:
    kept = ValueType(Drawn)
    assert kept.kept({"name": "x"}, WHAT) == {"name": "x"}
    drawn = Drawn(name="x")
    assert kept.read(kept.kept(drawn, WHAT), WHAT) == drawn


def test_the_parts_of_an_answer_that_are_left_open_become_json() -> None:
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    user = tv.Strict(id=UUID(int=1), at=at)
    form = {"id": str(UUID(int=1)), "at": "2026-01-01T00:00:00Z", "both": None}
    for annotation in (Any, dict, dict[str, Any], dict[str, object], dict[str, Any] | None, typing.Mapping):
        assert ValueType(annotation).given({"user": user}, WHAT) == {"user": form}
    assert ValueType(list[Any]).given((1, at), WHAT) == [1, "2026-01-01T00:00:00Z"]
    assert ValueType(tv.Strict).given(user, WHAT) == form
    with pytest.raises(SerializationError, match="does not fit"):
        ValueType(dict[str, Any]).given([1], WHAT)
    with pytest.raises(SerializationError, match="Derived"):
        ValueType(tv.Base).given(tv.Derived(), WHAT)
    with pytest.raises(SerializationError, match="at \\['a'\\]: nan is not JSON"):
        ValueType(dict[str, Any]).given({"a": math.nan}, WHAT)


def test_what_was_given_is_not_changed() -> None:
    given_value = {"a": [1.0, {"b": 2.0}]}
    assert jsonable(given_value) == {"a": [1, {"b": 2}]}
    assert repr(given_value) == "{'a': [1.0, {'b': 2.0}]}"
    assert type(jsonable(1.0)) is int
    assert (jsonable(1e300), math.copysign(1, jsonable(-0.0))) == (1e300, 1)


def test_equal_unions_of_another_order_are_other_types() -> None:
    from atomic.sdk._wire.values import value_type

    assert value_type(int | str) is value_type(int | str)
    assert value_type(int | str) is not value_type(str | int)


class Renamed(BaseModel):
    """A model with other names in JSON than in Python."""

    model_config = ConfigDict(frozen=True)
    marks: frozenset[str]

    @model_serializer
    def _written(self) -> dict[str, Any]:
        return {"all": {"marks": self.marks}}

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        return given["all"] if isinstance(given, dict) and "all" in given else given


class Tagged(BaseModel):
    tags: Annotated[
        set[str],
        PlainSerializer(lambda tags: {"tags": tags}),
        BeforeValidator(lambda given: given["tags"] if isinstance(given, dict) else given),
    ]
    more: Renamed


ONE_PROCESS = """
import json, sys, uuid
from sdk.test_values import Order, Renamed, Tagged
from atomic.sdk._wire.values import ValueType, jsonable

tags = {f"tag-{n}" for n in range(50)}
order = Order(
    tags=tags,
    groups=frozenset(frozenset({n, n * 7, n * 31}) for n in range(9)),
    lines=[(1, {uuid.UUID(int=n) for n in range(9)})],
)
own = Tagged(tags=tags, more=Renamed(marks=tags))
both = {own.more, Renamed(marks=frozenset("ab"))}
print(json.dumps([
    ValueType(Order).kept(order, "it"), jsonable({"deep": [order, {"x": tags}]}),
    ValueType(Tagged).kept(own, "it"), jsonable({"deep": [own]}), ValueType(set[Renamed]).kept(both, "it"),
]))
"""


def test_equal_values_have_one_form_in_every_process() -> None:
    forms = set()
    for seed in ("0", "1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(["tests", *sys.path])}
        done = subprocess.run(
            [sys.executable, "-c", ONE_PROCESS], env=env, capture_output=True, text=True, check=True
        )
        forms.add(done.stdout)
    assert len(forms) == 1
