"""Hypothesis strategies for pydantic types with values, and a strict comparison of values."""

import dataclasses
import datetime as dt
import enum
import fractions
import ipaddress
import math
import pathlib
import re
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AnyUrl,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Json,
    PrivateAttr,
    RootModel,
    SecretStr,
    Tag,
    TypeAdapter,
    ValidationError,
    computed_field,
    create_model,
    model_serializer,
)
from typing_extensions import TypedDict

T = TypeVar("T")
# A type, and a strategy for its values.
Typed = tuple[Any, st.SearchStrategy[Any]]


class Colour(enum.Enum):
    """An enumeration whose values have two types."""

    RED = "red"
    ONE = 1


class Text(enum.StrEnum):
    """An enumeration whose members are strings."""

    A = "a"
    B = "1"


class Number(enum.IntEnum):
    """An enumeration whose members are integers."""

    ONE = 1
    TWO = 2


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: float


class Pair(TypedDict, total=False):
    """A typed dict."""

    at: dt.datetime
    ids: set[UUID]


@dataclasses.dataclass(frozen=True)
class Money:
    """A hashable model."""

    amount: Decimal
    parts: tuple[int, ...] = ()


class Strict(BaseModel):
    """A strict model: it accepts a string as a UUID only in JSON."""

    model_config = ConfigDict(strict=True)
    id: UUID
    at: dt.datetime | None = None
    both: tuple[int, bytes] | None = None


class Closed(BaseModel):
    """A model that forbids extra fields, and has a computed one."""

    model_config = ConfigDict(extra="forbid")
    tags: set[str]

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation has it
    @property
    def count(self) -> int:
        """How many."""
        return len(self.tags)


class Open(BaseModel):
    """A model that allows extra fields."""

    model_config = ConfigDict(extra="allow")
    name: str = "x"


class Aliased(BaseModel):
    """A model with aliases."""

    both: int = Field(alias="bothNames")
    read: int = Field(validation_alias="readName")
    choice: int = Field(validation_alias=AliasChoices("one", "other"))
    written: int = Field(default=0, serialization_alias="writtenName")


class Hiding(BaseModel):
    """A model with an excluded field."""

    shown: int
    hidden: int = Field(default=0, exclude=True)
    _private: int = PrivateAttr(default=0)


class Encoded(BaseModel):
    """A model with fields that are nested JSON, secrets or encoded bytes."""

    json_inside: Json[list[int]]
    raw: Base64Bytes | None = None
    secret: SecretStr | None = None


class Own(BaseModel):
    """A model with its own serializer."""

    parts: frozenset[int]

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {"parts": self.parts}


class Base(BaseModel):
    """A model with a subclass."""

    kind: Literal["base"] = "base"
    a: int = 0


class Derived(Base):
    """The subclass, with an additional field."""

    b: int = 1


class Cat(BaseModel):
    """A member of a discriminated union."""

    kind: Literal["cat"] = "cat"
    at: dt.date


class Dog(BaseModel):
    """The other member of the union."""

    kind: Literal["dog"] = "dog"
    at: dt.date


class Box(BaseModel, Generic[T]):
    """A model that holds the union."""

    held: T


class Node(BaseModel):
    """A recursive model."""

    below: list["Node"] = []
    seen: set[int] = set()


PETS = Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator("kind")]

texts = st.text(max_size=4) | st.sampled_from(
    ["", "a", "1", "1.5", "true", "null", "2026-01-01", "😀", "\ud800"]
)
integers = st.integers(-3, 3) | st.sampled_from([2**53 + 1, 2**64 - 1, -(2**63), 2**64, -(2**63) - 1])
floats = st.floats(width=32) | st.sampled_from([0.0, -0.0, 1.0, 1e16, 1e19, 1e300, math.nan, math.inf])
zones = st.none() | st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=45))])
midnights = st.dates().map(lambda day: dt.datetime.combine(day, dt.time()))
datetimes = st.datetimes(timezones=zones) | midnights
uuids = st.uuids() | st.just(UUID(int=1))
decimals = st.decimals(allow_nan=False) | st.sampled_from(
    [Decimal("nan"), Decimal("1.10"), Decimal("1E+400"), Decimal(1)]
)

SCALARS: tuple[Typed, ...] = (
    (int, integers),
    (float, floats | integers),
    (bool, st.booleans()),
    (str, texts),
    (bytes, st.binary(max_size=4)),
    (type(None), st.none()),
    (Decimal, decimals),
    (dt.date, st.dates()),
    (dt.datetime, datetimes),
    (dt.time, st.times(timezones=zones)),
    (dt.timedelta, st.timedeltas()),
    (UUID, uuids),
    (Colour, st.sampled_from(Colour)),
    (Text, st.sampled_from(Text)),
    (Number, st.sampled_from(Number)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (pathlib.Path, texts.map(lambda text: pathlib.Path(text.replace("\x00", "")))),
    (ipaddress.IPv4Address, st.ip_addresses(v=4)),
    (fractions.Fraction, st.fractions()),
    (complex, st.complex_numbers()),
    (AnyUrl, st.sampled_from([AnyUrl("http://a/"), AnyUrl("postgres://u@h/d?x=1")])),
    (re.Pattern[str], st.sampled_from([re.compile("a+")])),
)

_dates = st.dates()
MODELS: tuple[Typed, ...] = (
    (Strict, st.builds(Strict, id=uuids, at=datetimes, both=st.tuples(integers, st.binary(max_size=3)))),
    (Closed, st.builds(Closed, tags=st.sets(texts, max_size=5))),
    (
        Open,
        st.builds(lambda more: Open(name="n", more=more), integers | texts | datetimes | st.sets(texts)),
    ),
    (Aliased, st.builds(Aliased, bothNames=integers, readName=integers, one=integers)),
    (
        Aliased,
        st.builds(Aliased, bothNames=st.just(1), readName=st.just(2), one=st.just(3), written=integers),
    ),
    (Hiding, st.builds(Hiding, shown=integers, hidden=st.sampled_from([0, 1]))),
    (Encoded, st.builds(Encoded, json_inside=st.just("[1, 2]"), secret=st.none() | texts.map(SecretStr))),
    (Own, st.builds(Own, parts=st.frozensets(integers))),
    (Base, st.builds(Base, a=integers) | st.builds(Derived, a=integers)),
    (Box[UUID], st.builds(Box[UUID], held=uuids)),
    (Node, st.builds(Node, seen=st.sets(integers), below=st.lists(st.builds(Node), max_size=2))),
    (PETS, st.builds(Cat, at=_dates) | st.builds(Dog, at=_dates)),
    (Cat | Dog, st.builds(Cat, at=_dates) | st.builds(Dog, at=_dates)),
    (RootModel[set[str]], st.sets(texts, max_size=5).map(RootModel[set[str]])),
    (Point, st.builds(Point, integers, floats)),
    (Pair, st.fixed_dictionaries({}, optional={"at": datetimes, "ids": st.sets(uuids, max_size=4)})),
    (Money, st.builds(Money, decimals, st.lists(integers, max_size=3).map(tuple))),
)

# Unhashable values cannot be in a set.
HASHABLE: tuple[Typed, ...] = (
    *(each for each in SCALARS if each[0] not in {AnyUrl, float}),
    (float, floats),
    (Money, st.builds(Money, decimals, st.lists(integers, max_size=3).map(tuple))),
    (frozenset[int], st.frozensets(integers, max_size=4)),
    (tuple[str, UUID], st.tuples(texts, uuids)),
)
_hashable = st.sampled_from(HASHABLE)


def _listed(inner: Typed) -> st.SearchStrategy[Typed]:
    kind, values = inner
    lists = st.lists(values, max_size=3)
    return st.sampled_from(
        [
            (list[kind], lists),
            (Sequence[kind], lists),
            (tuple[kind, ...], lists.map(tuple)),
            (tuple[kind, int], st.tuples(values, integers)),
            (deque[kind], lists.map(deque) | lists.map(lambda items: deque(items, 3))),
            (kind | None, st.none() | values),
            (Annotated[kind, Field(description="x")], values),
        ]
    )


def _keyed(key: Typed, inner: Typed) -> st.SearchStrategy[Typed]:
    (key_kind, keys), (kind, values) = key, inner
    dicts = st.dictionaries(keys, values, max_size=3)
    return st.sampled_from(
        [
            (dict[key_kind, kind], dicts),
            (Mapping[key_kind, kind], dicts),
            (OrderedDict[key_kind, kind], dicts.map(OrderedDict)),
            (
                defaultdict[key_kind, list[int]],
                st.dictionaries(keys, st.just([1]), max_size=2).map(_defaulting),
            ),
            (Counter[key_kind], st.lists(keys, max_size=3).map(Counter)),
            (set[key_kind], st.sets(keys, max_size=4)),
            (frozenset[key_kind], st.frozensets(keys, max_size=4)),
        ]
    )


def _defaulting(members: dict[Any, Any]) -> defaultdict[Any, Any]:
    return defaultdict(list, members)


def _either(one: Typed, other: Typed) -> st.SearchStrategy[Typed]:
    return st.just((typing.Union[one[0], other[0]], one[1] | other[1]))  # noqa: UP007 - made at run time


def _model(inner: Typed, name: str) -> st.SearchStrategy[Typed]:
    kind, values = inner
    made: Any = create_model(name, field=(kind, ...))
    plain = dataclasses.make_dataclass(name, [("field", kind)])
    return st.sampled_from(
        [(made, values.map(lambda value: made.model_construct(field=value))), (plain, values.map(plain))]
    )


def _wrapped(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return (
        inner.flatmap(_listed)
        | st.tuples(_hashable, inner).flatmap(lambda drawn: _keyed(*drawn))
        | st.tuples(inner, inner).flatmap(lambda drawn: _either(*drawn))
        | inner.flatmap(lambda drawn: _model(drawn, "Drawn"))
    )


types = st.recursive(
    st.sampled_from([*SCALARS, *MODELS, (Any, st.lists(integers | texts | uuids, max_size=2))]),
    _wrapped,
    max_leaves=3,
)


@st.composite
def typed_values(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[Any, Any]:
    """A type, and a value of it."""
    kind, values = draw(types)
    value = draw(values)
    assume(_stays(kind, value))
    return kind, value


def _stays(kind: Any, value: Any) -> bool:
    """Whether validation keeps the value unchanged.

    A union of dict and OrderedDict turns both into dict.
    """
    try:
        return is_same(value, TypeAdapter(kind).validate_python(value, by_alias=True, by_name=True))
    except ValidationError:
        # Only validation from JSON gives this type.
        return True


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same type at every level. JSON has one type of number."""
    if type(one) is not type(other):
        numbers = {type(one), type(other)} == {int, float}
        return numbers and bool(one == other)
    if isinstance(one, BaseModel):
        parts = [
            (each.__dict__, each.__pydantic_extra__, each.__pydantic_private__) for each in (one, other)
        ]
        return is_same(*parts)
    if dataclasses.is_dataclass(one):
        return is_same(vars(one), vars(other))
    if isinstance(one, dict):
        ordered = isinstance(one, OrderedDict)
        mine, theirs = (list(each.items()) if ordered else _sorted(each.items()) for each in (one, other))
        return is_same(mine, theirs)
    if isinstance(one, set | frozenset):
        return is_same(_sorted(one), _sorted(other))
    if isinstance(one, list | tuple | deque):
        same_length = len(one) == len(other) and getattr(one, "maxlen", 0) == getattr(other, "maxlen", 0)
        return same_length and all(map(is_same, one, other))
    if isinstance(one, dt.datetime | dt.time):
        return (one.replace(tzinfo=None), one.utcoffset()) == (
            other.replace(tzinfo=None),
            other.utcoffset(),
        )
    return bool(one == other) or (one != one and other != other)


def _sorted(items: Any) -> list[Any]:
    return sorted(items, key=lambda item: (str(type(item)), repr(_plain(item))))


def _plain(item: Any) -> Any:
    # The repr of a set has no fixed order, and 1 and 1.0 are the same key.
    if isinstance(item, set | frozenset):
        return _sorted(item)
    if isinstance(item, tuple):
        return [_plain(part) for part in item]
    return float(item) if type(item) in (int, float) and abs(item) < 2**53 else item
