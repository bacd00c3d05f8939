"""Secrets that a data directory makes for itself."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

KEY_PEPPER: Final = "key-pepper"
DEV_SIGNING_SECRET: Final = "dev-signing-secret"  # noqa: S105 - the name of a file
# What a data directory cannot do without once it is there.
SECRET_FILES: Final = (KEY_PEPPER, DEV_SIGNING_SECRET)
_PEPPER_BYTES: Final = 32


def kept_secret(path: Path, make: Callable[[], bytes]) -> bytes:
    """What the file holds. Without a file it is made, whole or not at all, for its owner's eyes only.

    Of several who make it at the same time all get what the first one made. Raises OSError.
    """
    with suppress(FileNotFoundError):
        return path.read_bytes()
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as made:
        made.write(make())
        made.flush()
        os.fsync(made.fileno())
        with suppress(FileExistsError):
            os.link(made.name, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path.read_bytes()


def key_pepper(data_dir: Path) -> bytes:
    """The pepper of the API keys of a data directory; made at first use, and lost with its file.

    Raises ValueError for a file that holds something else.
    """
    path = data_dir / KEY_PEPPER
    pepper = kept_secret(path, lambda: secrets.token_bytes(_PEPPER_BYTES))
    if len(pepper) != _PEPPER_BYTES:
        raise ValueError(
            f"{path} is damaged, and without it no key opens anything: restore it from a backup; or remove "
            "it and give every client a new key by `atomic clients rotate`"
        )
    return pepper
