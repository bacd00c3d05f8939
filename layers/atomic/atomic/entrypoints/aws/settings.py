"""The settings of a Lambda environment, which the template sets as variables.

`AWS_ENDPOINT_URL` is not among them: botocore reads it itself.
"""

from typing import Final, Literal

from pydantic import Field, field_validator

from atomic.adapters.aws.flow import CONCURRENCY_MAX
from atomic.application.engine import Settings
from atomic.domain.clients.api_keys import Peppers
from atomic.entrypoints.settings import SettingsModel, as_link, as_private_networks, as_public_url, links_of
from atomic.protocol.wire import from_rfc3339

# Nothing is called until the stack gets a time in place of this.
PAUSED: Final = "paused"
_DAY_MS: Final = 24 * 3600 * 1000
# An attempt has to end, and its outcome to be written, before Lambda ends the function after 15 minutes.
ATTEMPT_MAX_MS: Final = 870_000
# The gateway's 30 s must be enough for the attempt, its two writes, and the answer.
_INLINE_ATTEMPT_MAX_MS: Final = 20_000


class PepperSettings(SettingsModel):
    """The settings that making keys needs."""

    key_pepper: str = Field(min_length=32, repr=False, description="the KeyPepper of the stack")
    previous_key_pepper: str = Field(
        "", repr=False, description="another pepper whose keys and tokens are valid as well"
    )

    @property
    def peppers(self) -> Peppers:
        """The peppers of keys and tokens."""
        return Peppers(self.key_pepper.encode(), self.previous_key_pepper.encode() or None)


class ClientStoreSettings(PepperSettings):
    """The settings that making clients in a stack's own table needs."""

    table: str = Field(description="the table")


class LogSettings(SettingsModel):
    """The settings of log lines."""

    stage: str = Field(description="name of the installation in logs")
    service: str = Field(
        validation_alias="POWERTOOLS_SERVICE_NAME", description="name of the stack in logs and metrics"
    )
    log_level: str = Field(
        "INFO", validation_alias="POWERTOOLS_LOG_LEVEL", description="which lines are logged"
    )


class DemoClientSettings(LogSettings, ClientStoreSettings):
    """The settings of the function that makes the client of a demo."""


class LambdaSettings(LogSettings, ClientStoreSettings):
    """The settings of every function of a stack. `invoker` and `invokers_max` are for invokers only."""

    bucket: str = Field(description="the bucket of payloads and answers above 64 KiB")
    queue_url: str = Field(description="the queue of short attempts")
    queue_arn: str = Field(description="the ARN of this queue")
    long_queue_url: str = Field(description="the queue of long attempts")
    long_queue_arn: str = Field(description="the ARN of this queue")
    watchdog_queue_url: str = Field(description="the queue of wake-ups for the ends of leases")
    watchdog_queue_arn: str = Field(description="the ARN of this queue")
    dead_letter_queue_url: str = Field(description="the queue of dead letters")
    dead_letter_queue_arn: str = Field(description="the ARN of this queue")
    schedule_group: str = Field(description="the schedule group for wake-ups that are far in the future")
    schedule_role_arn: str = Field(description="the role that sends these wake-ups")
    public_url: str = Field("", description="where endpoints reach the API")
    steps_url: str = Field("", description="where handlers post their steps, if not at the API")
    lambda_targets: bool = Field(False, description="steps may call Lambda functions")
    event_bus: str = Field("", description="the event bus of EventBridge that hooks may name")
    allow_private: bool = Field(description="steps may call private networks")
    allow_network: tuple[str, ...] = Field((), description="private networks that steps may call")
    retention_days: int = Field(
        ge=1, le=366, description="how long the outcome of a finished step is remembered"
    )
    audit_days: int = Field(400, ge=1, le=3_660, description="how long the audit log keeps an entry")
    wait_max_ms: int = Field(ge=0, le=25_000, description="how long a caller may wait for a result")
    invoker: Literal["short", "long"] | None = Field(None, description="which invoker this is")
    invokers_max: int | None = Field(None, ge=1, description="how many environments this invoker may have")
    trace_link: str = Field("", description="where the dashboard leads to a trace")
    log_link: str = Field("", description="where the dashboard leads to log lines")
    calls_from: str = Field("", description="paused, or the time from which calls are made")
    maintenance_queue_url: str = Field("", description="the queue of maintenance's own messages")
    workflow_metrics: int = Field(
        0, ge=0, le=100, description="of how many workflows of a client and an hour there are metrics"
    )
    namespace: str = Field(
        validation_alias="POWERTOOLS_METRICS_NAMESPACE", description="the namespace of metrics"
    )

    @field_validator("public_url", "steps_url")
    @classmethod
    def _is_a_base_url(cls, url: str) -> str:
        return as_public_url(url)

    @field_validator("trace_link", "log_link")
    @classmethod
    def _is_a_link(cls, link: str) -> str:
        return as_link(link, "https")

    @field_validator("calls_from")
    @classmethod
    def _is_a_time_or_paused(cls, text: str) -> str:
        if text not in {"", PAUSED}:
            try:
                from_rfc3339(text)
            except ValueError:
                raise ValueError(f"use {PAUSED}, or a time as in 2026-11-29T12:00:00Z") from None
        return text

    @field_validator("allow_network")
    @classmethod
    def _are_private_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return as_private_networks(networks)

    @property
    def links(self) -> dict[str, str]:
        """The links of the dashboard, by their names."""
        return links_of(self.trace_link, self.log_link)

    def engine(self) -> Settings:
        """The settings for the engine."""
        return Settings(
            wait_max_ms=self.wait_max_ms,
            attempt_timeout_max_ms=ATTEMPT_MAX_MS,
            retention_ms=self.retention_days * _DAY_MS,
            audit_ms=self.audit_days * _DAY_MS,
            inline_attempt_max_ms=_INLINE_ATTEMPT_MAX_MS,
            public_url=self.public_url,
            steps_url=self.steps_url,
            lambda_targets=self.lambda_targets,
            event_bus=self.event_bus,
            concurrency_max=CONCURRENCY_MAX,
        )
