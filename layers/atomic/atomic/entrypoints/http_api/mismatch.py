"""What is said of an identity that comes again with another payload: which step, and where they differ."""

from typing import Any

from atomic.application.redaction import redacted_payload
from atomic.domain.clients.client import Client
from atomic.domain.steps import Step, StepSpec
from atomic.protocol.canonical import parse_json
from atomic.protocol.differences import first_difference
from atomic.protocol.problems import PAYLOAD_MISMATCH, Problem


def payload_mismatch(first: Step, spec: StepSpec, client: Client) -> Problem:
    """The 422. Of the first payload only a key that may read is told anything, without what is hidden.

    With the place alone, a key that may not could find out the payload member by member.
    """
    name = spec.step_name or spec.url
    members: dict[str, Any] = {
        "id": first.id,
        "stepInvokeUrl": spec.url or None,
        "stepName": spec.step_name or None,
        "firstFingerprint": first.spec.fingerprint[:12],
        "fingerprint": spec.fingerprint[:12],
    }
    where = "."
    if "read" in client.scopes:
        found = first_difference(
            *(
                parse_json(redacted_payload(payload, client))
                for payload in (first.spec.payload, spec.payload)
            )
        )
        if found is not None:
            where = f": {found.path} was {found.first} and is {found.now} now."
            members["difference"] = found.path
    detail = (
        f"{name} was posted before with another payload{where} That step is untouched. Use a new "
        "idempotencyKey for new work, or post the first payload again."
    )
    return Problem(PAYLOAD_MISMATCH, detail, members)
