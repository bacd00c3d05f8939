"""Start tokens: short-lived keys that may start a few workflows, and read what became of them."""

import hmac
from dataclasses import replace
from typing import Final

from atomic.application.ports import ClientRegistry
from atomic.application.refusals import NotFound
from atomic.domain.clients.client import Client
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import problems
from atomic.protocol.problems import Problem
from atomic.protocol.start_tokens import StartToken, parse_start_token

# The scope that a token has, and no key.
TOKEN_SCOPE: Final = "start-token"  # noqa: S105 - the name of a scope

# What no start by a token may have, and why.
_REFUSED: Final = {
    "flow": "a token sets no limits that others share; leave it out",
    "tags": "a token gives none, since runs of others are found by them; leave them out",
    "hooks": "a token has no other URLs called than that of its workflow; leave them out",
}


def token_keys(clients: ClientRegistry) -> list[bytes]:
    """The keys of the tokens of a server; new ones are made under the first. None where it has none."""
    return [hmac.digest(secret, b"start tokens", "sha256") for secret in clients.callback_keys]


async def holder_of_token(clients: ClientRegistry, text: str, now_ms: int) -> Client | None:
    """The client whose token this is, with what the token allows; None when it is not valid.

    A forged token costs no read. A token ends with the key for which it was made.
    """
    token = parse_start_token(token_keys(clients), text, now_ms // 1000)
    client = None if token is None else await clients.get(token.client_id)
    if token is None or client is None or not client.has_key(token.key_id):
        return None
    return replace(client, scopes=frozenset({TOKEN_SCOPE}), token=token)


def within_token(token: StartToken, spec: StepSpec) -> StepSpec:
    """The step of a start by a token. Raises Problem 403 if the token does not allow it."""
    at = token.workflows.get(spec.workflow_name)
    if spec.parent is not None or spec.continued_from is not None or spec.kind != "http" or spec.step_name:
        cure = "kind: a token starts workflows; leave out kind, parent, stepName and continues"
    elif at is None:
        cure = f"workflowName: this token may start {', '.join(token.workflows)}"
    elif at != spec.url:
        cure = f"stepInvokeUrl: this token may start {spec.workflow_name} at {at}"
    elif not token.covers(spec.workflow_name, spec.url, spec.idempotency_key):
        cure = f"idempotencyKey: begin it with {token.key_prefix}"
    elif spec.singleton or spec.debounce:
        cure = "singleton, debounce: a token takes no key that others share; leave them out"
    elif (refused := next((name for name in _REFUSED if getattr(spec, name)), None)) is not None:
        cure = f"{refused}: {_REFUSED[refused]}"
    else:
        return spec
    raise Problem(problems.BEYOND_TOKEN, f"{cure}.")


def refuse_unread(token: StartToken, root: Step, *, with_steps: bool = False) -> None:
    """Raise NotFound for a step that is not the root of one of the token's runs."""
    spec = root.spec
    is_covered = root.is_root and token.covers(spec.workflow_name, spec.url, spec.idempotency_key)
    if not is_covered or (with_steps and not token.steps):
        raise NotFound
