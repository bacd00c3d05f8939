"""Clients, their keys and their signing secrets as the API shows them."""

from typing import Any

from atomic.domain.clients.quota import quota_view
from atomic.domain.clients.records import ClientRecord, StoredKey, StoredSecret
from atomic.entrypoints.http_api.views import moment_view
from atomic.protocol.wire import to_rfc3339


def client_view(record: ClientRecord) -> dict[str, Any]:
    """A client as the API shows it: without keys and secrets."""
    return {
        "clientId": record.id,
        "createdAt": to_rfc3339(record.created_at_ms),
        "baseUrls": record.base_urls,
        **quota_view(record.quota),
        "redact": record.redact,
        "ed25519": record.ed25519,
        "callbacks": record.callbacks,
        "origins": record.origins,
        "roles": record.roles,
    }


def key_view(key: StoredKey) -> dict[str, Any]:
    """The metadata of a key, without the key itself."""
    return {
        "id": key.id,
        "scopes": key.scopes,
        "createdAt": to_rfc3339(key.created_at_ms),
        "expiresAt": moment_view(key.expires_at_ms),
        "takesOver": key.takes_over,
    }


def secret_view(secret: StoredSecret) -> dict[str, Any]:
    """The metadata of a signing secret, without the secret itself."""
    return {"createdAt": to_rfc3339(secret.created_at_ms), "expiresAt": moment_view(secret.expires_at_ms)}
