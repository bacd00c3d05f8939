"""Restarts in the SDK."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from flask import Flask

from atomic import AsyncClient, Client, PayloadMismatchError, RefusedError, SerializationError
from atomic.protocol.documents import RunSummary
from atomic.sdk.encryption import MEMBER, Encryption
from atomic.sdk.flask import Endpoints
from sdk.threads import wsgi_server

KEYS: Final = {"new": bytes(range(32)), "old": bytes(32)}
Restart = Callable[..., RunSummary]


@pytest.fixture
def app_url(atomic_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    app = Flask("restarts")
    for path, codec in (("/plain", None), ("/sealed", Encryption(KEYS, refuse_plain=True))):
        Endpoints(app, path, codec=codec).step(name="echo")(lambda payload: payload)
    with wsgi_server(app) as url:
        yield url


@pytest.fixture(params=["def", "async def"])
def restart(request: pytest.FixtureRequest) -> Restart:
    """Restart a run by a client of its own."""

    async def by_async_client(run_id: str, options: dict[str, Any], **given: Any) -> RunSummary:
        async with AsyncClient(**options) as client:
            return await client.restart(run_id, **given)

    def by_client(run_id: str, *, options: dict[str, Any], **given: Any) -> RunSummary:
        if request.param == "async def":
            return asyncio.run(by_async_client(run_id, options, **given))
        with Client(**options) as client:
            return client.restart(run_id, **given)

    return by_client


def options_of(request: pytest.FixtureRequest, **more: Any) -> dict[str, Any]:
    name = "async" if "async" in request.node.name else "def"
    return {"client_id": f"restarts-{name}", **more}


def test_a_run_is_started_again(app_url: str, restart: Restart, request: pytest.FixtureRequest) -> None:
    options = options_of(request)
    with Client(**options) as client:
        first = client.start("echo", f"{app_url}/plain/echo", {"n": 1}, key="k")
        again = restart(first.run_id, options=options)
        assert (again.idempotency_key, again.restart_of) == ("k/2", first.run_id)
        assert client.wait(again.id).response == {"n": 1}
        assert restart(first.run_id, options=options).id == again.id
        other = restart(first.run_id, options=options, payload=None, key=7)
        assert (other.idempotency_key, client.wait(other.id).response) == ("7", None)
        with pytest.raises(PayloadMismatchError, match="in its place"):
            restart(first.run_id, options=options, payload=3)
        with pytest.raises(SerializationError, match="The payload of the new run"):
            restart(first.run_id, options=options, payload=object())
        held = client.start("echo", f"{app_url}/plain/echo", key="held", paused=True, timeout=0)
        with pytest.raises(RefusedError, match="Cancel it first") as refused:
            restart(held.run_id, options=options)
        assert refused.value.code == "run-live"


def test_a_payload_is_encrypted_for_the_new_run(
    app_url: str, restart: Restart, request: pytest.FixtureRequest
) -> None:
    old = options_of(request, codec=Encryption({"old": KEYS["old"]}))
    new = options_of(request, codec=Encryption(KEYS))
    with Client(**new) as client, Client(**old) as before:
        first = before.start("echo", f"{app_url}/sealed/echo", "secret", key="sealed", timeout=0)
        assert client.wait(first.id).response == "secret"
        again = restart(first.run_id, options=old)
        assert client.wait(again.id).response == "secret"
        # Repeated after a rotation of keys.
        assert restart(first.run_id, options=new).id == again.id
        edited = restart(again.run_id, options=new, payload="another", key="edited")
        assert client.wait(edited.id).response == "another"
        third = restart(again.run_id, options=new)
        assert (third.idempotency_key, client.wait(third.id).response) == ("sealed/3", "secret")
        stored = [client.step(each.id).payload[MEMBER]["k"] for each in (first, again, third, edited)]
        assert stored == ["old", "old", "new", "new"]
        with pytest.raises(PayloadMismatchError):
            restart(first.run_id, options=new, payload="changed")


def test_a_run_is_started_again_at_another_url(
    app_url: str, restart: Restart, request: pytest.FixtureRequest
) -> None:
    """Also one with an encrypted payload, which is read and encrypted anew."""
    for path, codec in (("plain", None), ("sealed", Encryption(KEYS))):
        options = options_of(request, codec=codec)
        with Client(**options) as client:
            gone = f"{app_url}/gone/{path}"
            first = client.start("moved", gone, {"n": 1}, key=f"moved-{path}", retry=0, timeout=0)
            client.cancel(first.run_id)
            moved = restart(first.run_id, options=options, url=f"{app_url}/{path}/echo")
            assert (moved.step_invoke_url, moved.restart_of) == (f"{app_url}/{path}/echo", first.run_id)
            assert client.wait(moved.id).response == {"n": 1}
            with pytest.raises(RefusedError, match="at another URL"):
                restart(first.run_id, options=options, url=gone)
