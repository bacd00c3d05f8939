"""Documents as the commands print them."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel


def to_json(document: Any) -> str:
    """Indented JSON with the wire's names."""
    return json.dumps(_plain(document), indent=2, ensure_ascii=False)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows below the names of their columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def _plain(document: Any) -> Any:
    if isinstance(document, BaseModel):
        return document.model_dump(mode="json", by_alias=True)
    if isinstance(document, list):
        return [_plain(item) for item in document]
    return document
