"""Which URLs are under a base URL."""

import pytest

from atomic.protocol.urls import is_under

BASES = ("https://app.example/steps", "http://localhost:8080")


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example/steps", "https://app.example/steps/", "https://app.example/steps/mail?x=..",
        "https://APP.example:443/steps/mail", "HTTPS://app.example/steps/a%20b", "https://app.example/steps?x",
        "http://localhost:8080", "http://localhost:8080/", "http://localhost:8080/any/path",
        "https://app.example/steps/..a/b..", "https://app.example/steps/...",
    ],
)  # fmt: skip
def test_under(url: str) -> None:
    assert is_under(url, BASES)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example/", "https://app.example/stepsister", "https://app.example/Steps/mail",
        "http://app.example/steps/mail", "https://app.example:8443/steps/mail", "https://evil.example/steps",
        "https://app.example.evil.example/steps", "https://app.exampl/steps", "http://localhost/any",
        "https://app.example/steps/../admin", "https://app.example/steps/./x",
        "https://app.example/steps/%2e%2e/admin", "https://app.example/steps/%2E./admin",
        "https://app.example/steps/..%2fadmin", "https://app.example/steps/..%5cadmin",
        "https://app.example/steps/x/..",
    ],
)  # fmt: skip
def test_not_under(url: str) -> None:
    assert not is_under(url, BASES)


def test_nothing_is_under_no_base() -> None:
    assert not is_under("https://app.example/", ())
