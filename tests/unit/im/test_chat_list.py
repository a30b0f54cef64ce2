"""Chat lists over a real storage, against a model that remembers everything that happened and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from xmppd.im import chat_list
from xmppd.im.chat_list import ChatLists
from xmppd.jid import Jid
from xmppd.stanza import Message
from xmppd.storage.archive import Checkpoint, Kind, Mark, NewMessage, NewRow, peer_key
from xmppd.storage.interfaces import StorageUnavailable, Stores
from xmppd.storage.open import open_stores
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

JULIET = Jid.parse("juliet@capulet.lit/balcony")
PEERS = [Jid.parse(f"friend{number}@capulet.lit/phone") for number in range(3)]
ROMEO, NURSE, TYBALT = PEERS


@dataclass
class World:
    """One owner's archive, several nodes' chat lists over it, and everything that happened."""

    stores: Stores
    clock: ManualClock
    owner: int
    tasks: Tasks
    nodes: list[ChatLists]
    rows: list[tuple[int, Jid, int, str]] = field(default_factory=list)  # id, peer, mark, the message's id
    read: dict[Jid, int] = field(default_factory=dict)

    async def happen(
        self, peer: Jid, mark: int, name: str = "", kind: Kind = Kind.NONE, displayed: str = ""
    ) -> int:
        """Something is said or acknowledged; the row's id."""
        self.clock.advance(1)
        sender, to = (JULIET, peer) if mark & Mark.SENT else (peer, JULIET)
        message = Message(type="chat", sender=sender, to=to, id=name)
        if displayed:
            message = message.with_child(Element("displayed", "urn:xmpp:chat-markers:0", {"id": displayed}))
        new = NewMessage(message.wire(), (NewRow(self.owner, peer_key(peer) | mark, kind),))
        (((place,), _),) = await self.stores.archive.append([new])
        if not kind & Kind.HIDDEN:
            self.rows.append((place.id, peer, mark, name))
            if mark == Mark.SENT | Mark.UNREAD:
                self.read[peer] = place.id
        return place.id

    def name(self) -> str:
        """An id that no message had before."""
        return f"m{self.clock.now()}"

    def note(self, peer: Jid, upto: int) -> None:
        """Everything of ``peer`` up to that row is read."""
        self.read[peer] = max(upto, self.read.get(peer, 0))

    def counted(self) -> list[tuple[int, int, int, int]]:
        """(peer key, last, message, unread) of each conversation, in the order of the list."""
        found = []
        for peer in PEERS:
            own = [row for row in self.rows if row[1] == peer]
            begun = next((at for at, row in enumerate(own) if row[2] & Mark.UNREAD), None)
            if begun is None:
                continue
            messages = [id for id, _, mark, _ in own if mark & Mark.UNREAD]
            unread = [id for id, _, mark, _ in own if mark == Mark.UNREAD and id > self.read.get(peer, 0)]
            found.append((peer_key(peer), own[-1][0], messages[-1], len(unread)))
        return sorted(found, key=lambda line: -line[2])

    async def shown(self, node: int = 0) -> list[tuple[int, int, int, int]]:
        chats = await self.nodes[node].read(self.owner)
        assert chats.unread == sum(1 for line in chats.conversations if line.unread)
        assert chats.unread_messages == sum(line.unread for line in chats.conversations)
        return [(line.peer, line.last, line.message, line.unread) for line in chats.conversations]

    async def erase(self, before: int) -> None:
        while await self.stores.archive.erase(self.owner, before=before, limit=2):
            pass
        self.rows = [row for row in self.rows if row[0] >= before]

    def restart(self, limit: int = 0) -> None:
        self.nodes = [
            ChatLists(self.stores.archive, self.stores.chat_lists, self.tasks, limit=limit) for _ in range(2)
        ]

    async def settle(self) -> None:
        await self.tasks.finish(5)
        assert not self.tasks.failures


@asynccontextmanager
async def world(limit: int = 0) -> AsyncIterator[World]:
    clock = ManualClock()
    stores = await open_stores("sqlite::memory:", Path("/nonexistent"), clock=clock.now)
    try:
        (owner,) = await stores.accounts.create([(JULIET.bare, {})], now=0)
        made = World(stores, clock, owner, Tasks(), [])
        made.restart(limit)
        yield made
        await made.settle()
    finally:
        await stores.close()


marks = st.integers(0, 3)
peers = st.sampled_from(PEERS)
nodes = st.integers(0, 1)
places = st.integers(1, 12)  # counted from the newest row
steps = st.lists(
    st.one_of(
        st.tuples(st.just("happen"), peers, marks),
        st.tuples(st.just("happen"), peers, marks),
        st.tuples(st.just("hidden"), peers, marks),
        st.tuples(st.just("displayed"), nodes, places),
        st.tuples(st.just("marker"), places),
        st.tuples(st.just("mark"), nodes, places, peers),
        st.tuples(st.just("read"), nodes),
        st.tuples(st.just("erase"), places),
        st.tuples(st.just("restart")),
    ),
    min_size=12,
    max_size=40,
)


@settings(max_examples=100)
@given(steps, st.sampled_from([1, 3, 200]))
def test_a_list_shows_what_counting_everything_gives(steps: list[tuple[object, ...]], rewrite: int) -> None:
    async def run() -> None:
        async with world() as now:
            for step in steps:
                await take(now, step)
                await now.settle()
            assert await now.shown(0) == await now.shown(1) == now.counted()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_list, "_REWRITE", rewrite)
        patch.setattr(chat_list, "_SCAN", 4)
        patch.setattr(chat_list, "_MARKERS", 2)
        asyncio.run(run())


async def take(now: World, step: tuple[object, ...]) -> None:
    match step:
        case ("happen", Jid() as peer, int(mark)):
            await now.happen(peer, mark, now.name())
        case ("hidden", Jid() as peer, int(mark)):
            await now.happen(peer, mark, "hidden", Kind.HIDDEN | Kind.OWED)
        case ("displayed", int(node), int(at)) if at <= len(now.rows):
            id, peer, mark, name = now.rows[-at]
            now.nodes[node].displayed(now.owner, peer.bare, name)
            if not mark & Mark.SENT:
                now.note(peer, id)
        case ("marker", int(at)) if at <= len(now.rows):
            id, peer, mark, name = now.rows[-at]
            await now.happen(peer, Mark.SENT, now.name(), Kind.MARKER, name)
            if not mark & Mark.SENT:
                now.note(peer, id)
        case ("mark", int(node), int(at), Jid() as peer) if at <= len(now.rows):
            before = [line for line in now.counted() if line[0] == peer_key(peer)]
            now.note(peer, now.rows[-at][0])
            after = [line for line in now.counted() if line[0] == peer_key(peer)]
            assert await now.nodes[node].mark(now.owner, peer, now.rows[-at][0]) == (before != after)
        case ("read", int(node)):
            assert await now.shown(node) == now.counted()
        case ("erase", int(at)) if at <= len(now.rows):
            await now.erase(now.rows[-at][0])
        case ("restart",):
            now.restart()


async def test_lines_have_the_address_and_the_message() -> None:
    async with world() as now:
        await now.happen(ROMEO, Mark.UNREAD)
        id = await now.happen(NURSE, Mark.UNREAD | Mark.SENT)
        chats = await now.nodes[0].read(now.owner)
        nurse, romeo = [line async for line in now.nodes[0].lines(now.owner, chats.conversations)]
        assert (nurse.peer, romeo.peer) == (NURSE.bare, ROMEO.bare)
        assert (nurse.message.id, nurse.conversation) == (id, chats.conversations[0])
        assert [line async for line in now.nodes[0].lines(now.owner, [])] == []
        await now.erase(id)
        (only,) = [line async for line in now.nodes[0].lines(now.owner, chats.conversations)]
        assert only.peer == NURSE.bare


async def test_markers_of_many_devices_at_once_are_all_kept() -> None:
    async with world() as now:
        for number in range(10):
            for peer in PEERS:
                await now.happen(peer, Mark.UNREAD, f"m{number}")
        now.nodes += [
            ChatLists(now.stores.archive, now.stores.chat_lists, now.tasks, limit=0) for _ in range(6)
        ]
        for at, node in enumerate(now.nodes):
            node.displayed(now.owner, PEERS[at % 3], f"m{at}")
        await now.settle()
        chats = await now.nodes[0].read(now.owner)
        unread = {line.peer: line.unread for line in chats.conversations}
        # nodes 6, 7 and 5 were the farthest of each conversation
        assert [unread[peer_key(peer)] for peer in PEERS] == [3, 2, 4]


async def test_markers_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_list, "_MARKERS", 2)
    async with world() as now:
        for number in range(6):
            await now.happen(ROMEO, Mark.UNREAD, f"m{number}")
        for number in range(5):
            await now.happen(ROMEO, Mark.SENT, "", Kind.MARKER, f"m{number}")
        assert (await now.nodes[0].read(now.owner)).unread_messages == 1


async def test_who_always_finds_the_list_changed_gives_up(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as now:
        await now.happen(ROMEO, Mark.UNREAD, "m1")

        class Contended:
            load = now.stores.chat_lists.load

            async def save(self, owner: int, checkpoint: Checkpoint) -> bool:
                return False

        lists = ChatLists(now.stores.archive, Contended(), now.tasks, limit=0)
        with pytest.raises(StorageUnavailable, match="10 times"):
            await lists.mark(now.owner, ROMEO, 2**62)
        assert (await lists.read(now.owner)).unread == 1
        lists.displayed(now.owner, ROMEO, "m1")
        await now.settle()
        assert "messages stay unread" in caplog.text
        # and the next marker is tried again
        healthy = ChatLists(now.stores.archive, now.stores.chat_lists, now.tasks, limit=0)
        healthy.displayed(now.owner, ROMEO, "m1")
        assert (await healthy.read(now.owner)).unread == 0


async def test_addresses_that_share_a_key_are_told_apart_by_their_messages() -> None:
    async with world() as now:
        stranger = Jid.parse("stranger@capulet.lit/phone")
        await now.happen(ROMEO, Mark.UNREAD, "m1")
        message = Message(type="chat", sender=stranger, to=JULIET, id="m2")
        await now.stores.archive.append(
            [NewMessage(message.wire(), (NewRow(now.owner, peer_key(ROMEO) | Mark.UNREAD),))]
        )
        now.nodes[0].displayed(now.owner, ROMEO.bare, "m2")
        assert (await now.nodes[0].read(now.owner)).unread_messages == 2
        now.nodes[0].displayed(now.owner, ROMEO.bare, "m1")
        assert (await now.nodes[0].read(now.owner)).unread_messages == 1


async def test_a_flood_of_markers_is_bounded() -> None:
    async with world() as now:
        await now.happen(ROMEO, Mark.UNREAD, "m1")
        for number in range(10_000):
            now.nodes[0].displayed(now.owner, ROMEO, f"unknown{number}")
        now.nodes[0].displayed(now.owner, ROMEO, "m1")
        assert sum(map(len, now.nodes[0]._pending.values())) <= 256
        assert (await now.nodes[0].read(now.owner)).unread == 0
        assert not now.nodes[0]._working


async def test_a_message_too_far_back_is_not_looked_for() -> None:
    async with world() as now:
        romeo = peer_key(ROMEO) | Mark.UNREAD
        messages = [
            NewMessage(
                Message(type="chat", sender=ROMEO, to=JULIET, id=f"m{number}").wire(),
                (NewRow(now.owner, romeo),),
            )
            for number in range(1_200)
        ]
        for start in range(0, 1_200, 400):
            await now.stores.archive.append(messages[start : start + 400])
        for name, left in (("m199", 1_200), ("m200", 999), ("m1199", 0)):
            now.nodes[0].displayed(now.owner, ROMEO, name)
            assert (await now.nodes[0].read(now.owner)).unread_messages == left


async def test_a_marker_is_found_however_much_came_behind_it() -> None:
    async with world() as now:
        for number in range(5):
            await now.happen(ROMEO, Mark.UNREAD, f"m{number}")
        await now.happen(ROMEO, Mark.SENT, "", Kind.MARKER, "m2")
        message = NewMessage(
            Message(type="chat", sender=ROMEO, to=JULIET, id="late").wire(),
            (NewRow(now.owner, peer_key(ROMEO) | Mark.UNREAD),),
        )
        for _ in range(3):
            await now.stores.archive.append([message] * 400)
        assert (await now.nodes[0].read(now.owner)).unread_messages == 2 + 1_200


async def test_a_marker_in_front_of_the_first_message_says_nothing() -> None:
    async with world() as now:
        message = Message(type="chat", sender=ROMEO, to=JULIET, id="m1")
        marker = Message(type="chat", sender=JULIET, to=ROMEO).with_child(
            Element("displayed", "urn:xmpp:chat-markers:0", {"id": "m1"})
        )
        romeo = peer_key(ROMEO)
        await now.stores.archive.append(
            [
                NewMessage(marker.wire(), (NewRow(now.owner, romeo | Mark.SENT, Kind.MARKER),)),
                NewMessage(message.wire(), (NewRow(now.owner, romeo | Mark.UNREAD),)),
            ]
        )
        assert (await now.nodes[0].read(now.owner)).unread_messages == 1


async def test_what_comes_while_the_list_is_read_is_in_it_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as now:
        await now.happen(ROMEO, Mark.UNREAD, "m1")
        marks = now.stores.archive.marks

        async def slow(owner: int, *, after: int, limit: int) -> list[tuple[int, int, int]]:
            found = await marks(owner, after=after, limit=limit)
            await now.happen(ROMEO, Mark.UNREAD, "m2")
            await now.happen(ROMEO, Mark.SENT, "", Kind.MARKER, "m1")
            return found

        monkeypatch.setattr(now.stores.archive, "marks", slow)
        assert (await now.nodes[0].read(now.owner)).unread_messages == 1
        monkeypatch.undo()
        assert (await now.nodes[0].read(now.owner)).unread_messages == 1
        now.note(ROMEO, now.rows[0][0])
        assert await now.shown() == now.counted()


async def test_a_list_is_bounded_when_it_is_saved() -> None:
    async with world(limit=2) as now:
        for peer in PEERS:
            await now.happen(peer, Mark.UNREAD | Mark.SENT)
        await now.happen(ROMEO, Mark.UNREAD)
        await now.nodes[0].mark(now.owner, ROMEO, 2**62)
        saved = await now.stores.chat_lists.load(now.owner)
        assert [line.peer for line in saved.conversations] == [peer_key(ROMEO), peer_key(TYBALT)]
        assert replace(saved, conversations=()).version == 1
