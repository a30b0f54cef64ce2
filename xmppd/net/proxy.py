"""The PROXY protocol, versions 1 and 2 (HAProxy's ``proxy-protocol.txt``), sans-IO: who really connects
through a trusted proxy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
MOST: Final = 536  # the longest header that is accepted: version 2 with addresses and some TLVs


class ProxyError(ValueError):
    """What the proxy sent is no PROXY header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """``length`` bytes of header; ``address`` is the client's IP address, None when the proxy speaks for
    itself.
    """

    length: int
    address: str | None


def parse(data: bytes) -> ProxyHeader | None:
    """The header at the start of ``data``; None while it is incomplete; ``ProxyError`` when it is none."""
    if data.startswith(_V2[: len(data)]):
        return _parse_v2(data)
    if data.startswith(b"PROXY "[: len(data)]):
        return _parse_v1(data)
    raise ProxyError("the connection does not start with a PROXY header")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n")
    if (end + 2 if end >= 0 else len(data) + 1) > 107:
        raise ProxyError("a PROXY header of version 1 has at most 107 bytes")
    if end < 0:
        return None
    words = data[:end].split(b" ")
    try:
        if words[1] == b"UNKNOWN":
            return ProxyHeader(end + 2, None)
        if words[1] == b"TCP4" and len(words) == 6:
            return ProxyHeader(end + 2, str(IPv4Address(words[2].decode("ascii"))))
        if words[1] == b"TCP6" and len(words) == 6:
            return ProxyHeader(end + 2, _text(IPv6Address(words[2].decode("ascii"))))
    except (IndexError, UnicodeDecodeError, AddressValueError) as err:
        raise ProxyError("a malformed PROXY header of version 1") from err
    raise ProxyError("a malformed PROXY header of version 1")


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version_command, family, size = struct.unpack("!BBH", data[12:16])
    if version_command >> 4 != 2 or version_command & 15 > 1:
        raise ProxyError("an unknown version or command in a PROXY header of version 2")
    total = 16 + size
    if total > MOST:
        raise ProxyError(f"a PROXY header of more than {MOST} bytes")
    if len(data) < total:
        return None
    if version_command & 15 == 0:  # LOCAL: a health check of the proxy itself
        return ProxyHeader(total, None)
    if family >> 4 == 1 and size >= 12:
        return ProxyHeader(total, str(IPv4Address(data[16:20])))
    if family >> 4 == 2 and size >= 36:
        return ProxyHeader(total, _text(IPv6Address(data[16:32])))
    return ProxyHeader(total, None)


def _text(address: IPv6Address) -> str:
    """An IPv4 client of a proxy that speaks IPv6 is an IPv4 client: limits are per address, not for all of them."""
    return str(address.ipv4_mapped or address)
