"""What comes of a wrong ATOMIC_URL: no answer, or that of somebody else. Each is told with its cure."""

import http.client
import re
import ssl
from collections.abc import Iterator
from typing import Final

from atomic.sdk import errors
from atomic.sdk._http import HttpResponse

_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SAID_MAX_CHARS: Final = 100
# aiohttp's, which is not imported for this.
_NO_HTTP: Final = frozenset({"ServerDisconnectedError", "ClientResponseError", "BadStatusLine"})


def lost_because(url: str, error: BaseException) -> tuple[str, str]:
    """What happened below all libraries ("Connection refused", not who raised it from what), and its cure;
    empty where that of NoAnswerError will do."""
    causes = list(_causes(error))
    for cause in causes:
        # aiohttp wraps both kinds in its own, which say less.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            return f"its certificate is not trusted: {cause.verify_message}", (
                "Set SSL_CERT_FILE to a file with the certificate of its authority, or ATOMIC_URL to the "
                "name that its certificate is for."
            )
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) and url.startswith("https:"):
            return f"no TLS is spoken there ({cause.reason})", (
                f"Set ATOMIC_URL to http{url.removeprefix('https')} if that is meant."
            )
    last = causes[-1]
    if url.startswith("http:") and _is_no_http(last):
        secure = "https" + url.removeprefix("http")
        return "it closed the connection, or what it said is no HTTP", (
            f"If it speaks TLS, set ATOMIC_URL to {secure}. Otherwise it broke off, and posting again "
            "under the same key is safe."
        )
    if isinstance(last, OSError) and last.strerror:
        return last.strerror, ""
    return str(last) or type(last).__name__, ""


def foreign(answer: HttpResponse) -> errors.RefusedError:
    """The error for an answer that Atomic has not given: a proxy's, a login page's, another server's.

    None of them ends a workflow for good: it is not the request that is wrong.
    """
    location = answer.headers.get("location", "")
    if 300 <= answer.status < 400 and location:
        detail = (
            f"{answer.url} answered {answer.status} and sends to {location[:200]}, which is not followed."
        )
        return errors.RefusedError(detail, status=answer.status, cure="Set ATOMIC_URL to where it sends.")
    said = _said(answer)
    words = f" ({said})" if said else ""
    if answer.status >= 500:
        return errors.UnavailableError(
            f"{answer.url} answered {answer.status}{words}.", status=answer.status
        )
    if answer.status == 429:
        return errors.TooManyRequestsError(f"{answer.url} answered 429{words}.", status=429)
    cure = "Check ATOMIC_URL, and what stands between (a proxy, a login page)."
    if answer.status == 400 and answer.url.startswith("http:"):
        cure += f" If it speaks TLS, set ATOMIC_URL to https{answer.url.removeprefix('http')}."
    detail = f"{answer.url} answered {answer.status}, and not as Atomic does{words}."
    return errors.RefusedError(detail, status=answer.status, cure=cure)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the innermost last."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _is_no_http(error: BaseException) -> bool:
    return (
        isinstance(error, http.client.HTTPException | ConnectionResetError)
        or type(error).__name__ in _NO_HTTP
    )


def _said(answer: HttpResponse) -> str:
    """The title of a page, or the beginning of a text."""
    text = answer.body[:4096].decode(errors="replace")
    title = _TITLE.search(text)
    words = title[1] if title else ("" if text.lstrip().startswith("<") else text)
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return words if len(words) <= _SAID_MAX_CHARS else f"{words[: _SAID_MAX_CHARS - 1]}…"
