"""What both clients have in common: their settings."""

from abc import ABC, abstractmethod

from atomic.sdk._wire.transport import connection
from atomic.sdk.retry import Seconds, seconds


class BaseClient(ABC):
    """The settings of both clients: the server, the client id and key, and the patience. See `Client`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        client_id: str | None = None,
        api_key: str | None = None,
        patience: Seconds = 30.0,
    ) -> None:
        self.connection = connection(url, client_id, api_key)
        self.client_id = self.connection.client_id
        self.patience_s = seconds(patience)
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Prepare the connections for requests."""
