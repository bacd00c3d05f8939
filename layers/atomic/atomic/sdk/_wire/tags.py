"""Tags as the API takes them."""

from collections.abc import Mapping

from atomic.sdk.errors import InvalidRequestError


def tags_document(tags: object) -> dict[str, str]:
    """The tags of a run. Raises InvalidRequestError for anything but a mapping of texts to texts."""
    if not isinstance(tags, Mapping) or not all(
        isinstance(text, str) for pair in tags.items() for text in pair
    ):
        raise InvalidRequestError(
            f'tags: use names with texts, such as {{"customer": "c-17"}}, not {tags!r}.'
        )
    return dict(tags)
