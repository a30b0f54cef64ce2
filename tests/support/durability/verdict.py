"""What has to be true at the end. Each check gives the letters that break it; the first ones are shown with their
history.

The archives are read from the storage itself. A *taken* letter was acknowledged and not refused.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from html import unescape
from itertools import pairwise
from typing import Final, TypeVar

from tests.support.durability.letters import Letter, text_of
from tests.support.durability.town import Town, until
from tests.support.durability.writer import NAME
from xmppd.im.stanza_ids import StanzaIds
from xmppd.storage.archive import Query
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_stores

_KEY: Final = re.compile(rb"<message [^>]*?\bid='([^']*)'")
_BODY: Final = re.compile(rb"<body>(.*?)</body>", re.DOTALL)
_PAGE: Final = 500
_SHOWN: Final = 3
_PATIENCE: Final = 15.0  # seconds for what is still on its way

T = TypeVar("T")
Broken = tuple[str, str]  # the key of a letter, and what is wrong with it


@dataclass(slots=True)
class Archives:
    """What storage has: of each account its rows in order of their ids, as ``(id, key)``."""

    names: StanzaIds
    rows: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    changed: list[Broken] = field(default_factory=list)  # rows whose text is not what was sent

    @classmethod
    async def read(cls, town: Town) -> Archives:
        stores = await open_stores(town.engine.url, town.folder)
        try:
            archives = cls(StanzaIds(await stores.secrets.get("stanza-ids")))
            for name, owner in town.owners.items():
                archives.rows[name] = [row async for row in archives._of(stores, name, owner)]
            return archives
        finally:
            await stores.close()

    async def _of(self, stores: Stores, name: str, owner: int) -> AsyncIterator[tuple[int, str]]:
        after = 0
        while rows := await stores.archive.read(owner, Query(after=after), limit=_PAGE):
            for row in rows:
                found, body = _KEY.search(row.stanza), _BODY.search(row.stanza)
                key = "" if found is None else found[1].decode()
                if body is None or unescape(body[1].decode()) != text_of(key):
                    self.changed.append((key, f"row {row.id} of {name} is {row.stanza!r}"))
                yield row.id, key
            after = rows[-1].id

    def id_of(self, name: str, row: int, town: Town) -> str:
        return self.names.text(town.owners[name], row)


async def judge(town: Town) -> Archives:
    """AssertionError that tells the history of what is wrong."""
    archives = await Archives.read(town)
    town.post.read_log(town.server.lines)
    await until(lambda: not any(_unseen(town, archives)), _PATIENCE)
    broken: dict[str, list[Broken]] = {
        "stored and acknowledged do not agree": list(_stored_once(town, archives)),
        "rows are not what was sent": archives.changed,
        "ids of one archive are not ascending": list(_ids(archives)),
        "seen, but not stored": list(_not_stored(town, archives)),
        "stored, but never seen by the recipient": list(_unseen(town, archives)),
        "seen under another stanza-id than that of its row": list(_other_ids(town, archives)),
        "another order in the archive than was sent": list(_order_in_archives(town, archives)),
        "another order on a stream than was sent": list(_order_on_streams(town)),
    }
    text = "".join(_report(town, title, letters) for title, letters in broken.items() if letters)
    if town.post.problems:
        text += "\nclients were told what cannot be:" + "".join(
            f"\n  {each}" for each in town.post.problems[:10]
        )
    if text and (bugs := [line for line in town.server.lines if "traceback=" in line]):
        text += f"\nthe server's log has {len(bugs)} tracebacks, the first being\n" + bugs[0].replace(
            "\\n", "\n"
        )
    assert not text, text
    return archives


def _report(town: Town, title: str, broken: list[Broken]) -> str:
    shown = "".join(
        f"\n  {key}: {what}\n{town.post.history(key, to_the_end='never' in title)}"
        for key, what in broken[:_SHOWN]
    )
    to = Counter(town.post.letters[key].to for key, _ in broken if key in town.post.letters)
    return f"\n{len(broken)} letters, by recipient {dict(to)}: {title}{shown}"


def _stored_once(town: Town, archives: Archives) -> Iterator[Broken]:
    """A taken letter is in both archives once; one that was not is in both or in none (I1, I2)."""
    counts = {name: Counter(key for _, key in rows) for name, rows in archives.rows.items()}
    for key, letter in town.post.letters.items():
        found = counts[letter.sender][key], counts[letter.to][key]
        # A letter that was refused since the storage was away may be there: nobody could know (ArchiveStore.append).
        allowed = {(1, 1)} if letter.taken else {(0, 0), (1, 1)}
        if letter.error not in (None, "resource-constraint"):
            yield key, f"it was refused with {letter.error}"
        elif found not in allowed:
            told = "taken" if letter.taken else letter.error or "not acknowledged"
            yield (
                key,
                f"{told}, but {found[0]} times in its sender's archive and {found[1]} in its recipient's",
            )


def _ids(archives: Archives) -> Iterator[Broken]:
    """Unique within one owner (I4)."""
    for name, rows in archives.rows.items():
        for (one, _), (id, key) in pairwise(rows):
            if one >= id:
                yield key, f"{name} has the row {id} behind {one}"


def _not_stored(town: Town, archives: Archives) -> Iterator[Broken]:
    """Nobody saw what is not durable (I1)."""
    for phone in town.phones:
        for key in phone.seen.keys - {key for _, key in archives.rows[phone.name]}:
            yield key, f"{phone.name} saw it, and it is not in the archive"


def _unseen(town: Town, archives: Archives) -> Iterator[Broken]:
    """Whoever is there at the end has seen everything (I3)."""
    for phone in town.phones:
        for id, key in archives.rows[phone.name]:
            if town.post.letters[key].to == phone.name and key not in phone.seen.keys:
                yield key, f"{phone.name} has it as row {id}, and was never given it"


def _other_ids(town: Town, archives: Archives) -> Iterator[Broken]:
    """Whoever saw a letter, however often, knows it by the name of its row (I2)."""
    for phone in town.phones:
        ids: dict[str, set[str]] = {key: set(found) for key, found in phone.own.items()}
        for sight in phone.seen.sights:
            ids.setdefault(sight.key, set()).add(sight.stanza_id)
        rows: dict[str, set[str]] = defaultdict(set)
        for id, key in archives.rows[phone.name]:
            rows[key].add(archives.id_of(phone.name, id, town))
        for key, found in ids.items():
            if len(found) > 1 or (rows[key] and found != rows[key]):
                yield key, f"{phone.name} saw it as {sorted(found)}; in its archive it is {sorted(rows[key])}"


def _order_in_archives(town: Town, archives: Archives) -> Iterator[Broken]:
    """By ids, letters of one sender to one recipient are in the order in which they were sent (I5)."""
    for name, rows in archives.rows.items():
        newest: dict[tuple[str, str], int] = {}
        for _, key in rows:
            letter = town.post.letters[key]
            if _was_held_up(town, letter):
                continue
            yield from _in_order(letter, newest, (letter.sender, letter.to), f"in the archive of {name}")


def _order_on_streams(town: Town) -> Iterator[Broken]:
    """What one stream, resumed or not, delivered for the first time came in order."""
    for phone in town.phones:
        known: set[str] = set()
        newest: dict[tuple[str, int], int] = {}
        for sight in phone.seen.sights:
            if sight.key not in known:
                known.add(sight.key)
                letter = town.post.letters[sight.key]
                if sight.how != "history" and not _was_held_up(town, letter):
                    yield from _in_order(letter, newest, (letter.sender, sight.stream), f"at {phone.name}")


def _was_held_up(town: Town, letter: Letter) -> bool:
    """Whether it was refused, and sent once more: then it comes later than what was sent behind it. Its sender may have
    lost its connection before he was told so. Or what was sent behind it was sent again without it.
    """
    tries = letter.tries
    return (letter.refusals > 0 or letter.given_up) or any(
        tries[0] <= at <= tries[-1] for at in town.post.outages if tries
    )


def _in_order(letter: Letter, newest: dict[T, int], group: T, where: str) -> Iterator[Broken]:
    if letter.number < newest.get(group, 0):
        yield letter.key, f"behind number {newest[group]} {where}"
    newest[group] = max(letter.number, newest.get(group, 0))


def figures(town: Town, archives: Archives) -> str:
    """What happened, for people."""
    letters = town.post.letters.values()
    sights = sum(len(phone.seen.sights) for phone in town.phones)
    first = sum(len(phone.seen.keys) for phone in town.phones)
    by = Counter(sight.how for phone in town.phones for sight in phone.seen.sights)
    counted = town.post.figures
    resends = sum(max(0, len(letter.tries) - 1) for letter in letters)
    stored = {key: id / 1e6 for name, rows in archives.rows.items() for id, key in rows}
    recognised = sum(at > stored.get(letter.key, at) for letter in letters for at in letter.tries)
    return (
        f"{len(town.phones)} phones, {len(letters)} letters ({sum(each.sender == NAME for each in letters)} by another"
        f" writer), {sum(each.taken for each in letters)} acknowledged, {sum(each.refusals > 0 for each in letters)}"
        f" refused at least once\n"
        f"{counted.kills} kills, {counted.restarts} restarts of the database, {counted.swallowed + counted.holes} lost"
        f" answers to COMMIT ({counted.holes} with the database away), {counted.cuts} cuts\n"
        f"{counted.logins} logins, {counted.resumed} resumed, {counted.not_resumed} not resumed, {resends}"
        f" resends, {recognised} of them of what was stored already, {counted.pages} pages of history\n"
        f"{sum(map(len, archives.rows.values()))} rows; seen {first} letters {sights} times: {by['live']} live,"
        f" {by['late']} late, {by['history']} in history; {sights - first} again, under the same stanza-id"
    )
