"""The machine's clock and random numbers."""

import random
import secrets
import time

_jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing


class SystemClock:
    """The wall clock, in UTC."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000


class SystemEntropy:
    """The operating system's randomness."""

    def token(self) -> str:
        """32 unguessable hex digits."""
        return secrets.token_hex(16)

    def token_bytes(self, size: int) -> bytes:
        """Unguessable bytes."""
        return secrets.token_bytes(size)

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return _jitter.random()
