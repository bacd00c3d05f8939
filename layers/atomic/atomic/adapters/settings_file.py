"""What clients of a server in development have set: a file of its data directory.

Other servers keep it in the records of their clients.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from atomic.application.ports import StoreUnavailable
from atomic.domain.clients.client import OwnSettings
from atomic.domain.hooks import load_hooks
from atomic.domain.retentions import load_retentions
from atomic.domain.workflow_pauses import load_workflow_pauses


def load_settings_file(path: Path) -> dict[str, OwnSettings]:
    """The settings of each client; none when there is no file. Raises ValueError for a damaged one."""
    text = b"{}"
    with suppress(FileNotFoundError):
        text = path.read_bytes()
    try:
        return {
            client_id: OwnSettings(
                hooks=load_hooks(record["hooks"]),
                workflow_pauses=load_workflow_pauses(record["workflow_pauses"]),
                # An earlier version did not write it.
                retentions=load_retentions(record.get("retentions", {})),
            )
            for client_id, record in json.loads(text).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        cure = "delete it, and put the hooks and pause the workflows again"
        raise ValueError(f"{path} is damaged: {cure}") from None


def keep_settings_file(path: Path, own: Mapping[str, OwnSettings]) -> None:
    """Write the file, all of it or nothing. Raises StoreUnavailable."""
    text = json.dumps({client_id: asdict(each) for client_id, each in own.items()})
    written = path.with_name(f".{path.name}")
    try:
        with written.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError as error:
        raise StoreUnavailable.of(error) from error
