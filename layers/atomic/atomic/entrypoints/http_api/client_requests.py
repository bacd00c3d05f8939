"""Requests about clients, their keys and their signing secrets. Durations are integer milliseconds."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from atomic.domain.clients import rules
from atomic.domain.clients.client import SCOPES_DEFAULT
from atomic.domain.clients.iam import ROLES_MAX, check_roles
from atomic.domain.clients.quota import LIMITS, Quota
from atomic.protocol import keys
from atomic.protocol.constants import NAME_MAX_CHARS, URL_MAX_CHARS
from atomic.protocol.enums import Scope
from atomic.protocol.wire import Duration, PositiveDuration, WireModel

_DAY_MS: Final = 24 * 3600 * 1000
_TOKEN_DEFAULT_MS: Final = 15 * 60 * 1000
# The largest integer that all JSON readers read alike (RFC 8259, section 6).
_NUMBER_MAX: Final = 2**53 - 1


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
        [kept] = rules.check_base_urls([text])
    except ValueError as refused:
        raise PydanticCustomError("base_url", "{cure}", {"cure": str(refused)}) from None
    return kept


def _redaction(name: str) -> str:
    try:
        rules.check_redaction([name])
    except ValueError as refused:
        raise PydanticCustomError("redaction", "{cure}", {"cure": str(refused)}) from None
    return name


def _origin(text: str) -> str:
    try:
        [kept] = rules.check_origins([text])
    except ValueError as refused:
        raise PydanticCustomError("origin", "{cure}", {"cure": str(refused)}) from None
    return kept


def _role(text: str) -> str:
    try:
        check_roles([text])
    except ValueError as refused:
        raise PydanticCustomError("role", "{cure}", {"cure": str(refused)}) from None
    return text


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=4)]
ClientId = Annotated[str, Field(pattern=keys.CLIENT_ID_PATTERN), AfterValidator(_client_id)]
BaseUrl = Annotated[str, Field(min_length=1, max_length=URL_MAX_CHARS), AfterValidator(_base_url)]
BaseUrls = Annotated[
    list[BaseUrl],
    Field(
        min_length=1,
        max_length=rules.BASE_URLS_MAX,
        description="Prefixes of the URLs that the client may call.",
    ),
]
MemberName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_redaction)]
Redact = Annotated[
    list[MemberName],
    Field(
        max_length=rules.NAMES_MAX,
        description="Members of payloads and responses that readers see as a hash.",
    ),
]
Origin = Annotated[str, Field(min_length=1, max_length=URL_MAX_CHARS), AfterValidator(_origin)]
Origins = Annotated[
    list[Origin],
    Field(max_length=rules.ORIGINS_MAX, description="Origins of pages that may call the API (CORS)."),
]
Role = Annotated[str, Field(min_length=1, max_length=URL_MAX_CHARS), AfterValidator(_role)]
Roles = Annotated[
    list[Role],
    Field(
        max_length=ROLES_MAX,
        description="On AWS: ARNs of the roles and users of IAM whose signed requests need no API key.",
    ),
]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=_NUMBER_MAX)]
Workflows = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=NAME_MAX_CHARS)],
        Annotated[str, Field(max_length=URL_MAX_CHARS)],
    ],
    Field(min_length=1),
]
KeyPrefix = Annotated[str, Field(pattern=r"^[!-~]{0,199}[^0-9A-Za-z\x00-\x20\x7f-\U0010ffff]$")]
TokenLife = Annotated[int, Field(ge=1, le=_DAY_MS)]
ExpiresIn = Annotated[
    PositiveDuration | None, Field(description="Until the new key expires; null for never.")
]
Overlap = Annotated[Duration, Field(description="How long the old one stays valid; a day by default.")]


class _ClientSettings(WireModel):
    """Settings of a client that can be given at its creation and later. A limit of null means unlimited."""

    # The models of this module are seldom used, so they are built at their first use.
    model_config = ConfigDict(defer_build=True)
    base_urls: BaseUrls = Field(default_factory=list)
    allow_http: bool = Field(default=False, description="Accept base URLs without TLS.")
    allow_ip: bool = Field(default=False, description="Accept base URLs whose host is an IP address.")
    starts_per_second: Rate | None = None
    live_steps: Count | None = None
    stored_bytes: Count | None = Field(default=None, description=LIMITS["stored_bytes"].help)
    redact: Redact = Field(default_factory=list)
    ed25519: bool = Field(default=False, description="Sign with Ed25519, too.")
    callbacks: bool = Field(default=True, description="Whether events have callback URLs.")
    origins: Origins = Field(default_factory=list)
    roles: Roles = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_usual(self) -> "_ClientSettings":
        try:
            rules.refuse_unusual(self.base_urls, allow_http=self.allow_http, allow_ip=self.allow_ip)
        except ValueError as refused:
            raise PydanticCustomError("base_urls", "baseUrls: {cure}", {"cure": str(refused)}) from None
        return self


class CreateClientRequest(_ClientSettings):
    """`POST /clients`: a client, its first key and its signing secret."""

    client_id: ClientId
    base_urls: BaseUrls
    scopes: Scopes = Field(default=list(SCOPES_DEFAULT), description="What the first key may do.")
    expires_in: ExpiresIn = None

    def quota(self) -> Quota:
        """What the client may use."""
        return Quota(**{name: getattr(self, name) for name in LIMITS})


class ChangeClientRequest(_ClientSettings):
    """`PATCH /{clientId}`: a member that is left out is not changed (RFC 7396)."""

    @model_validator(mode="after")
    def _says_something(self) -> "ChangeClientRequest":
        if not self.changes():
            raise PydanticCustomError("no_change", "give at least one member to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The given members, as arguments of `ClientAdmin.change`."""
        changed: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("base_urls", "redact", "ed25519", "callbacks", "origins", "roles")
            if name in self.model_fields_set
        }
        quota = {name: getattr(self, name) for name in LIMITS if name in self.model_fields_set}
        return {**changed, "quota": quota} if quota else changed


class AddKeyRequest(WireModel):
    """`POST /{clientId}/keys`."""

    model_config = ConfigDict(defer_build=True)
    scopes: Scopes = Field(description="What the key may do.")
    expires_in: ExpiresIn = None


class StartTokenRequest(WireModel):
    """`POST /{clientId}/start-tokens`."""

    model_config = ConfigDict(defer_build=True)
    workflows: Workflows = Field(description="What the token may start: the URL of each workflow name.")
    key_prefix: KeyPrefix | None = Field(
        default=None,
        description="Only runs whose idempotencyKey begins like this. It ends with a character that is no "
        "letter or digit, so that `user-1:` is not `user-12:`; the default is a new one. One of "
        "yours needs a key for `read`.",
    )
    steps: bool = Field(
        default=False,
        description="Also read the steps of these runs, not only the roots; needs a key for `read`.",
    )
    expires_in: TokenLife = Field(
        default=_TOKEN_DEFAULT_MS, description="Until the token expires; a day at most."
    )


class RotateKeyRequest(WireModel):
    """`POST /{clientId}/keys/{keyId}/rotate`; every member may be left out."""

    model_config = ConfigDict(defer_build=True)
    scopes: Scopes | None = Field(
        default=None, description="A subset of the old key's scopes; the default is all of them."
    )
    expires_in: ExpiresIn = None
    overlap: Overlap = _DAY_MS


class RotateSecretRequest(WireModel):
    """`POST /{clientId}/secrets`; its member may be left out."""

    model_config = ConfigDict(defer_build=True)
    overlap: Overlap = _DAY_MS
