"""Tags: names with values on a run, by which runs are found.

On the wire a run has them as an object. A filter, a row and an index have each as one text, `name:value`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

TAGS_MAX: Final = 8
TAG_FORM: Final = "use name:value, such as customer:c-17, as the run was started"
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_VALUE: Final = r"(?=\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,128}(?<=\S)"
_IS_NAME: Final = re.compile(_NAME)
_IS_VALUE: Final = re.compile(_VALUE)
_IS_TAG: Final = re.compile(f"{_NAME}:{_VALUE}")


def _tags(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _IS_NAME.fullmatch(name):
            cure = "use names of 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first"
            raise PydanticCustomError("tag_name", cure)
        if not _IS_VALUE.fullmatch(value):
            cure = (
                "{name}: use a text of 1 to 128 characters, without control characters and without space "
                "at the ends"
            )
            raise PydanticCustomError("tag_value", cure, {"name": name})
    return given


Tags = Annotated[
    dict[str, str],
    Field(
        max_length=TAGS_MAX,
        description=f"Of a run: up to {TAGS_MAX} names with values, such as the customer, by which it is "
        "found. They can be read wherever the run is listed.",
    ),
    AfterValidator(_tags),
]


def read_tag(text: str) -> str:
    """A tag of a filter, as it is; raises ValueError."""
    if not _IS_TAG.fullmatch(text):
        raise ValueError
    return text


def _tag(text: str) -> str:
    try:
        return read_tag(text)
    except ValueError:
        raise PydanticCustomError("tag", "{cure}", {"cure": TAG_FORM}) from None


# One tag of a filter.
Tag = Annotated[str, AfterValidator(_tag)]
# In documents.
TAGS: Final[Any] = Field(
    default=None,
    description="Only where they were given: of a root, or of a step of kind `run` for its run.",
)


def tag_texts(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Tags as texts, in their order."""
    return tuple(f"{name}:{value}" for name, value in tags.items())


def tag_members(texts: Iterable[str]) -> dict[str, str]:
    """The object of some texts."""
    return {name: value for name, _, value in (text.partition(":") for text in texts)}
