"""Who counts as one peer, wherever connections, logins or registrations are counted by address."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@lru_cache(maxsize=4096)  # an address is looked at several times in each login
def network_of(address: str) -> str:
    """What counts as one address: IPv4 as it is, IPv6 by the /64 that one user has at least."""
    try:
        ip = ip_address(address.partition("%")[0])  # fe80::1%eth0
    except ValueError:
        return address  # a Unix socket, or a test
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(IPv6Address(int(ip) >> 64 << 64))
    return str(ip)
