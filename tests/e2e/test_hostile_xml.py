"""XML that is made to hurt: it ends its stream with the right error, costs bounded memory, and nobody else notices."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MIB, Attack
from tests.support.process import DOMAIN
from tests.support.wire import HEADER, Wire

BOMB = (
    "<!DOCTYPE lolz [<!ENTITY l0 'lol'>"
    + "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
    + "]>"
).encode()


def times(piece: bytes, size: int = 10 * MIB) -> bytes:
    return piece * (size // len(piece))


# What is sent on an open stream, and the condition that ends it (RFC 6120#4.9.3).
STANZAS = {
    "10 MiB of unclosed elements": (times(b"<a>"), "policy-violation"),
    "10 MiB of unclosed elements in a stanza": (b"<message>" + times(b"<a>"), "policy-violation"),
    "10 MiB of children in a stanza": (b"<message>" + times(b"<a/>"), "policy-violation"),
    "10 MiB of text": (b"<message><body>" + times(b"x"), "policy-violation"),
    "a stanza that is a little too large": (
        b"<message><body>" + times(b"x", 262_144) + b"</body></message>",
        "policy-violation",
    ),
    "10 MiB of text between stanzas": (times(b"x"), "bad-format"),
    "10 MiB of one attribute": (b"<message id='" + times(b"x"), "policy-violation"),
    "10 MiB of one name": (b"<" + times(b"x"), "policy-violation"),
    "10 MiB of CDATA": (b"<message><body><![CDATA[" + times(b"x"), "policy-violation"),
    "10 MiB of character references": (b"<message><body>" + times(b"&#120;"), "policy-violation"),
    "10,000 attributes": (
        b"<message" + b"".join(b" a%d=''" % n for n in range(10_000)) + b"/>",
        "policy-violation",
    ),
    "1,000 levels": (
        b"<message>" + b"<a>" * 1_000 + b"</a>" * 1_000 + b"</message>",
        "policy-violation",
    ),
    "an entity bomb": (BOMB + b"<message><body>&l9;</body></message>", "not-well-formed"),
    "an entity": (b"<message><body>&l9;</body></message>", "restricted-xml"),
    "a comment": (b"<!-- -->", "restricted-xml"),
    "a processing instruction": (b"<?php ?>", "restricted-xml"),
    "a stanza that is closed wrongly": (b"<message></presence>", "not-well-formed"),
    "invalid UTF-8": (b"<message><body>\xff</body></message>", "unsupported-encoding"),
    "a surrogate as UTF-8": (b"<message><body>\xed\xa0\x80</body></message>", "unsupported-encoding"),
    "UTF-16": ("<message/>".encode("utf-16"), "unsupported-encoding"),
    "a NUL byte": (b"<message><body>\0</body></message>", "not-well-formed"),
    "10 MiB of NUL bytes": (times(b"\0"), "not-well-formed"),
    "a second header": (HEADER.encode(), "not-well-formed"),
    "an unknown stanza": (b"<query xmlns='jabber:client'/>", "unsupported-stanza-type"),
}

# The same in place of a header.
HEADERS = {
    "an entity bomb": (BOMB + HEADER.encode(), "restricted-xml"),
    "10 MiB of one tag": (b"<stream:stream to='" + times(b"x"), "policy-violation"),
    "10 MiB of letters": (times(b"x"), "policy-violation"),
    "10,000 attributes": (
        HEADER[:-1].encode() + b"".join(b" a%d=''" % n for n in range(10_000)) + b">",
        "policy-violation",
    ),
    "UTF-16": (HEADER.encode("utf-16"), "unsupported-encoding"),
    "Latin 1": (b"<?xml version='1.0' encoding='latin1'?>" + HEADER.encode(), "unsupported-encoding"),
    "NUL bytes": (b"\0" * 1_000, "not-well-formed"),
    "invalid UTF-8": (b"<\xff", "unsupported-encoding"),
}


async def who(kind: str, attack: Attack) -> Wire:
    match kind:
        case "in the clear":
            wire = await attack.wires.connect()
            await wire.open()
            return wire
        case "before login":
            return await attack.wires.stranger()
        case _:
            return await attack.wires.login("mercutio")


@pytest.mark.parametrize("where", ["in the clear", "before login", "logged in"])
@pytest.mark.parametrize("what", STANZAS)
async def test_bad_xml_ends_its_stream(what: str, where: str, attack: Attack) -> None:
    data, condition = STANZAS[what]
    wire = await who(where, attack)
    await wire.flood(data)
    assert await wire.error() == condition


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("what", HEADERS)
async def test_a_bad_header_ends_its_stream(what: str, tls: bool, attack: Attack) -> None:
    data, condition = HEADERS[what]
    wire = await attack.wires.connect(tls=tls)
    await wire.flood(data)
    assert await wire.error() == condition


async def test_white_space_in_front_of_a_header_is_taken_until_time_is_up(attack: Attack) -> None:
    wire = await attack.wires.connect()
    await wire.flood(times(b" "))
    assert await wire.error() == "connection-timeout"


async def test_ever_new_names_do_not_fill_the_memory(attack: Attack) -> None:
    """Expat keeps each name that it has seen."""
    wire = await attack.wires.login("mercutio")
    for start in range(0, 100_000, 1_000):
        names = "".join(f"<a{n} b{n}=''/>" for n in range(start, start + 1_000))
        await wire.send(f"<message type='headline' to='nobody@{DOMAIN}'>{names}</message>")
    await wire.ping()


async def test_what_one_may_send_is_taken(attack: Attack) -> None:
    """Just below the bounds nothing ends."""
    wire = await attack.wires.login("mercutio")
    attributes = "".join(f" a{n}=''" for n in range(120))
    levels = "<a>" * 60 + "</a>" * 60
    text = "x" * 250_000
    for stanza in (
        f"<message to='nobody@{DOMAIN}' type='headline'><a{attributes}/></message>",
        f"<message to='nobody@{DOMAIN}' type='headline'>{levels}</message>",
        f"<message to='nobody@{DOMAIN}' type='headline'><body>{text}</body></message>",
    ):
        await wire.send(stanza)
        await wire.ping()
