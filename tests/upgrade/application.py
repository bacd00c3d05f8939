"""What the runs of a kept data directory call, before and after the upgrade, and the runs themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from atomic.testing import EndpointCall, EndpointReply
from scenarios.embedded_runtime import AtomicServer, runtime_on
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate

CLIENT: Final = "shop"
START: Final = "2026-12-01T00:00:00.000Z"
# The runs name their endpoints, so these have to be there again years later. No server gets this port by
# itself: it is below those that Linux gives out.
PORT: Final = 29_077
URL: Final = f"http://127.0.0.1:{PORT}"
HOUR_MS: Final = 3_600_000


def _document(name: str, path: str, **more: Any) -> dict[str, Any]:
    document = {"workflowName": "order", "stepInvokeUrl": URL + path, "idempotencyKey": name}
    return {**document, "payload": {"order": name}, "retry": {"count": 0}, **more}


_IN_TURN: Final = {"flow": [{"key": "carrier", "concurrency": 1}]}
_LATER: Final = {"delay": 24 * HOUR_MS}
STARTS: Final = {
    name: _document(name, path, **more)
    for name, path, more in (
        ("succeeded", "/ok", {"tags": {"customer": "c-1"}}),
        ("large", "/echo", {"payload": {"text": "x" * 20_000}}),
        ("with-steps", "/with-steps", {}),
        ("redriven", "/broken-once", {}),
        ("failed", "/broken", {}),
        ("dismissed", "/broken", {}),
        ("cancelled", "/ok", _LATER),
        ("retrying", "/broken", {"retry": {"count": 3, "backOff": HOUR_MS, "jitter": "none"}}),
        ("delayed", "/ok", _LATER),
        ("waiting", "/waits", {}),
        ("paused", "/ok", _LATER),
        ("held", "/ok", {"workflowName": "held"}),
        ("running", "/slow", _IN_TURN),
        ("in-line", "/ok", _IN_TURN),
    )
}
# Each of these has an outcome, which never changes.
ENDED: Final = ("succeeded", "large", "with-steps", "redriven", "failed", "dismissed", "cancelled")
# These move as soon as a server starts: a lost attempt is made again, and what waits is looked at again.
MOVING: Final = ("running", "in-line", "waiting")


@dataclass(slots=True)
class Application:
    """The endpoints on a runtime. Until they are repaired, some fail."""

    runtime: Runtime
    is_repaired: bool = False
    slow: Gate = field(default_factory=lambda: Gate({"ok": True}))
    hooked: asyncio.Event = field(default_factory=asyncio.Event)
    _broken_once: bool = True

    def serve(self) -> None:
        """Serve all of them."""
        for path, handler in (
            ("/ok", answer_ok),
            ("/echo", self._echo),
            ("/with-steps", self._with_steps),
            ("/waits", self._waits),
            ("/broken", self._broken),
            ("/broken-once", self._repaired_meanwhile),
            ("/slow", self.slow),
            ("/hook", self._hook),
        ):
            assert self.runtime.endpoint(path, handler) == URL + path

    async def _echo(self, call: EndpointCall) -> EndpointReply:
        return EndpointReply(json=call.payload)

    async def _with_steps(self, call: EndpointCall) -> EndpointReply:
        below = {"parent": call.json["stepId"]}
        steps = [_document("with-steps", path, **below) for path in ("/ok", "/echo")]
        replies = [await self.runtime.start(step) for step in steps]
        return EndpointReply(json=[reply.json["response"] for reply in replies])

    async def _waits(self, call: EndpointCall) -> EndpointReply:
        event = {"workflowName": "order", "kind": "event", "stepName": "paid", "idempotencyKey": "waiting"}
        asked = {**event, "parent": call.json["stepId"]}
        reply = await self.runtime.start(asked, Prefer="respond-async")
        if reply.json["status"] == "succeeded":
            return EndpointReply(json=reply.json["response"])
        return EndpointReply(status=202, headers={"Atomic-Waiting-For": reply.json["id"]})

    async def _broken(self, call: EndpointCall) -> EndpointReply:
        return EndpointReply(status=200 if self.is_repaired else 500, json={"repaired": self.is_repaired})

    async def _repaired_meanwhile(self, call: EndpointCall) -> EndpointReply:
        was_broken, self._broken_once = self._broken_once, False
        return EndpointReply(status=500 if was_broken else 200, json={"ok": not was_broken})

    async def _hook(self, call: EndpointCall) -> EndpointReply:
        self.hooked.set()
        return EndpointReply(json=None)


@asynccontextmanager
async def application_on(server: AtomicServer) -> AsyncIterator[Application]:
    """The application beside a running server."""
    async with runtime_on(server, client=CLIENT, endpoint_port=PORT) as runtime:
        application = Application(runtime)
        application.serve()
        yield application


def server_on(data_dir: Path) -> AtomicServer:
    """A server whose time stands at the moment at which the data directory was left."""
    return AtomicServer(data_dir, f"--virtual-time={START}")
