"""The requests of the API as pydantic models. Durations are integer milliseconds."""

import re
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from atomic.protocol import defaults, keys
from atomic.protocol.constants import (
    JSON_MAX_DEPTH,
    KEY_MAX_CHARS,
    MESSAGE_MAX_BYTES,
    NAME_MAX_CHARS,
    PAYLOAD_MAX_BYTES,
    URL_MAX_CHARS,
)
from atomic.protocol.enums import Kind, OnCancel, OnLost, RunEvent
from atomic.protocol.flow import FlowEntries
from atomic.protocol.problems import INVALID_REQUEST, Problem, invalid, too_long
from atomic.protocol.singles import Debounced, SingletonOptions
from atomic.protocol.start_times import StartBy
from atomic.protocol.strict_json import JsonRefused, parse_json, shortest
from atomic.protocol.tags import Tags
from atomic.protocol.urls import parse_url
from atomic.protocol.wire import (
    RESERVED,
    Duration,
    MomentIfGiven,
    PositiveDuration,
    RetryOptions,
    WireModel,
    unreserved,
    without_default,
)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# RFC 9110, 5.6.2.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADERS_MAX: Final = 32
_CAPTURED_MAX: Final = 8
_HEADER_MAX_CHARS: Final = 8192
# A body may hold a hundred unknown members; the answer names only some of them.
_ERRORS_MAX: Final = 20
# More than any request has. Each unknown member costs an error of its own, 2 µs.
_MEMBERS_MAX: Final = 100


def _key(text: str) -> str:
    if not keys.is_idempotency_key(text):
        raise PydanticCustomError("key", "use 1 to 255 visible ASCII characters, without spaces")
    return text


def is_name(text: str) -> bool:
    """Whether a workflow may have this name."""
    return 1 <= len(text) <= NAME_MAX_CHARS and not _CONTROL.search(text) and text.strip() == text


def _name(text: str) -> str:
    if not is_name(text):
        raise PydanticCustomError("name", "use no control characters and no space at the ends")
    return text


def _url(text: str) -> str:
    try:
        parse_url(text)
    except ValueError as refused:
        raise PydanticCustomError("url", "{cure}", {"cure": str(refused)}) from None
    return text


def _step_id(text: str) -> str:
    if not keys.is_step_id(text):
        raise PydanticCustomError("step_id", "use the id of a step, from its Atomic-Step-Id header")
    return text


def _root_id(text: str) -> str:
    if not (keys.is_step_id(text) and text == keys.root_of(keys.run_of(text))):
        raise PydanticCustomError("root_id", "use the id of the run's root; only a root can be continued")
    return text


def _header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text):
        raise PydanticCustomError("header", "use the name of a header, such as Retry-After")
    return text.lower()


Key = Annotated[str, Field(max_length=KEY_MAX_CHARS), AfterValidator(_key)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX_CHARS), AfterValidator(_name)]
NewName = Annotated[Name, AfterValidator(unreserved)]
Url = Annotated[str, Field(min_length=1, max_length=URL_MAX_CHARS), AfterValidator(_url)]
RunHooks = Annotated[
    dict[RunEvent, Url],
    Field(
        description="Of a run: a URL for each of its events that is to be told, under a base URL of the "
        "client. It is called as those of the client's hooks are."
    ),
]
HeaderName = Annotated[str, Field(max_length=NAME_MAX_CHARS), AfterValidator(_header_name)]
HeaderValue = Annotated[str, Field(max_length=_HEADER_MAX_CHARS)]
StepId = Annotated[str, AfterValidator(_step_id)]
RootId = Annotated[str, AfterValidator(_root_id)]

Model = TypeVar("Model", bound=WireModel)


# Members that only steps of some kinds have, and why the others do not.
_OF_KINDS: Final[dict[str, tuple[tuple[Kind, ...], str]]] = {
    "on_lost": (("http", "run"), "has no attempts"),
    "start_at": (("http", "timer", "run"), "starts when it is posted"),
    "start_by": (("http", "run"), "makes no attempt of its own"),
    "heartbeat": (("event",), "is no event"),
    "capture": (("event",), "has no callback URL"),
    "run": (("run",), "starts no run"),
    "on_cancel": (("run",), "starts no run"),
    "detached": (("run",), "starts no run"),
    "continues": (("http",), "starts no run that goes on"),
    "flow": (("http", "run"), "has no attempts"),
    "singleton": (("http", "run"), "starts no run"),
    "debounce": (("http", "run"), "starts no run"),
    "paused": (("http",), "is no run"),
    "tags": (("http", "run"), "starts no run"),
    "hooks": (("http",), "is no run"),
}


class ChildRun(WireModel):
    """The run that a step of kind `run` starts: its own name and key."""

    workflow_name: NewName
    idempotency_key: Key


class StartRequest(WireModel):
    """`POST /{clientId}`: call this URL with this key until it succeeds, remember the answer."""

    workflow_name: Name
    kind: Kind = "http"
    step_invoke_url: Url | None = Field(
        default=None,
        description="The endpoint to call; required for kind `http`, and for kind `run`: that of the run.",
    )
    step_name: Name | None = None
    idempotency_key: Key | None = Field(
        default=None, description="Required, here or in the header `Idempotency-Key`."
    )
    payload: Any = None
    timeout: Duration | None = Field(
        default=None,
        description="How long the caller waits for the result (milliseconds); the default is "
        f"{defaults.ROOT_WAIT_MS} for the root of a run and {defaults.STEP_WAIT_MS} for the steps that its "
        "handlers post.",
    )
    retry: RetryOptions = RetryOptions()
    parent: StepId | None = Field(
        default=None, description="The step whose handler posts this one: its `Atomic-Step-Id`."
    )
    delay: Duration = Field(default=0, description="Time before the first attempt.")
    start_at: MomentIfGiven = Field(
        default=None,
        json_schema_extra=without_default,
        description="When the first attempt begins, or a timer is done, in place of `delay`; at once if "
        "this time is over.",
    )
    start_by: StartBy = Field(
        default=None,
        json_schema_extra=without_default,
        description="The step fails (`start_expired`) unless its first attempt has begun by this time, or "
        "within so many milliseconds after its start.",
    )
    deadline: PositiveDuration | None = Field(default=None, description="Total time of the step.")
    heartbeat: PositiveDuration | None = Field(
        default=None,
        description="An event expires when no heartbeat is posted for so long (milliseconds). The first "
        "one is the post that opens it.",
    )
    attempt_timeout: PositiveDuration | None = Field(
        default=None,
        description="Total time of one HTTP attempt (milliseconds); the default is "
        f"{defaults.ATTEMPT_TIMEOUT_MS}.",
    )
    on_lost: OnLost = Field(
        default="repeat",
        description="What happens when the process that made an attempt was lost before it recorded an "
        "answer: the endpoint is called again, or the step fails, since it may have been called.",
    )
    capture: list[HeaderName] = Field(
        default_factory=list,
        max_length=_CAPTURED_MAX,
        description="Of an event: the headers that its result keeps when it comes to the callback URL, "
        "beside the body as it was sent. A handler can so verify a signature.",
    )
    run: ChildRun | None = Field(
        default=None, description="Kind `run` only, and required: the run to start, or to attach to."
    )
    on_cancel: OnCancel = Field(
        default="cancel",
        description="Kind `run` only: what becomes of the run that this step has started, when the step is "
        "cancelled.",
    )
    detached: bool = Field(
        default=False,
        description="Kind `run` only: the step succeeds when the run exists, and does not wait for it.",
    )
    continues: RootId | None = Field(
        default=None,
        description="The root whose handler starts this run to go on in its place; see "
        "`Atomic-Continue-As`. Its attempt token is required.",
    )
    flow: FlowEntries = Field(default_factory=list)
    singleton: SingletonOptions | None = Field(
        default=None, description="Of a run: of those that share the key, one goes on at a time."
    )
    debounce: Debounced = Field(
        default=None, description="Of a run: of a burst of starts only the last one runs."
    )
    paused: bool = Field(
        default=False, description="Of a run: it is paused from its start, and begins when it is resumed."
    )
    tags: Tags = Field(default_factory=dict)
    hooks: RunHooks = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "StartRequest":
        calls = self.kind in {"http", "run"}
        if calls and self.step_invoke_url is None:
            raise PydanticCustomError("url_missing", "stepInvokeUrl: name the URL to call")
        if not calls and self.step_invoke_url is not None:
            cure = "stepInvokeUrl: a step of kind {kind} calls nothing; leave it out"
            raise PydanticCustomError("url_surplus", cure, {"kind": self.kind})
        if not calls and self.step_name is None:
            cure = "stepName: a step of kind {kind} needs a name"
            raise PydanticCustomError("name_missing", cure, {"kind": self.kind})
        if self.kind in {"timer", "value"} and self.parent is None:
            cure = "parent: name the step whose handler posts it; a {kind} is no workflow"
            raise PydanticCustomError("parent_missing", cure, {"kind": self.kind})
        self._refuse_members_of_other_kinds()
        if self.kind == "value":
            self._refuse_times()
        if self.kind == "run":
            self._fits_a_run()
        if self.continues is not None and self.parent is not None:
            cure = "continues: the run that goes on has no parent; leave one of the two out"
            raise PydanticCustomError("member_surplus", cure)
        return self

    @model_validator(mode="after")
    def _has_one_start(self) -> "StartRequest":
        if self.start_at is None:
            return self
        if "delay" in self.model_fields_set:
            raise PydanticCustomError("two_starts", "startAt: give it, or delay, and not both")
        if isinstance(self.start_by, int) and self.start_by <= self.start_at:
            raise PydanticCustomError("start_order", "startBy: use a time after startAt")
        return self

    @model_validator(mode="after")
    def _shares_one_key(self) -> "StartRequest":
        if self.singleton is None and self.debounce is None:
            return self
        name = "debounce" if self.singleton is None else "singleton"
        if self.debounce is not None and self.singleton is not None:
            raise PydanticCustomError("two_keys", "debounce: give it, or singleton, and not both")
        if self.parent is not None and self.kind == "http":
            cure = "{member}: a step is no run; give it to the start of the run, or use kind run"
            raise PydanticCustomError("member_surplus", cure, {"member": name})
        if self.continues is not None:
            cure = "{member}: the run that goes on has what the run before had; leave it out"
            raise PydanticCustomError("member_surplus", cure, {"member": name})
        if self.debounce is not None:
            self._refuse_other_starts()
        return self

    def _refuse_other_starts(self) -> None:
        for name in ("delay", "start_at", "start_by"):
            if name in self.model_fields_set:
                cure = "{member}: debounce says when the run starts; leave one of the two out"
                raise PydanticCustomError("two_starts", cure, {"member": to_camel(name)})

    def _refuse_members_of_other_kinds(self) -> None:
        for name in self.model_fields_set & _OF_KINDS.keys():
            kinds, why = _OF_KINDS[name]
            if self.kind not in kinds and getattr(self, name) is not None:
                cure = f"{to_camel(name)}: a step of kind {self.kind} {why}; leave it out"
                raise PydanticCustomError("member_surplus", "{cure}", {"cure": cure})
        if self.parent is None and self.workflow_name.startswith(keys.RESERVED_NAMES):
            raise PydanticCustomError("reserved", f"workflowName: {RESERVED}")
        if self.paused and self.parent is not None:
            cure = "paused: a run is paused, and not one of its steps; leave it out"
            raise PydanticCustomError("member_surplus", cure)
        if self.hooks and self.parent is not None:
            cure = "hooks: a run has them, and not one of its steps; leave them out"
            raise PydanticCustomError("member_surplus", cure)
        if self.tags and self.parent is not None and self.kind == "http":
            cure = "tags: a step is no run; give them to the start of the run, or use kind run"
            raise PydanticCustomError("member_surplus", cure)

    def _fits_a_run(self) -> None:
        if self.parent is None:
            cure = "parent: name the step whose handler posts it; without one, start the run itself"
            raise PydanticCustomError("parent_missing", cure)
        if self.run is None:
            cure = "run: give the run its own workflowName and idempotencyKey"
            raise PydanticCustomError("run_missing", cure)

    def _refuse_times(self) -> None:
        for name in ("retry", "timeout", "delay", "deadline", "attempt_timeout"):
            if name in self.model_fields_set:
                member = type(self).model_fields[name].alias
                cure = "{member}: a value has its outcome when it is posted; leave it out"
                raise PydanticCustomError("member_surplus", cure, {"member": member})


class AnswerRequest(WireModel):
    """`POST /{clientId}/steps/{stepId}/answer`: what the endpoint would have answered."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        max_length=_HEADERS_MAX,
        description="Such as `Atomic-No-Retry` and `Retry-After`; the content type is that of JSON.",
    )
    body: Any = None


def read_message(model: type[Model], body: bytes, *, max_bytes: int = MESSAGE_MAX_BYTES) -> Model:
    """Parse and validate a request body of up to `max_bytes` of compact JSON.

    Raises Problem 400 that names every wrong field, and 413 for a body that is too long in any spelling.
    """
    # This is a lower bound of the length. It is known without parsing the body.
    if len(body) > max_bytes and shortest(body) > max_bytes:
        member = "payload" if "payload" in model.model_fields else "body"
        raise too_long(member, PAYLOAD_MAX_BYTES)
    try:
        # The payload may have the full depth, and is itself one level down.
        document = parse_json(body, max_depth=JSON_MAX_DEPTH + 1)
    except JsonRefused as refused:
        raise invalid("body", str(refused)) from None
    if not isinstance(document, dict):
        raise invalid("body", "send a JSON object")
    for members in (document, *map(document.get, _paths_of_messages(model))):
        if isinstance(members, dict) and len(members) > _MEMBERS_MAX:
            raise invalid(
                "body", f"an object of more than {_MEMBERS_MAX} members; see /docs for those it has"
            )
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _problem_of(error, model) from None


@cache
def _paths_of_messages(model: type[WireModel]) -> tuple[str, ...]:
    """The members of a message that are messages themselves."""
    return tuple(
        field.alias or name
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, WireModel)
    )


def _problem_of(error: ValidationError, model: type[WireModel]) -> Problem:
    errors = []
    for found in error.errors(include_url=False, include_input=False)[:_ERRORS_MAX]:
        # The name of a member is marked so where the model says which names there are.
        location = [part for part in found["loc"] if part != "[key]"]
        field = ".".join(str(part)[:NAME_MAX_CHARS] for part in location)
        message = found["msg"]
        if not field:
            field, _, message = message.rpartition(": ")
        if found["type"] == "extra_forbidden":
            message = f"unknown field; known are {', '.join(_known_fields(model, found['loc']))}"
        errors.append({"field": field or "body", "message": message})
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return Problem(INVALID_REQUEST, detail, {"errors": errors})


def _known_fields(model: type[WireModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        for name, field in model.model_fields.items():
            if part in {name, field.alias} and (inner := _message_in(field.annotation)) is not None:
                model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _message_in(annotation: Any) -> type[WireModel] | None:
    """The message that a member is, may be, or has a list of."""
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _message_in(inner))), None)
