"""Which IP addresses an attempt may reach. The table does not depend on the version of Python.

Sources: the IANA registries of special-purpose addresses (IPv4, IPv6; RFC 6890 and its updates), as of
2026-10, and the metadata services of the clouds. `ipaddress.is_global` has changed between patch releases.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

# Reachable with `--allow-private`, or a part of them with `--allow-network`.
_NETWORKS: Final = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),  # shared by carriers, and by overlay networks
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),  # unique local
)
# This machine: reachable with `--allow-private` alone. On Lambda it is the service that hands out events.
_PRIVATE: Final = (*_NETWORKS, IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# Never reachable.
_NEVER: Final = (
    IPv4Network("0.0.0.0/8"),  # "this host": Linux takes it for loopback
    IPv4Network("100.100.100.200/32"),  # metadata of Alibaba Cloud
    IPv4Network("168.63.129.16/32"),  # the host agent of Azure
    IPv4Network("169.254.0.0/16"),  # link-local, and the metadata of nearly every cloud
    IPv4Network("192.0.0.0/24"),  # protocol assignments, and metadata of Oracle Cloud
    IPv4Network("192.0.2.0/24"),  # documentation
    IPv4Network("192.31.196.0/24"),  # AS112
    IPv4Network("192.52.193.0/24"),  # AMT
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("192.175.48.0/24"),  # AS112
    IPv4Network("198.18.0.0/15"),  # benchmarks
    IPv4Network("198.51.100.0/24"),  # documentation
    IPv4Network("203.0.113.0/24"),  # documentation
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, and broadcast
    IPv6Network("2001::/23"),  # protocol assignments: Teredo, benchmarks, ORCHID and others
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("2620:4f:8000::/48"),  # AS112
    IPv6Network("3ffe::/16"),  # the former 6bone
    IPv6Network("3fff::/20"),  # documentation
    IPv6Network("fd00:ec2::/32"),  # metadata of AWS
    IPv6Network("fd20:ce::/32"),  # metadata of Google Cloud
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Forms in which a gateway or the kernel itself reaches an IPv4 address: that address decides. The others
# (compatible, translated, 6to4, Teredo, ISATAP) are obsolete; only an attacker would use them.
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


@lru_cache(maxsize=4096)
def is_public(address: str) -> bool:
    """Whether an address, as text, is a public one."""
    found = _unwrapped(address)
    return found is not None and _is_ordinary(found) and not _is_private(found)


@lru_cache(maxsize=4096)
def is_public_or_private(address: str) -> bool:
    """Whether it is public, of this machine, or of a private network, and no metadata service."""
    found = _unwrapped(address)
    return found is not None and (_is_private(found) or _is_ordinary(found)) and not _is_never(found)


def public_or_in(networks: Sequence[str]) -> Callable[[str], bool]:
    """Whether an address is public, or of one of these private networks (`private_network` checks them)."""
    if not networks:
        return is_public
    listed = tuple(map(ip_network, networks))

    @lru_cache(maxsize=4096)
    def allows(address: str) -> bool:
        found = _unwrapped(address)
        is_listed = found is not None and any(found in network for network in listed)
        return is_public(address) or (is_listed and is_public_or_private(address))

    return allows


def private_network(text: str) -> str:
    """A private network such as `10.1.2.0/24`, without this machine. Raises ValueError for any other."""
    with suppress(ValueError):
        network = ip_network(text)
        # `in` is false for addresses of another version.
        if any(network[0] in private and network[-1] in private for private in _NETWORKS):
            return str(network)
    raise ValueError(f"{text!r} is no private network; use a part of {', '.join(map(str, _NETWORKS))}")


def _unwrapped(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if not isinstance(found, IPv6Address):
        return found
    # Only link-local addresses have a zone (an interface).
    if found.scope_id is not None:
        return None
    if found in _MAPPED or found in _NAT64:
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def _is_private(found: IPv4Address | IPv6Address) -> bool:
    return any(found in network for network in _PRIVATE)


def _is_never(found: IPv4Address | IPv6Address) -> bool:
    return any(found in network for network in _NEVER)


def _is_ordinary(found: IPv4Address | IPv6Address) -> bool:
    if isinstance(found, IPv6Address) and (
        found not in _GLOBAL_UNICAST or (int(found) >> 32) & 0xFFFFFFFF in _ISATAP
    ):
        return False
    return not _is_never(found)
