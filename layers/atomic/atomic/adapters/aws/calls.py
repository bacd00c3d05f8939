"""Runs the blocking calls of boto in threads, and turns their errors into those of the port."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from atomic.adapters.aws.config import THREADS
from atomic.application.ports import StoreUnavailable

T = TypeVar("T")


class AwsCalls:
    """The threads of the AWS adapters. No call waits for another one, so a bounded pool is safe."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, "atomic-aws")

    def start(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> "asyncio.Future[T]":
        """Begin the call at once. The future raises StoreUnavailable for every error of AWS or the network.

        After a time-out or a throttled retry it is unknown whether a write was applied.
        """
        try:
            return asyncio.wrap_future(self._pool.submit(_translated, call, args, kwargs))
        except RuntimeError:
            raise StoreUnavailable("the AWS adapters are closed") from None

    def close(self) -> None:
        """Finish the calls that have begun, refuse new ones."""
        self._pool.shutdown()


def _translated(call: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    try:
        return call(*args, **kwargs)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise StoreUnavailable.of(error, kind=f"{error.operation_name}: {code}") from error
    except BotoCoreError as error:
        raise StoreUnavailable.of(error) from error
