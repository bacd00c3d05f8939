"""An AWS account on this machine whose every connection is TLS, for the measurement of cold starts.

ministack and an endpoint, each behind a proxy with a certificate of this run. Functions trust it beside the
usual authorities, of which they read as many as on AWS.
"""

# ruff: noqa: S603 - this script starts programs of this machine and waits for them
import asyncio
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import botocore.session
import certifi

from atomic.adapters.aws import table
from aws_local import aws_environ, create_client, credentials, emulator, endpoint, free_port

_TABLE: Final = "cold"


@dataclass(frozen=True, slots=True)
class Account:
    """`environ` is that of functions; `api_key` is of the client `cold`, which may call `base_url`."""

    environ: Mapping[str, str]
    api_key: str
    base_url: str

    def start(self, key: str) -> bytes:
        """The event of a post that starts a step, and waits until its endpoint has answered."""
        document = {
            "workflowName": "cold",
            "stepInvokeUrl": f"{self.base_url}hello",
            "idempotencyKey": key,
            "payload": "ada",
        }
        event = {
            "version": "2.0",
            "rawPath": "/cold",
            "rawQueryString": "",
            "headers": {"authorization": f"Bearer {self.api_key}", "content-type": "application/json"},
            "requestContext": {"http": {"method": "POST", "path": "/cold"}},
            "body": json.dumps(document),
            "isBase64Encoded": False,
        }
        return json.dumps(event).encode()


@contextmanager
def account(work: Path) -> Iterator[Account]:
    """Run the account; its table has one client."""
    port = free_port()
    environ = aws_environ(port)
    with ExitStack() as stack:
        stack.enter_context(emulator(work, port))
        certificate = _certificate(work)
        secure = stack.enter_context(_proxy(certificate, port))
        served = stack.enter_context(_proxy(certificate, stack.enter_context(endpoint())))
        session, options = botocore.session.get_session(), credentials(environ)
        here = {"endpoint_url": environ["AWS_ENDPOINT_URL"], **options}
        session.create_client("dynamodb", **here).create_table(TableName=_TABLE, **table.TABLE)
        sqs = session.create_client("sqs", **here)
        for name in ("q", "l", "w", "d"):
            sqs.create_queue(QueueName=name)
        base_url = f"https://127.0.0.1:{served}/"
        outputs = {"Endpoint": environ["AWS_ENDPOINT_URL"], "TableName": _TABLE}
        queues = f"https://127.0.0.1:{secure}/000000000000"
        authorities = work / "authorities.pem"
        authorities.write_text(Path(certifi.where()).read_text() + certificate.read_text())
        yield Account(
            environ | {
                "AWS_ENDPOINT_URL": f"https://127.0.0.1:{secure}",
                "AWS_CA_BUNDLE": str(authorities),
                "SSL_CERT_FILE": str(authorities),
                "ATOMIC_TABLE": _TABLE,
                "ATOMIC_QUEUE_URL": f"{queues}/q",
                "ATOMIC_LONG_QUEUE_URL": f"{queues}/l",
                "ATOMIC_WATCHDOG_QUEUE_URL": f"{queues}/w",
                "ATOMIC_DEAD_LETTER_QUEUE_URL": f"{queues}/d",
                "ATOMIC_ALLOW_PRIVATE": "true",
            },
            create_client(outputs, "cold", base_url),
            base_url,
        )  # fmt: skip


def _certificate(work: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    both = work / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", both, "-out", f"{both}.crt"], check=True, capture_output=True, timeout=30
    )
    both.write_text(both.read_text() + Path(f"{both}.crt").read_text())
    return both


@contextmanager
def _proxy(certificate: Path, port: int) -> Iterator[int]:
    """Take TLS connections, and pass on what they say to a port of this machine; the port of the proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop, taken = asyncio.new_event_loop(), free_port()

    async def pass_on(asked: asyncio.StreamReader, answered: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(asked, writer), _copy(reader, answered))

    loop.run_until_complete(asyncio.start_server(pass_on, "127.0.0.1", taken, ssl=context))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    yield taken


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()
