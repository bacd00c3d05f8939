"""How fast a client may start steps."""

from dataclasses import dataclass

from atomic.application.ports import Client


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at_ms: int


class StartLimiter:
    """A token bucket for each client; it holds what the client may start in one second."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def wait_ms(self, client: Client, now_ms: int) -> int:
        """Take one start: 0 when it is granted, else how long to wait before asking again."""
        rate = client.starts_per_s
        if rate is None:
            return 0
        size = max(1.0, rate)
        bucket = self._buckets.setdefault(client.id, _Bucket(size, now_ms))
        elapsed_s = max(0, now_ms - bucket.filled_at_ms) / 1000
        bucket.tokens = min(size, bucket.tokens + elapsed_s * rate)
        bucket.filled_at_ms = now_ms
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        return max(1, int((1 - bucket.tokens) / rate * 1000))
