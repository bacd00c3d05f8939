"""`atomic doctor`: checks the configuration, and says how to correct it."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from atomic.cli.api import Api, calls_api, fail
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.signatures import decode_secret
from atomic.sdk import AtomicError
from atomic.sdk._endpoints.serving import signing_secrets
from atomic.sdk._wire.api import probe, start_document


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and its result; `advice` says what to do."""

    check: str
    ok: bool
    advice: str


@click.command()
@click.option(
    "--endpoint",
    help="Also let Atomic call this endpoint: a real POST without a payload, which is not recorded.",
)
@calls_api
def doctor(api: Api, *, endpoint: str | None) -> None:
    """Check URL, client and key, signing secret, and whether Atomic reaches an endpoint."""
    findings = list(_findings(api, endpoint))
    lines = [f"{'ok  ' if found.ok else 'FAIL'}  {found.check}: {found.advice}" for found in findings]
    api.show([asdict(found) for found in findings], "\n".join(lines))
    if not all(found.ok for found in findings):
        fail("at least one check failed; see above", 1)


def _findings(api: Api, endpoint: str | None) -> Iterator[Finding]:
    answers = _api_answers(api)
    yield answers
    yield _signing_secret()
    if endpoint and answers.ok:
        yield _reaches(api, endpoint)


def _api_answers(api: Api) -> Finding:
    at = api.client.connection
    check = f"client {at.client_id!r} at {at.url}"
    try:
        runs = api.client.runs(limit=1)
    except AtomicError as error:
        return Finding(check, False, str(error))
    return Finding(check, True, "answers" + ("" if runs else ", has no runs yet"))


def _signing_secret() -> Finding:
    secrets = signing_secrets()
    if not secrets:
        advice = (
            "not set; endpoints here accept calls from anybody (only suitable for `atomic serve --dev`)"
        )
        return Finding("ATOMIC_SIGNING_SECRET", True, advice)
    try:
        for secret in secrets:
            decode_secret(secret)
    except ValueError as error:
        return Finding("ATOMIC_SIGNING_SECRET", False, f"{error}; copy it from `atomic clients create`")
    return Finding("ATOMIC_SIGNING_SECRET", True, f"set; secrets: {len(secrets)}")


def _reaches(api: Api, endpoint: str) -> Finding:
    check = f"Atomic reaches {endpoint}"
    client = api.client
    key = f"doctor-{time.time_ns()}"
    document = start_document("atomicDoctor", endpoint, None, key=key, options={})
    try:
        probed = client.run_flow(probe(client.client_id, document, client.patience_s))
    except AtomicError as error:
        return Finding(check, False, str(error))
    if probed.response_status is None:
        return Finding(check, False, f"{probed.error}; {_cure(probed.error_kind)}")
    if probed.response_status == 401:
        return Finding(check, False, "it refused the signature: both sides need the same signing secret")
    return Finding(check, True, f"it answered {probed.response_status}")


def _cure(error_kind: str | None) -> str:
    if error_kind == ErrorKind.ADDRESS_NOT_ALLOWED:
        return (
            "for this machine and private networks, start the server with --allow-private (on AWS only "
            "public addresses are called); metadata services are never called"
        )
    return "is it running, and reachable from the server?"
