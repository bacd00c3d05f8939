"""Bodies that come to callback URLs. Their senders know nothing of Atomic, so any content type is read.

All of it takes time in proportion to the length of the body. The package `email` reads heads alone, and
only short ones, since its parser of bodies and its parameters of headers take much longer.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import HTTP
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from atomic.domain.outcomes import decoded_text, storable_text
from atomic.protocol import headers
from atomic.protocol.problems import invalid
from atomic.protocol.strict_json import JsonRefused, parse_json

_FIELDS_MAX: Final = 1000
_FORM: Final = "application/x-www-form-urlencoded"
# Of a header Content-Type, and of the head of a part.
_HEAD_MAX_BYTES: Final = 1024


class Body(NamedTuple):
    """What a body means. `is_json`: readers may see it without its hidden members; else not at all."""

    value: Any
    is_json: bool = True


def read_body(given: Mapping[str, str], body: bytes) -> Body:
    """The value of a body: JSON, a form as an object, a text, or null when it is empty.

    Anything else, and what is not of its type, is kept as it was sent. Raises Problem 400 for JSON that is
    malformed.
    """
    if not body:
        return Body(None)
    given_type = given.get(headers.CONTENT_TYPE) or "application/json"
    content_type = Message()
    content_type[headers.CONTENT_TYPE] = given_type[:_HEAD_MAX_BYTES]
    media_type = content_type.get_content_type()
    # curl calls everything a form. A form never begins like this.
    is_object = media_type == _FORM and body.lstrip()[:1] in {b"{", b"["}
    if is_object or media_type == "application/json" or media_type.endswith("+json"):
        return Body(_json(body))
    try:
        if media_type == _FORM:
            fields = parse_qsl(
                body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
            )
            return Body(_object(fields))
        if media_type == "multipart/form-data":
            return Body(_object(_parts(content_type.get_boundary(""), body)))
        if media_type.startswith("text/"):
            return Body(decoded_text(body, given_type), is_json=False)
    except ValueError:
        pass
    return Body({"contentType": _header(given, headers.CONTENT_TYPE), **_base64(body)}, is_json=False)


def captured(given: Mapping[str, str], body: bytes, names: Iterable[str]) -> Body:
    """The headers of these names, and the body as it was sent: what a signature was made of."""
    try:
        raw = {"encoding": "text", "body": body.decode()}
    except ValueError:
        raw = _base64(body)
    kept = {name: _header(given, name) for name in names if name in given}
    value = {"headers": kept, "contentType": _header(given, headers.CONTENT_TYPE), **raw}
    return Body(value, is_json=False)


def _header(given: Mapping[str, str], name: str) -> str | None:
    """The header as JSON can have it."""
    return None if name not in given else storable_text(given[name])


def _base64(body: bytes) -> dict[str, str]:
    return {"encoding": "base64", "body": base64.b64encode(body).decode()}


def _json(body: bytes) -> Any:
    try:
        return parse_json(body)
    except JsonRefused as refused:
        raise invalid("body", f"{refused}; or send another Content-Type") from None


def _parts(boundary: str, body: bytes) -> Iterable[tuple[str, str]]:
    """The fields of a form in parts. Raises ValueError when it has a file, or is malformed."""
    delimiter = rb"\r\n--" + re.escape(boundary.encode()) + rb"(?=--|[ \t]*\r\n)"
    _, *parts = re.split(delimiter, b"\r\n" + body, maxsplit=_FIELDS_MAX + 1)
    if not parts or not parts.pop().startswith(b"--"):
        raise ValueError
    for part in parts:
        head, end, content = part.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not end or len(head) > _HEAD_MAX_BYTES:
            raise ValueError
        fields = BytesHeaderParser(policy=HTTP).parsebytes(head)
        name = fields.get_param("name", header="content-disposition")
        is_plain = fields.get("content-transfer-encoding", "binary").lower() in {"7bit", "8bit", "binary"}
        if name is None or fields.get_filename() is not None or not is_plain:
            raise ValueError
        yield str(name), content.decode()


def _object(fields: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """The fields by their names; a name that is repeated has a list."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {name: given if len(given) > 1 else given[0] for name, given in values.items()}
