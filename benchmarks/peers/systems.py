"""The measured systems: how each is started with its application, and how a run is requested from it."""

import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson

from application import PADDING
from peers.install import PEERS, bun, node_modules_of, python_of, typescript_app
from processes import free_ports, running, wait_for
from user_creation import SERVERS, Request, System, Up, on_sdk

GRACE_S = 1.0  # some wait a minute for connections to close, and their data is discarded anyway


def typescript(runtime: Callable[[], str], shape: str) -> System:
    """Atomic as in production, with an application by the TypeScript SDK. Raises CannotInstallError."""

    def up() -> AbstractContextManager[Up]:
        command = [runtime(), str(typescript_app())]
        return on_sdk(lambda port: [*command, str(port)], shape)

    return up


def restate(language: str, shape: str) -> System:
    """Restate at its default durability (its log is synced to disk); `shape` as in restate/app.py.

    Raises CannotInstallError.
    """

    @contextmanager
    def up() -> Iterator[Up]:
        server = next(node_modules_of("restate").glob("@restatedev/restate-server-*/bin/restate-server"))
        app = {"node": _node_app, "python": _python_app}[language]
        ingress, admin, fabric, served = free_ports(4)
        with (
            _folder() as folder,
            running(
                [str(server), "--no-logo", "--base-dir", str(folder)],
                ingress,
                GRACE_S,
                env=os.environ | _restate_settings(ingress, admin, fabric),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as server_pid,
            running(
                app(served),
                served,
                GRACE_S,
                env=os.environ | {"RESTATE_LOGGING": "ERROR", "NODE_ENV": "production"},
                stderr=subprocess.DEVNULL,
            ) as app_pid,
        ):
            _register(admin, served)

            def ask(workflow: str, key: str, steps: int) -> Request:
                url = f"http://127.0.0.1:{ingress}/{shape}/{workflow}"
                return Request(url, orjson.dumps(_payload(steps)), f"idempotency-key: {key}\r\n")

            yield Up([server_pid, app_pid], ask)

    return up


@contextmanager
def dbos() -> Iterator[Up]:
    """DBOS on SQLite, its default: a rollback journal, synced at each commit. Raises CannotInstallError."""
    python, (port,) = python_of("dbos"), free_ports(1)
    with (
        _folder() as folder,
        running(
            [str(python), str(PEERS / "dbos/app.py"), str(port), str(folder)],
            port,
            GRACE_S,
            env=os.environ | {"PYTHONPATH": str(PEERS.parent)},
        ) as pid,
    ):

        def ask(workflow: str, key: str, steps: int) -> Request:
            call = {"idempotencyKey": key, "payload": _payload(steps)}
            return Request(f"http://127.0.0.1:{port}/{workflow}", orjson.dumps(call))

        yield Up([pid], ask)


SYSTEMS: dict[str, System] = {
    **SERVERS,
    "atomic-node-inside": typescript(lambda: "node", "values"),
    "atomic-node-apart": typescript(lambda: "node", "endpoints"),
    "atomic-bun-inside": typescript(bun, "values"),
    "atomic-bun-apart": typescript(bun, "endpoints"),
    "restate-node-inside": restate("node", "inside"),
    "restate-node-apart": restate("node", "apart"),
    "restate-python-inside": restate("python", "inside"),
    "restate-python-apart": restate("python", "apart"),
    "dbos-sqlite": dbos,
}


def _payload(steps: int) -> dict[str, Any]:
    return {"userName": "ada", "padding": PADDING, "steps": steps}


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="atomic-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _node_app(port: int) -> list[str]:
    return ["node", str(PEERS / "restate/app.mjs"), str(port)]


def _python_app(port: int) -> list[str]:
    return [str(python_of("restate")), str(PEERS / "restate/app.py"), str(port)]


def _restate_settings(ingress: int, admin: int, fabric: int) -> dict[str, str]:
    """Settings for the ports and a quieter log. Nothing here affects durability or speed."""
    return {
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_PORT": str(fabric),
        "RESTATE_INGRESS__BIND_PORT": str(ingress),
        "RESTATE_ADMIN__BIND_PORT": str(admin),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }


def _register(admin: int, served: int) -> None:
    """Register the services with the server, once it accepts that. Raises OSError."""
    wait_for(admin)
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments",
        orjson.dumps({"uri": f"http://127.0.0.1:{served}"}),
        {"content-type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()
