"""The names of a server, by its settings."""

import pytest

from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.wiring import _browser_check
from atomic.protocol.problems import MISDIRECTED


@pytest.mark.parametrize("dev", [False, True])
def test_the_name_of_the_public_url_is_one_of_its_own(dev: bool) -> None:
    settings = ServerSettings(
        dev=dev, public_url="https://Atomic.Example.com:8443/api", allow_host=("inside",)
    )
    check = _browser_check(settings)
    for host in ("atomic.example.com", "atomic.example.com:443", "inside", "localhost:8787"):
        assert check.refusal({"host": host}) is None
    refusal = check.refusal({"host": "evil.test"})
    assert refusal is not None
    assert refusal.type is MISDIRECTED


def test_a_public_url_does_not_restrict_a_server_on_a_network() -> None:
    settings = ServerSettings(host="0.0.0.0", public_url="https://atomic.example.com")
    assert _browser_check(settings).refusal({"host": "other.example"}) is None
