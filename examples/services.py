"""The services that the examples use: a mail server (aiosmtpd), and an analytics collector.

    pip install aiosmtpd
    python services.py

Both print what they receive. The collector refuses the first two calls with each key, and counts each key
once.
"""

import json
import os
from collections import Counter
from email.message import Message as EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

SMTP_PORT = int(os.environ.get("SMTP_PORT", "8025"))
COLLECTOR_PORT = int(os.environ.get("COLLECTOR_PORT", "8026"))
REFUSED = 2
calls: Counter[str] = Counter()


class Mailbox(Message):
    """Accepts every mail."""

    def handle_message(self, message: EmailMessage) -> None:
        """Called by aiosmtpd for each mail."""
        print("mail", message["X-RcptTo"], "Message-ID:", message["Message-ID"], flush=True)


class Collector(BaseHTTPRequestHandler):
    """Accepts every event at the third attempt."""

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        calls[key] += 1
        if calls[key] == REFUSED + 1:
            print("event", json.dumps(event), flush=True)
        self.send_response(503 if calls[key] <= REFUSED else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log no requests."""


if __name__ == "__main__":
    Controller(Mailbox(), hostname="127.0.0.1", port=SMTP_PORT).start()
    ThreadingHTTPServer(("127.0.0.1", COLLECTOR_PORT), Collector).serve_forever()
