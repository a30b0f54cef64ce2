"""Refuses messages that hold one of the words in `[extensions.words] refused`."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from xmppd.errors import StanzaError
from xmppd.extension import Extension, Setup
from xmppd.routing.pipeline import PASS, Bounce, Inbound, Verdict
from xmppd.sessions.account import Account
from xmppd.stanza import Message


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.words]``."""

    refused: Annotated[tuple[str, ...], msgspec.Meta(description="Words that no message may hold.")] = ()


class Words:
    def __init__(self, options: Options) -> None:
        self._refused = frozenset(word.casefold() for word in options.refused)

    def on_message(self, message: Message, recipient: Account) -> Verdict:
        body = message.child("body")
        if body is None or self._refused.isdisjoint(body.text().casefold().split()):
            return PASS
        return Bounce(StanzaError("policy-violation", "a word in it is not welcome here"))


def setup(s: Setup, options: Options) -> None:
    s.stage(Inbound.FILTER, Words(options).on_message, (Message,))


EXTENSION: Final = Extension(
    name="words",
    xep="",  # the number, where it follows one
    version="",
    summary="Messages with unwelcome words go back to their senders.",
    config=Options,
    setup=setup,
)
