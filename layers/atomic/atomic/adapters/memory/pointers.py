"""Pointers in a dict."""

from atomic.domain.pointers import Pointer, PointerKind


class MemoryPointers:
    """Implements `ports.Pointers`."""

    def __init__(self) -> None:
        self._pointers: dict[tuple[str, str, str], Pointer] = {}

    async def get_pointer(self, client_id: str, kind: PointerKind, key: str) -> Pointer | None:
        """The pointer of this key."""
        return self._pointers.get((client_id, kind, key))

    async def put_pointer(self, pointer: Pointer) -> Pointer | None:
        """Write the pointer if the one before has the version before."""
        at = (pointer.client_id, pointer.kind, pointer.key)
        existing = self._pointers.get(at)
        if existing is None and pointer.version > 1:
            raise LookupError(pointer.key)
        if existing is not None and existing.version != pointer.version - 1:
            return existing
        self._pointers[at] = pointer
        return None

    def _purge_pointers(self, now_ms: int) -> None:
        expired = [at for at, pointer in self._pointers.items() if pointer.expires_at_ms <= now_ms]
        for at in expired:
            del self._pointers[at]
