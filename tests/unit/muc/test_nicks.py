"""Nicks: written as RFC 8266 says, and compared so that nobody passes for somebody else."""

from __future__ import annotations

import pytest

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.nicks import LONGEST, likeness, prepared


@pytest.mark.parametrize(
    ("nick", "written"),
    [
        ("thirdwitch", "thirdwitch"),
        ("Third Witch", "Third Witch"),
        ("  third   witch ", "third witch"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}nna", "Anna"),
        ("\N{LATIN SMALL LIGATURE FI}sh", "fish"),
        ("a\N{COMBINING ACUTE ACCENT}", "á"),
        ("\N{MAGE}", "\N{MAGE}"),
        ("3", "3"),
    ],
)
def test_how_a_nick_is_written(nick: str, written: str) -> None:
    assert prepared(nick) == written
    assert prepared(written) == written


@pytest.mark.parametrize(
    "nick", [" ", "\N{NO-BREAK SPACE}", "\u2800", " \u2800 ", "\u0301", "\u200b", "a\u202eb"]
)
def test_what_cannot_be_seen_is_no_nick(nick: str) -> None:
    """XEP-0045#bizrules-jids."""
    with pytest.raises(StanzaError, match="is no nick") as refused:
        prepared(nick)
    assert refused.value.condition == "jid-malformed"


def test_a_nick_is_not_too_long() -> None:
    assert prepared("x" * LONGEST)
    with pytest.raises(StanzaError, match=str(LONGEST)):
        prepared("x" * (LONGEST + 1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice", "ALICE"),
        ("alice", "аlісе"),  # Cyrillic
        ("TOM", "ΤΟΜ"),  # Greek
        ("HAMBET", "НАМВЕТ"),  # Cyrillic capitals
        ("straße", "STRASSE"),
        ("a", "a\u2800"),
    ],
)
def test_look_alikes_are_one(one: str, other: str) -> None:
    assert likeness(prepared(one)) == likeness(prepared(other))


@pytest.mark.parametrize(("one", "other"), [("alice", "alicia"), ("мир", "тир"), ("ab", "a b"), ("á", "a")])
def test_others_are_not(one: str, other: str) -> None:
    assert likeness(prepared(one)) != likeness(prepared(other))
