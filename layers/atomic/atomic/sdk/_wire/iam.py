"""Requests to Atomic that are signed with credentials of AWS (SigV4) instead of an API key."""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from botocore.session import Session

_GATEWAY: Final = re.compile(r"https://[^/]+\.execute-api\.([a-z0-9-]+)\.")
_AUTH: Final = "ATOMIC_AUTH"

# The headers that authorize a request, from its method, URL and body.
Sign = Callable[[str, str, bytes], Mapping[str, str]]
Auth = Literal["iam"] | Sign


def signer_of(auth: Auth | None, url: str) -> Sign | None:
    """What signs the requests to this server; None when they carry an API key.

    Without `auth`, ATOMIC_AUTH counts. Raises ValueError for other values, and ModuleNotFoundError when
    botocore is missing.
    """
    given = auth or os.environ.get(_AUTH) or None
    if given is None or callable(given):
        return given
    if given != "iam":
        raise ValueError(f"{'auth' if auth else _AUTH} {given!r}: use iam, or leave it out for API keys")
    try:
        from botocore.session import Session
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "botocore is not installed, and signing requests for IAM needs it: "
            "pip install 'atomic-workflows[aws]'",
            name="botocore",
        ) from None
    session = Session()
    of_gateway = _GATEWAY.match(url)
    region = of_gateway[1] if of_gateway else _region(session)
    if not region:
        raise ValueError(f"the region of {url} is not known: set AWS_REGION")
    return partial(_sign, session, region)


def signable(url: str) -> str:
    """The URL as it is signed: spaces of its query as AWS writes them."""
    path, mark, query = url.partition("?")
    return path + mark + query.replace("+", "%20")


def _region(session: "Session") -> Any:
    return os.environ.get("AWS_REGION") or session.get_config_variable("region")


def _sign(session: "Session", region: str, method: str, url: str, body: bytes) -> Mapping[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    credentials = session.get_credentials()
    if credentials is None:
        raise ValueError("there are no credentials of AWS: give the process a role or AWS_ACCESS_KEY_ID")
    request = AWSRequest(method, url, {}, body)
    SigV4Auth(credentials.get_frozen_credentials(), "execute-api", region).add_auth(request)
    return dict(request.headers.items())
