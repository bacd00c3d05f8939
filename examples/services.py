"""What the examples talk to: a mail server (aiosmtpd), and an analytics collector that is down at first.

    pip install aiosmtpd
    python services.py

Both print what they get. The collector refuses the first two calls with each key, and counts a key once.
"""

import json
import os
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

SMTP_PORT = int(os.environ.get("SMTP_PORT", "8025"))
COLLECTOR_PORT = int(os.environ.get("COLLECTOR_PORT", "8026"))
REFUSED = 2
calls: Counter[str] = Counter()


class Mailbox:
    """Takes every mail."""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Called by aiosmtpd for each mail."""
        subject = next(line for line in envelope.content.splitlines() if line.startswith(b"Message-ID"))
        print("mail", *envelope.rcpt_tos, subject.decode(), flush=True)
        return "250 OK"


class Collector(BaseHTTPRequestHandler):
    """Takes every event, at the third attempt."""

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        calls[key] += 1
        if calls[key] == REFUSED + 1:
            print("event", json.dumps(event), flush=True)
        self.send_response(503 if calls[key] <= REFUSED else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing of each request."""


if __name__ == "__main__":
    Controller(Mailbox(), hostname="127.0.0.1", port=SMTP_PORT).start()
    ThreadingHTTPServer(("127.0.0.1", COLLECTOR_PORT), Collector).serve_forever()
