"""The documents about clients, as `documents` has those about steps."""

from pydantic import Field

from atomic.protocol.enums import Scope
from atomic.protocol.wire import Document


class KeyDocument(Document):
    """API key metadata; the secret itself is never returned."""

    id: str = Field(description="The middle part of the key.")
    scopes: list[Scope]
    created_at: str
    expires_at: str | None = Field(description="When it expires or expired; null if it never does.")
    takes_over: str | None = Field(description="The id of the key that it replaces.")


class KeyRights(Document):
    """What a key may do."""

    key_id: str | None = Field(
        description="The role of a caller of IAM; null on a server without API keys."
    )
    scopes: list[Scope] = Field(description="What the key may do; `act` includes `signal`.")


class KeyList(Document):
    """The keys of a client."""

    keys: list[KeyDocument]


class NewKey(KeyDocument):
    """A new API key."""

    api_key: str = Field(description="Shown only once.")


class StartTokenDocument(Document):
    """A start token and what it allows."""

    token: str = Field(description="Sent as `Authorization: Bearer <token>`.")
    expires_at: str
    key_prefix: str = Field(description="The idempotency keys of its runs begin like this.")
    workflows: dict[str, str] = Field(description="The URL of each workflow that it may start.")
    steps: bool = Field(description="Whether it may also read the steps of its runs.")


class SecretDocument(Document):
    """Signing secret metadata; the secret itself is never returned."""

    created_at: str
    expires_at: str | None = Field(description="When it stops signing; null if it never does.")


class SecretList(Document):
    """The signing secrets of a client; each live one signs every call."""

    secrets: list[SecretDocument]


class NewSecret(SecretDocument):
    """A new signing secret."""

    signing_secret: str = Field(description="Shown only once.")


class ClientDocument(Document):
    """What a client may call and use; a limit that is null is unlimited."""

    client_id: str
    created_at: str
    base_urls: list[str] = Field(description="Prefixes of the URLs that the client may call.")
    starts_per_second: float | None
    live_steps: int | None
    stored_bytes: int | None = Field(description="Bytes of payloads and responses.")
    redact: list[str] = Field(description="Members of payloads and responses that readers see as a hash.")
    ed25519: bool = Field(description="Whether calls are also signed with Ed25519.")
    callbacks: bool = Field(description="Whether events have callback URLs.")
    origins: list[str] = Field(description="Origins of pages that may call the API.")
    roles: list[str] = Field(description="Roles of IAM whose signed requests need no API key, on AWS.")


class ClientList(Document):
    """A page of clients, ordered by id."""

    clients: list[ClientDocument]
    next: str | None = Field(description="Path of the next page.")


class NewClient(ClientDocument):
    """A new client."""

    api_key: str = Field(description="Shown only once.")
    signing_secret: str = Field(description="Shown only once.")
