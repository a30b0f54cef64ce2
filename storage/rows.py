"""Between columns and domain types, the same for every engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliated, Affiliation, RoomRecord, Subject

R = TypeVar("R")

_CACHED_LENGTH: Final = 256  # longer lists of groups are not cached: they must not fill memory
_NO_GROUPS: Final[tuple[str, ...]] = ()


def address(text: str) -> Jid:
    """The address that was stored as ``text``.

    It was prepared then and is not again: what counts as prepared may have changed since.
    """
    if text.isascii():
        return Jid.parse(text)  # the same object for the same text
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.partition("@")
    return Jid(local if at else None, domain if at else bare, resource if slash else None)


def array(values: Iterable[object]) -> str:
    """``values`` as a JSON array."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def up_to(most: int, rows: Iterable[R], size: Callable[[R], int]) -> Iterator[R]:
    """``rows`` up to the one with which they are ``most`` bytes together."""
    total = 0
    for row in rows:
        yield row
        total += size(row)
        if total >= most:
            return


def affiliated(row: Sequence[Any]) -> tuple[Jid, Affiliated]:
    """An entry of a room's lists from the columns jid, affiliation, nick, reason and version."""
    jid, affiliation, nick, reason, version = row
    return address(jid), Affiliated(Affiliation(affiliation), nick, reason, version)


def room(row: Sequence[Any], entries: Iterable[Sequence[Any]]) -> RoomRecord:
    """A room from the columns id, domain, local, config, subject, subject_nick, subject_at, version, created and
    secret, and from those of its lists.
    """
    id, domain, local, config, text, nick, at, version, created, secret = row
    subject = None if text is None else Subject(text, nick, at)
    lists = dict(map(affiliated, entries))
    return RoomRecord(id, Jid(local, domain), config, subject, lists, version, created, secret)


def groups(text: str) -> tuple[str, ...]:
    """A roster item's groups from the JSON array that they are stored as."""
    if text == "[]":
        return _NO_GROUPS
    return _cached_groups(text) if len(text) <= _CACHED_LENGTH else tuple(json.loads(text))


@lru_cache(maxsize=4096)
def _cached_groups(text: str) -> tuple[str, ...]:
    """The same few groups stand in many items: parsed once, and one tuple for all of them."""
    return tuple(json.loads(text))
