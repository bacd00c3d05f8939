"""Requests signed for IAM, on a server that checks each signature as botocore makes it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from atomic import AsyncClient, Client
from atomic.sdk._calls.results import steps_target
from atomic.sdk._wire.iam import signer_of
from fake_lambda import ENVIRONMENT, is_signed
from sdk.test_clients import DONE
from sdk.threads import wsgi_server

GATEWAY = "https://abc123.execute-api.eu-north-1.amazonaws.com/iam"


class Gateway:
    """Answers signed requests alone."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        raw = request.environ["REQUEST_URI"]
        self.seen.append((request.method, raw))
        if not is_signed(request, raw, "execute-api"):
            refused = Response(json.dumps({"message": "Forbidden"}), 403)
            return refused(environ, start_response)
        listed = {"runs": [], "next": None}
        answer = listed if request.method == "GET" else DONE
        return Response(json.dumps(answer), content_type="application/json")(environ, start_response)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def served(credentials: None) -> Iterator[tuple[str, Gateway]]:
    del credentials
    gateway = Gateway()
    with wsgi_server(gateway) as url:
        yield f"{url}/iam", gateway


def test_a_client_signs_what_it_sends(served: tuple[str, Gateway]) -> None:
    url, gateway = served
    with Client(url, client_id="acme", api_key="ignored", auth="iam", patience=0) as client:
        assert client.start("w", "https://app.example/w", "Gr\u00fc\u00dfe", key="k").response == {
            "ok": True
        }
        assert client.runs(workflow_name="a b+c/\u00e9", created_after="2026-11-23T07:38:00+01:00") == []
    assert [method for method, _ in gateway.seen] == ["POST", "GET"]
    assert gateway.seen[0][1] == "/iam/acme"


def test_an_asynchronous_client_signs_what_it_sends(
    served: tuple[str, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, gateway = served
    monkeypatch.setenv("ATOMIC_AUTH", "iam")

    async def main() -> None:
        async with AsyncClient(url, client_id="acme", patience=0) as client:
            started = await client.start("w", "https://app.example/w", 1, key="k")
            assert started.response == {"ok": True}
            assert (
                await client.runs(workflow_name="a b+c/\u00e9", created_after="2026-11-23T07:38:00+01:00")
                == []
            )

    asyncio.run(main())
    assert len(gateway.seen) == 2


def test_a_signer_of_one_s_own(served: tuple[str, Gateway]) -> None:
    url, gateway = served
    sign = signer_of("iam", url)
    assert sign is not None
    asked: list[tuple[str, str, bytes]] = []

    def mine(method: str, target: str, body: bytes) -> Any:
        asked.append((method, target, body))
        return sign(method, target, body)

    with Client(url, client_id="acme", auth=mine, patience=0) as client:
        client.runs()
    [(method, target, body)] = asked
    assert (method, target.partition("?")[0], body) == ("GET", f"{url}/acme/runs", b"")
    assert len(gateway.seen) == 1


def test_the_region_is_that_of_the_gateway(credentials: None) -> None:
    del credentials
    sign = signer_of("iam", GATEWAY)
    assert sign is not None
    assert (
        "/eu-north-1/execute-api/aws4_request" in sign("GET", f"{GATEWAY}/acme/runs", b"")["Authorization"]
    )


def test_what_cannot_sign_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ValueError, match=r"region of http://127.0.0.1:1 is not known"):
        Client("http://127.0.0.1:1", auth="iam")
    with Client(GATEWAY, auth="iam") as client, pytest.raises(ValueError, match="no credentials"):
        client.runs()
    monkeypatch.setenv("ATOMIC_AUTH", "basic")
    with pytest.raises(ValueError, match="ATOMIC_AUTH 'basic': use iam"):
        Client(GATEWAY)


def test_a_handler_posts_to_signed_paths(credentials: None) -> None:
    del credentials
    client = Client(GATEWAY, client_id="acme", auth="iam")
    posted_to = "https://abc123.execute-api.eu-north-1.amazonaws.com/acme/steps"
    assert steps_target(client.connection, posted_to) == "/acme/steps"
