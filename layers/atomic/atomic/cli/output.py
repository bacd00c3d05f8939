"""Documents as the commands print them."""

import json
from typing import Any

from pydantic import BaseModel


def to_json(document: Any) -> str:
    """Indented JSON with the wire's names."""
    return json.dumps(_plain(document), indent=2, ensure_ascii=False)


def _plain(document: Any) -> Any:
    if isinstance(document, BaseModel):
        return document.model_dump(mode="json", by_alias=True)
    if isinstance(document, list):
        return [_plain(item) for item in document]
    return document
