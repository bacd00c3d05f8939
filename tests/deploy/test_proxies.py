"""The real nginx and caddy, with the files of `deploy/`, in front of a real server.

The server has keys and the settings of docs/servers.md, and callers use a name that is not `localhost`.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import requests
from requests.adapters import HTTPAdapter

from atomic.application.engine import Settings
from atomic.protocol.constants import BODY_MAX_BYTES, PAYLOAD_MAX_BYTES
from certificates import Certificates, make_certificates
from dashboard.stage import Endpoints
from deploy.tools import DEPLOY, checked, program
from scenarios.embedded_runtime import AtomicServer, create_client, free_port

# How long a caller really waits, in seconds: `WAIT_S=70` is longer than the usual limit of a proxy.
WAIT_S: Final = float(os.environ.get("WAIT_S", "2"))
NGINX_FILE: Final = DEPLOY / "nginx" / "atomic.conf"
CADDY_FILE: Final = DEPLOY / "caddy" / "Caddyfile"
# The name of `certificates.other`.
NAME: Final = "other.test"


class Locked(NamedTuple):
    """A server with one client, `shop`, and its key."""

    port: int
    key: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, endpoints: Endpoints) -> Iterator[Locked]:
    data_dir = tmp_path_factory.mktemp("proxies") / "data"
    key = create_client(data_dir, "shop", "--base-url", f"{endpoints.url}/")
    server = AtomicServer(data_dir, "--public-url", f"https://{NAME}", dev=False)
    server.start()
    yield Locked(server.port, key)
    server.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Endpoints]:
    endpoints = Endpoints()
    yield endpoints
    endpoints.close()


def replaced(text: str, changes: dict[str, str]) -> str:
    """The text with each of these replaced, all of which have to be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder: Path, server: Locked, port: int, certificates: Certificates) -> list[str]:
    site = replaced(
        NGINX_FILE.read_text(),
        {
            "127.0.0.1:8787;\n": f"127.0.0.1:{server.port};\n",
            "listen 443": f"listen 127.0.0.1:{port}",
            "server_name atomic.example.com": f"server_name {NAME}",
            "/etc/letsencrypt/live/atomic.example.com/fullchain.pem": str(certificates.other),
            "/etc/letsencrypt/live/atomic.example.com/privkey.pem": str(certificates.other),
        },
    )
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{name}_temp_path {folder / name};" for name in folders)
    # As root, its workers are another user, who may not read the folders of tests.
    user = "user root; " if os.getuid() == 0 else ""
    own = f"{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(
        f"{own} http {{ access_log off; {temporary} include {folder}/site.conf; }}"
    )
    return [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, server: Locked, port: int, certificates: Certificates) -> list[str]:
    site = replaced(
        CADDY_FILE.read_text(),
        {
            "127.0.0.1:8787\n}": f"127.0.0.1:{server.port}\n}}",
            "atomic.example.com {": f"https://{NAME}:{port} {{\n"
            f"\tbind 127.0.0.1\n\ttls {certificates.other} {certificates.other}",
        },
    )
    own = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {folder}\n}}\n"
    (folder / "Caddyfile").write_text(own + site)
    return [program("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


class Named(HTTPAdapter):
    """Asks for the certificate of the name at the address of this machine, as `curl --resolve` does."""

    def init_poolmanager(self, *given: Any, **more: Any) -> None:
        super().init_poolmanager(*given, **more, server_hostname=NAME, assert_hostname=NAME)


class Proxy:
    """What callers reach through a proxy, over TLS."""

    def __init__(self, port: int, authority: Path, key: str) -> None:
        self.url = f"https://{NAME}:{port}"
        self._address = f"https://127.0.0.1:{port}"
        self._headers = {"Host": f"{NAME}:{port}", "Authorization": f"Bearer {key}"}
        self._session = requests.Session()
        self._session.mount(self._address, Named())
        self._authority = str(authority)

    def get(self, path: str) -> requests.Response:
        return self._call("GET", path)

    def start(self, key: str, url: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
        # Both proxies stand before one server.
        key = f"{key}-{self.url}"
        document = {"workflowName": "proxied", "idempotencyKey": key, "stepInvokeUrl": url, **more}
        return self._call("POST", "/shop", json=document, headers=headers)

    def _call(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> requests.Response:
        return self._session.request(
            method,
            self._address + path,
            headers=self._headers | (headers or {}),
            verify=self._authority,
            timeout=WAIT_S + 30,
            allow_redirects=False,
            **more,
        )


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, tmp_path: Path, server: Locked, certificates: Certificates
) -> Iterator[Proxy]:
    port = free_port()
    with running(request.param(tmp_path, server, port, certificates), tmp_path):
        proxy = Proxy(port, certificates.ca, server.key)
        until = time.monotonic() + 20
        while True:
            try:
                proxy.get("/health")
                break
            except requests.ConnectionError:
                assert time.monotonic() < until, (tmp_path / "output").read_text()
                time.sleep(0.05)
        yield proxy


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_the_api_and_the_dashboard_are_reached(proxy: Proxy, endpoints: Endpoints) -> None:
    assert proxy.get("/health").json()["status"] == "ok"
    assert proxy.get("/").headers["location"] == "/dashboard"
    assert 'id="app"' in proxy.get("/dashboard").text
    started = proxy.start("reached", endpoints.serve("/ok", (200, {"fine": True})))
    assert (started.status_code, started.json()["response"]) == (200, {"fine": True})


def test_metrics_stay_inside(proxy: Proxy) -> None:
    assert proxy.get("/metrics").status_code == 404


def test_the_dashboard_may_act_and_foreign_pages_may_not(proxy: Proxy, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, 1))
    assert proxy.start("own", url, headers={"Origin": proxy.url}).status_code == 200
    refused = proxy.start("foreign", url, headers={"Origin": "https://evil.example"})
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:atomic:problem:foreign-origin")


def test_the_largest_payload_passes_and_more_does_not(proxy: Proxy, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, 1))
    # Two characters of JSON for each byte of the payload.
    payload = "\n" * (PAYLOAD_MAX_BYTES // 2 - 2)
    assert proxy.start("large", url, payload=payload).status_code == 200
    refused = proxy.start("too-large", url, payload="x" * BODY_MAX_BYTES)
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:atomic:problem:too-large")


def test_a_caller_waits_for_its_answer(proxy: Proxy, endpoints: Endpoints) -> None:
    url = endpoints.serve("/held", None, (200, "late"))
    policy = {"retry": {"count": 3, "backOff": 1}, "attemptTimeout": round(1000 * WAIT_S) + 20_000}
    began = time.monotonic()
    delay = round(1000 * WAIT_S)
    endpoints.release()
    waited = proxy.start("waits", url, delay=delay, timeout=delay + 20_000, **policy)
    assert (waited.status_code, waited.json()["response"]) == (200, "late")
    assert time.monotonic() - began >= WAIT_S


def test_nginx_waits_longer_than_any_caller() -> None:
    [limit_s] = re.findall(r"proxy_read_timeout (\d+)s;", NGINX_FILE.read_text())
    assert int(limit_s) * 1000 > Settings().wait_max_ms


def test_the_files_are_well_formed() -> None:
    """`caddy fmt` says with its exit code that a file is not formatted."""
    checked(program("caddy"), "fmt", "--diff", CADDY_FILE)
