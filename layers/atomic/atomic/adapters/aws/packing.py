"""Compresses texts and records, since DynamoDB bills every write by the size of the item.

Everything is raw deflate (RFC 1951) if that is smaller. It takes 20 us, little compared with the call.
"""

import json
import zlib
from typing import Any, Final

from atomic.domain.records import Record

_RAW: Final = -15
_SMALLEST: Final = 128
# Typical content of records, as a dictionary for deflate: with it a record has a third of its size. Stored
# rows can only be read with exactly these bytes: never change them. A better dictionary needs new names for
# the attributes that hold the records.
_DICTIONARY: Final = (
    b'"number":2,"generation":2,"started_at_ms":17,"ended_at_ms":17,"outcome":"no_answer","status":404,'
    b'"error":{"kind":"endpoint_answered","detail":"404"},"late":"retryable ","outcome":"retryable",'
    b'"status":500,"error":{"kind":"network","detail":"cannot connect: Connection refused","excerpt":"},'
    b'"retries_used":1,"consecutive_lost":1,"rechecks":1,'
    b'"woken":true,"waiting_for":["run_","waiters":["run_-root"],"step_name":"","parent":"run_","delay_ms":,'
    b'"deadline_ms":,"deadline_at_ms":,"kind":"event","timer","linear","fixed","none","on":"404,408,429,5xx"'
    b',"never":"text/plain; charset=utf-8","form":"text","base64","status":"pending","retrying","waiting",'
    b'"cancelled","failed","error":{"kind":"timed_out","detail":"20000"}{"client_id":"","identity":"",'
    b'"kind":"http","workflow_name":"","url":"https://","idempotency_key":"","parent":"run_","fingerprint":"",'
    b'"attempt_timeout_ms":20000,"retention_ms":2592000000,"trace_id":"","retry":{"count":3,'
    b'"back_off_ms":1000,"strategy":"exponential","factor":2.0,"max_back_off_ms":3600000,"jitter":"full"}}'
    b'{"status":"running","generation":1,"due_at_ms":17,"nonce":"","attempt_count":1,"attempt_log":[{"number":1,'
    b'"generation":1,"started_at_ms":17}]}{"status":"succeeded","generation":1,"due_at_ms":null,"attempt_count":1,'
    b'"response_status":200,"finished_at_ms":17,"expires_at_ms":17,"attempt_log":[{"number":1,"generation":1,'
    b'"started_at_ms":17,"ended_at_ms":17,"outcome":"succeeded","status":200}],"response":{"form":"json",'
    b'"content_type":"application/json"}}'
)


def pack_record(record: Record) -> bytes:
    """A record of `domain.records`, deflated."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW, zdict=_DICTIONARY)
    return packer.compress(text) + packer.flush()


def unpack_record(packed: bytes) -> Record:
    """The record. Raises zlib.error or ValueError for other bytes."""
    unpacker = zlib.decompressobj(_RAW, zdict=_DICTIONARY)
    record: Record = json.loads(unpacker.decompress(packed) + unpacker.flush())
    return record


def pack_text(text: bytes) -> dict[str, Any]:
    """UTF-8 text as an attribute: bytes when deflating helps, else a string that a console can show."""
    if len(text) >= _SMALLEST:
        packed = deflate(text)
        if len(packed) < len(text):
            return {"B": packed}
    return {"S": text.decode()}


def unpack_text(attribute: dict[str, Any]) -> bytes:
    """The text of an attribute."""
    text: str | None = attribute.get("S")
    return inflate(attribute["B"]) if text is None else text.encode()


def deflate(text: bytes) -> bytes:
    """Raw deflate."""
    return zlib.compress(text, 6, _RAW)


def inflate(packed: bytes) -> bytes:
    """The deflated text."""
    return zlib.decompress(packed, _RAW)
