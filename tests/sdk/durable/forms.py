"""Types whose JSON form is not their value: what takes the place of a serializer for one call."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

JOINED = "joined:"


def _unwrapped(given: Any) -> Any:
    return given["wrapped"] if isinstance(given, dict) else given


def _split(given: Any) -> Any:
    return given.removeprefix(JOINED).split(",") if isinstance(given, str) else given


# Capital letters, from the first time that it is read.
Shouted = Annotated[str, AfterValidator(str.upper)]
# {"wrapped": "x"} for "x".
Wrapped = Annotated[str, PlainSerializer(lambda text: {"wrapped": text}), BeforeValidator(_unwrapped)]
# "joined:x,y" for ["x", "y"].
Joined = Annotated[
    list[str], PlainSerializer(lambda texts: JOINED + ",".join(texts)), BeforeValidator(_split)
]
