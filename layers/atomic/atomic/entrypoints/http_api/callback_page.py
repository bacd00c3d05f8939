"""The page of a callback URL, for people who open it: no script, nothing from elsewhere, all text escaped.

Programs open links, too: scanners of mail do. So the page changes nothing, and only its forms post.
"""

import hashlib
from base64 import b64encode
from html import escape
from typing import Final

from atomic.domain.event_steps import is_rejected
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.http import ApiResponse
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:12vh auto;padding:0 1rem}"
    "h1{font-size:1.5rem;overflow-wrap:anywhere}form{margin:1.5rem 0}"
    "label{display:block}input{font:inherit;width:100%;box-sizing:border-box;margin:.25rem 0 .5rem}"
    "button{font:inherit;padding:.4rem 1.2rem}"
)
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def event_page(event: Step, token: str) -> ApiResponse:
    """The page of an event. While it is open, its forms post to the URLs below the page's own."""
    heading = f"<h1>{escape(event.spec.step_name)}</h1><p>of {escape(event.spec.workflow_name)}</p>"
    if event.is_settled:
        return _page(200, event.spec.step_name, f"{heading}<p>{_ended(event)}</p>")
    forms = (
        f'<form method="post" action="{escape(token)}/approve"><button>Approve</button></form>'
        f'<form method="post" action="{escape(token)}/reject"><label>Reason'
        '<input name="detail" maxlength="1000" autocomplete="off"></label>'
        "<button>Reject</button></form>"
    )
    return _page(200, event.spec.step_name, f"{heading}<p>It waits for an answer.</p>{forms}")


def unknown_page() -> ApiResponse:
    """The page of a token that is not valid."""
    return _page(404, "Not found", "<h1>Not found</h1><p>This link is not valid, or not any more.</p>")


def _ended(event: Step) -> str:
    if event.status is Status.SUCCEEDED:
        return "It was answered."
    if is_rejected(event):
        return "It was rejected."
    if event.error is not None and event.error.kind is ErrorKind.EVENT_EXPIRED:
        return "Its time is over."
    return "No answer is needed any more."


def _page(status: int, title: str, main: str) -> ApiResponse:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{main}</main></body></html>"
    )
    return ApiResponse(status=status, body=html.encode(), headers=_HEADERS)
