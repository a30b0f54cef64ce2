"""Nicks as the room writes and compares them: by RFC 8266, which was made for this, and look-alikes as one.

XEP-0045#enter-conflict leaves to the service which nicks are the same. Whoever could take a nick that others cannot
tell from somebody's could speak in that one's name.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from precis_i18n import get_profile

from xmppd.errors import StanzaError

LONGEST: Final = 255  # characters of a nick: everybody in the room gets it with each stanza

_WRITTEN: Final = get_profile("NicknameCasePreserved")  # RFC 8266#2.3
_COMPARED: Final = get_profile("NicknameCaseMapped")  # RFC 8266#2.4
_PLAIN: Final = re.compile(r"[!-~]+(?: [!-~]+)*").fullmatch
# The small letters of Greek and Cyrillic that look like Latin ones (Unicode UTS 39, confusables.txt), alone or as
# capitals, and what looks like nothing.
_LOOKS: Final = str.maketrans(
    "αβεηικμνορτυχаеорсухіјѕһԁԛԝвкмнт\u2800",
    "abehikmvoptuxaeopcyxijshdqwbkmht ",
)


def prepared(nick: str) -> str:
    """``nick``, a resourcepart, as the room writes it. ``jid-malformed`` where nothing can be seen of it
    (XEP-0045#bizrules-jids), or it is no nick for another reason; ``not-acceptable`` where it is too long.
    """
    if len(nick) > LONGEST:
        raise StanzaError("not-acceptable", f"a nick has at most {LONGEST} characters")
    if _PLAIN(nick):
        return nick
    written = _written(nick)
    if written is None:
        raise StanzaError(
            "jid-malformed", f"{nick!r} is no nick: it needs letters, digits or signs that one can see"
        )
    return written


@lru_cache(maxsize=4096)
def _written(nick: str) -> str | None:
    try:
        written: str = _WRITTEN.enforce(nick)
    except ValueError:
        return None
    seen = written.replace("\u2800", "").strip()  # the blank pattern of Braille
    return written if seen and any(map(_is_visible, seen)) else None


def _is_visible(character: str) -> bool:
    """Whether ``character`` is more than a mark on another one, which is not there."""
    return unicodedata.category(character)[0] in "LNPS"


@lru_cache(maxsize=16_384)
def likeness(nick: str) -> str:
    """What of ``nick``, as ``prepared`` wrote it, differs from that of any other one that people can tell from it."""
    if not nick.isascii():
        try:
            nick = _COMPARED.enforce(nick)
        except ValueError:
            pass  # an entry of a list that was made by other rules
        return nick.casefold().translate(_LOOKS).strip()
    return nick.casefold()
