"""The administration of a deployed stack's clients, with the operator's own AWS credentials."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from atomic.adapters.aws import config
from atomic.adapters.aws.client_store import DynamoClientStore
from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.client_admin import ClientAdmin
from atomic.entrypoints.aws.settings import PepperSettings


@contextmanager
def admin(table: str, environ: Mapping[str, str]) -> Iterator[ClientAdmin]:
    """The clients of a stack, with the pepper of the environment. Raises ValueError when AWS refuses."""
    try:
        yield ClientAdmin(
            store=DynamoClientStore(config.dynamodb_client(), table),
            pepper=PepperSettings.of_environment(environ).peppers.current,
            now_ms=SystemClock().now_ms,
            token_bytes=SystemEntropy().token_bytes,
        )
    except (BotoCoreError, ClientError) as error:
        raise ValueError(
            f"AWS refused: {error}; check the table's name, the region and your credentials"
        ) from error
