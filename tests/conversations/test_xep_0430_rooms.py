"""XEP-0430: rooms in the chat lists of their members, be they there or not."""

from __future__ import annotations

from tests.conversations.test_xep_0430_inbox import inbox
from tests.support.harness import Client, Harness
from tests.support.rooms import ROOM, attend, forget, make_room
from tests.support.talk import ADMIN, HAG, OWNER, name, tell
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliated, Affiliation

RETRACT = "urn:xmpp:message-retract:1"


async def coven(server: Harness) -> tuple[Client, Client]:
    """The owner, who is in the room, and a member, who never was."""
    await make_room(server, OWNER, {ADMIN: Affiliation.MEMBER})
    owner = await attend(server, f"{OWNER}/desktop", "firstwitch")
    return owner, await server.client(f"{ADMIN}/laptop", available=True)


async def say(client: Client, *texts: str) -> str:
    """What the room calls the last of them."""
    for text in texts:
        await client.send(tell(text))
    return name(client)


def displayed(id: str) -> str:
    return f"<message to='{ROOM}' type='groupchat'><displayed xmlns='urn:xmpp:chat-markers:0' id='{id}'/></message>"


async def test_a_member_who_never_was_there_sees_the_room_with_what_is_unread() -> None:
    async with Harness("shakespeare.lit") as server:
        owner, member = await coven(server)
        stranger = await server.client(f"{HAG}/pda", available=True)
        assert (await inbox(member)).lines == []  # nothing was said yet
        await say(owner, "one", "two")
        listing = await inbox(member)
        assert (listing.lines, listing.texts) == ([("coven", 2)], ["two"])
        assert listing.entries[0].attrs["jid"] == ROOM
        assert listing.entries[0].attrs["id"] == name(owner)
        assert listing.fin == {"total": 1, "unread": 1, "all-unread": 2}
        assert (await inbox(member, "unread-only='true'")).lines == [("coven", 2)]
        assert (await inbox(owner)).lines == [("coven", 0)]  # its own
        assert (await inbox(stranger)).lines == []
        forget(member)
        await member.send("<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
        assert f"{OWNER}/desktop" not in str(member.received)


async def test_what_one_says_reads_what_was_said_before() -> None:
    async with Harness("shakespeare.lit") as server:
        owner, _ = await coven(server)
        await say(owner, "one", "two")
        member = await attend(server, f"{ADMIN}/phone", "secondwitch")
        assert (await inbox(member)).lines == [("coven", 2)]
        await say(member, "three")
        assert (await inbox(member)).lines == [("coven", 0)]
        assert (await inbox(owner)).lines == [("coven", 1)]
        await say(owner, "four")
        assert (await inbox(member)).lines == [("coven", 1)]


async def test_a_marker_of_one_device_holds_on_all_and_after_a_restart() -> None:
    async with Harness("shakespeare.lit") as server:
        owner, laptop = await coven(server)
        second = await say(owner, "one", "two")
        await say(owner, "three")
        phone = await attend(server, f"{ADMIN}/phone", "secondwitch")
        await phone.send(displayed(second))
        for client in (laptop, phone):
            assert (await inbox(client)).lines == [("coven", 1)]
        assert (await inbox(owner)).lines == [("coven", 0)]  # a marker is no news
        await phone.send(displayed("nothing"))
        assert (await inbox(phone)).lines == [("coven", 1)]
        await server.restart()
        again = await server.client(f"{ADMIN}/laptop", available=True)
        listing = await inbox(again)
        assert (listing.lines, listing.texts) == ([("coven", 1)], ["three"])


async def test_what_was_taken_back_is_not_to_be_read() -> None:
    async with Harness("shakespeare.lit") as server:
        owner, member = await coven(server)
        await say(owner, "one")
        id = await say(owner, "two")
        await say(owner, "three")
        assert (await inbox(member)).lines == [("coven", 3)]
        await owner.send(
            f"<message to='{ROOM}' type='groupchat' id='r1'><retract id='{id}' xmlns='{RETRACT}'/></message>"
        )
        assert (await inbox(member)).lines == [("coven", 2)]


async def test_who_is_no_member_any_more_does_not_see_it_nor_anybody_when_it_is_gone() -> None:
    async with Harness("shakespeare.lit") as server:
        owner, member = await coven(server)
        await say(owner, "one")
        assert (await inbox(member)).lines == [("coven", 1)]
        record = await server.stores.rooms.load(Jid.parse(ROOM))
        assert record is not None
        await server.stores.rooms.affiliate(record.id, {Jid.parse(ADMIN): Affiliated(Affiliation.NONE)})
        assert (await inbox(member)).lines == []
        await server.stores.rooms.destroy(record.id)
        assert (await inbox(owner)).lines == []


async def test_rooms_and_people_are_in_one_order_page_by_page() -> None:
    async with Harness("shakespeare.lit") as server:
        owner, member = await coven(server)
        await owner.send(f"<message to='{ADMIN}' type='chat'><body>hail</body></message>")
        await say(owner, "one")
        hag = await server.client(f"{HAG}/pda", available=True)
        await hag.send(f"<message to='{ADMIN}' type='chat'><body>hello</body></message>")
        whole = await inbox(member)
        assert [line[0] for line in whole.lines] == ["hag66", "coven", "crone1"]
        assert whole.fin == {"total": 3, "unread": 3, "all-unread": 3}
        page, found, after = whole, [], ""
        for _ in whole.lines:
            page = await inbox(member, rsm=f"<max>1</max>{after}")
            found += page.lines
            after = f"<after>{page.rsm['last']}</after>"
        assert found == whole.lines
        assert (await inbox(member, rsm=f"<max>1</max>{after}")).lines == []
        back = await inbox(member, rsm=f"<max>5</max><before>{page.rsm['first']}</before>")
        assert back.lines == whole.lines[:2]
