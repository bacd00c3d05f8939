"""The outcome of an attempt: the endpoint's answer, read by the rules of the protocol, or the error.

An error is not an exception: it is data, and rows keep it. What Atomic found and what the endpoint said are
kept apart, because the excerpt belongs to the client and may be hidden. Only this module composes the
sentence that people read.
"""

import base64
import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from atomic.domain.blobs import INLINE_MAX_BYTES, Text, at_hand, text_of
from atomic.domain.retry import RetryPolicy
from atomic.protocol import failures, headers, keys
from atomic.protocol.constants import EVERY_CHILD, NAMED_MAX, RESPONSE_MAX_BYTES
from atomic.protocol.enums import WAKE_POLICIES, OutcomeKind, WakePolicy
from atomic.protocol.error_kinds import SENTENCES, ErrorKind
from atomic.protocol.strict_json import JsonRefused, parse_json

_CONTENT_TYPE_MAX: Final = 255
# A row keeps the excerpts of fifty attempts, so each one is short.
EXCERPT_MAX_CHARS: Final = 200
_OF_THE_CODE: Final = frozenset({headers.BUILD, headers.CANCELLED, headers.UNUSED_RESULTS})
_WORDS: Final = ("detail", "error", "message", "title")
# Only charsets of texts: Python's "punycode" takes seconds for a body of 256 KiB, and Python searches the
# disk for a codec when its name is used for the first time.
_CHARSETS: Final = re.compile(
    r"utf-?8|utf-16(?:le|be)?|(?:us-)?ascii|iso-8859-\d{1,2}|latin-?1|windows-125\d|koi8-[ru]|big5"
    r"|gb(?:2312|k|18030)|euc-(?:jp|kr)|shift_jis|iso-2022-jp"
)


@dataclass(frozen=True, slots=True)
class StepError:
    """An error as it is kept.

    `detail` fills the sentence of the kind: the endpoint's status, a number of milliseconds or bytes, or a
    few words of Atomic's own. `excerpt` is the beginning of what the endpoint said, `type` the name that it
    gave its error. `last` is the error of the last attempt, where the step ended for another reason.
    """

    kind: ErrorKind
    detail: str = ""
    excerpt: str = ""
    type: str = ""
    last: "StepError | None" = None

    def __str__(self) -> str:
        """The sentence for people: what Atomic found, then what the endpoint said."""
        sentence = failures.with_excerpt(SENTENCES[self.kind].format(self.detail), self.excerpt)
        return sentence if self.last is None else f"{sentence}; last: {self.last}"

    @property
    def said(self) -> str:
        """What the endpoint said; empty where it said nothing, or where that is hidden."""
        return self.excerpt or (self.last.said if self.last else "")

    @property
    def raised(self) -> str:
        """The name that the endpoint gave its error; empty where it gave none, or where that is hidden."""
        return self.type or (self.last.raised if self.last else "")

    def without_excerpt(self) -> "StepError":
        """The error without anything that the endpoint said."""
        return replace(self, excerpt="", type="", last=self.last and self.last.without_excerpt())


CANCELLED: Final = StepError(ErrorKind.CANCELLED)
STEP_CANCELLED: Final = StepError(ErrorKind.STEP_CANCELLED)


# A control character of a text, as JSON writes it.
ESCAPED: Final = 6
_OF_A_STEP: Final = frozenset({ErrorKind.STEP_CANCELLED, ErrorKind.CHILD_CANCELLED})


def is_step_cancelled(error: StepError | None) -> bool:
    """Whether a step was cancelled without its run."""
    return error is not None and error.kind in _OF_A_STEP


def sentence_of(error: StepError | None) -> str | None:
    """The sentence for people, where there is an error."""
    return None if error is None else str(error)


def timed_out(error: StepError | None) -> bool:
    """Whether the endpoint was called and did not answer within the attempt's time."""
    return error is not None and error.kind is ErrorKind.TIMED_OUT


@dataclass(frozen=True, slots=True)
class StoredBody:
    """An endpoint's body as it is stored: always text; `form` says how to read it."""

    text: Text
    form: Literal["json", "text", "base64"]
    content_type: str | None = None

    def __post_init__(self) -> None:
        if len(self.text) > INLINE_MAX_BYTES:
            object.__setattr__(self, "text", text_of(self.text))


# What a timer answers.
NOTHING: Final = StoredBody(b"null", "json")


@dataclass(frozen=True, slots=True)
class NotMade:
    """Atomic did not call the endpoint: `error` says why. It can be tried again after `again_in_ms`."""

    error: StepError
    again_in_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointResponse:
    """The result of a call. `status` is None if no complete answer arrived; `error` then says why.

    An `error` with a status replaces what Atomic says of that status.

    `not_made`: Atomic itself could not make the call; nothing else is set then.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: StepError | None = None
    too_large: bool = False
    not_made: NotMade | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An attempt's end. `waiting_for` holds step ids, or EVERY_CHILD, when the endpoint suspended itself.

    `wake` then says which of these steps wake it; None means any of them.
    `answer_within_ms`: the attempt has not ended yet; its answer is to be posted within this time.
    `continued_as` is the root of the run that goes on in place of this one.
    `cancelled`: the endpoint says that it has ended because it was told of a cancel.
    `build` is the build that answered. `unused_results` counts the steps whose results a finished handler
    never asked for.
    """

    kind: OutcomeKind
    status: int | None = None
    error: StepError | None = None
    response: StoredBody | None = None
    retry_after_ms: int | None = None
    waiting_for: tuple[str, ...] = ()
    wake: WakePolicy | None = None
    answer_within_ms: int | None = None
    continued_as: str | None = None
    cancelled: bool = False
    build: str | None = None
    unused_results: int = 0


# The end of an attempt that was under way when its step was cancelled.
BROKEN_OFF: Final = Outcome(kind=OutcomeKind.NO_ANSWER, error=CANCELLED)


def classify(answer: EndpointResponse, policy: RetryPolicy, now_ms: int) -> Outcome:
    """Read an answer: 2xx succeeds, most others are retried (404 included), a few are permanent."""
    outcome = _outcome(answer, policy, now_ms)
    if _OF_THE_CODE.isdisjoint(answer.headers):
        return outcome
    return replace(
        outcome,
        cancelled=answer.headers.get(headers.CANCELLED, "").strip().lower() == "true",
        build=headers.parse_build(answer.headers.get(headers.BUILD, "")),
        unused_results=headers.parse_unused_results(answer.headers.get(headers.UNUSED_RESULTS, "")),
    )


def _outcome(answer: EndpointResponse, policy: RetryPolicy, now_ms: int) -> Outcome:
    if answer.status is None:
        error = answer.error or StepError(ErrorKind.NO_ANSWER)
        return Outcome(kind=OutcomeKind.RETRYABLE, error=replace(error, detail=storable_text(error.detail)))
    is_success = 200 <= answer.status <= 299
    if is_success and answer.too_large:
        too_large = StepError(ErrorKind.RESPONSE_TOO_LARGE, str(RESPONSE_MAX_BYTES))
        return Outcome(kind=OutcomeKind.PERMANENT, status=answer.status, error=too_large)
    if is_success:
        return _accepted(answer, answer.status)
    return _refused(answer, answer.status, policy, now_ms)


def read_response(body: bytes, content_type: str | None) -> StoredBody:
    """The body as JSON if it can be parsed, else as text, else as base64. Raises nothing."""
    return _read(body, content_type)[0]


def _read(body: bytes, content_type: str | None) -> tuple[StoredBody, Any]:
    """The body as in `read_response`, and its value where it is JSON."""
    content_type = storable_text(content_type[:_CONTENT_TYPE_MAX]) if content_type else None
    plain = body.removeprefix(codecs.BOM_UTF8)
    if not plain:
        return StoredBody(b"null", "json", content_type), None
    try:
        value = parse_json(plain)
    except JsonRefused:
        return _as_text(body, content_type), None
    return StoredBody(plain, "json", content_type), value


def _excerpt_of(response: StoredBody, value: Any) -> str:
    """The excerpt: the beginning of what an endpoint says about its failure, on one line; may be empty.

    It is the plain text, or the member of a JSON object that usually holds it (`detail` in RFC 9457).
    """
    said: object = None
    if isinstance(value, dict):
        if failures.is_step_failed(value):
            # The handler passed on the failure of one of its steps; the reason of that step is more useful.
            value = {"detail": failures.cause(failures.innermost(value))}
        said = next((value[name] for name in _WORDS if isinstance(value.get(name), str)), None)
    elif response.form == "text" and (response.content_type or "").lower().startswith("text/plain"):
        said = at_hand(response.text)[: 8 * EXCERPT_MAX_CHARS].decode(errors="ignore")
    if not isinstance(said, str):
        return ""
    return on_one_line(said)


def _accepted(answer: EndpointResponse, status: int) -> Outcome:
    if status == 202 and headers.CONTINUE_AS in answer.headers:
        return _continued(answer, status)
    if status == 202 and headers.ANSWER_WITHIN in answer.headers:
        return _answered_later(answer, status)
    if status == 202 and headers.WAITING_FOR in answer.headers:
        return _suspended(answer, status)
    content_type = answer.headers.get(headers.CONTENT_TYPE)
    response = read_response(answer.body, content_type)
    refusal = _unstorable(answer.body, content_type) if response.form != "json" else None
    if refusal is not None:
        error = StepError(ErrorKind.RESPONSE_NOT_STORABLE, refusal)
        return Outcome(kind=OutcomeKind.PERMANENT, status=status, error=error, response=response)
    return Outcome(kind=OutcomeKind.SUCCEEDED, status=status, response=response)


def _continued(answer: EndpointResponse, status: int) -> Outcome:
    """The run goes on as another one. Whether it may is for `application.links` to find out."""
    asked = answer.headers[headers.CONTINUE_AS].strip()
    is_alone = answer.headers.keys().isdisjoint({headers.WAITING_FOR, headers.ANSWER_WITHIN})
    if is_alone and keys.is_step_id(asked):
        return Outcome(kind=OutcomeKind.SUCCEEDED, status=status, continued_as=asked)
    return not_continued(status, "takes the id of a root, and stands alone")


def not_continued(status: int | None, cause: str) -> Outcome:
    """The run cannot go on as the one that the endpoint named. Another attempt would name it again."""
    error = StepError(ErrorKind.INVALID_CONTINUE_AS, cause)
    return Outcome(kind=OutcomeKind.PERMANENT, status=status, error=error)


def _answered_later(answer: EndpointResponse, status: int) -> Outcome:
    asked = answer.headers[headers.ANSWER_WITHIN]
    within_ms = headers.parse_answer_within_ms(asked)
    if within_ms is None or headers.WAITING_FOR in answer.headers:
        error = StepError(ErrorKind.INVALID_ANSWER_WITHIN, repr(on_one_line(storable_text(asked))))
        return Outcome(kind=OutcomeKind.RETRYABLE, status=status, error=error)
    return Outcome(kind=OutcomeKind.NO_ANSWER, status=status, answer_within_ms=within_ms)


def _suspended(answer: EndpointResponse, status: int) -> Outcome:
    named = [part.strip() for part in answer.headers[headers.WAITING_FOR].split(",")]
    asked = answer.headers.get(headers.WAKE, "any").strip().lower()
    wake = next((policy for policy in WAKE_POLICIES if policy == asked), None)
    if wake is None:
        error = StepError(ErrorKind.UNKNOWN_WAKE, repr(on_one_line(storable_text(asked))))
        return Outcome(kind=OutcomeKind.RETRYABLE, status=status, error=error)
    if EVERY_CHILD in named:
        ids: tuple[str, ...] = (EVERY_CHILD,)
    else:
        ids = tuple(dict.fromkeys(part for part in named if keys.is_step_id(part)))[:NAMED_MAX]
    return Outcome(
        kind=OutcomeKind.SUSPENDED,
        status=status,
        waiting_for=ids,
        wake=None if wake == "any" else wake,
    )


def _refused(answer: EndpointResponse, status: int, policy: RetryPolicy, now_ms: int) -> Outcome:
    forbidden = (
        answer.headers.get(headers.NO_RETRY, "").strip().lower() == "true"
        or answer.headers.get(headers.NO_RETRY_ALIAS, "").strip().lower() == "abort-message"
    )
    types = headers.parse_error_types(answer.headers.get(headers.ERROR_TYPE, ""))
    retried = not forbidden and policy.retries(status, types)
    retry_after = answer.headers.get(headers.RETRY_AFTER)
    response, value = _read(answer.body, answer.headers.get(headers.CONTENT_TYPE))
    kind = OutcomeKind.RETRYABLE if retried else OutcomeKind.PERMANENT
    refused = answer.headers.get(headers.REFUSED, "").strip().lower() == "true"
    if status == 503 and refused and not forbidden:
        kind = OutcomeKind.DEFERRED
    return Outcome(
        kind=kind,
        status=status,
        error=replace(
            _refusal(answer, status, forbidden=forbidden, excerpt=_excerpt_of(response, value)),
            type=types[0] if types else "",
        ),
        response=response,
        retry_after_ms=headers.parse_retry_after_ms(retry_after, now_ms) if retry_after else None,
    )


def _refusal(answer: EndpointResponse, status: int, *, forbidden: bool, excerpt: str) -> StepError:
    """The error of an answer without success. The error of a redirect says where the redirect leads."""
    if forbidden:
        return StepError(ErrorKind.FORBADE_RETRY, str(status), excerpt)
    if answer.error is not None:
        return replace(answer.error, excerpt=excerpt)
    if not 300 <= status <= 399:
        return StepError(ErrorKind.ENDPOINT_ANSWERED, str(status), excerpt)
    location = on_one_line(storable_text(answer.headers.get(headers.LOCATION, "")))
    return StepError(
        ErrorKind.REDIRECT_REFUSED, str(status), f"call {location} instead" if location else excerpt
    )


def _unstorable(body: bytes, content_type: str | None) -> str | None:
    """Why an answer that claims to be JSON, and that lenient parsers accept, cannot be stored as JSON.

    Stored as text it would silently change its type for its readers.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        return None
    try:
        # Numbers are not converted: Python refuses integers of more than 4300 digits.
        text = body.decode("utf-8-sig")
        json.loads(text, parse_int=len, parse_float=len)
        parse_json(text)
    except JsonRefused as refused:
        return str(refused)
    except (ValueError, RecursionError):
        pass
    return None


def on_one_line(said: str) -> str:
    """The beginning of a text as an excerpt."""
    words = " ".join("".join(c if c.isprintable() else " " for c in said[: 8 * EXCERPT_MAX_CHARS]).split())
    return words if len(words) <= EXCERPT_MAX_CHARS else f"{words[: EXCERPT_MAX_CHARS - 1]}…"


def storable_text(text: str) -> str:
    """The text without lone surrogates. Decoded headers have one for each raw byte. No store takes them."""
    return text.encode(errors="replace").decode()


def decoded_text(body: bytes, content_type: str | None) -> str:
    """The text of a body, in the charset of its type. Raises ValueError when it is none."""
    _, _, charset = (content_type or "").lower().partition("charset=")
    charset = charset.partition(";")[0].strip().strip('"') or "utf-8"
    if not _CHARSETS.fullmatch(charset):
        raise ValueError(charset)
    try:
        return body.decode(charset)
    except LookupError as unknown:
        raise ValueError(charset) from unknown


def _as_json_bytes(text: str, stored: bytes) -> int:
    """How long the text is in a JSON document; an upper bound for a short one."""
    if ESCAPED * len(stored) <= RESPONSE_MAX_BYTES:
        return ESCAPED * len(stored)
    return len(stored) + len(json.dumps(text, ensure_ascii=False)) - len(text)


def _as_text(body: bytes, content_type: str | None) -> StoredBody:
    try:
        text = decoded_text(body, content_type)
        stored = text.encode()
        # Some charsets become longer in UTF-8 than in base64, and control characters do in documents.
        if (
            len(stored) <= RESPONSE_MAX_BYTES
            and _as_json_bytes(text, stored) <= RESPONSE_MAX_BYTES * 4 // 3
        ):
            return StoredBody(stored, "text", content_type)
    except ValueError:
        pass
    return StoredBody(base64.b64encode(body), "base64", content_type)
