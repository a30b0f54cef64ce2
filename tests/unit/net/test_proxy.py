"""The PROXY protocol's headers, as HAProxy's proxy-protocol.txt has them."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmppd.net.proxy import MOST, ProxyError, ProxyHeader, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(family: int, addresses: bytes, *, command: int = 0x21) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses)) + addresses


IPV4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 56324, 5222)
IPV6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 56324, 5222)
)
TLV = b"\x04\x00\x03abc"

GOOD = {
    "TCP4": (b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 5222\r\n", "192.0.2.7"),
    "TCP6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 5222\r\n", "2001:db8::7"),
    "TCP6 in full": (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    "TCP6 of an IPv4 client": (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "192.0.2.7"),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "UNKNOWN with more": (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    "UNKNOWN, as long as can be": (b"PROXY UNKNOWN " + b"1" * 91 + b"\r\n", None),
    "v2 IPv4": (v2(0x11, IPV4), "192.0.2.7"),
    "v2 IPv6": (v2(0x21, IPV6), "2001:db8::7"),
    "v2 IPv6 of an IPv4 client": (
        v2(0x21, socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7") + IPV6[16:]),
        "192.0.2.7",
    ),
    "v2 IPv4 with TLVs": (v2(0x11, IPV4 + TLV), "192.0.2.7"),
    "v2 of the proxy itself": (v2(0x00, b"", command=0x20), None),
    "v2 of the proxy itself, with addresses": (v2(0x11, IPV4, command=0x20), None),
    "v2 of a Unix socket": (v2(0x31, bytes(216)), None),
    "v2 of nothing known": (v2(0x00, b""), None),
    "v2, addresses cut short": (v2(0x11, IPV4[:8]), None),
}

BAD = {
    "XMPP": b"<?xml version='1.0'?><stream:stream",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "lower case": b"proxy TCP4 192.0.2.7 192.0.2.1 56324 5222\r\n",
    "no address": b"PROXY TCP4\r\n",
    "no words": b"PROXY \r\n",
    "a name": b"PROXY TCP4 localhost 192.0.2.1 56324 5222\r\n",
    "IPv6 as TCP4": b"PROXY TCP4 2001:db8::7 192.0.2.1 56324 5222\r\n",
    "IPv4 as TCP6": b"PROXY TCP6 192.0.2.7 192.0.2.1 56324 5222\r\n",
    "two spaces": b"PROXY TCP4  192.0.2.7 192.0.2.1 56324 5222\r\n",
    "not ASCII": "PROXY TCP4 １92.0.2.7 192.0.2.1 56324 5222\r\n".encode(),
    "another protocol": b"PROXY UDP4 192.0.2.7 192.0.2.1 56324 5222\r\n",
    "an endless line": b"PROXY TCP4 " + b"1" * 200,
    "a line that is one byte too long": b"PROXY UNKNOWN " + b"1" * 92 + b"\r\n",
    "v2 of another version": v2(0x11, IPV4, command=0x31),
    "v2 of another command": v2(0x11, IPV4, command=0x22),
    "v2 that is too long": v2(0x11, IPV4 + bytes(60_000)),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_header(what: str) -> None:
    data, address = GOOD[what]
    assert parse(data) == ProxyHeader(len(data), address)
    assert parse(data + b"<?xml") == ProxyHeader(len(data), address), "what follows is not looked at"


@pytest.mark.parametrize("what", GOOD)
def test_a_header_is_incomplete_until_its_last_byte(what: str) -> None:
    data, _ = GOOD[what]
    for end in range(len(data)):
        assert parse(data[:end]) is None


@pytest.mark.parametrize("what", BAD)
def test_no_header(what: str) -> None:
    with pytest.raises(ProxyError):
        parse(BAD[what])


@given(
    st.binary(max_size=700)
    | st.sampled_from([data for data, _ in GOOD.values()]).flatmap(
        lambda data: st.tuples(st.integers(0, len(data) - 1), st.binary(min_size=1, max_size=3)).map(
            lambda change: data[: change[0]] + change[1] + data[change[0] + 1 :]
        )
    )
)
def test_any_bytes_are_a_header_or_none_or_the_beginning_of_one(data: bytes) -> None:
    try:
        header = parse(data)
    except ProxyError:
        return
    if header is None:
        assert len(data) < MOST
    else:
        assert 0 < header.length <= len(data)
