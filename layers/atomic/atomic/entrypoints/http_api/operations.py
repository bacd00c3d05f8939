"""The operations of the API as a reader of its description needs them; `openapi` writes them down."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from atomic.domain.steps import Status
from atomic.entrypoints.http_api import client_requests
from atomic.protocol import documents, problems, requests
from atomic.protocol.constants import DURATION_MAX_MS, PAGE_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route as a reader of the documentation needs it."""

    method: str
    path: str
    id: str
    summary: str
    description: str = ""
    query: tuple[dict[str, Any], ...] = ()
    headers: tuple[dict[str, Any], ...] = ()
    request: type[BaseModel] | None = None
    any_json_body: bool = False
    needs_body: bool = True
    answers: tuple[tuple[int, type[BaseModel], str], ...] = ()
    content_type: str | None = None
    refusals: tuple[problems.ProblemType, ...] = ()


def _parameter(name: str, where: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "description": description, "schema": schema}


_MOMENTS = (
    _parameter("createdAfter", "query", "Created at or after.", type="string", format="date-time"),
    _parameter("createdBefore", "query", "Created before.", type="string", format="date-time"),
)
_PAGE = (
    _parameter("cursor", "query", "Where the last page ended.", type="string"),
    _parameter("limit", "query", "How many on a page.", type="integer", minimum=1, maximum=PAGE_MAX),
)
_WAIT = _parameter(
    "wait",
    "query",
    "Wait this long (milliseconds) for the step to settle.",
    type="integer",
    minimum=0,
    maximum=DURATION_MAX_MS,
)
_OF_CLIENT = (problems.UNAUTHORIZED, problems.NOT_FOUND, problems.UNAVAILABLE)
_ACT = (problems.INVALID_REQUEST, *_OF_CLIENT, problems.TOO_LARGE)
_CHANGE = (*_OF_CLIENT, problems.CLIENT_CONFLICT)

OPERATIONS: Final = (
    Operation(
        method="POST", path="/{clientId}", id="start", summary="Start a step, or attach to it",
        description="Call this URL with this key until it succeeds, remember the answer, give it again "
        "whenever it is asked for. The first post of a run is its workflow; what its handler posts under "
        "the same workflowName and idempotencyKey, or with `parent`, are the steps.",
        headers=(
            _parameter("Idempotency-Key", "header", "Instead of the member.", type="string"),
            _parameter("Prefer", "header", "`wait=SECONDS`, `respond-async` (RFC 7240).", type="string"),
            _parameter("traceparent", "header", "W3C Trace Context to go on with.", type="string"),
        ),
        request=requests.StartRequest,
        answers=(
            (200, documents.StepOutcome, "Succeeded."),
            (202, documents.StepOutcome, "Not finished, and `Prefer: respond-async` was given."),
        ),
        refusals=(
            problems.INVALID_REQUEST, *_OF_CLIENT, problems.URL_NOT_ALLOWED, problems.CANCELLED,
            problems.TOO_LARGE, problems.PAYLOAD_MISMATCH, problems.STEP_FAILED, problems.EVENT_EXPIRED,
            problems.TOO_MANY_REQUESTS, problems.NOT_FINISHED, problems.STORAGE_FULL,
        ),
    ),
    Operation(
        method="POST", path="/{clientId}/probe", id="probe", summary="Call an endpoint once, with no step",
        description="The call that the first attempt of this start would make, signed as it would be. "
        "Nothing is kept of it or repeated, it lasts 20 s at most, and for the client's rate it "
        "is a start.",
        request=requests.StartRequest,
        answers=((200, documents.ProbeResult, "What came of the call."),),
        refusals=(
            problems.INVALID_REQUEST, *_OF_CLIENT, problems.URL_NOT_ALLOWED, problems.TOO_LARGE,
            problems.TOO_MANY_REQUESTS,
        ),
    ),
    Operation(
        method="GET", path="/{clientId}/runs", id="listRuns", summary="List runs, newest first",
        query=(
            _parameter("status", "query", "Only in this state.", type="string", enum=list(Status)),
            _parameter("workflowName", "query", "Only of this workflow.", type="string"),
            _parameter("keyPrefix", "query", "Only keys that begin so.", type="string"),
            *_MOMENTS,
            _parameter("progress", "query", "Say how far each run is, too.", type="boolean"),
            *_PAGE,
        ),
        answers=((200, documents.RunList, "A page of runs."),),
        refusals=(problems.INVALID_REQUEST, *_OF_CLIENT),
    ),
    Operation(
        method="GET", path="/{clientId}/dead-letters", id="listDeadLetters",
        summary="List the steps that failed, by creation, newest first",
        query=(
            _parameter("workflowName", "query", "Only of this workflow.", type="string"),
            _parameter("keyPrefix", "query", "Only keys that begin so.", type="string"),
            *_MOMENTS, *_PAGE,
        ),
        answers=((200, documents.DeadLetterList, "A page of dead letters."),),
        refusals=(problems.INVALID_REQUEST, *_OF_CLIENT),
    ),
    Operation(
        method="GET", path="/{clientId}/runs/{runId}", id="getRun",
        summary="Read a run: root, steps, attempts",
        query=(
            _parameter("after", "query", "Where the last page of steps ended.", type="string"),
            _parameter("limit", "query", "Steps on a page.", type="integer", minimum=1, maximum=1000),
        ),
        answers=((200, documents.RunDocument, "The run."),),
        refusals=(problems.INVALID_REQUEST, *_OF_CLIENT),
    ),
    Operation(
        method="POST", path="/{clientId}/runs/{runId}/cancel", id="cancelRun", summary="Cancel a run",
        description="Every live step ends as cancelled; doing it again changes nothing.",
        answers=((200, documents.RunSummary, "The run as it stands now."),),
        refusals=_ACT,
    ),
    Operation(
        method="GET", path="/{clientId}/steps/{stepId}", id="getStep",
        summary="Read a step, or wait for it", query=(_WAIT,),
        answers=((200, documents.StepDocument, "The step."),),
        refusals=(problems.INVALID_REQUEST, *_OF_CLIENT),
    ),
    Operation(
        method="POST", path="/{clientId}/steps/{stepId}/redrive", id="redriveStep",
        summary="Give a dead letter a fresh budget of attempts",
        description="The failed steps above it go along, so that the run goes on; a root takes every "
        "failed step of its run along. A step that did not fail stays as it is. One whose run was "
        "cancelled, or whose handler went on without it and succeeded, is refused.",
        answers=((200, documents.StepOutcome, "The step as it stands now."),),
        refusals=(*_ACT, problems.NOT_REDRIVABLE),
    ),
    Operation(
        method="POST", path="/{clientId}/redrive", id="redriveMany",
        summary="Redrive the dead letters that fit a filter", request=requests.RedriveRequest,
        answers=((200, documents.RedriveResult, "What was redriven."),),
        refusals=_ACT,
    ),
    Operation(
        method="POST", path="/{clientId}/steps/{stepId}/result", id="postResult",
        summary="Complete an event step", any_json_body=True,
        description="The body, any JSON value, becomes the step's response. The same again is no error.",
        answers=((200, documents.StepOutcome, "The step as it stands now."),),
        refusals=(*_ACT, problems.NOT_AN_OPEN_EVENT),
    ),
    Operation(
        method="GET", path="/{clientId}/stats", id="getStats", summary="Count steps and recent runs",
        query=(
            _parameter(
                "window", "query", "Count runs created within this time (milliseconds).",
                type="integer", minimum=1, maximum=DURATION_MAX_MS,
            ),
        ),
        answers=((200, documents.Stats, "The counts."),),
        refusals=(problems.INVALID_REQUEST, *_OF_CLIENT),
    ),
    Operation(
        method="GET", path="/{clientId}/keys", id="listKeys", summary="List the client's API keys",
        answers=((200, documents.KeyList, "The keys, without what opens."),),
        refusals=_OF_CLIENT,
    ),
    Operation(
        method="POST", path="/{clientId}/keys/{keyId}/rotate", id="rotateKey",
        summary="Make an API key that takes the place of another",
        description="It may do what that one may, or less, and no longer; that one ends after the overlap.",
        request=client_requests.RotateKeyRequest, needs_body=False,
        answers=((201, documents.NewKey, "The new key, shown this once."),),
        refusals=(problems.INVALID_REQUEST, *_CHANGE, problems.TOO_LARGE),
    ),
    Operation(
        method="DELETE", path="/{clientId}/keys/{keyId}", id="revokeKey", summary="Revoke an API key",
        description="Every process refuses it within a minute.",
        answers=((200, documents.KeyList, "The keys that are left."),),
        refusals=(problems.INVALID_REQUEST, *_CHANGE, problems.TOO_LARGE),
    ),
    Operation(
        method="GET", path="/{clientId}/secrets", id="listSecrets",
        summary="List the client's signing secrets",
        answers=((200, documents.SecretList, "Their ages, without the secrets."),),
        refusals=_OF_CLIENT,
    ),
    Operation(
        method="POST", path="/{clientId}/secrets", id="rotateSecret", summary="Make a signing secret",
        description="Both sign until the one before ends after the overlap.",
        request=client_requests.RotateSecretRequest, needs_body=False,
        answers=((201, documents.NewSecret, "The new secret, shown this once."),),
        refusals=(problems.INVALID_REQUEST, *_CHANGE, problems.TOO_LARGE),
    ),
    Operation(
        method="GET", path="/{clientId}", id="getClient", summary="What the client may call and use",
        answers=((200, documents.ClientDocument, "The client."),),
        refusals=_OF_CLIENT,
    ),
    Operation(
        method="PATCH", path="/{clientId}", id="changeClient",
        summary="Change what a client may call and use",
        description="For the operator. What is left out stays as it is, a limit of null is no limit. "
        "Attempts at URLs that are under no base URL any more fail.",
        request=client_requests.ChangeClientRequest,
        answers=((200, documents.ClientDocument, "The client as it stands now."),),
        refusals=(problems.INVALID_REQUEST, *_CHANGE, problems.TOO_LARGE),
    ),
    Operation(
        method="POST", path="/{clientId}/keys", id="addKey", summary="Make one more API key of a client",
        description="For the operator.",
        request=client_requests.AddKeyRequest,
        answers=((201, documents.NewKey, "The new key, shown this once."),),
        refusals=(problems.INVALID_REQUEST, *_CHANGE, problems.TOO_LARGE),
    ),
    Operation(
        method="GET", path="/clients", id="listClients", summary="List clients, by their ids",
        description="For the operator.",
        query=_PAGE,
        answers=((200, documents.ClientList, "A page of clients."),),
        refusals=(problems.INVALID_REQUEST, *_OF_CLIENT),
    ),
    Operation(
        method="POST", path="/clients", id="createClient",
        summary="Make a client, its first API key and its signing secret",
        description="For the operator. Key and secret are shown this once; when the answer is lost, give "
        "the client another key and secret.",
        request=client_requests.CreateClientRequest,
        answers=((201, documents.NewClient, "The client."),),
        refusals=(problems.INVALID_REQUEST, *_CHANGE, problems.TOO_LARGE),
    ),
    Operation(
        method="GET", path="/.well-known/atomic/{client}/jwks.json", id="getSigningKeys",
        summary="Public keys that verify calls to endpoints (Ed25519)",
        description="For clients that sign by Ed25519, too; 404 for any other. No API key is needed.",
        answers=((200, documents.SigningKeys, "The keys."),),
        refusals=(problems.NOT_FOUND, problems.UNAVAILABLE),
    ),
    Operation(
        method="GET", path="/health", id="getHealth", summary="Whether the server can take work",
        answers=((200, documents.Health, "It can."), (503, documents.Health, "It cannot.")),
    ),
    Operation(
        method="GET", path="/openapi.json", id="getOpenapi", summary="This description",
        content_type="application/json",
    ),
    Operation(
        method="GET", path="/docs", id="getDocs", summary="This description as a page",
        content_type="text/html",
    ),
    Operation(
        method="GET", path="/dashboard", id="getDashboard", summary="The dashboard",
        content_type="text/html",
    ),
)  # fmt: skip
