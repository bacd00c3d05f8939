"""One call of an endpoint, between its web framework and its handler.

The request comes with the path as it was sent, because frameworks decode it and turn `%2F` into a slash. A
request is accepted once, if Atomic signed it for this endpoint in the last five minutes. The kind of web
server decides how long a handler may wait for its steps when there is no option `wait`. The result or the
error of the handler becomes the response.
"""

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from atomic.protocol import ed25519, headers, signatures
from atomic.protocol.defaults import STEP_WAIT_MS
from atomic.protocol.signatures import SignatureRefused
from atomic.sdk._wire.transport import checked

# How long a handler waits for its steps without an option `wait`. Its steps usually call the same
# application. A waiting handler occupies one of few threads, or a Lambda environment, which its steps may
# need to begin. So it waits only for a short time there, or not at all: it is suspended, and called again
# when a step is done.

# On an event loop, or in a thread that was made for this call only.
OWN_S: Final = STEP_WAIT_MS / 1000
# In a thread of a WSGI server.
_THREAD_S: Final = 0.25
# One second of a Lambda environment costs as much as another call (docs/workers.md).
ENVIRONMENT_S: Final = 1.0
_KEPT_FREE_MAX: Final = 8

_BASE_URL: Final = "ATOMIC_BASE_URL"
_BUILD: Final = "ATOMIC_BUILD"
# Characters that a path may contain unencoded (RFC 3986, 3.3).
_PLAIN: Final = "/:@!$&'()*+,;=~"
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Enough for 333 calls a second in the five minutes in which a call may be repeated. When there are more,
# the oldest are forgotten.
_REMEMBERED_MAX: Final = 100_000
SIGNING_SECRET: Final = "ATOMIC_SIGNING_SECRET"  # noqa: S105 - the name of a variable, not a secret

_log = logging.getLogger("atomic")

Done = TypeVar("Done")


class RawPath(NamedTuple):
    """A path in two parts, percent-encoded.

    `root` comes before the application's own paths (a proxy's prefix, `--root-path`, SCRIPT_NAME). It is
    empty or begins with "/", and does not end with it. `path` is the rest. Servers differ in whether the
    path that they hand on contains `root`.
    """

    root: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: scheme, host and port, the path as it was sent, headers with lower-case names, the body
    as it was signed.

    `wait_s` is the default for how long a handler waits for its steps on this server.
    """

    origin: str
    at: RawPath
    headers: Mapping[str, str]
    body: bytes
    wait_s: float = OWN_S

    def own_url(self, base_url: str, signed_url: str) -> str:
        """The URL of the endpoint: from the settings, else the signed URL, else the URL of the request.

        `base_url` is an option of the endpoint; if it is empty, ATOMIC_BASE_URL counts. `signed_url` is
        empty when no URL was signed. Raises ValueError when ATOMIC_BASE_URL is not the URL of a server.
        """
        base = base_url or os.environ.get(_BASE_URL, "")
        if base:
            return below(base if base_url else checked(_BASE_URL, base), self.at.root) + self.at.path
        if signed_url:
            return signed_url.partition("?")[0]
        return self.origin + self.at.root + self.at.path


def of_scope(scope: Mapping[str, Any]) -> RawPath:
    """The path of a request to an ASGI application. Paths of mounted applications belong to `path`."""
    sent = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    root = scope.get("app_root_path", scope.get("root_path", ""))
    # If the two paths differ, middleware has changed the decoded path, and the decoded path counts. Bytes
    # that are not UTF-8 are decoded to replacement characters.
    return _parted(root.encode(), sent if unquote(sent) == scope["path"] else "", scope["path"].encode())


def of_environ(environ: Mapping[str, Any], charset: str = "latin-1") -> RawPath:
    """The path of a request to a WSGI application. If the server gives no raw path, `%2F` is lost."""
    root, rest = (environ.get(name, "").encode(charset) for name in ("SCRIPT_NAME", "PATH_INFO"))
    sent = str(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "").partition("?")[0]
    if not sent.startswith("/"):
        sent = urlsplit(sent).path
    # Some servers also decode to replacement characters. Middleware may have changed the decoded path; then
    # it counts.
    decoded = {unquote_to_bytes(sent), unquote(sent).encode()}
    return _parted(root, "" if decoded.isdisjoint((root + rest, rest)) else sent, rest)


def encoded(path: str) -> str:
    """A path, encoded except for plain characters. Some gateways send it decoded, others do not."""
    return quote(_LONE_PERCENT.sub("%25", path), safe=f"{_PLAIN}%")


def below(base_url: str, root: str) -> str:
    """The base URL of the application's own paths; `base_url` may already end with a part of `root`."""
    base_url = base_url.rstrip("/")
    known, segments = urlsplit(base_url).path, root.split("/")[1:]
    for count in range(len(segments), 0, -1):
        if known.endswith("/" + "/".join(segments[:count])):
            return "/".join([base_url, *segments[count:]])
    return base_url + root


def _parted(root: bytes, sent: str, decoded: bytes) -> RawPath:
    path = encoded(sent) if sent else quote(decoded, safe=_PLAIN)
    root = root.rstrip(b"/")
    count = root.count(b"/")
    parts = path.split("/")
    first = "/".join(parts[: count + 1])
    if root and unquote_to_bytes(first) == root:
        return RawPath(first, path[len(first) :])
    return RawPath(quote(root, safe=_PLAIN), path)


def signing_secrets() -> tuple[str, ...]:
    """The secrets of ATOMIC_SIGNING_SECRET; during a rotation there are several, separated by spaces."""
    return tuple(os.environ.get(SIGNING_SECRET, "").split())


class SignatureCheck:
    """Accepts calls that one of the secrets (`whsec_…`) or public keys (`whpk_…`) signed; without any, all.

    This process remembers accepted calls for as long as their time stamps are valid.
    """

    def __init__(self, given: Sequence[str]) -> None:
        public = [text for text in given if text.startswith(ed25519.PUBLIC_PREFIX)]
        self._public_keys = [ed25519.decode_public_key(text) for text in public]
        self._secrets = [signatures.decode_secret(text) for text in given if text not in public]
        self._taken: dict[bytes, float] = {}
        # When two threads get the same call, only one may accept it.
        self._lock = threading.Lock()

    def check(self, request: Request) -> str:
        """The signed URL of the call; empty when nothing is checked.

        Raises SignatureRefused for a call that is not accepted.
        """
        if not self._secrets and not self._public_keys:
            return ""
        now_s = time.time()
        signatures.verify(
            self._secrets, request.headers, request.body, now_s=int(now_s), public_keys=self._public_keys
        )
        path = unquote(request.at.path)
        signatures.verify_target(self._secrets, request.headers, path, public_keys=self._public_keys)
        self._take_once(request, now_s)
        return request.headers[signatures.ATOMIC_URL]

    def _take_once(self, request: Request, now_s: float) -> None:
        sent = request.headers[signatures.WEBHOOK_TIMESTAMP]
        head = f"{request.headers[signatures.WEBHOOK_ID]}.{sent}.".encode()
        call = sha256(head + request.body).digest()
        with self._lock:
            self._forget(now_s)
            if call in self._taken:
                raise SignatureRefused("this call was accepted before")
            self._taken[call] = int(sent) + signatures.TOLERANCE_S + 1

    def _forget(self, now_s: float) -> None:
        # In the order of arrival, so the oldest come first.
        while self._taken and (
            len(self._taken) >= _REMEMBERED_MAX or self._taken[next(iter(self._taken))] <= now_s
        ):
            del self._taken[next(iter(self._taken))]


class Threads:
    """The threads in which a WSGI server calls the endpoints of this process.

    The number of threads is unknown, but is at least the number that were busy at the same time. Half of
    them, at most eight, are kept free for steps, since one interpreter cannot use more. A handler that
    would occupy a free one does not wait. Otherwise all handlers could wait for steps that need a thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = self._most_busy = self._waiting = 0

    @contextmanager
    def serving(self, environ: Mapping[str, Any], *, is_workflow: bool) -> Iterator[float]:
        """A context in which a call is served; its value is how long the handler may wait, in seconds.

        In a server with one thread no handler waits, because no step of this process can begin before the
        handler has ended. Other processes (`wsgi.multiprocess`) do not help: each of them may be busy with
        a handler, too.
        """
        with self._lock:
            self._busy += 1
            self._most_busy = max(self._most_busy, self._busy)
            kept_free = min(_KEPT_FREE_MAX, (self._most_busy + 1) // 2)
            may_wait = (
                is_workflow
                and bool(environ.get("wsgi.multithread"))
                and self._waiting < max(1, self._most_busy - kept_free)
            )
            self._waiting += may_wait
        try:
            yield _THREAD_S if may_wait else 0.0
        finally:
            with self._lock:
                self._busy -= 1
                self._waiting -= may_wait


THREADS: Final = Threads()


class _OwnThreads(Executor):
    """A new thread for each piece of work; the process does not wait for it at its end."""

    def submit(self, work: Callable[..., Done], /, *given: Any, **named: Any) -> Future[Done]:
        """Begin the work."""
        done: Future[Done] = Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                result = work(*given, **named)
            except BaseException as raised:
                done.set_exception(raised)
            else:
                done.set_result(result)

        threading.Thread(target=run, name="atomic-handler", daemon=True).start()
        return done


_OWN_THREADS: Final = _OwnThreads()


async def in_thread(context: Context, work: Callable[[], Done]) -> Done:
    """Do the work in a new thread: in a shared pool, workflows would keep their steps from running.

    It runs in `context`, which the thread has left when the result is there.
    """
    return await asyncio.get_running_loop().run_in_executor(_OWN_THREADS, context.run, work)


def build_of(given: str | None) -> str:
    """The build of this application: an option, else ATOMIC_BUILD. Raises ValueError for an invalid one."""
    build = given or os.environ.get(_BUILD, "")
    if build and headers.parse_build(build) != build:
        name = "build" if given else _BUILD
        raise ValueError(f"{name} {build!r}: use up to 64 visible ASCII characters")
    return build
