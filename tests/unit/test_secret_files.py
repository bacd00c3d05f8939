"""Generated secrets of a data directory: created once, completely, and readable only by the owner."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atomic.adapters import secret_files
from atomic.adapters.secret_files import kept_secret, key_pepper


def test_concurrent_first_users_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(50):
            path = tmp_path / str(number)
            got = list(
                threads.map(lambda _, path=path: kept_secret(path, lambda: os.urandom(32)), range(8))
            )
            assert set(got) == {path.read_bytes()}
            assert path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == set(map(str, range(50)))


def test_a_crash_during_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(secret_files.os, "fsync", die)
        with pytest.raises(OSError, match="no space left"):
            key_pepper(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(key_pepper(tmp_path)) == 32


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_damaged_pepper_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key-pepper").write_bytes(content)
    with pytest.raises(ValueError, match="key-pepper is damaged"):
        key_pepper(tmp_path)
