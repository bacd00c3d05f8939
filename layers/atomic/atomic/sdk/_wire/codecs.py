"""Codecs: what an application makes of its values before Atomic stores them, and how it reads them again.

Payloads, responses, values and results of events go through a codec. Errors, and what the SDK records for
itself, stay as they are. The server stores what the codec makes, and knows nothing of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Protocol, runtime_checkable

from atomic.protocol import keys
from atomic.sdk._wire.encodings import Encodings, Made
from atomic.sdk._wire.values import jsonable
from atomic.sdk.errors import DecodingError, SerializationError, UnknownKeyError

Kind = Literal["step", "value", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a value belongs; the same when it is encoded and when it is decoded.

    - `run_id`: the id of the run.
    - `step_id`: the id of the step; None for an event, whose sender need not know it. Of a run that a
      workflow starts, it is the root, whose endpoint reads the payload and makes the result.
    - `kind`: "step" (a workflow is one, too), "value" or "event".
    - `part`: "payload" or "result".
    """

    run_id: str
    step_id: str | None
    kind: Kind
    part: Literal["payload", "result"]


class Codec(Protocol):
    """Encodes values before they are stored, and decodes them. It must not block.

    An equal payload at an equal place must be encoded equally, in every process: a workflow posts its
    payloads again in each replay, and Atomic refuses another one. `decode` also gets values that no codec
    has encoded, such as the results of events that others post without the SDK.
    """

    def encode(self, value: Any, where: Where) -> Any:
        """Encode a value.

        - `value`: plain JSON values.
        - `where`: where it belongs.

        Returns plain JSON values.
        """

    def decode(self, value: Any, where: Where) -> Any:
        """Decode a value.

        - `value`: what is stored: plain JSON values.
        - `where`: where it belongs.

        Returns the value that `encode` was given. Raises any exception for a value that it refuses.
        """


@runtime_checkable
class Rotating(Protocol):
    """A codec whose keys are rotated: it knows how a value may have been encoded before."""

    def encode_older(self, value: Any, where: Where) -> Iterable[Any]:
        """Encode a value as each older key does, in turn. `encode` is by the newest one."""


class Coder:
    """Encodes and decodes by a codec; without one, values stay as they are."""

    def __init__(self, codec: Codec | None = None) -> None:
        self._codec = codec
        self._is_checked = False

    def payload(self, value: Any, step_id: str, what: str) -> Encodings:
        """Encode the payload of a step. Raises SerializationError if the codec has no fixed encoding."""
        if self._codec is None:
            return Encodings(value)
        where = of_step(step_id, "payload")
        encoded = self._codec.encode(value, where)
        # The first payload shows a codec that draws random numbers.
        if not self._is_checked and self._codec.encode(value, where) != encoded:
            raise SerializationError(
                f"The codec {type(self._codec).__qualname__} encodes {what} in two ways.",
                cure="Encode equal values equally: a nonce must be made of the value, and not drawn.",
            )
        self._is_checked = True
        return self._encodings(encoded, value, where, what)

    def result(self, value: Any, step_id: str, kind: Kind, what: str) -> Encodings:
        """Encode a result. Raises SerializationError for an encoding that is not JSON."""
        if self._codec is None:
            return Encodings(value)
        where = of_step(step_id, "result", kind)
        return self._encodings(self._codec.encode(value, where), value, where, what)

    def read_payload(self, value: Any, step_id: str) -> Any:
        """Decode the payload of a step. Raises DecodingError."""
        if self._codec is None:
            return value
        return _decoded(self._codec, value, of_step(step_id, "payload"), "the payload")

    def read_result(self, value: Any, step_id: str, kind: str, what: str) -> Any:
        """Decode the result of a step; `kind` is that of the wire. Raises DecodingError."""
        if self._codec is None or kind == "timer":
            return value
        known: Kind = "value" if kind == "value" else "event" if kind == "event" else "step"
        return _decoded(self._codec, value, of_step(step_id, "result", known), what)

    def _encodings(self, encoded: Any, value: Any, where: Where, what: str) -> Encodings:
        newest, codec = jsonable(encoded, f"the encoding of {what}"), self._codec
        if not isinstance(codec, Rotating):
            return Encodings(newest)
        return Encodings(newest, Made(partial(codec.encode_older, value, where)))


PLAIN: Final = Coder()


def of_step(step_id: str, part: Literal["payload", "result"], kind: Kind = "step") -> Where:
    """The place of a payload or a result."""
    known = None if kind == "event" else step_id
    return Where(run_id=keys.run_of(step_id), step_id=known, kind=kind, part=part)


def _decoded(codec: Codec, value: Any, where: Where, what: str) -> Any:
    try:
        return codec.decode(value, where)
    except UnknownKeyError:
        raise
    except Exception as error:
        raise DecodingError(
            f"{what[:1].upper()}{what[1:]} cannot be decoded: {type(error).__name__}: {error}."
        ) from error
