"""What operators do to a deployed stack with their own AWS credentials."""

from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from atomic.adapters.aws import clients, config
from atomic.adapters.system import SystemClock


def create_client(
    table: str, client_id: str, *, base_urls: Sequence[str], starts_per_s: float | None
) -> tuple[str, str]:
    """Add a client to the stack's table: its API key and its signing secret.

    Raises ValueError for what cannot be used, and for what AWS refuses.
    """
    try:
        return clients.create_client(
            config.dynamodb_client(),
            table,
            client_id,
            base_urls=base_urls,
            starts_per_s=starts_per_s,
            now_ms=SystemClock().now_ms(),
        )
    except (BotoCoreError, ClientError) as error:
        raise ValueError(
            f"AWS refused: {error}; check the table's name, the region and your credentials"
        ) from error
