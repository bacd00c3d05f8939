"""The defaults of a start. Wire, engine, SDK and documents take them from here.

The retries outlast ten minutes of outage with a probability above 99.9 % (docs/errors.md). A handler waits
for its steps for less time than its attempt may last, so that it gets their status before it times out.
"""

from typing import Final

from atomic.protocol.backoff import Jitter, Strategy

RETRY_COUNT: Final = 25
BACK_OFF_MS: Final = 1_000
STRATEGY: Final[Strategy] = "exponential"
FACTOR: Final = 2.0
MAX_BACK_OFF_MS: Final = 120_000
JITTER: Final[Jitter] = "full"

ATTEMPT_TIMEOUT_MS: Final = 20_000
# How long a post waits for the result: that of a run's root, and those that handlers make.
ROOT_WAIT_MS: Final = 25_000
STEP_WAIT_MS: Final = 15_000
# How long handlers may undo what they did after a graceful cancel.
CANCEL_WITHIN_MS: Final = 60_000
