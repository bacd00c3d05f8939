"""The answers about hooks, as `protocol.documents` has the others."""

from pydantic import Field

from atomic.protocol.enums import HookEvent
from atomic.protocol.wire import Document


class HookDocument(Document):
    """A hook as it stands."""

    name: str
    url: str
    on: list[HookEvent]
    workflow_name: str | None = Field(description="Null: it is told of all workflows.")


class HookList(Document):
    """All hooks of a client, by name."""

    hooks: list[HookDocument]


class DeletedHook(Document):
    """A hook that was deleted."""

    deleted: str
