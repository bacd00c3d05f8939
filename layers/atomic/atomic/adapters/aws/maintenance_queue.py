"""The messages of maintenance: a round over all clients, or the work on one of them.

A message holds the position of its work. So the work goes on where it ended, also when the process that
did it has died: the message then comes again.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from atomic.adapters.aws.calls import AwsCalls
from atomic.application.maintenance import Walk
from atomic.application.ports import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

Work = Literal["sweep", "purge", "count"]

# What SendMessageBatch takes (API reference).
_BATCH_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a message asks for. `asked_at_ms`: when the schedule asked for this round.

    Without `client_id` it is a round over the clients after `after`; with a `walk` it goes on with it.
    """

    work: Work
    asked_at_ms: int
    after: str = ""
    client_id: str | None = None
    walk: Walk | None = None

    def encode(self) -> str:
        """The body of the message."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def parse(cls, body: str) -> "Errand":
        """Read a body. Raises ValueError, KeyError or TypeError for any other text."""
        said: dict[str, Any] = json.loads(body)
        walk = said["walk"]
        return cls(**{**said, "walk": None if walk is None else Walk(**walk)})


class MaintenanceQueue:
    """The queue of these messages."""

    def __init__(self, calls: AwsCalls, client: "SQSClient", url: str) -> None:
        self._calls = calls
        self._client = client
        self._url = url

    async def send(self, errands: Iterable[Errand]) -> None:
        """Send the messages, ten at a time. Raises StoreUnavailable if SQS did not acknowledge one."""
        bodies = [errand.encode() for errand in errands]
        for start in range(0, len(bodies), _BATCH_MAX):
            await self._calls.start(self._send, bodies[start : start + _BATCH_MAX])

    def _send(self, bodies: list[str]) -> None:
        entries: Any = [{"Id": str(nth), "MessageBody": body} for nth, body in enumerate(bodies)]
        answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
        if answer.get("Failed"):
            raise StoreUnavailable(f"SQS took {len(bodies) - len(answer['Failed'])} of {len(bodies)}")
