"""API keys need the pepper that they were created with; without it a server does not start."""

import asyncio
from pathlib import Path

import pytest

from atomic.adapters.secret_files import KEY_PEPPER, PREVIOUS_KEY_PEPPER
from atomic.adapters.sqlite.client_store import SqliteClientRegistry
from atomic.adapters.sqlite.lock import DataDirInUse, DataDirLock
from atomic.adapters.system import SystemClock
from atomic.application.client_cache import locked_out
from atomic.domain.clients.api_keys import Peppers
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


def peppers_of(directory: Path) -> Peppers:
    return client_admin.peppers_of_keys(directory, lambda: open_clients(ServerSettings(data_dir=directory)))


def is_valid(directory: Path, api_key: str) -> bool:
    registry = SqliteClientRegistry(
        directory / "clients.db", peppers=peppers_of(directory), now_ms=SystemClock().now_ms
    )
    try:
        return asyncio.run(registry.authenticate(api_key, "acme")) is not None
    finally:
        registry.close()


def test_the_pepper_is_created_if_no_key_needs_another(tmp_path: Path) -> None:
    peppers = peppers_of(tmp_path)
    assert peppers_of(tmp_path) == peppers == Peppers((tmp_path / KEY_PEPPER).read_bytes())


def test_a_missing_pepper_is_named_and_no_other_is_made(directory: Path) -> None:
    path = directory / KEY_PEPPER
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(ValueError, match="is missing") as refused:
        peppers_of(directory)
    assert str(path) in str(refused.value)
    assert "acme, globex, the operator were made" in str(refused.value)
    assert not path.exists()
    path.write_bytes(kept)
    assert peppers_of(directory) == Peppers(kept)


def test_another_pepper_is_refused_until_no_key_needs_the_old_one(directory: Path) -> None:
    (directory / KEY_PEPPER).write_bytes(b"x" * 32)
    with pytest.raises(ValueError, match="is a different pepper"):
        peppers_of(directory)
    with client_admin.admin(directory) as admin:
        acme, _ = admin.rotate_key("acme", overlap_ms=0)
        with pytest.raises(ValueError, match=r"API keys of globex, the operator were"):
            peppers_of(directory)
        admin.rotate_key("_operator", overlap_ms=0)
        # During an overlap the previous key should still be valid, which it cannot be.
        admin.rotate_key("globex", overlap_ms=60_000)
        with pytest.raises(ValueError, match=r"API keys of globex were"):
            peppers_of(directory)
        admin.revoke_key("globex", admin.known("globex").keys[0].id)
    assert is_valid(directory, acme)


def test_many_are_not_all_named(tmp_path: Path) -> None:
    with client_admin.admin(tmp_path) as admin:
        for number in range(8):
            admin.create(f"c{number}", base_urls=BASE)
    (tmp_path / KEY_PEPPER).unlink()
    with pytest.raises(ValueError, match=r"c0, c1, c2, c3, c4 and 3 more were"):
        peppers_of(tmp_path)


def made(directory: Path) -> str:
    with client_admin.admin(directory) as admin:
        api_key, _ = admin.create("acme", base_urls=BASE)
    return api_key


def hash_again(directory: Path, api_key: str) -> None:
    with client_admin.admin(directory) as admin:
        admin.rehash("acme", api_key)


def test_keys_survive_a_rotation_and_its_end(tmp_path: Path) -> None:
    api_key, before = made(tmp_path), peppers_of(tmp_path)
    client_admin.rotate_pepper(tmp_path)
    rotated = peppers_of(tmp_path)
    assert rotated == Peppers(rotated.current, before.current)
    assert rotated.current != before.current
    assert is_valid(tmp_path, api_key)
    with pytest.raises(ValueError, match="end the last rotation first"):
        client_admin.rotate_pepper(tmp_path)
    with pytest.raises(ValueError, match="keys of acme have not been used since"):
        client_admin.end_pepper(tmp_path)
    hash_again(tmp_path, api_key)
    client_admin.end_pepper(tmp_path)
    assert peppers_of(tmp_path) == Peppers(rotated.current)
    assert is_valid(tmp_path, api_key)
    with pytest.raises(ValueError, match="has no pepper of before"):
        client_admin.end_pepper(tmp_path)


@pytest.mark.parametrize("done", ["previous", "following"])
def test_a_rotation_that_was_interrupted_is_repeated(tmp_path: Path, done: str) -> None:
    api_key, before = made(tmp_path), peppers_of(tmp_path)
    (tmp_path / PREVIOUS_KEY_PEPPER).write_bytes(before.current)
    if done == "following":
        (tmp_path / f".{KEY_PEPPER}-following").write_bytes(b"f" * 32)
    assert is_valid(tmp_path, api_key)
    client_admin.rotate_pepper(tmp_path)
    assert peppers_of(tmp_path).other == before.current
    assert is_valid(tmp_path, api_key)
    assert sorted(path.name for path in tmp_path.glob("*pepper*")) == [KEY_PEPPER, PREVIOUS_KEY_PEPPER]


def test_a_pepper_is_rotated_and_ended_only_while_no_server_runs(tmp_path: Path) -> None:
    with DataDirLock(tmp_path):
        for work in (client_admin.rotate_pepper, client_admin.end_pepper):
            with pytest.raises(DataDirInUse):
                work(tmp_path)


@pytest.mark.parametrize(("expires_at_ms", "out"), [(None, ["acme"]), (10, []), (11, ["acme"])])
def test_keys_that_have_ended_need_no_pepper(expires_at_ms: int | None, out: list[str]) -> None:
    key = StoredKey(
        id="k", digest="00", scopes=("read",), created_at_ms=0, expires_at_ms=expires_at_ms, pepper="other"
    )
    record = ClientRecord(id="acme", base_urls=(), keys=(key,), secrets=(), created_at_ms=0)
    assert locked_out([record], Peppers(b"pepper"), 10) == out


def test_keys_of_before_peppers_had_names_pass_where_there_is_one() -> None:
    key = StoredKey(id="k", digest="00", scopes=("read",), created_at_ms=0)
    record = ClientRecord(id="acme", base_urls=(), keys=(key,), secrets=(), created_at_ms=0)
    assert locked_out([record], Peppers(b"pepper"), 10) == []
    assert locked_out([record], None, 10) == ["acme"]
