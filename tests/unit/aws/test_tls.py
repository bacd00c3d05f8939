"""What an environment does before its first event, so that the event need not wait for it."""

import shutil
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from atomic.adapters.aws.config import dynamodb_client
from atomic.adapters.aws.tls import read_authorities_once
from certificates import Certificates, make_certificates


class Empty(BaseHTTPRequestHandler):
    """A table without items, over connections that serve one request each."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["good", "lone"])
def server(request: pytest.FixtureRequest, made: Certificates) -> Iterator[tuple[str, str]]:
    """A server by https; its URL, and the name of its certificate."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(getattr(made, request.param))
    served.socket = context.wrap_socket(served.socket, server_side=True)
    threading.Thread(target=served.serve_forever, args=(0.05,), daemon=True).start()
    yield f"https://127.0.0.1:{served.server_port}", request.param
    served.shutdown()
    served.server_close()


def test_authorities_are_read_before_the_first_connection_and_not_again(
    server: tuple[str, str], made: Certificates, tmp_path: Path
) -> None:
    url, certificate = server
    authorities = tmp_path / "authorities"
    shutil.copy(made.ca, authorities)
    client = dynamodb_client(
        endpoint_url=url,
        verify=str(authorities),
        region_name="eu-central-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    read_authorities_once(client)
    authorities.unlink()
    for _ in range(3 if certificate == "good" else 1):
        if certificate == "good":
            assert "Item" not in client.get_item(TableName="t", Key={"pk": {"S": "1"}, "sk": {"S": "1"}})
        else:
            with pytest.raises(BotoCoreError, match=r"(?i)certificate"):
                client.get_item(TableName="t", Key={"pk": {"S": "1"}, "sk": {"S": "1"}})
    client.close()
