"""The client registry that embedded homes keep in a file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from atomic.adapters.sqlite import clients
from atomic.adapters.sqlite.clients import SqliteClientRegistry, create_client
from atomic.application.ports import Client
from atomic.protocol.signatures import decode_secret

URL = "https://app.example/"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clients.db"


@pytest.fixture
def registry(path: Path) -> Iterator[SqliteClientRegistry]:
    registry = SqliteClientRegistry(path)
    yield registry
    registry.close()


def create(path: Path, client_id: str = "acme", url: str = URL, starts_per_s: float | None = None) -> str:
    api_key, _ = create_client(path, client_id, base_urls=[url], starts_per_s=starts_per_s, now_ms=1)
    return api_key


def authenticate(registry: SqliteClientRegistry, api_key: str | None) -> Client | None:
    return asyncio.run(registry.authenticate(api_key, "acme"))


def test_a_key_opens_its_client(path: Path, registry: SqliteClientRegistry) -> None:
    api_key, secret = create_client(
        path, "acme", base_urls=[URL, "http://10.0.0.1:8080/x"], starts_per_s=2.5, now_ms=1
    )
    other_key = create(path, "other")
    acme = authenticate(registry, api_key)
    assert acme == Client(
        id="acme",
        base_urls=(URL, "http://10.0.0.1:8080/x"),
        signing_secrets=(decode_secret(secret),),
        starts_per_s=2.5,
    )
    assert asyncio.run(registry.get("acme")) == acme
    # Which client the path names decides nothing here: the key says whose it is.
    other = authenticate(registry, other_key)
    assert other is not None
    assert (other.id, other.starts_per_s) == ("other", None)


def test_any_other_key_opens_nothing(path: Path, registry: SqliteClientRegistry) -> None:
    api_key = create(path)
    wrong = [None, "", "x", "atm_", api_key[:-1], api_key + "0", api_key.upper(), api_key[:-1] + "\udce9"]
    wrong.append(api_key.replace("atm_", ""))
    assert [authenticate(registry, key) for key in wrong] == [None] * len(wrong)
    assert asyncio.run(registry.get("nobody")) is None


def test_the_key_itself_is_not_stored(path: Path) -> None:
    api_key = create(path)
    secret_part = api_key.rpartition("_")[2].encode()
    assert len(secret_part) == 64
    assert all(secret_part not in file.read_bytes() for file in path.parent.iterdir())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_client_made_elsewhere_is_seen_soon(
    path: Path, registry: SqliteClientRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asyncio.run(registry.get("acme")) is None
    api_key = create(path)
    assert authenticate(registry, api_key) is None  # the file is not looked at with every call
    monkeypatch.setattr(clients, "_CHECK_EVERY_S", 0.0)
    registry._check_after_s = 0.0
    assert authenticate(registry, api_key) is not None
    with apsw.Connection(str(path)) as connection:
        connection.execute("DELETE FROM api_keys")
    connection.close()
    assert authenticate(registry, api_key) is None


def test_a_client_is_made_once(path: Path) -> None:
    create(path)
    with pytest.raises(ValueError, match="'acme' exists already"):
        create(path)


@pytest.mark.parametrize("client_id", ["", "a b", "-a", "dashboard", "a/b", "x" * 65, "é"])
def test_bad_client_ids(path: Path, client_id: str) -> None:
    with pytest.raises(ValueError, match="client id"):
        create(path, client_id)
    assert not path.exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example",
        "/x",
        "ftp://app.example/",
        "https://",
        "https://app.example:0/",
        "https://app.example:99999/",
        "https://user@app.example/",
        "https://app.example/?q",
        "https://app.example/#f",
        "https://app.example/a b",
        "https://app.example\\x",
        "https://äpp.example/",
        "https://[::1/",
    ],
)
def test_bad_base_urls(path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        create(path, url=url)


def test_no_base_url_and_bad_rates(path: Path) -> None:
    with pytest.raises(ValueError, match="at least one base URL"):
        create_client(path, "acme", base_urls=[], starts_per_s=None, now_ms=1)
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="starts per second"):
            create(path, starts_per_s=rate)
