"""Secrets that are generated in a data directory."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

KEY_PEPPER: Final = "key-pepper"
DEV_SIGNING_SECRET: Final = "dev-signing-secret"  # noqa: S105 - the name of a file
# Once these exist, a data directory cannot be used without them.
SECRET_FILES: Final = (KEY_PEPPER, DEV_SIGNING_SECRET)
_PEPPER_BYTES: Final = 32


def kept_secret(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of the file. If it is missing, it is created atomically, readable by its owner only.

    Processes that create it at the same time all get the content of the first one. Raises OSError.
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
    """The pepper of the API keys of a data directory; generated at first use, and lost with its file.

    Raises ValueError for a file that holds something else.
    """
    path = data_dir / KEY_PEPPER
    pepper = kept_secret(path, lambda: secrets.token_bytes(_PEPPER_BYTES))
    if len(pepper) != _PEPPER_BYTES:
        raise ValueError(
            f"{path} is damaged, and no API key is valid without it: restore it from a backup; or remove "
            "it and give every client a new key by `atomic clients rotate`"
        )
    return pepper
