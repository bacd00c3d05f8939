"""What goes out over the wire, as pydantic models: the schemas of the API's answers.

Servers build the documents by hand, since a step's answer is on the hot path; tests hold every answer to
these models. Times are RFC 3339 in UTC, durations integer milliseconds.
"""

from typing import Any, Literal

from pydantic import Field

from atomic.protocol.enums import Kind, NotRedrivable, OutcomeName, Scope, StatusName
from atomic.protocol.retry import RetryDocument
from atomic.protocol.wire import Document


class RunSummary(Document):
    """A run as it stands in lists: its root step without payload and response."""

    id: str = Field(description="The root step's id.")
    run_id: str
    parent: str | None = Field(description="The step that this one belongs to; null for a root.")
    kind: Kind
    workflow_name: str
    step_name: str | None
    step_invoke_url: str | None
    idempotency_key: str
    status: StatusName
    generation: int = Field(description="Counts redrives, from 1.")
    attempts: int = Field(description="How often the endpoint was called.")
    error: str | None
    created_at: str
    due_at: str | None = Field(description="When a live step is looked at again.")
    finished_at: str | None


class Progress(Document):
    """How far a run is."""

    steps: dict[StatusName, int] = Field(description="Its steps by state, the root left aside.")
    attempts: int = Field(description="Calls of its endpoints so far, the root's included.")


class ListedRun(RunSummary):
    """A run in a list."""

    progress: Progress | None = Field(default=None, description="Only with `progress=true`.")


class DeadLetter(RunSummary):
    """A step that failed, root or not; `id` is its own, `finishedAt` when it failed."""

    response_status: int | None
    not_redrivable_reason: NotRedrivable | None = Field(
        description="Why it cannot be redriven: the handler above it went on without it and succeeded, "
        "or its run was cancelled; null for one that can."
    )


class StepOutcome(RunSummary):
    """What the caller of a start is told."""

    response: Any = Field(description="The endpoint's body: JSON when it parses, else text.")
    response_status: int | None
    response_content_type: str | None = None
    response_encoding: Literal["base64"] | None = None


class AttemptRecord(Document):
    """One HTTP call."""

    number: int
    generation: int
    started_at: str
    ended_at: str | None
    duration: int | None
    outcome: OutcomeName | None
    status: int | None
    error: str | None
    late: str | None = Field(description="An answer that came after the attempt had lost the step.")


class StepDocument(StepOutcome):
    """Everything about a step."""

    endpoint_key: str | None = Field(
        description="The `Idempotency-Key` that the endpoint is sent; null for a step that calls nothing."
    )
    payload: Any
    delay: int = Field(default=0, description="As it was asked for; of a timer, how long it sleeps.")
    deadline: int | None = Field(default=None, description="As it was asked for.")
    deadline_at: str | None
    attempt_timeout: int
    retries_used: int
    retry: RetryDocument
    waiting_for: list[str]
    trace_id: str
    attempt_log: list[AttemptRecord]


class RunDocument(Document):
    """A run with a page of its steps, oldest first."""

    run: RunSummary
    root: StepDocument
    steps: list[StepDocument]
    estimated_cost_usd: float | None = Field(
        description="What AWS charges for the root and these steps, by list price; null elsewhere."
    )
    next: str | None = Field(description="Path of the next page of steps.")


class RunList(Document):
    """A page of runs, newest first."""

    runs: list[ListedRun]
    next: str | None = Field(description="Path of the next page.")


class DeadLetterList(Document):
    """A page of dead letters, newest first."""

    dead_letters: list[DeadLetter]
    next: str | None = Field(description="Path of the next page.")


class Stats(Document):
    """How much is going on; `runs` counts those created within the window."""

    window: int
    runs: dict[StatusName, int]
    live: dict[StatusName, int]
    dead_letters: int
    oldest_due_at: str | None


class ProbeResult(Document):
    """What came of one call of an endpoint."""

    response_status: int | None = Field(description="Null when no whole answer came.")
    error: str | None = Field(description="What a step would say of it; null for a success.")
    duration: int


class RedriveResult(Document):
    """What a bulk redrive did; ask again while `more` is true."""

    redriven: int
    steps: list[str]
    more: bool


class KeyDocument(Document):
    """An API key, without what opens."""

    id: str = Field(description="The middle part of the key.")
    scopes: list[Scope]
    created_at: str
    expires_at: str | None = Field(description="When it ends, or ended, by itself.")
    takes_over: str | None = Field(description="The key whose place it takes.")


class KeyList(Document):
    """The keys of a client."""

    keys: list[KeyDocument]


class NewKey(KeyDocument):
    """A key that was made just now."""

    api_key: str = Field(description="Shown this once.")


class SecretDocument(Document):
    """A signing secret, without the secret."""

    created_at: str
    expires_at: str | None = Field(description="Until when it signs.")


class SecretList(Document):
    """The signing secrets of a client; each live one signs every call."""

    secrets: list[SecretDocument]


class NewSecret(SecretDocument):
    """A signing secret that was made just now."""

    signing_secret: str = Field(description="Shown this once.")


class ClientDocument(Document):
    """What a client may call and use; null is no limit."""

    client_id: str
    created_at: str
    base_urls: list[str] = Field(description="URLs that it may call begin so.")
    starts_per_second: float | None
    live_steps: int | None
    stored_bytes: int | None = Field(description="Payloads and answers.")
    redact: list[str] = Field(description="Members of payloads and answers that readers see hashed.")
    ed25519: bool = Field(description="Calls are signed by Ed25519, too.")


class ClientList(Document):
    """A page of clients, by their ids."""

    clients: list[ClientDocument]
    next: str | None = Field(description="Path of the next page.")


class NewClient(ClientDocument):
    """A client that was made just now."""

    api_key: str = Field(description="Shown this once.")
    signing_secret: str = Field(description="Shown this once.")


class ProblemDocument(Document):
    """RFC 9457 problem details; some types add members."""

    type: str = Field(description="Stable, as in `urn:atomic:problem:not-found`.")
    title: str
    status: int
    detail: str = Field(description="Names the field and the cure.")


class SigningKey(Document):
    """A public key, as RFC 8037 writes it."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    kid: str
    x: str


class SigningKeys(Document):
    """The public keys by which a client's calls are signed; several while one takes over."""

    keys: list[SigningKey]


class Health(Document):
    """Whether the server can take work."""

    status: Literal["ok", "unavailable"]
    version: str
