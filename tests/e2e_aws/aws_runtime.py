"""The AWS runtime: the real template, on an emulator with IAM enforced or deployed; real HTTP both ways.

`make test-aws` brings the stack up on an emulator and says in the environment where it is. docs/deploy.md
says how to name a deployed one, which calls endpoints of this machine by a public URL.
"""

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
from atomic.testing import ApiReply
from scenarios.embedded_runtime import EndpointServer, free_port
from scenarios.locked_clients import create_locked
from scenarios.runtime import Runtime
from scenarios.starts import NOBODY

VARIABLE = "ATOMIC_STACK"
# A public URL by which a deployed stack reaches a port of this machine: that port, a space, the URL.
ENDPOINTS = "ATOMIC_ENDPOINTS"


@dataclass(frozen=True, slots=True)
class AwsStack:
    """A deployed stack."""

    outputs: Mapping[str, str]

    @classmethod
    def here(cls) -> "AwsStack | None":
        """The stack that this process was started beside."""
        told = os.environ.get(VARIABLE)
        return None if told is None else cls(json.loads(told))

    @property
    def is_emulated(self) -> bool:
        """Whether it runs on this machine."""
        return "Endpoint" in self.outputs

    @property
    def api(self) -> str:
        """Where the API is."""
        if not self.is_emulated:
            return self.outputs["Url"]
        return f"{self.outputs['Endpoint']}/_aws/execute-api/{self.outputs['ApiId']}/$default"

    def endpoints(self, port: int | None = None) -> EndpointServer:
        """Where the stack reaches endpoints of this process."""
        if self.is_emulated:
            return EndpointServer(port or free_port())
        told, url = os.environ[ENDPOINTS].split()
        return EndpointServer(int(told), url)

    def create_client(
        self, client_id: str, base_urls: Sequence[str], starts_per_s: float | None = None
    ) -> str:
        """Make a client as an operator does; its API key."""
        with client_admin.admin(self.outputs["TableName"], os.environ) as admin:
            quota = Quota(starts_per_second=starts_per_s)
            api_key, _ = admin.create(client_id, base_urls=base_urls, quota=quota)
        return api_key

    def dynamodb(self) -> Any:
        """DynamoDB as an operator sees it: the credentials are in the environment."""
        return config.dynamodb_client()

    def sqs(self) -> Any:
        """SQS as an operator sees it."""
        return config.sqs_client()

    def invoke_maintenance(self) -> str:
        """Run the sweep of maintenance now; what it says."""
        functions = botocore.session.get_session().create_client("lambda")
        answer = functions.invoke(
            FunctionName=self.outputs["MaintenanceFunctionName"], Payload=b'{"work":"sweep"}'
        )
        return str(answer["Payload"].read().decode())

    async def warm(self) -> None:
        """Call the API once, with as much patience as a cold environment needs."""
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
        """A scenario's view; without a client it is a new one, which may call this scenario's endpoints."""
        served = self.endpoints(endpoint_port)
        if client is None:
            client = f"t{uuid4().hex[:12]}"
            keys = {client: self.create_client(client, (f"{served.url}/", NOBODY), starts_per_s)}
        timeout = aiohttp.ClientTimeout(total=90)
        # The emulator closes idle connections, just when the next request goes out.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            served.running() as endpoints,
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        ):

            async def send(
                method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
            ) -> ApiReply:
                # aiohttp warns of large bodies given as bytes.
                data = io.BytesIO(body) if len(body) > 1024 * 1024 else body
                async with session.request(method, self.api + target, data=data, headers=headers) as answer:
                    lower = {name.lower(): value for name, value in answer.headers.items()}
                    # The gateway's own, another one with each answer.
                    lower.pop("apigw-requestid", None)
                    return ApiReply(status=answer.status, headers=lower, body=await answer.read())

            yield Runtime(client=client, send=send, serve=endpoints.serve, keys=keys, pace=20)


class LockedClients:
    """The clients of `locked_clients`. They last as long as the stack."""

    def __init__(self, stack: AwsStack) -> None:
        served = stack.endpoints()
        self.endpoint_port = served.port
        self._stack = stack
        base = (f"{served.url}/app",)
        with client_admin.admin(stack.outputs["TableName"], os.environ) as admin:
            self.keys = create_locked(admin, base)

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[Runtime]:
        """A scenario's view, as alpha."""
        async with self._stack.runtime(
            client="alpha", keys=self.keys, endpoint_port=self.endpoint_port
        ) as runtime:
            yield runtime
