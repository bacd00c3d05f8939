"""How `atomic doctor --aws` asks AWS: no answer of AWS ends the command."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as AwsConnectionError,
)
from botocore.parsers import ResponseParserError

from atomic.cli.findings import Finding

_CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=10
)
# What boto raises, except for ClientError, which has an answer of AWS.
NO_ANSWER: Final = (BotoCoreError, ResponseParserError)
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_CURES: Final = {
    "ExpiredToken": "the credentials have expired: sign in again (`aws sso login`, or new keys)",
    "ExpiredTokenException": "the credentials have expired: sign in again (`aws sso login`, or new keys)",
    "InvalidClientTokenId": "AWS does not know this access key: see `aws configure list`",
    "UnrecognizedClientException": "AWS does not know this access key: see `aws configure list`",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key, or this clock is wrong",
    "RequestExpired": "this machine's clock is wrong: set it (NTP)",
    "AuthFailure": "AWS does not accept the credentials: see `aws configure list`",
    "OptInRequired": "the account has not enabled this region: choose another one, or enable it",
}


@dataclass(frozen=True)
class Account:
    """The account and the region that the credentials lead to."""

    profile: str | None = None
    region: str | None = None

    @cached_property
    def session(self) -> boto3.Session:
        """The session of all calls. Raises ProfileNotFound."""
        return boto3.Session(profile_name=self.profile, region_name=self.region)

    def client(self, service: str) -> Any:
        """A client of a service, such as `sqs`."""
        make: Any = self.session.client
        return make(service, config=_CONFIG)


# What a check finds: whether it is right, and what to do.
Said = Iterable[tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. It needs the right to one action; `by_hand` is a command that shows the same."""

    name: str
    action: str
    by_hand: str
    look: Callable[[Account], Said]


def findings_of(check: Check, account: Account) -> Iterator[Finding]:
    """Make the check. A refusal of AWS is a finding: what AWS refuses to show is unknown, not wrong."""
    try:
        said = [Finding(check.name, ok, advice) for ok, advice in check.look(account)]
        nothing = Finding(check.name, None, f"AWS says nothing about it; look by hand: {check.by_hand}")
        yield from said or [nothing]
    except ClientError as error:
        if _code(error) in _DENIED:
            advice = f"AWS denies {check.action}: ask for this right, or for the output of: {check.by_hand}"
        else:
            advice = f"{trouble(error)}; look by hand: {check.by_hand}"
        yield Finding(check.name, None, advice)
    except NO_ANSWER as error:
        yield Finding(check.name, None, f"{trouble(error)}; look by hand: {check.by_hand}")


def trouble(error: Exception) -> str:
    """What is wrong, and its cure."""
    if isinstance(error, ClientError):
        code = _code(error)
        message = error.response.get("Error", {}).get("Message")
        return _CURES.get(code) or f"AWS answered {code}{f': {message}' if message else ''}"
    if isinstance(error, NoCredentialsError):
        return "there are no credentials: run `aws configure` or `aws sso login`, or name a --profile"
    if isinstance(error, NoRegionError):
        return "there is no region: set AWS_REGION, or give --region"
    if isinstance(error, ProfileNotFound):
        return f"{error}: see `aws configure list-profiles`"
    if isinstance(error, AwsConnectionError | HTTPClientError):
        return f"no connection to AWS ({error}): check the region's name, the network and the proxy"
    if isinstance(error, ResponseParserError):
        return "something answered that is not AWS: check AWS_ENDPOINT_URL, the network and the proxy"
    return str(error)


def _code(error: ClientError) -> str:
    answer: Mapping[str, Any] = error.response
    return str(answer.get("Error", {}).get("Code", ""))
