"""The settings of `atomic serve`."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from atomic.application.call_rate import ENDS_PER_S
from atomic.application.destinations import RUNS_MAX
from atomic.application.engine import Settings
from atomic.domain.clients.rules import check_origins
from atomic.entrypoints.settings import SettingsModel, as_link, as_private_networks, as_public_url, links_of
from atomic.protocol.wire import from_rfc3339, to_rfc3339
from atomic.runtime.driver import Pace
from atomic.runtime.faults import SEED_MAX, Profile
from atomic.runtime.virtual_time import LATEST_MS

_DAY_MS: Final = 24 * 3600 * 1000
_HOUR_MS: Final = 3600 * 1000
_ENGINE: Final = Settings()
_PACE: Final = Pace()


class ServerSettings(SettingsModel):
    """The settings of one server."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8787, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(Path(".atomic"), description="Where the embedded server keeps its data.")
    dev: bool = Field(False, description="Loopback only; any client without a key; any URL.")
    dev_network: tuple[str, ...] = Field(
        (),
        description="With --dev in a container: its private network, as 172.28.0.0/24. Callers from there "
        "are answered, and --host may be 0.0.0.0. May be given several times.",
    )
    virtual_time: str = Field(
        "",
        description="With --dev: time stands still, and moves when it is told to. START is a time such as "
        "2026-01-01T00:00:00Z, or `now`.",
        json_schema_extra={"alone": "now"},
    )
    faults: Profile = Field(
        "calm",
        description="With --dev: how often networks and crashes misbehave, to show whether what is called "
        "twice acts once.",
    )
    faults_seed: int | None = Field(
        None,
        ge=0,
        le=SEED_MAX,
        description="The same seed and the same keys make the same faults; without it, one is drawn.",
    )
    allow_private: bool = Field(False, description="Steps may call this machine and private networks.")
    allow_network: tuple[str, ...] = Field(
        (), description="A private network that steps may call, as 10.1.2.0/24. May be given several times."
    )
    lambda_targets: bool = Field(
        False,
        description="Steps may call Lambda functions (lambda:NAME/path), with the credentials of AWS that "
        "botocore finds.",
    )
    allow_host: tuple[str, ...] = Field(
        (), description="A name under which browsers and clients reach it. May be given several times."
    )
    allow_origin: tuple[str, ...] = Field(
        (),
        description="With --dev: an origin of pages that may call the API, such as http://localhost:5173. "
        "May be given several times.",
    )
    public_url: str = Field(
        "",
        description="Where endpoints reach this server, as https://atomic.example; calls name it in "
        "Atomic-Steps-Url, and browsers and clients may use its "
        "name. Left out: the address that it listens on, if that is one address.",
    )
    trace_link: str = Field(
        "",
        description="Where the dashboard leads to a trace: a URL with {traceId}, {runId}, {stepId}, "
        "{workflowName} or {idempotencyKey}.",
    )
    log_link: str = Field(
        "", description="Where the dashboard leads to log lines; parts as in --trace-link."
    )
    otel: bool = Field(
        False,
        description="Send spans of requests and attempts to an OpenTelemetry collector, with the extra "
        "[otel]. OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of OpenTelemetry say where and which.",
    )
    log_level: Literal["debug", "info", "warning"] = Field("info", description="Which lines are logged.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`auto` is text on a terminal, else JSON, an object a line."
    )
    retention_days: int = Field(
        _ENGINE.retention_ms // _DAY_MS,
        ge=1,
        le=366,
        description="How long the outcome of a finished step is remembered. Applies to new runs.",
    )
    audit_days: int = Field(
        _ENGINE.audit_ms // _DAY_MS,
        ge=1,
        le=3_660,
        description="How long the audit log keeps what operators did. Applies to new entries.",
    )
    wait_max_ms: int = Field(
        _ENGINE.wait_max_ms,
        ge=0,
        le=_HOUR_MS,
        description="How long a caller may wait for a result. The time-out of a proxy must be longer.",
    )
    attempt_timeout_ms: int = Field(
        _ENGINE.attempt_timeout_default_ms,
        ge=1,
        le=24 * _HOUR_MS,
        description="How long an attempt may last when the start request does not say.",
    )
    attempt_timeout_max_ms: int = Field(
        _ENGINE.attempt_timeout_max_ms,
        ge=1,
        le=24 * _HOUR_MS,
        description="The longest time for an attempt that a start request may ask for.",
    )
    slots: int = Field(
        _PACE.slots,
        ge=1,
        le=10_000,
        description="How many due steps begin at once. First attempts of new steps do not count.",
    )
    slot_held_ms: int = Field(
        round(1000 * _PACE.slot_held_s),
        ge=1,
        le=60_000,
        description="A step gives its slot to the next one after this time, though its attempt goes on. "
        "So slots divided by this time is how many due steps begin per second when endpoints are slow.",
    )
    destination_runs: int = Field(
        RUNS_MAX,
        ge=1,
        le=1_000_000,
        description="How many runs of a client may have attempts under way to one destination.",
    )
    destination_limit: Literal["adaptive", "fixed"] = Field(
        "adaptive",
        description="With `adaptive`, a destination that times out, refuses connections or answers 429 or "
        "503 gets fewer attempts at once. With virtual time it is fixed.",
    )
    paused: bool = Field(
        False,
        description="Take and keep everything, and call nothing. A start without it goes on slowly.",
    )
    calls_per_s_first: int = Field(
        10,
        ge=1,
        le=ENDS_PER_S,
        description="After --paused: how many calls a second begin at first. It doubles every 10 s, and "
        f"from {ENDS_PER_S} on there is no limit.",
    )
    drain_s: int = Field(
        25, ge=0, le=3600, description="How long attempts may go on after the server is told to stop."
    )

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if self.attempt_timeout_ms > self.attempt_timeout_max_ms:
            raise ValueError(
                f"--attempt-timeout-ms ({self.attempt_timeout_ms}) is above --attempt-timeout-max-ms "
                f"({self.attempt_timeout_max_ms}); lower the one or raise the other"
            )
        return self

    @model_validator(mode="after")
    def _develops(self) -> Self:
        if self.virtual_time and not self.dev:
            raise ValueError("--virtual-time needs --dev: it is for tests")
        if self.dev_network and not self.dev:
            raise ValueError("--dev-network needs --dev: a locked server answers callers with a key")
        if (self.faults != "calm" or self.faults_seed is not None) and not self.dev:
            raise ValueError("--faults and --faults-seed need --dev: they are for tests")
        return self

    @field_validator("virtual_time")
    @classmethod
    def _is_a_start(cls, start: str) -> str:
        try:
            start_ms = 0 if start in {"", "now"} else from_rfc3339(start)
        except ValueError:
            raise ValueError("use a time as in 2026-01-01T00:00:00Z, or now") from None
        if not 0 <= start_ms < LATEST_MS:
            raise ValueError(f"use a time from 1970 to {to_rfc3339(LATEST_MS)}")
        return to_rfc3339(start_ms) if start_ms else start

    @field_validator("allow_origin")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return check_origins(origins)

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, host: str) -> str:
        if not host:  # for a socket that would be every interface
            raise ValueError("use an address, 0.0.0.0 for every interface")
        return host

    @field_validator("trace_link", "log_link")
    @classmethod
    def _is_a_link(cls, link: str) -> str:
        return as_link(link, "http", "https")

    @field_validator("public_url")
    @classmethod
    def _is_a_base_url(cls, url: str) -> str:
        return as_public_url(url)

    @field_validator("allow_network", "dev_network")
    @classmethod
    def _are_private_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return as_private_networks(networks)

    @property
    def links(self) -> dict[str, str]:
        """The links of the dashboard, by their names."""
        return links_of(self.trace_link, self.log_link)

    def engine(self, listens_at: str = "") -> Settings:
        """The settings for the engine; `listens_at` is a URL that reaches the server."""
        return Settings(
            wait_max_ms=self.wait_max_ms,
            attempt_timeout_default_ms=self.attempt_timeout_ms,
            attempt_timeout_max_ms=self.attempt_timeout_max_ms,
            retention_ms=self.retention_days * _DAY_MS,
            audit_ms=self.audit_days * _DAY_MS,
            public_url=self.public_url or listens_at,
            lambda_targets=self.lambda_targets,
        )
