"""Requests and responses in a form that every runtime can make, and readers of queries and headers."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from atomic.protocol.constants import PAGE_MAX
from atomic.protocol.keys import is_cause_id, is_step_id
from atomic.protocol.problems import invalid
from atomic.protocol.wire import from_rfc3339

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=str)
_PARAMETERS_MAX: Final = 20
_PAGE_DEFAULT: Final = 50
_TIME: Final = "use a time as in 2026-11-23T07:38:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """`path` is decoded and starts with "/", header names are lower case, `query` is still encoded.

    `is_cut`: the body was too large, and was not kept. `caller` is the ARN of the caller, if AWS itself has
    authenticated it. `source` is the address that the request came from, as the runtime knows it, and
    `request_id` the runtime's id of the request; empty when there is none.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_cut: bool = False
    caller: str = ""
    source: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """`headers` holds everything but Content-Length. `of_handler`: a handler did this to its own step.

    `noted`: what the audit log has of it besides the names in the path.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    of_handler: bool = False
    noted: Mapping[str, str] = field(default_factory=dict)


class Query:
    """The parameters of a query string. Each is read by `take`; `refuse_rest` refuses the others.

    The parameter `repeated` alone may be given several times, and is read by `take_all`.
    """

    def __init__(self, request: ApiRequest, *, repeated: str = "") -> None:
        self._path = request.path
        try:
            pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
        except ValueError:
            raise invalid("query", f"at most {_PARAMETERS_MAX} parameters are read") from None
        self._repeated = [pair for pair in pairs if pair[0] == repeated]
        once = [pair for pair in pairs if pair[0] != repeated]
        self._given = dict(once)
        self._left = dict(once)
        if len(once) != len(self._given):
            raise invalid("query", "a parameter is given twice; keep one of them")

    def take(self, name: str, read: Callable[[str], Value], cure: str) -> Value | None:
        """A parameter, read by `read`; None when it is absent."""
        text = self._left.pop(name, None)
        if text is None:
            return None
        if not text:
            raise invalid(name, "give it a value, or leave it out")
        try:
            return read(text)
        except ValueError:
            raise invalid(name, cure) from None

    def one_of(self, name: str, choices: Sequence[Choice]) -> Choice | None:
        """A parameter that is one of these texts; None when it is absent."""
        by_text: dict[str, Choice] = {choice: choice for choice in choices}

        def read(text: str) -> Choice:
            if text not in by_text:
                raise ValueError
            return by_text[text]

        return self.take(name, read, f"use one of {', '.join(choices)}")

    def take_all(self, read: Callable[[str], Value], cure: str) -> tuple[Value, ...]:
        """All values of the repeated parameter, read by `read`."""
        if not all(text for _, text in self._repeated):
            raise invalid(self._repeated[0][0], "give it a value, or leave it out")
        try:
            return tuple(read(text) for _, text in self._repeated)
        except ValueError:
            raise invalid(self._repeated[0][0], cure) from None

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        cure = f"use a whole number from {least} to {most}"
        number = self.take(name, read_number, cure)
        if number is None:
            return default
        if not least <= number <= most:
            raise invalid(name, cure)
        return number

    def page_limit(self) -> int:
        """How many items a page of a list has."""
        return self.number("limit", _PAGE_DEFAULT, least=1, most=PAGE_MAX)

    def moment(self, name: str) -> int | None:
        """A time, as milliseconds since the epoch."""
        return self.take(name, from_rfc3339, _TIME)

    def flag(self, name: str) -> bool:
        """Whether a parameter is `true`; False by default."""
        return self.take(name, read_flag, "use true or false") or False

    def refuse_rest(self) -> None:
        """Raise Problem 400 for parameters that were not taken."""
        for name in self._left:
            raise invalid(name, "unknown query parameter; see /docs")

    def link(self, **changed: Any) -> str:
        """This request's URL path with some parameters changed, and without those that are None."""
        given = {name: value for name, value in {**self._given, **changed}.items() if value is not None}
        return f"{self._path}?{urlencode([*given.items(), *self._repeated])}"


def read_flag(text: str) -> bool:
    """A flag of a query string. Raises ValueError."""
    if text not in {"true", "false"}:
        raise ValueError
    return text == "true"


def read_number(text: str) -> int:
    """A number of a query string. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError
    return int(text)


def read_step_id(text: str) -> str:
    """The id of a step as a query string has it; raises ValueError."""
    if not is_step_id(text):
        raise ValueError
    return text


def read_cause_id(text: str) -> str:
    """The id of a cause as a query string has it; raises ValueError."""
    if not is_cause_id(text):
        raise ValueError
    return text


def write_cursor(at_ms: int, last_id: str) -> str:
    """The cursor of a page that ended with something of this time and id."""
    return base64.urlsafe_b64encode(f"{at_ms}.{last_id}".encode()).decode()


def read_cursor(text: str, read_id: Callable[[str], str] = read_step_id) -> tuple[int, str]:
    """The time and the id of a cursor, the id read by `read_id`; raises ValueError."""
    try:
        at_ms, _, last_id = base64.urlsafe_b64decode(text).decode("ascii").partition(".")
    except binascii.Error:
        raise ValueError from None
    return read_number(at_ms), read_id(last_id)


def link_header(link: str | None) -> dict[str, str]:
    """The header that links to the next page, if there is one."""
    return {} if link is None else {"link": f'<{link}>; rel="next"'}


def refuse_body(request: ApiRequest) -> None:
    """Raise Problem 400 for a body on a route that takes none."""
    if request.body not in {b"", b"{}"}:
        raise invalid("body", "this request takes no body; leave it out")


def read_moment(where: str, text: str | None) -> int | None:
    """A time member, as milliseconds since the epoch. Raises Problem 400."""
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError:
        raise invalid(where, _TIME) from None
