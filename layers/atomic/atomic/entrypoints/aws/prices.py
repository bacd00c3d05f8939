"""Estimates the cost of a run on AWS from its rows: list prices of us-east-1, no free tiers.

Sources: the price pages of each service, and the Price List API, as of 2026-09-19. `docs/cost.md` compares
the sum with other products. Each price is one constant here.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

from atomic.domain.blobs import INLINE_MAX_BYTES, Text
from atomic.domain.steps import Step

GATEWAY_REQUEST_USD: Final = 1.00e-6  # HTTP API, first 300 million a month
LAMBDA_REQUEST_USD: Final = 0.20e-6
LAMBDA_GB_S_USD: Final = 0.0000133334  # arm64, first tier
WRITE_UNIT_USD: Final = 0.625e-6  # DynamoDB on demand, 1 KB of the larger item
READ_UNIT_USD: Final = 0.125e-6  # 4 KB, consistent
SQS_REQUEST_USD: Final = 0.40e-6  # standard queue
GROUPED_REQUEST_USD: Final = SQS_REQUEST_USD + 0.10e-6  # with a message group (fair queues)
S3_PUT_USD: Final = 5.00e-6  # of any size, standard storage
S3_GET_USD: Final = 0.40e-6
LOG_GB_USD: Final = 0.50

FUNCTION_GB: Final = 0.5
# In addition to the endpoint's own time: the writes, the send, request and response (an estimate, not
# measured on AWS). A send takes 0.8 ms of CPU on a server, and a function of 512 MB has 0.29 of a CPU.
OVERHEAD_S: Final = 0.028
_SEND_S: Final = 0.003
# A line of metrics, and the gateway's line. `test_bill` measures both.
LOG_BYTES_PER_INVOCATION: Final = 475
# Each claim leaves a wake-up for the end of its lease. It is sent, and received and deleted with others;
# the invoker reads a hundred rows at once, eventually consistent.
WATCHDOG_BATCH: Final = 100
_WATCHDOG_BATCH_S: Final = 0.100
_SQS_BATCH: Final = 10
WATCHDOG_USD: Final = (
    SQS_REQUEST_USD * (1 + 2 / _SQS_BATCH)
    + (LAMBDA_REQUEST_USD + LAMBDA_GB_S_USD * FUNCTION_GB * _WATCHDOG_BATCH_S) / WATCHDOG_BATCH
    + READ_UNIT_USD / 2
)
# One that comes alone, because there is no other for a while.
LONE_WATCHDOG_USD: Final = (
    3 * SQS_REQUEST_USD + LAMBDA_REQUEST_USD + LAMBDA_GB_S_USD * FUNCTION_GB * 0.010 + READ_UNIT_USD / 2
)
# Any other wake-up that finds nothing to call: it is sent, received, deleted and processed alone. Batches
# of ten, which come with load, cost a third of that.
DRAIN_REQUESTS: Final = 3
DRAIN_S: Final = 0.010
DRAIN_LOG_BYTES: Final = 250
DRAIN_USD: Final = (
    GROUPED_REQUEST_USD * DRAIN_REQUESTS
    + LAMBDA_REQUEST_USD
    + LAMBDA_GB_S_USD * FUNCTION_GB * DRAIN_S
    + READ_UNIT_USD
    + LOG_GB_USD * DRAIN_LOG_BYTES / 1e9
)
# The post of a value is one write of the two, and no send.
VALUE_S: Final = OVERHEAD_S / 2
# A root that succeeds at once is written to the listing index once. Any other moves there: it is removed
# and added again.
INDEX_WRITES: Final = 3
_ROW_BYTES: Final = 420
# The version of a row that was created, and then settled.
_AT_ONCE: Final = 2


def estimated_usd(steps: Sequence[Step]) -> float:
    """The cost of everything that AWS did for these steps so far, in US dollars."""
    return sum(_step_usd(step) for step in steps)


def _step_usd(step: Step) -> float:
    large_usd = sum(map(write_usd, _texts(step)))
    if step.spec.kind == "value":
        row_usd = WRITE_UNIT_USD * ceil(_row_bytes(step) / 1024)
        return _calls_usd(1, VALUE_S) + READ_UNIT_USD + row_usd + large_usd
    attempts = max(1, step.attempt_count)
    seconds = sum(
        (attempt.ended_at_ms - attempt.started_at_ms) / 1000
        for attempt in step.attempt_log
        if attempt.ended_at_ms is not None
    )
    # A step has no wake-up in its first attempt when its handler waits for it.
    sends = attempts - (step.awaited and not step.is_root)
    # The caller's own invocation makes the first attempt; a message's invocation makes each other one.
    messages_usd = WATCHDOG_USD * sends + GROUPED_REQUEST_USD * 3 * (attempts - 1)
    index_writes = (1 if step.version <= _AT_ONCE else INDEX_WRITES) if step.is_root else 0
    writes = _write_units(step) * attempts + index_writes
    # Each environment reads the root once, and the steps of a run reach several environments.
    looks_usd = 0.0 if step.is_root else READ_UNIT_USD
    calls_usd = _calls_usd(attempts, seconds + OVERHEAD_S * attempts - _SEND_S * (attempts - sends))
    large_usd += read_usd(step.spec.payload) * (attempts - 1)
    return calls_usd + messages_usd + looks_usd + WRITE_UNIT_USD * writes + large_usd


def _calls_usd(invocations: int, seconds: float) -> float:
    """The caller's request, and the functions that do its work for so long altogether."""
    lambda_usd = LAMBDA_REQUEST_USD * invocations + LAMBDA_GB_S_USD * FUNCTION_GB * seconds
    return GATEWAY_REQUEST_USD + lambda_usd + LOG_GB_USD * LOG_BYTES_PER_INVOCATION * invocations / 1e9


def _write_units(step: Step) -> int:
    """Write units of an attempt's claim and end. Rows are compressed, so this is an upper estimate."""
    asked = _ROW_BYTES + _bytes_in_row(step.spec.payload)
    return ceil(asked / 1024) + ceil(_row_bytes(step) / 1024)


def _row_bytes(step: Step) -> int:
    return _ROW_BYTES + sum(_bytes_in_row(text) for text in _texts(step))


def _texts(step: Step) -> list[Text]:
    return [step.spec.payload, *([step.response.text] if step.response else [])]


def _bytes_in_row(text: Text) -> int:
    if isinstance(text, bytes):
        return len(text)
    return min(len(text), INLINE_MAX_BYTES) if text.place == "row" else 0


def write_usd(text: Text) -> float:
    """The cost of storing a large text, once. Items are compressed, so this is an upper estimate."""
    if isinstance(text, bytes) or text.place == "row":
        return 0.0
    return WRITE_UNIT_USD * ceil(len(text) / 1024) if text.place == "table" else S3_PUT_USD


def read_usd(text: Text) -> float:
    """The cost of reading a large text, as each attempt but the first reads its payload."""
    if isinstance(text, bytes) or text.place == "row":
        return 0.0
    return READ_UNIT_USD * ceil(len(text) / 4096) if text.place == "table" else S3_GET_USD
