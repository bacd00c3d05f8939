"""Secrets that are generated in a data directory."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

KEY_PEPPER: Final = "key-pepper"
PREVIOUS_KEY_PEPPER: Final = "previous-key-pepper"
DEV_SIGNING_SECRET: Final = "dev-signing-secret"  # noqa: S105 - the name of a file
# Once one of these exists, a data directory cannot be used without it.
SECRET_FILES: Final = (KEY_PEPPER, PREVIOUS_KEY_PEPPER, DEV_SIGNING_SECRET)
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
    _sync(path.parent)
    return path.read_bytes()


def key_pepper(data_dir: Path) -> bytes:
    """The pepper of the API keys of a data directory; generated at first use, and lost with its file.

    Raises ValueError for a file that holds something else.
    """
    path = data_dir / KEY_PEPPER
    return _checked(path, kept_secret(path, lambda: secrets.token_bytes(_PEPPER_BYTES)))


def previous_key_pepper(data_dir: Path) -> bytes | None:
    """The pepper of before the last rotation, while it still counts. Raises ValueError as `key_pepper`."""
    path = data_dir / PREVIOUS_KEY_PEPPER
    with suppress(FileNotFoundError):
        return _checked(path, path.read_bytes())
    return None


def rotate_key_pepper(data_dir: Path) -> None:
    """Make another pepper; the one that was current counts until `end_previous_key_pepper`.

    Raises ValueError when an earlier rotation has not ended. After a crash it can be repeated.
    """
    current, previous = key_pepper(data_dir), previous_key_pepper(data_dir)
    if previous not in {None, current}:
        raise ValueError(
            f"{data_dir / PREVIOUS_KEY_PEPPER} is there already: end the last rotation first, by `atomic "
            "operator end-pepper`"
        )
    kept_secret(data_dir / PREVIOUS_KEY_PEPPER, lambda: current)
    following = data_dir / f".{KEY_PEPPER}-following"
    kept_secret(following, lambda: secrets.token_bytes(_PEPPER_BYTES))
    following.replace(data_dir / KEY_PEPPER)
    _sync(data_dir)


def end_previous_key_pepper(data_dir: Path) -> None:
    """Forget the pepper of before the last rotation. Raises ValueError when there is none."""
    try:
        (data_dir / PREVIOUS_KEY_PEPPER).unlink()
    except FileNotFoundError:
        raise ValueError(f"{data_dir} has no pepper of before; nothing is to be ended") from None


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(path: Path, pepper: bytes) -> bytes:
    if len(pepper) != _PEPPER_BYTES:
        raise ValueError(
            f"{path} is damaged, and no API key is valid without it: restore it from a backup; or remove "
            "it and give every client a new key by `atomic clients rotate`"
        )
    return pepper
