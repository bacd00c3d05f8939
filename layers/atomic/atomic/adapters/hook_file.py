"""The hooks of a server in development: a file of its data directory. Other servers keep them by client."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from atomic.application.ports import StoreUnavailable
from atomic.domain.hooks import Hook, load_hooks


def load_hook_file(path: Path) -> dict[str, tuple[Hook, ...]]:
    """The hooks of each client; none when there is no file. Raises ValueError for a damaged one."""
    text = b"{}"
    with suppress(FileNotFoundError):
        text = path.read_bytes()
    try:
        return {client_id: load_hooks(records) for client_id, records in json.loads(text).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is damaged: delete it, and put the hooks again") from None


def keep_hook_file(path: Path, hooks: Mapping[str, tuple[Hook, ...]]) -> None:
    """Write the file, all of it or nothing. Raises StoreUnavailable."""
    text = json.dumps({client_id: list(map(asdict, each)) for client_id, each in hooks.items()})
    written = path.with_name(f".{path.name}")
    try:
        with written.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError as error:
        raise StoreUnavailable.of(error) from error
