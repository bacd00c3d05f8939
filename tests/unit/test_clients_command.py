"""`atomic clients` on a data directory, from the creation of a client to the end of its keys."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from atomic.adapters.sqlite.client_store import SqliteClientRegistry, SqliteClientStore
from atomic.cli.clients import clients
from atomic.domain.clients.api_keys import Peppers
from atomic.entrypoints.http_api.views import problem_response
from atomic.protocol import ed25519
from atomic.protocol.problems import not_found
from atomic.protocol.signatures import decode_secret
from atomic.testing import LocalAtomic, run

BASE = ("--base-url", "https://app.example/")


def atomic_clients(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(clients, [*arguments, "--data-dir", str(directory)])


def made(directory: Path, *arguments: str) -> Any:
    found = atomic_clients(directory, *arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_client_its_keys_and_its_limits(tmp_path: Path) -> None:
    first = made(tmp_path, "create", "acme", *BASE, "--scope", "read", "--expires-in-days", "30")
    second = made(tmp_path, "rotate", "acme", "--scope", "start", "--overlap-hours", "1")
    secret = made(tmp_path, "rotate-secret", "acme")
    made(
        tmp_path, "limits", "acme", "--starts-per-second", "5", "--live-steps", "100", "--stored-bytes", "9"
    )
    made(tmp_path, "redact", "acme", "--redact", "email", "--redact", "card.number")
    [listed] = made(tmp_path, "list")
    assert listed["redacted"] == ["email", "card.number"]
    ids = [key.split("_")[1] for key in (first["apiKey"], second["apiKey"])]
    assert listed["clientId"] == "acme"
    assert [key["id"] for key in listed["keys"]] == ids
    assert [key["scopes"] for key in listed["keys"]] == [["read"], ["start"]]
    assert (listed["startsPerSecond"], listed["liveSteps"], listed["storedBytes"]) == (5.0, 100, 9)
    shown = atomic_clients(tmp_path, "list").stdout
    assert f"{ids[0]}: read, until 2" in shown
    assert "2 live secrets" in shown
    for hidden in (first["apiKey"], second["apiKey"], secret["signingSecret"], first["signingSecret"]):
        assert hidden not in shown + json.dumps(listed)
    assert atomic_clients(tmp_path, "revoke", "acme", ids[0]).exit_code == 0
    assert ids[0] not in atomic_clients(tmp_path, "list").stdout


def test_callbacks_are_switched_off_and_on(tmp_path: Path) -> None:
    made(tmp_path, "create", "acme", *BASE)
    made(tmp_path, "create", "calm", *BASE, "--no-callbacks")
    assert [client["callbacks"] for client in made(tmp_path, "list")] == [True, False]
    assert atomic_clients(tmp_path, "list").stdout.count("callbacks off") == 1
    assert made(tmp_path, "callbacks", "calm", "on") == {"callbacks": True}
    assert made(tmp_path, "callbacks", "acme", "off") == {"callbacks": False}
    assert [client["callbacks"] for client in made(tmp_path, "list")] == [False, True]


def test_origins_are_set(tmp_path: Path) -> None:
    page = "https://shop.example"
    made(tmp_path, "create", "acme", *BASE, "--origin", page)
    assert made(tmp_path, "list")[0]["origins"] == [page]
    assert f"  origin    {page}" in atomic_clients(tmp_path, "list").stdout
    assert made(tmp_path, "origins", "acme", "--origin", "http://localhost:1") == {
        "origins": ["http://localhost:1"]
    }
    refused = atomic_clients(tmp_path, "origins", "acme", "--origin", f"{page}/cakes")
    assert refused.exit_code == 1
    assert "with no path" in refused.output
    assert made(tmp_path, "origins", "acme") == {"origins": []}


def test_roles_are_set(tmp_path: Path) -> None:
    role = "arn:aws:iam::123456789012:role/shop"
    made(tmp_path, "create", "acme", *BASE, "--role", role)
    assert made(tmp_path, "list")[0]["roles"] == [role]
    assert f"  role      {role}" in atomic_clients(tmp_path, "list").stdout
    assert made(tmp_path, "roles", "acme", "--role", f"{role}2") == {"roles": [f"{role}2"]}
    refused = atomic_clients(tmp_path, "roles", "acme", "--role", "shop")
    assert refused.exit_code == 1
    assert "give the ARN of a role" in refused.output
    assert made(tmp_path, "roles", "acme") == {"roles": []}


@pytest.mark.parametrize("many", ["1e300", "inf", "nan", "-1"])
def test_a_moment_that_cannot_be_written_is_refused(tmp_path: Path, many: str) -> None:
    made(tmp_path, "create", "acme", *BASE)
    for arguments in (
        ["add-key", "acme", "--scope", "read", "--expires-in-days"],
        ["rotate", "acme", "--overlap-hours"],
    ):
        refused = atomic_clients(tmp_path, *arguments, many)
        assert refused.exit_code in {1, 2}
        assert "Error: " in refused.output
    [listed] = made(tmp_path, "list")
    assert len(listed["keys"]) == 1


def test_base_urls_take_the_place_of_those_before(tmp_path: Path) -> None:
    made(tmp_path, "create", "acme", *BASE)
    two = ("--base-url", "https://a.example/x", "--base-url", "http://b.example:8080/")
    assert made(tmp_path, "base-urls", "acme", *two, "--allow-http") == {"baseUrls": list(two[1::2])}
    assert made(tmp_path, "list")[0]["baseUrls"] == list(two[1::2])


def test_a_key_beside_another_is_rotated_by_its_name(tmp_path: Path) -> None:
    first = made(tmp_path, "create", "acme", *BASE)["apiKey"].split("_")[1]
    beside = made(tmp_path, "add-key", "acme", "--scope", "admin")["apiKey"].split("_")[1]
    assert "name one by --key" in atomic_clients(tmp_path, "rotate", "acme").output
    third = made(tmp_path, "rotate", "acme", "--key", beside)["apiKey"].split("_")[1]
    [listed] = made(tmp_path, "list")
    assert [(key["id"], key["scopes"]) for key in listed["keys"]] == [
        (first, ["start", "read", "act"]), (beside, ["admin"]), (third, ["admin"])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "acme", *BASE), "exists already"),
        (("create", "b", "--base-url", "http://app.example/"), "not https"),
        (("create", "b", "--base-url", "https://10.0.0.1/"), "--allow-ip"),
        (("create", "b", "--base-url", "http://10.0.0.1/"), "(`allowHttp` in JSON)\nhttp://10.0.0.1/ has"),
        (("create", "b", "--base-url", "https://0x7f.1/"), "ASCII URL"),
        (("base-urls", "acme", "--base-url", "http://app.example/"), "not https"),
        (("base-urls", "nobody", *BASE), "no client 'nobody'"),
        (("rotate", "nobody"), "no client 'nobody'"),
        (("revoke", "acme", "000000000000"), "has no key"),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    made(tmp_path, "create", "acme", *BASE)
    store = SqliteClientStore(tmp_path / "clients.db")
    before = store.load("acme")
    refused = atomic_clients(tmp_path, *arguments)
    assert refused.exit_code == 1
    assert words in refused.output
    assert (store.ids(), store.load("acme")) == (["acme"], before)
    store.close()


def test_public_keys_can_be_exported(tmp_path: Path) -> None:
    wanted = made(tmp_path, "create", "acme", *BASE, "--ed25519")
    made(tmp_path, "create", "plain", *BASE)
    registry = SqliteClientRegistry(tmp_path / "clients.db", peppers=Peppers(b""), now_ms=lambda: 1)

    async def main() -> None:
        async with LocalAtomic(clients=registry) as atomic:
            published = await atomic.get("/.well-known/atomic/acme/jwks.json")
            [key] = published.json["keys"]
            public = base64.urlsafe_b64decode(key["x"] + "=")
            assert public == ed25519.public_key(decode_secret(wanted["signingSecret"]))
            others = [
                await atomic.get(f"/.well-known/atomic/{name}/jwks.json") for name in ("plain", "no", "a b")
            ]
            assert {(other.status, other.body) for other in others} == {
                (404, problem_response(not_found()).body)
            }

    run(main())
    registry.close()


WITHOUT = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing())
from atomic.cli.main import main
main(["clients", "list", *sys.argv[2:]])
"""
# The packages of one extra that the other lacks.
OF_SERVER = "apsw prometheus_client pythonjsonlogger uvicorn uvloop"
OF_AWS = "aws_lambda_powertools boto3 botocore"


@pytest.mark.parametrize(
    ("missing", "kept", "code", "said"),
    [
        (OF_SERVER, "--table", 1, "AWS refused"),
        (OF_AWS, "--table", 1, "botocore is not installed: pip install 'atomic-workflows[aws]'"),
        (OF_AWS, "--data-dir", 0, ""),
        (OF_SERVER, "--data-dir", 1, "apsw is not installed: pip install 'atomic-workflows[server]'"),
    ],
)
def test_each_place_needs_its_own_extra(
    tmp_path: Path, missing: str, kept: str, code: int, said: str
) -> None:
    # Invalid credentials, because AWS is never called.
    nobody = {
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "ATOMIC_KEY_PEPPER": "x" * 32,
    }
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, kept, str(tmp_path / "kept")],
        env=nobody, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr


@pytest.mark.parametrize("pepper", [None, "", "x" * 31])
def test_a_table_is_not_opened_without_its_pepper(
    monkeypatch: pytest.MonkeyPatch, pepper: str | None
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("ATOMIC_KEY_PEPPER", raising=False)
    if pepper is not None:
        monkeypatch.setenv("ATOMIC_KEY_PEPPER", pepper)
    refused = CliRunner().invoke(clients, ["list", "--table", "atomic"])
    assert refused.exit_code == 1
    assert "use a text of 32 characters or more (the KeyPepper of the stack)" in refused.output
