"""The port through which the API reads and changes the hooks of clients."""

from typing import Protocol

from atomic.domain.hooks import Hook


class HookStore(Protocol):
    """The hooks of a runtime's clients, as they are stored now.

    They are in the record of a client, which each process has cached. Methods may raise the errors of their
    store, and those of `application.client_admin`.
    """

    def hooks(self, client_id: str) -> tuple[Hook, ...]:
        """The hooks of a client, by name."""
        ...

    def put_hook(self, client_id: str, hook: Hook) -> bool:
        """Add a hook, or replace that of its name; whether it is new. Raises TooManyHooks."""
        ...

    def delete_hook(self, client_id: str, name: str) -> None:
        """Delete a hook. Raises UnknownHook."""
        ...
