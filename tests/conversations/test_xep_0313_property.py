"""Whatever an archive holds, paging through it shows each message once: in order, either way, in pages of any size."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.harness import Client, Harness
from tests.support.history import archive, ask
from tests.support.postgres import fresh_database, give_back
from xmppd.storage.archive import Kind
from xmppd.storage.open import open_stores

OWNER = "juliet@capulet.lit"
PEERS = ("romeo@montague.lit", "nurse@capulet.lit", OWNER)


@dataclass(frozen=True)
class Sent:
    """A message in Juliet's archive. ``pause``: so many seconds later than the one before."""

    peer: int
    resource: str
    outgoing: bool
    hidden: bool
    bytes: int
    pause: int

    def xml(self, body: str) -> str:
        peer, own = f"{PEERS[self.peer]}{self.resource}", f"{OWNER}/balcony"
        sender, to = (own, peer) if self.outgoing else (peer, own)
        return f"<message from='{sender}' to='{to}' type='chat'><body>{body}</body><x>{'x' * self.bytes}</x></message>"


SENT = st.builds(
    Sent,
    peer=st.integers(0, 2),
    resource=st.sampled_from(["", "/a", "/b"]),
    outgoing=st.booleans(),
    hidden=st.sampled_from([False, False, False, True]),
    bytes=st.sampled_from([0, 0, 0, 0, 200_000]),
    pause=st.integers(0, 2),
)


class OnPostgres(Harness):
    """A server whose storage is PostgreSQL, with a clock of its own."""

    async def __aenter__(self) -> Self:
        self._url = await fresh_database()
        self.stores = await open_stores(self._url, Path("/nonexistent"))
        await self._build()
        return self

    async def __aexit__(self, *ending: Any) -> None:
        await super().__aexit__(*ending)
        give_back(self._url)


@dataclass(frozen=True)
class Case:
    """A history and how it is read. ``cut``: only what is between these two of its messages."""

    history: list[Sent]
    size: int
    backwards: bool
    flipped: bool
    peer: int | None
    resource: str
    cut: tuple[int, int] | None


CASES = st.builds(
    Case,
    history=st.lists(SENT, max_size=40),
    size=st.integers(1, 12),
    backwards=st.booleans(),
    flipped=st.booleans(),
    peer=st.sampled_from([None, *range(3)]),
    resource=st.sampled_from(["", "/a"]),
    cut=st.none() | st.tuples(st.integers(0, 40), st.integers(0, 40)),
)


@given(CASES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_once_in_order(case: Case) -> None:
    asyncio.run(_check(case, Harness("capulet.lit", "montague.lit")))


@given(CASES)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_once_in_order_on_postgresql(case: Case) -> None:
    asyncio.run(_check(case, OnPostgres("capulet.lit", "montague.lit")))


async def _check(case: Case, harness: Harness) -> None:
    async with harness as server:
        juliet = await server.client(f"{OWNER}/balcony")
        names: list[str] = []
        for number, sent in enumerate(case.history):
            kind = Kind.OWED | Kind.HIDDEN if sent.hidden else Kind.NONE
            names += await archive(server, OWNER, sent.xml(str(number)), kind=kind)
            server.clock.advance(sent.pause)
        fields: dict[str, str] = {}
        if case.peer is not None:
            fields["with_"] = f"{PEERS[case.peer]}{case.resource}"
        between = set(names)
        if case.cut is not None and names:
            low, high = (min(end, len(names) - 1) for end in case.cut)
            fields |= {"after_id": names[low], "before_id": names[high]}
            between = set(names[low + 1 : high])
        expected = [
            name
            for name, sent in zip(names, case.history, strict=True)
            if name in between
            and not sent.hidden
            and case.peer in (None, sent.peer)
            and (case.peer is None or case.resource in ("", sent.resource))
        ]
        assert await _read(juliet, case, fields) == expected


async def _read(client: Client, case: Case, fields: dict[str, str]) -> list[str]:
    """The names of all messages, read page by page."""
    pages: list[list[str]] = []
    position = "<before/>" if case.backwards else ""
    while True:
        shown = await ask(
            client, f"<max>{case.size}</max>{position}", "<flip-page/>" if case.flipped else "", **fields
        )
        page = shown.names[::-1] if case.flipped else shown.names
        assert len(page) <= case.size
        assert shown.set == ({"first": page[0], "last": page[-1]} if page else {})
        pages.append(page)
        if shown.complete:
            break
        position = f"<before>{page[0]}</before>" if case.backwards else f"<after>{page[-1]}</after>"
    return [name for page in (reversed(pages) if case.backwards else pages) for name in page]
