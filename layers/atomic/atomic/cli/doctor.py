"""`atomic doctor`: checks the configuration, and says how to correct it."""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import click

from atomic.cli.api import Api, api_options, fail, opened_api, show
from atomic.cli.findings import Finding
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.signatures import decode_secret
from atomic.sdk import AtomicError
from atomic.sdk._endpoints.serving import signing_secrets
from atomic.sdk._wire.api import probe, start_document

_MARKS: Final = {True: "ok  ", False: "FAIL", None: "??  "}
# They choose among accounts, so without --aws they would do nothing.
_OF_AWS: Final = ("stack", "region", "profile")


@click.command()
@click.option(
    "--endpoint",
    help="Also let Atomic call this endpoint: a real POST without a payload, which is not recorded.",
)
@click.option("--aws", is_flag=True, help="Check the AWS account instead.")
@click.option("--stack", help="With --aws: also check this stack after its deployment.")
@click.option("--region", help="With --aws: the region (default: AWS_REGION, or that of the profile).")
@click.option("--profile", help="With --aws: the profile (default: AWS_PROFILE).")
@api_options
def doctor(*, aws: bool, endpoint: str | None, **options: Any) -> None:
    """Check URL, client and key, signing secret, and whether Atomic reaches an endpoint.

    With --aws: check the account before the first deployment, and a stack after it.
    """
    as_json = options["as_json"]
    of_aws = {name: options.pop(name) for name in _OF_AWS}
    if aws:
        found = _of_account(of_aws)
    elif any(of_aws.values()):
        raise click.UsageError("--stack, --region and --profile need --aws")
    else:
        with opened_api(options) as api:
            found = list(_findings(api, endpoint))
    lines = [f"{_MARKS[each.ok]}  {each.check}: {each.advice}" for each in found]
    show([asdict(each) for each in found], "\n".join(lines), as_json=as_json)
    if any(each.ok is False for each in found):
        fail("at least one check failed; see above", 1)


def _of_account(of_aws: dict[str, str | None]) -> list[Finding]:
    try:
        from atomic.cli.aws.doctor import findings
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"{missing.name} is not installed: pip install 'atomic-workflows[aws]'"
        ) from None
    return list(findings(os.environ, **of_aws))


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
            "for a private network, start the server with --allow-network (AWS: the parameter "
            "AllowNetworks), or with --allow-private for this machine, too; metadata services are never "
            "called"
        )
    return "is it running, and reachable from the server?"
