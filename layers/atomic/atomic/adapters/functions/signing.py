"""Signatures of AWS (SigV4) with the credentials of this process: its role, or those of the environment."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

from atomic.adapters.functions.invoker import LambdaInvoker
from atomic.application.ports import EndpointInvoker


def lambda_invoker(
    endpoints: EndpointInvoker, api: EndpointInvoker, environ: Mapping[str, str]
) -> LambdaInvoker:
    """An invoker of Lambda functions with the credentials, the region and the endpoint of this process.

    `api` calls Lambda, which may have a private address, in a network with an endpoint of its own. Raises
    ValueError when the region is not set.
    """
    session = Session()
    region = environ.get("AWS_REGION") or session.get_config_variable("region")
    if not region:
        raise ValueError("the region of AWS is not known; set AWS_REGION")
    endpoint = environ.get("AWS_ENDPOINT_URL_LAMBDA") or environ.get("AWS_ENDPOINT_URL", "")
    return LambdaInvoker(endpoints, api, partial(_sign, session), region=region, endpoint=endpoint)


async def _sign(session: Session, region: str, url: str, body: bytes) -> dict[str, str]:
    """Implements `invoker.Sign`."""
    # Credentials of a role are refreshed over the network.
    credentials = await asyncio.to_thread(_frozen, session)
    request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
    SigV4Auth(credentials, "lambda", region).add_auth(request)
    return dict(request.headers.items())


def _frozen(session: Session) -> Any:
    credentials = session.get_credentials()
    if credentials is None:
        raise ValueError("there are no credentials of AWS")
    return credentials.get_frozen_credentials()
