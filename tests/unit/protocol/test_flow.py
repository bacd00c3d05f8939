"""Which texts are names of keys that steps and starts share."""

import pytest
from pydantic import BaseModel, ValidationError

from atomic.protocol.flow import FLOW_KEY_FORM, FlowOptions, is_flow_key
from atomic.protocol.singles import DebounceOptions, SingletonOptions

NO_KEYS = ["", "no space", "a/b", "k" * 129, ".", ".."]
MODELS: list[tuple[type[BaseModel], dict[str, int]]] = [
    (FlowOptions, {}),
    (SingletonOptions, {}),
    (DebounceOptions, {"quiet": 1}),
]


@pytest.mark.parametrize("text", ["k", "...", ".k", "a..b", "Az09._~:@-", "k" * 128])
def test_names_of_keys(text: str) -> None:
    assert is_flow_key(text)
    assert FlowOptions(key=text).key == text


@pytest.mark.parametrize("text", NO_KEYS)
@pytest.mark.parametrize(("model", "more"), MODELS, ids=[model.__name__ for model, _ in MODELS])
def test_what_no_key_can_be_named(model: type[BaseModel], more: dict[str, int], text: str) -> None:
    """Neither `.` nor `..`: they are removed from a path, so nobody could ask for such a key."""
    assert not is_flow_key(text)
    with pytest.raises(ValidationError) as refused:
        model.model_validate({"key": text, **more})
    [error] = refused.value.errors()
    assert error["loc"] == ("key",)
    if text in {".", ".."}:
        assert error["msg"] == f"use {FLOW_KEY_FORM}"
