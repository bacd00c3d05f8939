"""A slow report without any SDK: the endpoint answers 202 and is called again, the caller polls.

Run each line in a terminal of its own (the standard library is all that this file needs):

    pip install 'atomic-workflows[server]'
    atomic serve --dev
    python slow_report.py
    curl -i http://127.0.0.1:8787/dev -H 'Prefer: respond-async' -d '{"workflowName": "report",
      "idempotencyKey": "2026-11", "stepInvokeUrl": "http://127.0.0.1:9000/report", "payload": "November"}'

The caller gets `202` and `Location: /dev/steps/…` at once, and reads that URL until `status` shows an
outcome.
"""

import json
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STEPS = os.environ.get("ATOMIC_URL", "http://127.0.0.1:8787") + "/dev/steps"
HOST, PORT = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9000"))
LOOK_AGAIN_MS = 500
at_work: set[str] = set()


def report(call: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    """Start the work, then wait for a timer; called again until the report is finished.

    No connection stays open meanwhile, and no retry is used. If this process dies, the next call starts the
    work again.
    """
    finished = Path(f"report-{call['runId']}.txt")
    if finished.exists():
        return 200, {}, {"report": finished.read_text()}
    if finished.name not in at_work:
        at_work.add(finished.name)
        threading.Thread(target=write_report, args=(finished, call["payload"]), daemon=True).start()
    timer = {
        "kind": "timer",
        "stepName": "lookAgain",
        "workflowName": call["workflowName"],
        "idempotencyKey": f"{call['idempotencyKey']}-{call['attempt']}",  # a timer for each call
        "parent": call["stepId"],
        "delay": LOOK_AGAIN_MS,
    }
    return 202, {"Atomic-Waiting-For": post_to_atomic(timer)["id"]}, None


def write_report(finished: Path, month: str) -> None:
    """Write the report, which takes a minute or an hour."""
    time.sleep(1.2)
    unfinished = finished.with_suffix(".part")
    unfinished.write_text(f"{month} was a good month.")
    unfinished.rename(finished)  # atomic: the file is either complete or absent


def post_to_atomic(document: dict[str, Any]) -> Any:
    """Post a step of this handler, without waiting for it."""
    headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
    request = urllib.request.Request(STEPS, json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


class Handler(BaseHTTPRequestHandler):
    """JSON in, JSON out. An exception becomes a 500, which is retried."""

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, headers, answer = report(call)
        except Exception as error:
            status, headers, answer = 500, {}, {"error": str(error)}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


if __name__ == "__main__":
    ThreadingHTTPServer((HOST, PORT), Handler).serve_forever()
