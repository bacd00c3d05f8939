"""Bodies that come to callback URLs. Their senders know nothing of Atomic, so any content type is read."""

import base64
from collections.abc import Iterable, Mapping
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl

from atomic.protocol import headers
from atomic.protocol.problems import invalid
from atomic.protocol.strict_json import JsonRefused, parse_json

_FIELDS_MAX: Final = 1000
_FORM: Final = "application/x-www-form-urlencoded"


def read_body(given: Mapping[str, str], body: bytes) -> Any:
    """The value of a body: JSON, a form as an object, a text, or null when it is empty.

    Anything else, and what is not of its type, is kept as it was sent. Raises Problem 400 for JSON that is
    malformed.
    """
    if not body:
        return None
    content_type = Message()
    content_type[headers.CONTENT_TYPE] = given.get(headers.CONTENT_TYPE, "application/json")
    media_type = content_type.get_content_type()
    # curl calls everything a form. A form never begins like this.
    is_object = media_type == _FORM and body.lstrip()[:1] in {b"{", b"["}
    if is_object or media_type == "application/json" or media_type.endswith("+json"):
        return _json(body)
    try:
        if media_type == _FORM:
            fields = parse_qsl(
                body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
            )
            return _object(fields)
        if media_type == "multipart/form-data":
            return _object(_parts(content_type[headers.CONTENT_TYPE], body))
        if media_type.startswith("text/"):
            return body.decode(str(content_type.get_param("charset", "utf-8")))
    except (ValueError, LookupError):
        pass
    return {"contentType": given.get(headers.CONTENT_TYPE), **_base64(body)}


def captured(given: Mapping[str, str], body: bytes, names: Iterable[str]) -> dict[str, Any]:
    """The headers of these names, and the body as it was sent: what a signature was made of."""
    try:
        raw = {"encoding": "text", "body": body.decode()}
    except ValueError:
        raw = _base64(body)
    kept = {name: given[name] for name in names if name in given}
    return {"headers": kept, "contentType": given.get(headers.CONTENT_TYPE), **raw}


def _base64(body: bytes) -> dict[str, str]:
    return {"encoding": "base64", "body": base64.b64encode(body).decode()}


def _json(body: bytes) -> Any:
    try:
        return parse_json(body)
    except JsonRefused as refused:
        raise invalid("body", f"{refused}; or send another Content-Type") from None


def _parts(content_type: str, body: bytes) -> Iterable[tuple[str, str]]:
    """The fields of a form in parts. Raises ValueError when it has a file, or is malformed."""
    head = f"{headers.CONTENT_TYPE}: {content_type}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + body)
    if form.defects or not form.is_multipart():
        raise ValueError
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if name is None or part.get_filename() is not None or not isinstance(content, bytes):
            raise ValueError
        yield str(name), content.decode()


def _object(fields: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """The fields by their names; a name that is repeated has a list."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {name: given if len(given) > 1 else given[0] for name, given in values.items()}
