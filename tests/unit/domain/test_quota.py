"""Every place that shows or accepts a quota has all of its limits."""

from dataclasses import replace
from typing import Any

import pytest

from atomic.cli.clients import create, limits
from atomic.domain.clients.quota import LIMITS, NO_QUOTA, Quota, check_quota, quota_view
from atomic.entrypoints.http_api.client_requests import ChangeClientRequest, CreateClientRequest
from atomic.protocol.client_documents import ClientDocument


def test_requests_documents_and_commands_know_every_limit() -> None:
    names = set(LIMITS)
    for model in (CreateClientRequest, ChangeClientRequest, ClientDocument):
        assert names <= set(model.model_fields), model
    for command in (create, limits):
        assert names <= {option.name for option in command.params}, command


def test_a_document_has_the_members_of_the_wire() -> None:
    some = {"startsPerSecond": 2.5, "liveSteps": 7, "storedBytes": None}
    assert some.items() <= quota_view(Quota(starts_per_second=2.5, live_steps=7)).items()
    for name, limit in LIMITS.items():
        assert (ClientDocument.model_fields[name].description or "") == limit.help
    members = {field.alias for field in ClientDocument.model_fields.values()}
    assert set(quota_view(NO_QUOTA)) <= members


@pytest.mark.parametrize("name", LIMITS)
def test_what_cannot_be_held_is_refused(name: str) -> None:
    bad: list[Any] = [0, -1, float("inf"), float("nan"), *([0.5] if LIMITS[name].is_whole else [])]
    for value in bad:
        with pytest.raises(ValueError, match="leave it out for no limit"):
            check_quota(replace(NO_QUOTA, **{name: value}))
    good: list[Any] = [None, 1, 10**12, *([] if LIMITS[name].is_whole else [0.001])]
    for value in good:
        check_quota(replace(NO_QUOTA, **{name: value}))
