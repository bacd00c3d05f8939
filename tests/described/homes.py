"""The two homes that are fuzzed, locked, with the same clients and the same runs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from atomic.application.client_admin import ClientAdmin
from atomic.entrypoints.aws.api import ApiFunction
from atomic.entrypoints.aws.invoker import InvokerFunction
from atomic.entrypoints.embedded import operators
from atomic.protocol import api_keys
from atomic.protocol.client_records import (
    OPERATOR_ID,
    OPERATOR_SCOPE,
    SCOPES,
    ClientRecord,
    StoredKey,
    StoredSecret,
)
from atomic.protocol.signatures import encode_secret
from contract.aws import aws
from described.gateway import served
from described.known import API_KEYS, BASE_URL, CANCELLED, CLIENT, OTHER, STARTS, VICTIMS
from scenarios.embedded_home import AtomicServer
from unit.aws.test_handlers import batch, environment


@dataclass(frozen=True)
class Fuzzed:
    """A home under test. What a case does to its clients can be undone by `restore`."""

    url: str
    session: requests.Session
    admin: ClientAdmin
    clients: tuple[ClientRecord, ...]

    def restore(self) -> None:
        """The clients as they were, past everything that cases did to them."""
        for client in self.clients:
            now = self.admin.known(client.id)
            assert self.admin.store.save(replace(client, version=now.version))


@contextmanager
def embedded(directory: Path) -> Iterator[Fuzzed]:
    """A locked `atomic serve`, a process of its own."""
    data_dir = directory / "data"
    with operators.admin(data_dir) as admin:
        clients = _create_clients(admin)
        server = AtomicServer(data_dir, dev=False)
        server.start()
        try:
            with _furnished(server.url, admin, clients) as home:
                yield home
        finally:
            assert server.stop() == 0


@contextmanager
def on_aws(_: Path) -> Iterator[Fuzzed]:
    """The API function; the table, the queues and the schedules are moto's."""
    with pytest.MonkeyPatch.context() as patch, aws() as account:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        admin = account.admin()
        clients = _create_clients(admin)
        environ = environment(account) | {"POWERTOOLS_LOG_LEVEL": "ERROR"}
        function, invoker = ApiFunction(environ), InvokerFunction(environ)
        with served(function) as url, _furnished(url, admin, clients) as home:
            invoker(batch(*account.received(account.queue_url)), None)
            yield home
        function.home.close()
        invoker.home.close()


HOMES: dict[str, Callable[[Path], AbstractContextManager[Fuzzed]]] = {"embedded": embedded, "aws": on_aws}


def _create_clients(admin: ClientAdmin) -> tuple[ClientRecord, ...]:
    """Written as records, since keys that a home makes are nobody's to know before."""
    scopes = {"all": SCOPES, **{scope: (scope,) for scope in SCOPES}}
    opening = {api_key: scopes[name] for name, api_key in API_KEYS.items() if name in scopes}
    opening |= dict.fromkeys(VICTIMS, SCOPES)
    operating = {API_KEYS[OPERATOR_SCOPE]: (OPERATOR_SCOPE,)}
    clients = (
        _record(admin, CLIENT, opening),
        _record(admin, OTHER, {API_KEYS["other"]: SCOPES}),
        replace(_record(admin, OPERATOR_ID, operating), base_urls=(), secrets=()),
    )
    for client in clients:
        assert admin.store.save(client)
    return clients


def _record(admin: ClientAdmin, client_id: str, opening: Mapping[str, tuple[str, ...]]) -> ClientRecord:
    now_ms = admin.now_ms()
    secret = StoredSecret(text=encode_secret(b"s" * 32), created_at_ms=now_ms)
    stored = []
    for api_key, scopes in opening.items():
        digest = api_keys.digest(api_key, admin.pepper).hex()
        key_id = api_keys.key_id_of(api_key) or ""
        stored.append(StoredKey(id=key_id, digest=digest, scopes=scopes, created_at_ms=now_ms))
    return ClientRecord(
        id=client_id,
        base_urls=(BASE_URL,),
        keys=tuple(stored),
        secrets=(secret,),
        created_at_ms=now_ms,
        ed25519=True,
    )


@contextmanager
def _furnished(url: str, admin: ClientAdmin, clients: tuple[ClientRecord, ...]) -> Iterator[Fuzzed]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {API_KEYS['all']}"
        for start in STARTS:
            answer = session.post(f"{url}/{CLIENT}", json=start, headers={"Prefer": "wait=0"})
            assert answer.status_code in {200, 424, 504}, answer.text
        for run in CANCELLED:
            assert session.post(f"{url}/{CLIENT}/runs/{run}/cancel").status_code == 200
        del session.headers["Authorization"]
        yield Fuzzed(url, session, admin, clients)
