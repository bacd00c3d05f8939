"""API keys need the pepper that they were created with; without it a server does not start."""

import asyncio
from pathlib import Path

import pytest

from atomic.adapters.secret_files import KEY_PEPPER
from atomic.adapters.sqlite.client_store import SqliteClientRegistry
from atomic.adapters.system import SystemClock
from atomic.application.client_cache import locked_out
from atomic.domain.clients.records import ClientRecord, StoredKey
from atomic.entrypoints.embedded import client_admin
from atomic.entrypoints.embedded.backends import open_clients
from atomic.entrypoints.embedded.settings import ServerSettings

BASE = ["https://app.example/"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with two clients and a key of the operator."""
    with client_admin.admin(tmp_path) as admin:
        for client_id in ("acme", "globex"):
            admin.create(client_id, base_urls=BASE)
        admin.create_operator_key()
    return tmp_path


def pepper_of(directory: Path) -> bytes:
    return client_admin.pepper_of_keys(directory, lambda: open_clients(ServerSettings(data_dir=directory)))


def is_valid(directory: Path, api_key: str) -> bool:
    registry = SqliteClientRegistry(
        directory / "clients.db", pepper=pepper_of(directory), now_ms=SystemClock().now_ms
    )
    try:
        return asyncio.run(registry.authenticate(api_key, "acme")) is not None
    finally:
        registry.close()


def test_the_pepper_is_created_if_no_key_needs_another(tmp_path: Path) -> None:
    pepper = pepper_of(tmp_path)
    assert pepper_of(tmp_path) == pepper == (tmp_path / KEY_PEPPER).read_bytes()


def test_a_missing_pepper_is_named_and_no_other_is_made(directory: Path) -> None:
    path = directory / KEY_PEPPER
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(ValueError, match="is missing") as refused:
        pepper_of(directory)
    assert str(path) in str(refused.value)
    assert "acme, globex, the operator were made" in str(refused.value)
    assert not path.exists()
    path.write_bytes(kept)
    assert pepper_of(directory) == kept


def test_another_pepper_is_refused_until_no_key_needs_the_old_one(directory: Path) -> None:
    (directory / KEY_PEPPER).write_bytes(b"x" * 32)
    with pytest.raises(ValueError, match="is a different pepper"):
        pepper_of(directory)
    with client_admin.admin(directory) as admin:
        acme, _ = admin.rotate_key("acme", overlap_ms=0)
        with pytest.raises(ValueError, match=r"API keys of globex, the operator were"):
            pepper_of(directory)
        admin.rotate_key("_operator", overlap_ms=0)
        # During an overlap the previous key should still be valid, which it cannot be.
        admin.rotate_key("globex", overlap_ms=60_000)
        with pytest.raises(ValueError, match=r"API keys of globex were"):
            pepper_of(directory)
        admin.revoke_key("globex", admin.known("globex").keys[0].id)
    assert is_valid(directory, acme)


def test_many_are_not_all_named(tmp_path: Path) -> None:
    with client_admin.admin(tmp_path) as admin:
        for number in range(8):
            admin.create(f"c{number}", base_urls=BASE)
    (tmp_path / KEY_PEPPER).unlink()
    with pytest.raises(ValueError, match=r"c0, c1, c2, c3, c4 and 3 more were"):
        pepper_of(tmp_path)


@pytest.mark.parametrize(("expires_at_ms", "out"), [(None, ["acme"]), (10, []), (11, ["acme"])])
def test_keys_that_have_ended_need_no_pepper(expires_at_ms: int | None, out: list[str]) -> None:
    key = StoredKey(
        id="k", digest="00", scopes=("read",), created_at_ms=0, expires_at_ms=expires_at_ms, pepper="other"
    )
    record = ClientRecord(id="acme", base_urls=(), keys=(key,), secrets=(), created_at_ms=0)
    assert locked_out([record], b"pepper", 10) == out


def test_keys_of_before_peppers_had_names_pass_where_there_is_one() -> None:
    key = StoredKey(id="k", digest="00", scopes=("read",), created_at_ms=0)
    record = ClientRecord(id="acme", base_urls=(), keys=(key,), secrets=(), created_at_ms=0)
    assert locked_out([record], b"pepper", 10) == []
    assert locked_out([record], None, 10) == ["acme"]
