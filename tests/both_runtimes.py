"""Both runtimes in production form, with API keys: a server process, and the three functions on moto.

Both are called over HTTP, and all of their output can be read: logs, metrics, and anything unintended.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.sqs import models as moto_sqs

from atomic.application.client_admin import ClientAdmin
from atomic.entrypoints.aws.api import ApiFunction
from atomic.entrypoints.aws.invoker import InvokerFunction
from atomic.entrypoints.aws.maintenance import MaintenanceFunction
from atomic.entrypoints.embedded import client_admin
from contract.aws import Aws, aws
from gateway import served
from scenarios.embedded_runtime import AtomicServer
from unit.aws.test_handlers import QueueTime, batch, environment

_LATER_MS = 900_000


@dataclass(frozen=True, kw_only=True)
class Functions:
    """The three Lambda functions, as objects."""

    account: Aws
    api: ApiFunction
    invoker: InvokerFunction
    maintenance: MaintenanceFunction

    @property
    def all(self) -> tuple[ApiFunction, InvokerFunction, MaintenanceFunction]:
        """The three functions as a list."""
        return self.api, self.invoker, self.maintenance


@dataclass(frozen=True, kw_only=True)
class LockedRuntime:
    """A runtime under test.

    `drive` processes what is due within a quarter of an hour; the embedded runtime does that itself.
    `output` is everything written so far.
    """

    url: str
    admin: ClientAdmin
    drive: Callable[[], None]
    output: Callable[[], str]
    functions: Functions | None = None


@contextmanager
def embedded(directory: Path, log_level: str = "info") -> Iterator[LockedRuntime]:
    """`atomic serve` with API keys, in a process of its own."""
    data_dir = directory / "data"
    with client_admin.admin(data_dir) as admin:
        server = AtomicServer(data_dir, dev=False, log_level=log_level)
        server.start()
        try:
            yield LockedRuntime(url=server.url, admin=admin, drive=lambda: None, output=server.log)
        finally:
            assert server.stop() == 0


@contextmanager
def on_aws(_: Path, log_level: str = "info") -> Iterator[LockedRuntime]:
    """The functions; the table, the queues and the schedules are moto's."""
    written, queue_time = io.StringIO(), QueueTime()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(written), redirect_stderr(written):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        patch.setattr(moto_sqs, "unix_time_millis", queue_time.now_ms)
        patch.setattr(moto_sqs, "unix_time", lambda: queue_time.now_ms() / 1000)
        with aws() as account, _functions(account, log_level) as functions, served(functions.api) as url:

            def drive() -> None:
                queue_time.late_ms += _LATER_MS
                queues = (account.queue_url, account.long_queue_url)
                due = [body for queue in queues for body in account.received(queue)]
                functions.invoker(batch(*due), None)

            yield LockedRuntime(
                url=url, admin=account.admin(), drive=drive, output=written.getvalue, functions=functions
            )


RUNTIMES: dict[str, Callable[..., AbstractContextManager[LockedRuntime]]] = {
    "embedded": embedded,
    "aws": on_aws,
}


@contextmanager
def _functions(account: Aws, log_level: str) -> Iterator[Functions]:
    environ = environment(account) | {"POWERTOOLS_LOG_LEVEL": log_level.upper()}
    functions = Functions(
        account=account,
        api=ApiFunction(environ),
        invoker=InvokerFunction(environ),
        maintenance=MaintenanceFunction(environ),
    )
    with ExitStack() as stack:
        for function in functions.all:
            stack.callback(function.runtime.close)
        yield functions
