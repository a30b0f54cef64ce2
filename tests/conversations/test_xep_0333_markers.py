"""XEP-0333 as it acts on the chat list: what one device displayed is read on all."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness

DOMAIN = "capulet.lit"
MARKERS = "urn:xmpp:chat-markers:0"


async def unread(client: Client, contact: str = "romeo") -> int:
    """How much of the conversation with ``contact`` is unread, as the chat list says."""
    client.received.clear()
    await client.send("<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1' messages='false'/></iq>")
    entries = [message.child("entry", "urn:xmpp:inbox:1") for message in client.received[:-1]]
    client.received.clear()
    return next(
        int(entry.attrs["unread"])
        for entry in entries
        if entry is not None and entry.get("jid") == f"{contact}@{DOMAIN}"
    )


async def say(sender: Client, id: str, to: str = "juliet", type: str = "chat") -> None:
    await sender.send(
        f"<message to='{to}@{DOMAIN}' type='{type}' id='{id}'><body>{id}</body><markable xmlns='{MARKERS}'/></message>"
    )


def marker(id: str, to: str = f"romeo@{DOMAIN}/phone", name: str = "displayed", more: str = "") -> str:
    return f"<message to='{to}' type='chat'><{name} xmlns='{MARKERS}' id='{id}'/>{more}</message>"


async def pair(server: Harness, messages: int = 0) -> tuple[Client, Client]:
    """Juliet and Romeo, who has sent her ``messages``: m1, m2, ..."""
    juliet = await server.client(f"juliet@{DOMAIN}/phone", available=True)
    romeo = await server.client(f"romeo@{DOMAIN}/phone", available=True)
    for number in range(messages):
        await say(romeo, f"m{number + 1}")
    return juliet, romeo


async def test_a_marker_reads_everything_up_to_its_message() -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 5)
        await juliet.send(marker("m3"))
        assert await unread(juliet) == 2
        await juliet.send(marker("m5"))
        assert await unread(juliet) == 0


async def test_a_marker_reaches_its_recipient_as_before() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await pair(server, 1)
        await juliet.send(marker("m1"))
        romeo.expect(
            f"<message from='juliet@{DOMAIN}/phone' to='romeo@{DOMAIN}/phone' type='chat'>"
            f"<displayed xmlns='{MARKERS}' id='m1'/></message>"
        )


async def test_markers_only_move_forward() -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 5)
        await juliet.send(marker("m4"))
        await juliet.send(marker("m2"))
        assert await unread(juliet) == 1


async def test_markers_that_come_at_once_count_by_their_messages() -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 5)
        await juliet.send(marker("m4") + marker("m2") + marker("m3") + marker("unknown"))
        assert await unread(juliet) == 1


async def test_what_is_asked_behind_a_marker_knows_of_it() -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 5)
        juliet.received.clear()
        await juliet.send(
            marker("m5") + "<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1' messages='false'/></iq>"
        )
        entry = juliet.received[0].child("entry", "urn:xmpp:inbox:1")
        assert entry is not None
        assert entry.get("unread") == "0"


@pytest.mark.parametrize(
    "ignored",
    [
        marker("m9"),
        marker(""),
        marker("m3", to=f"nurse@{DOMAIN}"),
        marker("m3", name="markable"),
        marker("m3", name="received"),
        f"<message to='romeo@{DOMAIN}' type='chat'><displayed xmlns='{MARKERS}'/></message>",
        f"<message to='romeo@{DOMAIN}' type='chat'><displayed xmlns='other' id='m3'/><body/></message>",
        f"<message to='romeo@{DOMAIN}' type='headline'><displayed xmlns='{MARKERS}' id='m3'/></message>",
    ],
    ids=["unknown id", "empty id", "somebody else's", "markable", "received", "no id", "other", "headline"],
)
async def test_what_marks_nothing(ignored: str) -> None:
    async with Harness(DOMAIN) as server:
        await server.account(f"nurse@{DOMAIN}")
        juliet, _ = await pair(server, 3)
        await juliet.send(ignored)
        assert await unread(juliet) == (3 if "<body/>" not in ignored else 0)


@pytest.mark.parametrize(
    "marks",
    [
        marker("m3", to=f"romeo@{DOMAIN}"),
        marker("m3", name="acknowledged"),
        marker("m3", more="<no-store xmlns='urn:xmpp:hints'/>"),
        marker("m3").replace("type='chat'", ""),
    ],
    ids=["to the bare address", "acknowledged", "not stored", "normal"],
)
async def test_what_marks(marks: str) -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 3)
        await juliet.send(marks)
        assert await unread(juliet) == 0


async def test_a_marker_of_the_other_side_reads_nothing_here() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await pair(server, 3)
        await romeo.send(marker("m3", to=f"juliet@{DOMAIN}"))
        assert await unread(juliet) == 3


async def test_ones_own_messages_are_not_marked() -> None:
    """Both sides may choose the same ids (XEP-0333#rules)."""
    async with Harness(DOMAIN) as server:
        juliet, romeo = await pair(server)
        await say(romeo, "m1")
        await say(juliet, "m3", to="romeo")
        await say(romeo, "m2")
        await juliet.send(marker("m3"))
        assert await unread(juliet) == 1


async def test_of_equal_ids_the_newest_message_is_meant() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await pair(server, 2)
        await say(romeo, "m1")
        await juliet.send(marker("m1"))
        assert await unread(juliet) == 0


async def test_conversations_are_marked_apart() -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 2)
        nurse = await server.client(f"nurse@{DOMAIN}/phone", available=True)
        await say(nurse, "m1")
        await say(nurse, "m2")
        await juliet.send(marker("m2", to=f"nurse@{DOMAIN}"))
        assert await unread(juliet, "nurse") == 0
        assert await unread(juliet) == 2


async def test_two_devices_on_two_nodes_and_a_third_that_starts_later() -> None:
    async with Harness(DOMAIN, nodes=3) as server:
        phone = await server.client(f"juliet@{DOMAIN}/phone", available=True)
        laptop = await server.client(f"juliet@{DOMAIN}/laptop", node=1, available=True)
        romeo = await server.client(f"romeo@{DOMAIN}/phone", available=True)
        nurse = await server.client(f"nurse@{DOMAIN}/phone", available=True)
        for friend in (romeo, nurse):
            for number in range(4):
                await say(friend, f"m{number + 1}")
        # at the same moment, so that one of them finds the checkpoint changed
        phone.send_nowait(marker("m2"))
        laptop.send_nowait(marker("m3", to=f"nurse@{DOMAIN}"))
        await server.settle()
        for device in (phone, laptop):
            assert await unread(device) == 2
            assert await unread(device, "nurse") == 1
        await laptop.send(marker("m1"))
        await laptop.send(marker("m4"))
        await phone.send(marker("m3"))
        tablet = await server.client(f"juliet@{DOMAIN}/tablet", node=2)
        for device in (phone, laptop, tablet):
            assert await unread(device) == 0
            assert await unread(device, "nurse") == 1


async def test_what_was_marked_stays_read_when_more_comes() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await pair(server, 3)
        await juliet.send(marker("m2"))
        await say(romeo, "m4")
        assert await unread(juliet) == 2
        await juliet.send(marker("m4"))
        await say(romeo, "m5")
        assert await unread(juliet) == 1


async def test_a_marker_finds_its_message_behind_many_others() -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 150)
        await juliet.send(marker("m5"))
        assert await unread(juliet) == 145


async def version(server: Harness) -> int:
    """How often Juliet's list was written."""
    owner = await server.account(f"juliet@{DOMAIN}")
    return (await server.stores.chat_lists.load(owner)).version


async def test_a_marker_in_the_history_is_not_written_anywhere_else() -> None:
    async with Harness(DOMAIN) as server:
        juliet, _ = await pair(server, 3)
        for id, left in (("m1", 2), ("m2", 1), ("m3", 0), ("m3", 0)):
            await juliet.send(marker(id))
            assert await unread(juliet) == left
            assert await version(server) == 0


NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"


async def test_a_marker_that_must_not_be_stored_is_noted_in_the_list_if_it_changes_that() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await pair(server, 3)
        for id, left, written in (("m2", 1, 1), ("m1", 1, 1), ("m3", 0, 2), ("m3", 0, 2)):
            await juliet.send(marker(id, more=NO_STORE))
            assert await version(server) == written
            assert await unread(juliet) == left
        await say(romeo, "m4")
        await say(romeo, "m5")
        await juliet.send(marker("m4"))
        assert await unread(juliet) == 1


async def test_markers_that_are_stored_and_others_get_along() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await pair(server, 6)
        nurse = await server.client(f"nurse@{DOMAIN}/phone", available=True)
        await say(nurse, "m1")
        await juliet.send(marker("m2"))
        await juliet.send(marker("m1", to=f"nurse@{DOMAIN}", more=NO_STORE))
        assert (await unread(juliet), await unread(juliet, "nurse")) == (4, 0)
        await juliet.send(marker("m4", more=NO_STORE) + marker("m3") + marker("m5", more=NO_STORE))
        assert await unread(juliet) == 1
        await say(romeo, "m7")
        assert await unread(juliet) == 2
