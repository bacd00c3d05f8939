"""The clients and runs in a fuzzed runtime, the same on both runtimes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import requests

from atomic.application.client_admin import ClientAdmin
from atomic.domain.clients import api_keys
from atomic.domain.clients.client import OPERATOR_SCOPE
from atomic.domain.clients.records import OPERATOR_ID, ClientRecord, StoredKey, StoredSecret
from atomic.protocol.enums import SCOPES
from atomic.protocol.signatures import encode_secret
from both_runtimes import LockedRuntime
from described.known import API_KEYS, BASE_URL, CANCELLED, CLIENT, OTHER, STARTS, VICTIMS


@dataclass(frozen=True)
class Fuzzed:
    """A runtime under test. `restore` undoes what a case has changed of its clients."""

    url: str
    session: requests.Session
    admin: ClientAdmin
    clients: tuple[ClientRecord, ...]

    def restore(self) -> None:
        """Write the clients again as they were at the start."""
        for client in self.clients:
            now = self.admin.known(client.id)
            assert self.admin.store.save(replace(client, version=now.version))


@contextmanager
def furnished(runtime: LockedRuntime) -> Iterator[Fuzzed]:
    """A runtime with clients and runs."""
    clients = _create_clients(runtime.admin)
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {API_KEYS['all']}"
        for start in STARTS:
            answer = session.post(f"{runtime.url}/{CLIENT}", json=start, headers={"Prefer": "wait=0"})
            assert answer.status_code in {200, 424, 504}, answer.text
        for run in CANCELLED:
            assert session.post(f"{runtime.url}/{CLIENT}/runs/{run}/cancel").status_code == 200
        runtime.drive()
        del session.headers["Authorization"]
        yield Fuzzed(runtime.url, session, runtime.admin, clients)


def _create_clients(admin: ClientAdmin) -> tuple[ClientRecord, ...]:
    """Write the clients as records, because keys that a runtime generates are not known beforehand."""
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
