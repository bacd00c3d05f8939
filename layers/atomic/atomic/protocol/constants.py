"""The bounds of the wire contract, in one place so that documents and messages quote the same numbers."""

from typing import Final

PAYLOAD_MAX_BYTES: Final = 2 * 1024 * 1024
RESPONSE_MAX_BYTES: Final = 2 * 1024 * 1024
# A payload of the largest size and its envelope, as compact JSON.
MESSAGE_MAX_BYTES: Final = PAYLOAD_MAX_BYTES + 16 * 1024
# The same with room for a client that indents its JSON, or writes each "€" in six bytes. Lambda takes 6 MB
# with the body as a JSON string, in which a quotation mark takes two bytes.
BODY_MAX_BYTES: Final = 5 * 1024 * 1024
JSON_MAX_DEPTH: Final = 64
KEY_MAX_CHARS: Final = 255
NAME_MAX_CHARS: Final = 255
URL_MAX_CHARS: Final = 2048
RETRY_COUNT_MAX: Final = 1000
DURATION_MAX_MS: Final = 366 * 24 * 3600 * 1000
CANCEL_WITHIN_MAX_MS: Final = 24 * 3600 * 1000
PAGE_MAX: Final = 100
SCHEDULES_MAX: Final = 1000
# The payload of a schedule is in its row, and each write of the row pays for it.
SCHEDULE_PAYLOAD_MAX_BYTES: Final = 64 * 1024
BULK_MAX: Final = 1000
# Steps that a suspended handler may name, and how many of them its row keeps: each write pays for them.
NAMED_MAX: Final = 1000
WAITING_FOR_MAX: Final = 100
# Instead of ids: every live child of the handler.
EVERY_CHILD: Final = "*"
