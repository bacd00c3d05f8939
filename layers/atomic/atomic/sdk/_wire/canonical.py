"""The one spelling of a value as JSON, which is the same in every process and language."""

import json
from typing import Any, Final

# Gives the same bytes as `protocol.strict_json`. Python's own encoder is enough, because a value that
# `_wire.values` has written contains no float with an integer value, no NaN and no lone surrogate.
_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> bytes:
    """A value that `_wire.values` has written, as canonical JSON."""
    return _CANONICAL.encode(value).encode()
