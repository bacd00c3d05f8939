"""The application servers, started as in production or development."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import free_ports, running

TESTS = Path(__file__).parents[1]
APPLICATIONS = Path(__file__).parent / "applications"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A server: its command for a port, and the path of the application's workflow.

    `is_small` marks a server that handles one request at a time, or is not meant for production.
    """

    command: Callable[[int], list[str]]
    path: str = "/orders/order"
    is_small: bool = False


def _python(*arguments: str) -> Callable[[int], list[str]]:
    """A command in which PORT is replaced by the port."""
    return lambda port: [sys.executable, *(each.replace("PORT", str(port)) for each in arguments)]


def _gunicorn(*options: str) -> Callable[[int], list[str]]:
    quiet = ("--log-level", "error", "--no-control-socket")
    return _python("-m", "gunicorn", "--bind", "127.0.0.1:PORT", *quiet, *options, "flask_orders:app")


def _uvicorn(*arguments: str) -> Callable[[int], list[str]]:
    return _python("-m", "uvicorn", "--port", "PORT", "--log-level", "error", *arguments)


def _lambda(environments: int) -> Callable[[int], list[str]]:
    return _python("-m", "servers.environments", "PORT", str(environments), "lambda_orders")


_FASTAPI = _uvicorn("--workers", "2", "fastapi_orders:app")
_WAITRESS = _python("-m", "waitress", "--listen", "127.0.0.1:PORT", "flask_orders:app")
_RUNSERVER = _python("-m", "django_orders", "runserver", "--noreload", "127.0.0.1:PORT")
KINDS = {
    "gunicorn --threads 64": Kind(command=_gunicorn("--threads", "64")),
    "gunicorn --threads 4": Kind(command=_gunicorn("--threads", "4")),
    "gunicorn -k gevent": Kind(command=_gunicorn("--worker-class", "gevent")),
    "waitress": Kind(command=_WAITRESS),
    "uvicorn, async def": Kind(command=_FASTAPI),
    "uvicorn, def": Kind(command=_FASTAPI, path="/plain/order"),
    "uvicorn, Django": Kind(command=_uvicorn("--workers", "2", "django_orders:asgi")),
    "Lambda, 64": Kind(command=_lambda(64)),
    "Lambda, 10": Kind(command=_lambda(10)),
    "gunicorn": Kind(command=_gunicorn(), is_small=True),
    "Django runserver": Kind(command=_RUNSERVER, is_small=True),
}


@contextmanager
def serving(
    kind: Kind, atomic_url: str, port: int | None = None, *, log: int | None = None
) -> Iterator[tuple[int, str]]:
    """Start the server, which logs to a file descriptor. Yields its process id and its workflow's URL."""
    [port] = free_ports(1) if port is None else [port]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "ATOMIC_URL": atomic_url,
        # A Lambda function cannot detect that there is no TLS here.
        "ATOMIC_BASE_URL": url,
        "PYTHONPATH": f"{TESTS}:{APPLICATIONS}",
    }
    with running(kind.command(port), port, env=environment, stdout=log, stderr=log) as pid:
        yield pid, url + kind.path
