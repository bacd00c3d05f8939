"""The port to pointers; a step store implements it as well."""

from typing import Protocol

from atomic.domain.pointers import Pointer, PointerKind


class Pointers(Protocol):
    """One pointer for each key of a client. Every method may raise StoreUnavailable.

    A pointer that was put survives the end of the process and of the machine. After its time, the store may
    delete it.
    """

    async def get_pointer(self, client_id: str, kind: PointerKind, key: str) -> Pointer | None:
        """The newest acknowledged pointer."""
        ...

    async def put_pointer(self, pointer: Pointer) -> Pointer | None:
        """Write the pointer if the one before has the version before, or does not exist for the first.

        None when written, otherwise the existing one. Raises LookupError when there is none.
        """
        ...
