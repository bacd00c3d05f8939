"""What comes in over the wire about clients, their keys and secrets. Durations are integer milliseconds."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from atomic.protocol import client_rules, keys
from atomic.protocol.client_records import SCOPES_DEFAULT, Quota
from atomic.protocol.constants import URL_MAX_CHARS
from atomic.protocol.enums import Scope
from atomic.protocol.wire import Duration, PositiveDuration, WireModel

_DAY_MS: Final = 24 * 3600 * 1000
# The largest whole number that every reader of JSON reads the same (RFC 8259, section 6).
_NUMBER_MAX: Final = 2**53 - 1
# The members of a request that are limits, and what `Limits` calls them.
_LIMITS: Final = {
    "starts_per_second": "starts_per_s",
    "live_steps": "live_steps",
    "stored_bytes": "stored_bytes",
}


def _client_id(text: str) -> str:
    if not keys.is_client_id(text):
        raise PydanticCustomError(
            "client_id",
            "take 1 to 64 letters, digits, '_' or '-', first a letter or digit, and none of {reserved}",
            {"reserved": ", ".join(sorted(keys.RESERVED_CLIENT_IDS))},
        )
    return text


def _base_url(text: str) -> str:
    try:
        [kept] = client_rules.check_base_urls([text])
    except ValueError as refused:
        raise PydanticCustomError("base_url", "{cure}", {"cure": str(refused)}) from None
    return kept


def _redaction(name: str) -> str:
    try:
        client_rules.check_redaction([name])
    except ValueError as refused:
        raise PydanticCustomError("redaction", "{cure}", {"cure": str(refused)}) from None
    return name


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=4)]
ClientId = Annotated[str, Field(pattern=keys.CLIENT_ID_PATTERN), AfterValidator(_client_id)]
BaseUrl = Annotated[str, Field(min_length=1, max_length=URL_MAX_CHARS), AfterValidator(_base_url)]
BaseUrls = Annotated[
    list[BaseUrl],
    Field(
        min_length=1, max_length=client_rules.BASE_URLS_MAX, description="URLs that it may call begin so."
    ),
]
MemberName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_redaction)]
Redact = Annotated[
    list[MemberName],
    Field(
        max_length=client_rules.NAMES_MAX,
        description="Members of payloads and answers that readers see hashed.",
    ),
]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=_NUMBER_MAX)]
ExpiresIn = Annotated[PositiveDuration | None, Field(description="The new key ends by itself.")]
Overlap = Annotated[Duration, Field(description="How long the one before stays good; a day by default.")]


class _ClientSettings(WireModel):
    """What may be said of a client when it is made and later. A limit of null is no limit."""

    # Seldom used, so not built at the start; so are all of this module.
    model_config = ConfigDict(defer_build=True)
    base_urls: BaseUrls = Field(default_factory=list)
    allow_http: bool = Field(default=False, description="Take base URLs without TLS.")
    allow_ip: bool = Field(default=False, description="Take base URLs with an IP address for a host.")
    starts_per_second: Rate | None = None
    live_steps: Count | None = None
    stored_bytes: Count | None = Field(default=None, description="Payloads and answers.")
    redact: Redact = Field(default=[])
    ed25519: bool = Field(default=False, description="Sign by Ed25519, too.")

    @model_validator(mode="after")
    def _is_usual(self) -> "_ClientSettings":
        try:
            client_rules.refuse_unusual(self.base_urls, allow_http=self.allow_http, allow_ip=self.allow_ip)
        except ValueError as refused:
            raise PydanticCustomError("base_urls", "baseUrls: {cure}", {"cure": str(refused)}) from None
        return self


class CreateClientRequest(_ClientSettings):
    """`POST /clients`: a client, its first key and its signing secret."""

    client_id: ClientId
    base_urls: BaseUrls
    scopes: Scopes = Field(default=list(SCOPES_DEFAULT), description="What its key may do.")
    expires_in: ExpiresIn = None

    def limits(self) -> Quota:
        """What the client may use."""
        return Quota(
            starts_per_s=self.starts_per_second, live_steps=self.live_steps, stored_bytes=self.stored_bytes
        )


class ChangeClientRequest(_ClientSettings):
    """`PATCH /{clientId}`: what is left out stays as it is (RFC 7396)."""

    @model_validator(mode="after")
    def _says_something(self) -> "ChangeClientRequest":
        if not self.changes():
            raise PydanticCustomError("no_change", "give at least one member to change")
        return self

    def changes(self) -> dict[str, Any]:
        """What is given, as `ClientAdmin.change` takes it."""
        changed: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("base_urls", "redact", "ed25519")
            if name in self.model_fields_set
        }
        limits = {
            kept: getattr(self, name) for name, kept in _LIMITS.items() if name in self.model_fields_set
        }
        return {**changed, "limits": limits} if limits else changed


class AddKeyRequest(WireModel):
    """`POST /{clientId}/keys`."""

    model_config = ConfigDict(defer_build=True)
    scopes: Scopes = Field(description="What it may do.")
    expires_in: ExpiresIn = None


class RotateKeyRequest(WireModel):
    """`POST /{clientId}/keys/{keyId}/rotate`; every member may be left out."""

    model_config = ConfigDict(defer_build=True)
    scopes: Scopes | None = Field(
        default=None, description="Fewer than the old key has; without, the same."
    )
    expires_in: ExpiresIn = None
    overlap: Overlap = _DAY_MS


class RotateSecretRequest(WireModel):
    """`POST /{clientId}/secrets`; its member may be left out."""

    model_config = ConfigDict(defer_build=True)
    overlap: Overlap = _DAY_MS
