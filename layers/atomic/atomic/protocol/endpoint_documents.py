"""The documents of endpoints and of what a client uses of its limits."""

from pydantic import Field

from atomic.protocol.wire import Document


class EndpointDocument(Document):
    """An origin that a client calls: how it has answered lately, and how it is approached now."""

    origin: str | None = Field(description="Scheme, host and port; null: all further ones together.")
    attempts: int = Field(description="How many attempts have ended in this time.")
    failed: int = Field(description="How many of them have failed: no answer, or one that is an error.")
    duration_ms_p50: int | None = Field(
        description="Half of the attempts took no longer, in milliseconds, as near as that of counters; "
        "null without any. The time in which a handler waits for its steps counts."
    )
    duration_ms_p95: int | None = Field(description="The same for 95 % of them.")
    under_way: int | None = Field(
        description="How many attempts are under way, without handlers that wait for their own steps; null "
        "where the server keeps the limit fixed."
    )
    limit: int | None = Field(description="How many may be under way at once now; null for any number.")
    slowed: bool = Field(description="Whether it gets fewer at once, since it seemed overloaded.")
    waiting: int = Field(description="How many steps wait for another attempt to end.")
    rests: int = Field(description="No attempt begins within this time (milliseconds).")


class EndpointList(Document):
    """The origins that a client has called lately."""

    minutes: int = Field(description="How many minutes are summed up, with the present one.")
    endpoints: list[EndpointDocument] = Field(description="Those that failed most often first.")


class UsageDocument(Document):
    """A limit of a client, and what is used of it."""

    limit: float | None = Field(description="Null: there is none.")
    used: int | None = Field(
        description="What is used of it; null without a limit, for starts a second, and where it is not "
        "counted yet."
    )
    counted_at: str | None = Field(description="When it was counted (on AWS), else null.")


class LimitsDocument(Document):
    """The limits of a client, which its operator sets."""

    starts_per_second: UsageDocument
    live_steps: UsageDocument
    stored_bytes: UsageDocument = Field(description="Bytes of payloads and responses.")
