"""`atomic operator` on a data directory: the keys that can create clients over the API."""

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from atomic.adapters.secret_files import key_pepper
from atomic.adapters.sqlite.client_store import SqliteClientRegistry
from atomic.adapters.system import SystemClock
from atomic.cli.clients import clients
from atomic.cli.operator import operator
from atomic.domain.clients.api_keys import Peppers


def atomic_operator(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(operator, [*arguments, "--data-dir", str(directory)])


def made(directory: Path, *arguments: str) -> Any:
    found = atomic_operator(directory, *arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def scopes(directory: Path, api_key: str) -> frozenset[str]:
    """The scopes that a server would grant the key."""
    registry = SqliteClientRegistry(
        directory / "clients.db", peppers=Peppers(key_pepper(directory)), now_ms=SystemClock().now_ms
    )
    try:
        opened = asyncio.run(registry.authenticate(api_key, "acme"))
        return frozenset() if opened is None else opened.scopes
    finally:
        registry.close()


def test_keys_are_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    first = made(tmp_path, "create-key")["apiKey"]
    second = made(tmp_path, "rotate-key", "--overlap-hours", "1")["apiKey"]
    third = made(tmp_path, "create-key", "--expires-in-days", "1")["apiKey"]
    ids = [key.split("_")[1] for key in (first, second, third)]
    listed = made(tmp_path, "list-keys")
    assert [(key["id"], key["scopes"]) for key in listed] == [(id_, ["operator"]) for id_ in ids]
    assert [key["expiresAt"] is None for key in listed] == [False, True, False]
    for key in (first, second, third):
        assert scopes(tmp_path, key) == {"operator"}
    shown = atomic_operator(tmp_path, "list-keys").stdout
    assert f"{ids[0]}: operator, until 2" in shown
    assert not any(key.rpartition("_")[2] in shown + json.dumps(listed) for key in (first, second, third))
    assert made(tmp_path, "revoke-key", ids[1]) == {"revoked": ids[1]}
    assert scopes(tmp_path, second) == frozenset()
    # The operator is not listed as a client.
    assert CliRunner().invoke(clients, ["list", "--data-dir", str(tmp_path)]).stdout.strip() == ""


def test_a_pepper_is_rotated_and_ended(tmp_path: Path) -> None:
    first = made(tmp_path, "create-key")["apiKey"]
    assert made(tmp_path, "pepper") == []
    assert atomic_operator(tmp_path, "rotate-pepper").exit_code == 0
    assert made(tmp_path, "pepper") == ["_operator"]
    assert atomic_operator(tmp_path, "pepper").stdout == "_operator\n"
    refused = atomic_operator(tmp_path, "end-pepper")
    assert refused.exit_code == 1
    assert "keys of the operator have not been used since" in refused.output
    second = made(tmp_path, "rotate-key", "--overlap-hours", "0")["apiKey"]
    assert atomic_operator(tmp_path, "end-pepper").exit_code == 0
    assert "all keys are under the current pepper" in atomic_operator(tmp_path, "pepper").stdout
    assert [scopes(tmp_path, key) for key in (first, second)] == [frozenset(), {"operator"}]


def test_what_is_refused_names_the_cure(tmp_path: Path) -> None:
    for command in ("list-keys", "rotate-key"):
        assert "`atomic operator create-key` makes one" in atomic_operator(tmp_path, command).output
    made(tmp_path, "create-key")
    made(tmp_path, "create-key")
    assert "the operator has several keys" in atomic_operator(tmp_path, "rotate-key").output
    refused = atomic_operator(tmp_path, "revoke-key", "0" * 12)
    assert refused.exit_code == 1
    assert "the operator has no key '000000000000'; it has " in refused.output
