"""Wiring of a Lambda environment: makes its parts once, before the first event, and runs each event."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from atomic.adapters.aws import config
from atomic.adapters.aws.blob_items import BlobItems
from atomic.adapters.aws.buses import BusInvoker
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.client_store import DynamoClientRegistry, DynamoClientStore
from atomic.adapters.aws.destinations import Bounds, SharedDestinations
from atomic.adapters.aws.dynamodb import DynamoStepStore
from atomic.adapters.aws.flow import DynamoFlowStore
from atomic.adapters.aws.leases import LeaseItems
from atomic.adapters.aws.rates import SharedStarts
from atomic.adapters.aws.scheduler import WakeupScheduler
from atomic.adapters.aws.sqs import SqsWakeupQueue, StepQueue
from atomic.adapters.aws.telemetry import EmfTelemetry
from atomic.adapters.aws.tls import read_authorities_once
from atomic.adapters.http.addresses import is_public_or_private, public_or_in
from atomic.adapters.http.invoker import HttpInvoker
from atomic.adapters.system import LoggedTelemetry, SystemClock, SystemEntropy
from atomic.application.admission import Admission
from atomic.application.backend import SharedCounts
from atomic.application.bulk import do_bulk
from atomic.application.calls_from import CallsFrom
from atomic.application.client_admin import ClientAdmin
from atomic.application.destinations import CountedRuns
from atomic.application.engine import Engine
from atomic.application.ports import Destinations, EndpointInvoker, StoreUnavailable
from atomic.entrypoints.aws.logs import InvocationFailed, log_as_json
from atomic.entrypoints.aws.settings import PAUSED, LambdaSettings
from atomic.protocol import keys
from atomic.protocol.wire import from_rfc3339
from atomic.runtime.inflight import Tasks
from atomic.runtime.processes import one_of_several

_log: Final = logging.getLogger("atomic.functions")

Result = TypeVar("Result")

_NO_STEP: Final = keys.root_of(f"run_{'0' * 32}")
_WARM_WITHIN_S: Final = 1.0
# Each environment finds out by itself that an origin cannot be reached, and makes only few attempts there.
_FAILURES_MAX: Final = 4


class AwsRuntime:
    """One Lambda environment: its engine and the event loop that all of its invocations share."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        settings = LambdaSettings.of_environment(environ)
        self.settings = settings
        log_as_json(settings)
        self._loop = asyncio.new_event_loop()
        self._began_s = 0.0
        self.calls = AwsCalls()
        self._invoker = HttpInvoker(
            allows=is_public_or_private if settings.allow_private else public_or_in(settings.allow_network),
            failures_max=_FAILURES_MAX,
        )
        self._invokers = [self._invoker]
        self._reached = self._with_functions(environ) if settings.lambda_targets else self._invoker
        if settings.event_bus:
            self._reached = BusInvoker(self._reached, self.calls, config.events_client)
        self.clients = (config.dynamodb_client(), config.sqs_client(), config.scheduler_client())
        self.tasks = Tasks()
        self.metrics = EmfTelemetry(namespace=settings.namespace, service=settings.service)
        self._peppers = settings.peppers
        self.processes = one_of_several(
            self.tasks,
            SharedCounts(
                starts=SharedStarts(self.calls, self.clients[0], settings.table),
                destinations=self._open_destinations(),
            ),
        )
        self.queue = self._open_queue()
        self.store = DynamoStepStore(
            self.calls,
            self.clients[0],
            table_name=settings.table,
            blobs=BlobItems(
                self.clients[0],
                settings.table,
                config.s3_client,
                settings.bucket,
                retention_days=settings.retention_days,
            ),
            now_ms=SystemClock().now_ms,
        )
        self.flow = DynamoFlowStore(self.calls, self.clients[0], settings.table)
        self.engine = self._open_engine()
        self._admin = ClientAdmin(
            store=DynamoClientStore(self.clients[0], settings.table),
            pepper=self._peppers.current,
            now_ms=SystemClock().now_ms,
            token_bytes=SystemEntropy().token_bytes,
        )

    async def manage(self, work: Callable[[ClientAdmin], Result], /) -> Result:
        """Implements `http_api.api.ManageClients`."""
        return await self.calls.start(work, self._admin)

    def _with_functions(self, environ: Mapping[str, str]) -> EndpointInvoker:
        """The invoker, which also reaches Lambda functions."""
        # Most stacks have none, and a cold start should not load what signs requests.
        from atomic.adapters.functions.invoker import ANSWER_MAX_BYTES
        from atomic.adapters.functions.signing import lambda_invoker

        # In a network of one's own, Lambda's API may have a private address.
        api = HttpInvoker(
            allows=is_public_or_private, failures_max=_FAILURES_MAX, body_max_bytes=ANSWER_MAX_BYTES
        )
        self._invokers.append(api)
        return lambda_invoker(self._invoker, api, environ)

    def _open_queue(self) -> SqsWakeupQueue:
        _, sqs, scheduler = self.clients
        settings = self.settings
        return SqsWakeupQueue(
            self.calls,
            sqs,
            queue=StepQueue(settings.queue_url, settings.queue_arn),
            long_queue=StepQueue(settings.long_queue_url, settings.long_queue_arn),
            watchdog_queue=StepQueue(settings.watchdog_queue_url, settings.watchdog_queue_arn),
            dead_letter_url=settings.dead_letter_queue_url,
            scheduler=WakeupScheduler(
                scheduler,
                group_name=settings.schedule_group,
                role_arn=settings.schedule_role_arn,
                dead_letter_arn=settings.dead_letter_queue_arn,
            ),
            clock=SystemClock(),
        )

    def _open_engine(self) -> Engine:
        dynamodb, table_name = self.clients[0], self.settings.table
        registry = DynamoClientRegistry(
            self.calls,
            dynamodb,
            table_name=table_name,
            peppers=self._peppers,
            now_ms=SystemClock().now_ms,
        )
        settings = self.settings.engine()
        return Engine(
            store=self.store,
            queue=self.queue,
            invoker=self._reached,
            own=do_bulk,
            notifier=self.processes.notifier,
            clients=registry,
            telemetry=LoggedTelemetry(self.metrics),
            clock=self.processes.clock,
            entropy=SystemEntropy(),
            spawn=self.tasks.spawn,
            settings=settings,
            admission=Admission(
                destinations=self.processes.destinations,
                rates=self.processes.starts,
                flow=self.flow,
                call_limit=self._call_limit(),
                retention_ms=settings.retention_ms,
            ),
        )

    def _call_limit(self) -> CallsFrom | None:
        calls_from = self.settings.calls_from
        if not calls_from:
            return None
        return CallsFrom(
            self.processes.clock.now_ms, None if calls_from == PAUSED else from_rfc3339(calls_from)
        )

    def _open_destinations(self) -> Destinations:
        settings = self.settings
        if settings.invoker is None or settings.invokers_max is None:
            # An attempt in the API function delays only its own caller, which waits anyway.
            return CountedRuns()
        return SharedDestinations(
            self.calls,
            LeaseItems(self.clients[0], settings.table, invoker=settings.invoker),
            bounds=Bounds.of(settings.invokers_max),
            holder=SystemEntropy().token(),
            clock=SystemClock(),
        )

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work of one invocation, and write its metrics even when it fails.

        Raises only InvocationFailed, so that Lambda counts the event as failed.
        """
        self._began_s = time.monotonic()
        try:
            return self._loop.run_until_complete(work)
        except Exception as error:
            _log.exception("an invocation failed")
            raise InvocationFailed(type(error).__name__) from None
        finally:
            self.metrics.flush()

    def warm(self) -> None:
        """Do now what the first event would wait for: contexts of TLS, and a connection to the table.

        Lambda gives a function a whole core until its first event, and a third of one afterwards.
        """
        read_authorities_once(*self.clients)
        self._invoker.warm()
        # A table that does not answer is the first event's affair.
        with suppress(StoreUnavailable, TimeoutError):
            self._loop.run_until_complete(asyncio.wait_for(self.engine.store.get(_NO_STEP), _WARM_WITHIN_S))

    def close(self) -> None:
        """Close the connections and the loop. Lambda never calls this; tests do."""
        for invoker in self._invokers:
            self._loop.run_until_complete(invoker.close())
        self._loop.close()
        self.calls.close()
        for client in self.clients:
            client.close()

    def elapsed_s(self) -> float:
        """Seconds since the invocation began."""
        return time.monotonic() - self._began_s
