"""The AWS runtime: template.yaml, on an emulator with IAM enforced or on AWS; HTTP in both directions.

`make test-aws` deploys the stack on an emulator and puts its outputs into the environment. docs/deploy.md
explains how to name a stack on AWS, which calls the endpoints of this machine by a public URL.
"""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import botocore.session

from atomic.adapters.aws import config
from atomic.domain.clients.quota import Quota
from atomic.entrypoints.aws import client_admin
from atomic.protocol.enums import SCOPES
from atomic.testing import ApiReply
from scenarios.embedded_runtime import EndpointServer, free_port
from scenarios.locked_clients import create_locked
from scenarios.runtime import Runtime
from scenarios.starts import NOBODY

VARIABLE = "ATOMIC_STACK"
# The port of this machine's endpoints, a space, and the public URL by which a stack on AWS calls it.
ENDPOINTS = "ATOMIC_ENDPOINTS"


@dataclass(frozen=True, slots=True)
class AwsStack:
    """A deployed stack."""

    outputs: Mapping[str, str]

    @classmethod
    def here(cls) -> "AwsStack | None":
        """The stack that the environment names."""
        told = os.environ.get(VARIABLE)
        return None if told is None else cls(json.loads(told))

    @property
    def is_emulated(self) -> bool:
        """Whether the stack runs on an emulator on this machine."""
        return "Endpoint" in self.outputs

    @property
    def api(self) -> str:
        """The URL of the API."""
        if not self.is_emulated:
            return self.outputs["Url"]
        return f"{self.outputs['Endpoint']}/_aws/execute-api/{self.outputs['ApiId']}/$default"

    def endpoints(self, port: int | None = None) -> EndpointServer:
        """The URL by which the stack calls endpoints of this process."""
        if self.is_emulated:
            return EndpointServer(port or free_port())
        told, url = os.environ[ENDPOINTS].split()
        return EndpointServer(int(told), url)

    def create_client(
        self, client_id: str, base_urls: Sequence[str], starts_per_s: float | None = None
    ) -> str:
        """Create a client as an operator does; return its API key."""
        api_key, _ = self.create_signed_client(client_id, base_urls, starts_per_s)
        return api_key

    def create_signed_client(
        self, client_id: str, base_urls: Sequence[str], starts_per_s: float | None = None
    ) -> tuple[str, str]:
        """The same; return its signing secret as well."""
        with client_admin.admin(self.outputs["TableName"], os.environ) as admin:
            quota = Quota(starts_per_second=starts_per_s)
            # Of every scope, as everybody has on a server without keys.
            return admin.create(client_id, base_urls=base_urls, quota=quota, scopes=SCOPES)

    def dynamodb(self) -> Any:
        """A DynamoDB client with the operator's credentials, from the environment."""
        return config.dynamodb_client()

    def sqs(self) -> Any:
        """An SQS client with the operator's credentials."""
        return config.sqs_client()

    def invoke_maintenance(self, work: str = "sweep") -> str:
        """Ask for a round of maintenance now; return the number of clients, whose messages follow."""
        functions = botocore.session.get_session().create_client("lambda")
        answer = functions.invoke(
            FunctionName=self.outputs["MaintenanceFunctionName"], Payload=json.dumps({"work": work})
        )
        return str(answer["Payload"].read().decode())

    async def warm(self) -> None:
        """Call the API once, with a timeout that is long enough for a cold start."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.api}/health") as answer:
            await answer.read()

    @asynccontextmanager
    async def runtime(
        self,
        *,
        client: str | None = None,
        keys: Mapping[str, str] | None = None,
        endpoint_port: int | None = None,
        starts_per_s: float | None = None,
    ) -> AsyncIterator[Runtime]:
        """The runtime of a scenario.

        By default its client is new, and may call the scenario's endpoints.
        """
        served = self.endpoints(endpoint_port)
        if client is None:
            client = f"t{uuid4().hex[:12]}"
            keys = {client: self.create_client(client, (f"{served.url}/", NOBODY), starts_per_s)}
        timeout = aiohttp.ClientTimeout(total=90)
        # The emulator may close an idle connection just when the next request is sent.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            served.running() as endpoints,
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        ):

            async def send(
                method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
            ) -> ApiReply:
                # aiohttp warns about large bodies that are bytes.
                data = io.BytesIO(body) if len(body) > 1024 * 1024 else body
                url = self.api + target
                asked = session.request(method, url, data=data, headers=headers, allow_redirects=False)
                async with asked as answer:
                    lower = {name.lower(): value for name, value in answer.headers.items()}
                    # Headers of the gateway's own, which differ in each answer.
                    lower.pop("apigw-requestid", None)
                    return ApiReply(status=answer.status, headers=lower, body=await answer.read())

            async def count() -> None:
                await asyncio.to_thread(self.invoke_maintenance, "count")

            yield Runtime(client=client, send=send, serve=endpoints.serve, keys=keys, pace=20, count=count)


class LockedClients:
    """The clients of `locked_clients`, which exist as long as the stack."""

    def __init__(self, stack: AwsStack) -> None:
        served = stack.endpoints()
        self.endpoint_port = served.port
        self._stack = stack
        base = (f"{served.url}/app",)
        with client_admin.admin(stack.outputs["TableName"], os.environ) as admin:
            self.keys = create_locked(admin, base)

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[Runtime]:
        """The runtime of a scenario, as the client alpha."""
        async with self._stack.runtime(
            client="alpha", keys=self.keys, endpoint_port=self.endpoint_port
        ) as runtime:
            yield runtime
