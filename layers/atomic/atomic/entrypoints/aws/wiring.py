"""Wiring of a Lambda environment: what is made once, before the first event, and how an event is run."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from atomic.adapters.aws import config
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.client_store import DynamoClientRegistry, DynamoClientStore
from atomic.adapters.aws.destinations import Bounds, SharedDestinations
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.aws.leases import LeaseItems
from atomic.adapters.aws.rates import SharedStarts
from atomic.adapters.aws.scheduler import WakeupScheduler
from atomic.adapters.aws.sqs import SqsWakeupQueue, StepQueue
from atomic.adapters.aws.telemetry import EmfTelemetry
from atomic.adapters.http.addresses import is_public, is_public_or_private
from atomic.adapters.http.invoker import HttpInvoker
from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.admission import Admission
from atomic.application.client_admin import ClientAdmin
from atomic.application.destinations import CountedRuns
from atomic.application.engine import Engine, Settings
from atomic.application.ports import Destinations
from atomic.entrypoints.aws.notifier import PollingNotifier
from atomic.entrypoints.inflight import Tasks
from atomic.entrypoints.log_policy import AllowedLines
from atomic.entrypoints.step_log import LoggedTelemetry

_log: Final = logging.getLogger("atomic.functions")

Result = TypeVar("Result")

_DAY_MS: Final = 24 * 3600 * 1000
# An attempt has to end, and its outcome to be written, before Lambda ends the function after 15 minutes.
ATTEMPT_MAX_MS: Final = 870_000
# With the gateway's 30 s: the attempt, its two writes, and the way back.
_INLINE_ATTEMPT_MAX_MS: Final = 20_000
# Each environment finds out for itself that an origin cannot be reached, and makes few of its attempts.
_FAILURES_MAX: Final = 4


class InvocationFailed(Exception):
    """An invocation failed; the log says how. Lambda writes down texts of exceptions, which may quote."""


class AwsRuntime:
    """One Lambda environment: its engine and the event loop that all of its invocations share."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        _log_as_json(environ)
        self._loop = asyncio.new_event_loop()
        self._began_s = 0.0
        self._calls = AwsCalls()
        reaches_private = environ["ATOMIC_ALLOW_PRIVATE"] == "true"
        self._invoker = HttpInvoker(
            allows=is_public_or_private if reaches_private else is_public, failures_max=_FAILURES_MAX
        )
        self.clients = (config.dynamodb_client(), config.sqs_client(), config.scheduler_client())
        self.tasks = Tasks()
        self.metrics = EmfTelemetry(
            namespace=environ["POWERTOOLS_METRICS_NAMESPACE"], service=environ["POWERTOOLS_SERVICE_NAME"]
        )
        self._table_name = environ["ATOMIC_TABLE"]
        self.queue = self._open_queue(environ)
        self.engine = self._open_engine(environ)
        self._admin = ClientAdmin(
            store=DynamoClientStore(self.clients[0], environ["ATOMIC_TABLE"]),
            pepper=config.key_pepper(environ),
            now_ms=SystemClock().now_ms,
            token_bytes=SystemEntropy().token_bytes,
        )

    async def manage(self, work: Callable[[ClientAdmin], Result], /) -> Result:
        """Implements `http_api.api.ManageClients`."""
        return await self._calls.start(work, self._admin)

    def _open_queue(self, environ: Mapping[str, str]) -> SqsWakeupQueue:
        _, sqs, scheduler = self.clients
        return SqsWakeupQueue(
            self._calls,
            sqs,
            queue=StepQueue(environ["ATOMIC_QUEUE_URL"], environ["ATOMIC_QUEUE_ARN"]),
            long_queue=StepQueue(environ["ATOMIC_LONG_QUEUE_URL"], environ["ATOMIC_LONG_QUEUE_ARN"]),
            dead_letter_url=environ["ATOMIC_DEAD_LETTER_QUEUE_URL"],
            scheduler=WakeupScheduler(
                scheduler,
                group_name=environ["ATOMIC_SCHEDULE_GROUP"],
                role_arn=environ["ATOMIC_SCHEDULE_ROLE_ARN"],
                dead_letter_arn=environ["ATOMIC_DEAD_LETTER_QUEUE_ARN"],
            ),
            clock=SystemClock(),
        )

    def _open_engine(self, environ: Mapping[str, str]) -> Engine:
        dynamodb, table_name = self.clients[0], self._table_name
        registry = DynamoClientRegistry(
            self._calls,
            dynamodb,
            table_name=table_name,
            pepper=config.key_pepper(environ),
            now_ms=SystemClock().now_ms,
        )
        return Engine(
            store=DynamoStepStore(
                self._calls, dynamodb, table_name=table_name, client_ids=registry.list_client_ids
            ),
            queue=self.queue,
            invoker=self._invoker,
            notifier=PollingNotifier(self.tasks.is_busy),
            clients=registry,
            telemetry=LoggedTelemetry(self.metrics),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            spawn=self.tasks.spawn,
            settings=_settings(environ),
            admission=Admission(
                destinations=self._open_destinations(environ),
                rates=SharedStarts(self._calls, dynamodb, table_name),
            ),
        )

    def _open_destinations(self, environ: Mapping[str, str]) -> Destinations:
        invoker = environ.get("ATOMIC_INVOKER")
        if invoker is None:
            # An attempt of the API function holds up its own caller, who waits anyway.
            return CountedRuns()
        return SharedDestinations(
            self._calls,
            LeaseItems(self.clients[0], environ["ATOMIC_TABLE"], invoker=invoker),
            bounds=Bounds.of(int(environ["ATOMIC_INVOKERS_MAX"])),
            holder=SystemEntropy().token(),
            clock=SystemClock(),
        )

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work of one invocation, and write out its metrics whatever came of it.

        Raises InvocationFailed, so that the event counts as failed, and nothing else.
        """
        self._began_s = time.monotonic()
        try:
            return self._loop.run_until_complete(work)
        except Exception as error:
            _log.exception("an invocation failed")
            raise InvocationFailed(type(error).__name__) from None
        finally:
            self.metrics.flush()

    def close(self) -> None:
        """Close what an environment that is thrown away would just lose."""
        self._loop.run_until_complete(self._invoker.close())
        self._loop.close()
        self._calls.close()
        for client in self.clients:
            client.close()

    def elapsed_s(self) -> float:
        """Seconds since the invocation began."""
        return time.monotonic() - self._began_s


def _settings(environ: Mapping[str, str]) -> Settings:
    return Settings(
        wait_max_ms=int(environ["ATOMIC_WAIT_MS"]),
        attempt_timeout_max_ms=ATTEMPT_MAX_MS,
        retention_ms=int(environ["ATOMIC_RETENTION_DAYS"]) * _DAY_MS,
        inline_attempt_max_ms=_INLINE_ATTEMPT_MAX_MS,
    )


def _log_as_json(environ: Mapping[str, str]) -> None:
    """Every record of the process as one JSON line; Lambda's own handler would write plain text."""
    handler = AllowedLines()
    handler.setFormatter(
        LambdaPowertoolsFormatter(service=environ["POWERTOOLS_SERVICE_NAME"], stage=environ["ATOMIC_STAGE"])
    )
    level = environ.get("POWERTOOLS_LOG_LEVEL", "INFO")
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
