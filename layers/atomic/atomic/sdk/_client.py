"""What both clients know: which Atomic they talk to, as whom, and how patiently."""

from abc import ABC, abstractmethod

from atomic.sdk._settings import connection
from atomic.sdk.retry import Seconds, seconds


class BaseClient(ABC):
    """See `Client` for what is given."""

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
        """Make what requests will go through."""
