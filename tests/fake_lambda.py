"""Lambda's Invoke API as far as Atomic uses it: it checks signatures, and invokes Python functions."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.wrappers import Request, Response

from sdk.threads import wsgi_server

Handler = Callable[[Mapping[str, Any], Any], Any]
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "token")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
    "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
    "AWS_SESSION_TOKEN": "token",
    "AWS_REGION": "eu-west-1",
}
_PATH = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")


class Refusal(Exception):
    """What Lambda itself answers in place of the function: status, name of the error, further headers."""

    def __init__(self, status: int, name: str, **headers: str) -> None:
        super().__init__(name)
        self.status, self.name, self.headers = status, name, headers


@dataclass
class FakeLambda:
    """The functions by their names, or by their ARNs, and the events that they got."""

    functions: dict[str, Handler] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        raw = request.environ["REQUEST_URI"]
        match = _PATH.fullmatch(raw)
        assert match is not None, raw
        if not is_signed(request, raw, "lambda"):
            return _refusal(Refusal(403, "InvalidSignatureException"))
        function, event = unquote(match[1]), json.loads(request.get_data())
        if function not in self.functions:
            return _refusal(Refusal(404, "ResourceNotFoundException"))
        self.events.append((function, event))
        try:
            answered = self.functions[function](event, None)
        except Refusal as refusal:
            return _refusal(refusal)
        except TimeoutError:
            late = {"errorType": "Sandbox.Timedout", "errorMessage": "x Task timed out after 3.00 seconds"}
            return _failed("Unhandled", late)
        except Exception as error:
            return _failed("Unhandled", {"errorType": type(error).__name__, "errorMessage": str(error)})
        return Response(json.dumps(answered), content_type="application/json")


def _failed(kind: str, payload: dict[str, Any]) -> Response:
    return Response(json.dumps(payload), headers={"X-Amz-Function-Error": kind})


def _refusal(refusal: Refusal) -> Response:
    headers = {"x-amzn-ErrorType": f"{refusal.name}:http://internal.amazon.com/", **refusal.headers}
    return Response("{}", refusal.status, headers)


def is_signed(request: Request, raw: str, service: str) -> bool:
    """Whether botocore, at the time of the request, would make the same signature."""
    sent = request.headers.get("Authorization", "")
    if not sent.startswith("AWS4-HMAC-SHA256 "):
        return False
    region = sent.split("/")[2]
    names = sent.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    signed = {name: request.headers[name] for name in names if name not in {"host", "x-amz-date"}}
    again = AWSRequest(request.method, f"http://{request.host}{raw}", signed, request.get_data())
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    signer = SigV4Auth(CREDENTIALS, service, region)
    again.headers["X-Amz-Date"] = request.headers["X-Amz-Date"]
    canonical = signer.canonical_request(again)
    signature = signer.signature(signer.string_to_sign(again, canonical), again)
    age = datetime.now(UTC) - datetime.strptime(again.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(
        tzinfo=UTC
    )
    return sent.endswith(f"Signature={signature}") and abs(age.total_seconds()) < 300


@contextmanager
def fake_lambda(**functions: Handler) -> Iterator[tuple[str, FakeLambda]]:
    """A fake and its URL."""
    fake = FakeLambda(dict(functions))
    with wsgi_server(fake) as url:
        yield url, fake
