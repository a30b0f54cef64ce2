"""What a chat list reads of an archive, on each engine: the markers among the rows, and lists over all of it."""

from __future__ import annotations

from xmppd.im.chat_list import ChatLists
from xmppd.jid import Jid
from xmppd.stanza import Message
from xmppd.storage.archive import Kind, Mark, NewMessage, NewRow, Query, peer_key
from xmppd.storage.interfaces import Stores
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

JULIET = Jid.parse("juliet@capulet.example/balcony")
ROMEO = Jid.parse("romeo@montague.example/orchard")
NURSE = Jid.parse("nurse@capulet.example/hall")


async def say(
    stores: Stores, owner: int, peer: Jid, mark: int, id: str, kind: int = 0, shown: str = ""
) -> int:
    sender, to = (JULIET, peer) if mark & Mark.SENT else (peer, JULIET)
    message = Message(type="chat", sender=sender, to=to, id=id)
    if shown:
        message = message.with_child(Element("displayed", "urn:xmpp:chat-markers:0", {"id": shown}))
    (((place,), _),) = await stores.archive.append(
        [NewMessage(message.wire(), (NewRow(owner, peer_key(peer) | mark, kind),))]
    )
    return place.id


async def test_rows_of_a_kind(stores: Stores, owner: int) -> None:
    kinds = [Kind.NONE, Kind.MARKER, Kind.OWED, Kind.MARKER | Kind.OWED, Kind.MARKER | Kind.HIDDEN]
    ids = [await say(stores, owner, ROMEO, 0, "m", kind) for kind in kinds]

    async def found(query: Query, limit: int = 10, *, backwards: bool = False) -> list[int]:
        rows = await stores.archive.read(owner, query, limit=limit, backwards=backwards)
        return [ids.index(row.id) for row in rows]

    assert await found(Query(kind=Kind.MARKER)) == [1, 3]
    assert await found(Query(kind=Kind.MARKER), 1, backwards=True) == [3]
    assert await found(Query(kind=Kind.MARKER | Kind.OWED)) == [3]
    assert await found(Query(kind=Kind.MARKER, after=ids[1])) == [3]
    assert await found(Query(kind=Kind.MARKER, before=ids[3], peer=peer_key(ROMEO))) == [1]
    assert await found(Query(kind=Kind.MARKER, ids=(ids[0], ids[3]))) == [3]
    assert await found(Query(kind=Kind.MARKER, peer=peer_key(NURSE))) == []
    assert await stores.archive.count(owner, Query(kind=Kind.MARKER)) == 2


async def test_a_list_from_the_first_message_to_the_last_row(stores: Stores, owner: int, other: int) -> None:
    tasks = Tasks()
    here, there = (ChatLists(stores.archive, stores.chat_lists, tasks, limit=0) for _ in range(2))

    async def unread(lists: ChatLists) -> dict[str, int]:
        chats = await lists.read(owner)
        return {
            str(line.peer): line.conversation.unread async for line in lists.lines(owner, chats.conversations)
        }

    for number in range(4):
        for peer in (ROMEO, NURSE):
            await say(stores, owner, peer, Mark.UNREAD, f"m{number}")
    await say(stores, other, ROMEO, Mark.UNREAD, "m0")
    assert await unread(here) == {"nurse@capulet.example": 4, "romeo@montague.example": 4}
    await say(stores, owner, ROMEO, Mark.SENT, "r1", Kind.MARKER, "m2")
    assert (
        await unread(here) == await unread(there) == {"nurse@capulet.example": 4, "romeo@montague.example": 1}
    )
    # at the same moment, so that one of them finds the list changed
    here.displayed(owner, NURSE, "m1")
    there.displayed(owner, ROMEO, "m3")
    await tasks.finish(None)
    assert (
        await unread(here) == await unread(there) == {"nurse@capulet.example": 2, "romeo@montague.example": 0}
    )
    answer = await say(stores, owner, NURSE, Mark.SENT | Mark.UNREAD, "a1")
    await say(stores, owner, ROMEO, Mark.UNREAD, "m4")
    assert await unread(there) == {"romeo@montague.example": 1, "nurse@capulet.example": 0}
    await stores.archive.erase(owner, before=answer + 1)
    assert await unread(here) == await unread(there) == {"romeo@montague.example": 1}
    assert not tasks.failures
