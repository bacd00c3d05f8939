"""Which URLs are under a base URL."""

from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol.urls import is_under, parse_base_url, parse_url, with_ascii_host

BASES = ("https://app.example/steps", "http://localhost:8080")


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example/steps", "https://app.example/steps/", "https://app.example/steps/mail?x=..",
        "https://APP.example:443/steps/mail", "HTTPS://app.example/steps/a%20b", "https://app.example/steps?x",
        "http://localhost:8080", "http://localhost:8080/", "http://localhost:8080/any/path",
        "https://app.example/steps/..a/b..", "https://app.example/steps/...",
        "https://app.example/steps/a;b=1/c", "https://app.example/steps/100%25/%ff", "https://app.example/steps//x",
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
        "https://app.example/steps/..;/admin", "https://app.example/steps/..;a=b/admin",
        "https://app.example/steps/..%3b/admin", "https://app.example/steps/%252e%252E/admin",
        "https://app.example/steps/%25252e%25252e%25252fadmin", "https://app.example/steps/..%00/admin",
        "https://app.example/steps/%c0%ae%C0%AE/admin", "https://app.example/steps/..%c0%afadmin",
        "https://app.example/steps/..%20/admin", "https://app.example/steps/..%0a/admin",
        "https://app.example/steps/%" + "25" * 1000,
        "https://app.example/steps/x/..", "https://app.example./steps", "https://evilapp.example/steps",
    ],
)  # fmt: skip
def test_not_under(url: str) -> None:
    assert not is_under(url, BASES)


@pytest.mark.parametrize(
    ("text", "ascii_form"),
    [
        ("https://Bücher.example:8443/a?b", "https://xn--bcher-kva.example:8443/a?b"),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("https://app。example/", "https://app.example/"),
        ("https://app.example/ä", "https://app.example/ä"),
        ("HTTPS://APP.example/", "HTTPS://APP.example/"),
    ],
)
def test_a_name_for_people_becomes_one_for_the_wire(text: str, ascii_form: str) -> None:
    assert with_ascii_host(text) == ascii_form


@pytest.mark.parametrize(
    "text", ["https://ä b.example/", "https://ä..example/", "https://\u0301ä.example/"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        with_ascii_host(text)


@given(st.text(max_size=60) | st.from_regex(r"https?://[!-~]{1,40}", fullmatch=True))
def test_a_url_that_is_taken_reads_the_same_to_others(text: str) -> None:
    try:
        url = parse_url(text)
    except ValueError:
        return
    theirs = urlsplit(text)
    host = (theirs.hostname or "").strip("[]")
    assert (theirs.scheme, theirs.username) == (url.scheme, None)
    assert (theirs.port or (443 if url.scheme == "https" else 80)) == url.port
    assert host == url.host or ip_address(host) == ip_address(url.host)
    assert parse_url(f"{url.scheme}://{url.authority}{url.target}") == url


def test_nothing_is_under_no_base() -> None:
    assert not is_under("https://app.example/", ())


_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("lambda:shop", "lambda:shop"),
        ("lambda:shop", "lambda:shop/orders/pay?x=1"),
        ("lambda:shop/orders", "lambda:shop/orders/pay"),
        ("lambda:shop-*", "lambda:shop-orders/pay"),
        ("lambda:shop-*", "lambda:shop-orders:prod/pay"),
        ("lambda:*", "lambda:shop"),
        (f"lambda:{_ARN}shop-*", f"lambda:{_ARN}shop-orders:prod"),
        (f"lambda:{_ARN}shop:prod", f"lambda:{_ARN}shop:prod/pay"),
    ],
)
def test_functions_under_a_base(base: str, url: str) -> None:
    assert is_under(url, [base])


def test_an_event_bus_is_under_itself_alone() -> None:
    assert parse_url("eventbridge:ops.eu-1") == ("eventbridge", "ops.eu-1", 0, "/", False)
    assert is_under("eventbridge:ops", ["https://app.example", "eventbridge:ops"])
    for base in ("eventbridge:op", "eventbridge:ops-2", "lambda:ops", "https://ops"):
        assert not is_under("eventbridge:ops", [base])
    for wrong in (
        "eventbridge:",
        "eventbridge:a/b",
        "eventbridge:a b",
        "eventbridge:a*",
        "eventbridge://a",
    ):
        with pytest.raises(ValueError, match=r"event bus|ASCII"):
            parse_url(wrong)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("lambda:shop", "lambda:shop-orders"),
        ("lambda:shop", "lambda:shop:prod"),
        ("lambda:shop", "lambda:Shop"),
        ("lambda:shop/orders", "lambda:shop/ordersx"),
        ("lambda:shop/orders", "lambda:shop/orders/../users"),
        ("lambda:shop-*", "lambda:bank-orders"),
        # A star for names reaches no ARN, which may be of another account.
        ("lambda:*", f"lambda:{_ARN}shop"),
        ("lambda:a*", f"lambda:{_ARN}shop"),
        (f"lambda:{_ARN}shop-*", f"lambda:{_ARN.replace('123456789012', '210987654321')}shop-orders"),
        (f"lambda:{_ARN}*", "lambda:shop"),
        ("lambda:shop", "https://shop/"),
        ("https://shop/", "lambda:shop"),
    ],
)
def test_functions_that_are_not_under_a_base(base: str, url: str) -> None:
    assert not is_under(url, [base])


@pytest.mark.parametrize(
    "url",
    [
        "lambda:", "lambda:/pay", "lambda:shop*", "lambda:a b", "lambda:shop#x", "lambda:shop:pr od",
        "Lambda:shop", "lambda://shop", "lambda:arn:aws:lambda:eu-west-1:12:function:shop",
        "lambda:shop:prod:x",
    ],
)  # fmt: skip
def test_what_names_no_function(url: str) -> None:
    with pytest.raises(ValueError, match="use"):
        parse_url(url)


@pytest.mark.parametrize(
    "url", ["lambda:sh*op", "lambda:**", "lambda:arn:aws:lambda:*:function:x", "lambda:x:*"]
)
def test_a_star_stands_at_the_end_of_a_name(url: str) -> None:
    with pytest.raises(ValueError, match="use lambda"):
        parse_base_url(url)
