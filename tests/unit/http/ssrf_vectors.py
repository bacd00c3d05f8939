"""Addresses that an attempt must not reach, listed independently of the guard's own table."""

from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import chain

# IANA's registries of special-purpose addresses, multicast, and addresses of cloud providers' services.
RANGES_V4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
RANGES_V6 = (
    "::/96", "::1/128", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/32",
    "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16",
    "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "4000::/3", "8000::/2",
)  # fmt: skip
WELL_KNOWN_V4 = (
    "127.0.0.1", "127.0.0.53", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.17.0.1", "172.31.255.254",
    "192.168.0.1", "192.168.1.254", "100.64.0.1", "169.254.169.254", "169.254.170.2", "169.254.170.23",
    "169.254.100.1", "169.254.79.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "255.255.255.255",
)  # fmt: skip
WELL_KNOWN_V6 = (
    "::", "::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "fe80::a9fe:a9fe", "ff02::1",
    "fc00::1", "fdff::1",
)  # fmt: skip


def _samples(network: str) -> list[str]:
    found = ip_network(network)
    places = {0, 1, found.num_addresses // 2, found.num_addresses // 3, found.num_addresses - 1}
    return [str(found[position]) for position in sorted(places) if position < found.num_addresses]


ADDRESSES_V4 = tuple(dict.fromkeys((*chain.from_iterable(map(_samples, RANGES_V4)), *WELL_KNOWN_V4)))


def embedded(address: str) -> tuple[str, ...]:
    """The IPv6 addresses that can embed an IPv4 address."""
    number = int(IPv4Address(address))
    inverted = number ^ 0xFFFFFFFF
    high, low = number >> 16, number & 0xFFFF
    return (
        f"::ffff:{address}",
        f"::ffff:{high:x}:{low:x}",
        f"0:0:0:0:0:FFFF:{address}",
        f"::{address}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{address}",
        f"2002:{high:x}:{low:x}::",
        f"2002:{high:x}:{low:x}::{address}",
        f"2001:0:{high:x}:{low:x}::",
        f"2001::{inverted >> 16:x}:{inverted & 0xFFFF:x}",
        f"2606:4700::5efe:{address}",
        f"2606:4700::200:5efe:{address}",
    )


ADDRESSES_V6 = tuple(
    dict.fromkeys(
        (
            *chain.from_iterable(map(_samples, RANGES_V6)),
            *WELL_KNOWN_V6,
            *chain.from_iterable(map(embedded, (*WELL_KNOWN_V4, "192.0.2.1", "224.0.0.1", "198.18.0.1"))),
        )
    )
)


def spellings(address: str) -> tuple[str, ...]:
    """The spellings of an address as the host of a URL that some parser accepts."""
    if ":" in address:
        exploded = IPv6Address(address).exploded
        return (
            f"[{address}]",
            f"[{exploded}]",
            f"[{exploded.upper()}]",
            f"[{address}%25lo]",
            f"[{address}%lo]",
        )
    number = int(IPv4Address(address))
    a, b, c, d = address.split(".")
    tail = number & 0xFFFFFF
    return (
        address,
        f"{address}.",
        str(number),
        f"0x{number:08x}",
        f"0X{number:08X}",
        f"0{number:o}",
        f"{a}.{tail}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"0x{int(a):x}.{b}.{c}.{d}",
        f"0{int(a):o}.{b}.{c}.0{int(d):o}",
        f"{a}.{b}.{c}.0x{int(d):x}",
        address.translate({ord(digit): ord("０") + int(digit) for digit in "0123456789"}),
        address.replace(".", "。"),
        address.replace(".", "%2e"),
        f"user@{address}",
        f"public.example#@{address}",
        f"public.example\\@{address}",
        f"{address}\t",
        f"{address}%00.public.example",
    )
