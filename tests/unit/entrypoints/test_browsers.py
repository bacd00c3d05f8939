"""The Host and Origin checks against requests of browsers for other servers."""

import pytest

from atomic.entrypoints.embedded.browsers import BrowserCheck
from atomic.protocol.problems import FOREIGN_ORIGIN, INVALID_REQUEST, MISDIRECTED

OWN = "127.0.0.1:8787"


@pytest.mark.parametrize(
    "host",
    [
        OWN, "127.0.0.1", "localhost", "localhost:8787", "LOCALHOST:1", "localhost.", "app.localhost:8787",
        "[::1]:8787", "[::1]", "192.168.1.5:80", "atomic.test", "Atomic.Test:8787",
    ],
)  # fmt: skip
def test_its_own_names(host: str) -> None:
    assert BrowserCheck(["atomic.test"]).refusal({"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        "", ":8787", "evil.test", "evil.test:8787", "localhost.evil.test", "127.0.0.1.evil.test",
        "notlocalhost", "127.1", "2130706433", "0x7f000001", "127.0.0.1,evil.test", "x.atomic.test",
        "localhost%00.evil.test",
    ],
)  # fmt: skip
def test_names_of_others(host: str) -> None:
    check = BrowserCheck(["atomic.test"])
    assert check.refusal({"host": OWN}) is None
    refusal = check.refusal({"host": host})
    assert refusal is not None
    assert refusal.type is MISDIRECTED


@pytest.mark.parametrize(
    "host",
    [
        "[::1", "::1", "localhost:8787:1", "localhost@evil.test", "a b", "localhost:x", "localhost ",
        "127.0.0.1, evil.test", "http://localhost", "localhost/", "löcalhost", "[localhost]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("names", [None, ["atomic.test"]])
def test_what_is_no_host_at_all(host: str, names: list[str] | None) -> None:
    refusal = BrowserCheck(names).refusal({"host": host})
    assert refusal is not None
    assert refusal.type is INVALID_REQUEST


def test_without_a_host_no_browser_asks() -> None:
    check = BrowserCheck(["atomic.test"])
    assert check.refusal({}) is None
    refusal = check.refusal({"origin": "http://evil.test"})
    assert refusal is not None
    assert refusal.type is FOREIGN_ORIGIN


def test_behind_keys_any_name_will_do() -> None:
    assert BrowserCheck().refusal({"host": "atomic.example"}) is None
    assert BrowserCheck().refusal({}) is None


@pytest.mark.parametrize("names", [None, ()])
def test_a_page_of_another_server_may_not_call(names: tuple[str, ...] | None) -> None:
    check = BrowserCheck(names)
    for origin in (f"http://{OWN}", f"https://{OWN}", f"HTTP://{OWN}"):
        assert check.refusal({"host": OWN, "origin": origin}) is None
    foreign = (
        "null",
        "",
        "http://evil.test",
        "http://127.0.0.1",
        "http://127.0.0.1:8788",
        "http://localhost:8787",
    )
    for origin in foreign:
        refusal = check.refusal({"host": OWN, "origin": origin})
        assert refusal is not None
        assert refusal.type is FOREIGN_ORIGIN
