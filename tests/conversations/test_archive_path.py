"""The way of a message through the archive: stored first, then seen (I1); what is missing is read from there (I3)."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.mail import (
    JULIET,
    PARIS,
    ROMEO,
    SECRET,
    bodies,
    kept,
    live,
    online,
    presence,
    refusal,
    say,
    says,
    texts,
)
from xmppd.jid import Jid
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import Kind, Mark, NewMessage, NewRow, Query, Row, peer_key

COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
CARBONS = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
PING = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"
SID = "urn:xmpp:sid:0"


@pytest.fixture
def server(held: Harness) -> Harness:
    return held


async def history(server: Harness, jid: str) -> list[Row]:
    """What is part of the history of ``jid``."""
    return await server.stores.archive.read(await server.account(jid), Query(), limit=1_000)


async def owed(server: Harness, jid: str) -> list[Row]:
    """What was stored for the clients of ``jid``, settled or not."""
    rows, _ = await server.stores.archive.owed(await server.account(jid), after=0, limit=1_000)
    return rows


async def copying(server: Harness, jid: str, priority: int = 0) -> Client:
    """A client that gets copies of what others send and get (XEP-0280)."""
    client = await server.client(jid)
    await client.send(CARBONS + presence(priority))
    client.received.clear()
    return client


def names(client: Client) -> list[str]:
    """What kind of stanza each is that came."""
    return [element.name for element in client.received]


# ---- I1: durable before visible


@pytest.mark.parametrize("point", ["append", "append.done"])
async def test_nobody_sees_anything_of_a_message_before_it_is_durable(
    server: Harness, store: HeldBack, point: str
) -> None:
    juliet, paris = await server.client(JULIET), await server.client(PARIS)
    chamber = await copying(server, "juliet@capulet.lit/chamber")
    garden = await copying(server, f"{ROMEO}/garden")
    silent = await copying(server, f"{ROMEO}/silent", priority=-1)
    for client in (chamber, garden, silent):
        client.received.clear()
    await juliet.enable()
    handled = juliet.session.handled
    store.hold(point)
    juliet.send_nowait(say(1) + PING + "<presence/><r xmlns='urn:xmpp:sm:3'/>" + say(2))
    await server.pass_by()
    assert store.waiting(point) == 1
    everybody = (juliet, chamber, garden, silent)
    assert [client.received for client in everybody] == [[]] * 4
    assert juliet.session.handled == handled

    # Others go on meanwhile, with what is not stored.
    paris.send_nowait(PING + say(3, more=SECRET, to=ROMEO) + "<presence/>")
    await server.pass_by()
    assert names(paris) == ["iq", "presence"]
    assert bodies(garden) == ["3"]

    store.let_go()
    await server.settle()
    assert bodies(garden) == ["1", "2"]
    assert [name for name in names(juliet) if name in ("iq", "a")] == ["iq", "a"]
    assert juliet.session.handled == handled + 4
    for client, direction in ((chamber, "sent"), (silent, "received")):
        copies = [element for element in client.received if element.child(direction, "urn:xmpp:carbons:2")]
        assert len(copies) == (2 if client is chamber else 3)


async def test_messages_of_one_client_share_commits_and_keep_their_order(
    server: Harness, store: HeldBack
) -> None:
    juliet = await server.client(JULIET)
    romeo = await online(server, "garden")
    state = f"<message to='{ROMEO}' type='chat' id='state'>{COMPOSING}</message>"
    question = f"<iq type='get' id='q' to='{romeo.jid}'><query xmlns='urn:unknown'/></iq>"
    store.hold("append")
    juliet.send_nowait(say(1))
    await server.pass_by()
    juliet.send_nowait(say(2) + state + say(3) + question + say(4) + state)
    await server.pass_by()
    romeo.expect_nothing()
    for step in (1, 2, 3):
        assert len(store.appended) == step
        store.step("append")
        await server.pass_by()
    assert [len(batch) for batch in store.appended] == [1, 2, 1], "the question waits for what was before it"
    assert [element.get("id") for element in romeo.received] == ["1", "2", "state", "3", "q", "4", "state"]
    juliet.expect_nothing()


async def test_while_one_batch_is_being_stored_all_that_comes_is_the_next(
    server: Harness, store: HeldBack
) -> None:
    """At most 400 rows at a time, in the order in which they came."""
    people = [await server.client(f"p{number}@capulet.lit/x") for number in range(5)]
    romeo = await online(server, "garden")
    store.hold("append")
    people[0].send_nowait(say("first"))
    await server.pass_by()
    for number in range(60):
        for person in people:
            person.send_nowait(say(number))
    await server.pass_by()
    store.let_go()
    await server.settle()
    assert [len(batch) for batch in store.appended] == [1, 200, 100]
    assert bodies(romeo) == ["first", *(str(number) for number in range(60) for _ in people)]


async def test_a_commit_that_fails_is_told_to_each_sender_and_nobody_sees_the_messages(
    server: Harness, store: HeldBack
) -> None:
    juliet, paris = await server.client(JULIET), await server.client(PARIS)
    chamber = await copying(server, "juliet@capulet.lit/chamber")
    romeo = await online(server, "garden")
    state = f"<message to='{ROMEO}' type='chat' id='state'>{COMPOSING}</message>"
    store.fail("append")
    for client in (juliet, paris):
        client.send_nowait(say(1) + say(2) + state + PING)
    await server.settle()
    juliet.expect(*(refusal(number, "resource-constraint", type="wait") for number in (1, 2)))
    for client in (juliet, paris):
        assert client.received[-1].attrs["type"] == "result"
    assert [element.get("type") for element in paris.received] == ["error", "error", "result"]
    assert [element.get("id") for element in romeo.received] == ["state", "state"], (
        "it never had to be stored"
    )
    copies = [copy.child("sent", "urn:xmpp:carbons:2") for copy in chamber.received]
    assert [
        message.get("id")
        for copy in copies
        if copy
        for each in copy.elements()
        for message in each.elements()
    ] == ["state"]
    store.recover()
    assert await history(server, ROMEO) == await history(server, JULIET) == []
    romeo.received.clear()
    await juliet.send(say(3))
    assert bodies(romeo) == ["3"]


async def test_an_error_is_never_told_of_an_error(server: Harness, store: HeldBack) -> None:
    juliet = await server.client(JULIET)
    store.fail("append")
    await juliet.send(say(1) + f"<message to='{ROMEO}' type='error' id='2'><error type='cancel'/></message>")
    assert [element.get("id") for element in juliet.received] == ["1"]


async def test_so_many_messages_wait_for_a_slow_archive_and_no_more(store: HeldBack) -> None:
    """The rest is refused at once, in memory there is a bound."""
    async with Harness("capulet.lit", wrap=store.wrap, toml="[limits]\narchive_queue = 100") as server:
        juliet, paris = await server.client(JULIET), await server.client(PARIS)
        romeo = await online(server, "garden")
        store.hold("append")
        juliet.send_nowait(say("first"))
        await server.pass_by()
        juliet.send_nowait(says(0, 70))
        paris.send_nowait("".join(say(number) for number in range(70, 110)))
        paris.send_nowait(say("secret", more=SECRET))
        await server.pass_by()
        assert [element.get("id") for element in paris.received] == texts(100, 110)
        errors = [element.child("error") for element in paris.received]
        assert [error.attrs["type"] for error in errors if error is not None] == ["wait"] * 10
        store.let_go()
        await server.settle()
        assert bodies(romeo) == ["first", *texts(0, 100), "secret"]
        juliet.expect_nothing()
        await paris.send(say("later"))
        assert bodies(romeo) == ["later"]


async def test_large_messages_share_a_commit_only_up_to_a_size(server: Harness, store: HeldBack) -> None:
    """To compress a batch holds up everybody, and PostgreSQL takes no gigabyte at once."""
    juliet, romeo = await server.client(JULIET), await online(server, "garden")
    large = f"<subject>{'x' * 200_000}</subject>"
    store.hold("append")
    juliet.send_nowait(say("first") + says(0, 20, more=large) + say(20))
    await server.pass_by()
    store.let_go()
    await server.settle()
    assert bodies(romeo) == ["first", *texts(0, 21)]
    assert [len(batch) for batch in store.appended] == [7, 6, 6, 3]


async def test_so_many_bytes_wait_for_a_slow_archive_and_no_more(store: HeldBack) -> None:
    toml = "[limits]\narchive_queue_bytes = 1_048_576"
    async with Harness("capulet.lit", wrap=store.wrap, toml=toml) as server:
        juliet, romeo = await server.client(JULIET), await online(server, "garden")
        large = f"<subject>{'x' * 200_000}</subject>"
        for recovered in (False, True):  # also where the storage failed, nothing is left over of what waited
            store.hold("append")
            juliet.send_nowait(say("first"))
            await server.pass_by()
            juliet.send_nowait(says(0, 10, more=large))
            await server.pass_by()
            assert [element.get("id") for element in juliet.received] == texts(6, 10)
            juliet.received.clear()
            if not recovered:
                store.fail("append")
            store.let_go()
            await server.settle()
            store.recover()
            juliet.received.clear()
        assert bodies(romeo) == ["first", *texts(0, 6)]


# ---- I3: what is missing is read from the archive


async def behind_the_back(server: Harness, store: HeldBack, text: str, sender: str = JULIET) -> None:
    """Another process stores a message for Romeo, and this one does not hear of it."""
    owner = await server.account(ROMEO)
    stanza = f"<message from='{sender}' to='{ROMEO}' type='chat' id='{text}'><body>{text}</body></message>"
    row = NewRow(owner, peer_key(Jid.parse(sender)) | Mark.UNREAD, Kind.OWED)
    await store.archive.append([NewMessage(stanza.encode(), [row])])


async def test_what_another_wrote_is_found_when_the_next_message_comes(
    server: Harness, store: HeldBack
) -> None:
    juliet = await server.client(JULIET)
    garden, home = await online(server, "garden"), await online(server, "home")
    garden.received.clear()
    await juliet.send(say(1))
    await behind_the_back(server, store, "2")
    await behind_the_back(server, store, "3")
    await juliet.send(say(4) + say(5))
    for client in (garden, home):
        client.expect(live(1), kept(2), kept(3), live(4), live(5))
        client.expect_nothing()
    assert await server.waiting(ROMEO) == 0


async def test_a_hole_of_several_pages_is_filled_in_order(server: Harness, store: HeldBack) -> None:
    juliet = await server.client(JULIET)
    romeo = await online(server, "garden")
    for number in range(60):
        await behind_the_back(server, store, str(number))
    store.hold("owed")
    juliet.send_nowait(say(60) + say(61, more=SECRET) + say(62))
    await server.pass_by()
    romeo.expect_nothing()
    store.let_go()
    await server.settle()
    assert bodies(romeo) == texts(0, 63)
    assert await server.waiting(ROMEO) == 0


async def test_a_hole_in_what_she_sent_herself_concerns_nobody(server: Harness, store: HeldBack) -> None:
    """A row that is owed to nobody tells of no hole, and hides none."""
    juliet = await server.client(JULIET, available=True)
    romeo = await online(server, "garden")
    await juliet.send(say(1))
    await romeo.send(say(2, to="juliet@capulet.lit"))
    await juliet.send(say(3))
    await behind_the_back(server, store, "4")
    await romeo.send(say(5, to="juliet@capulet.lit"))
    assert bodies(juliet) == ["2", "5"]
    await juliet.send(say(6))
    assert bodies(romeo) == ["1", "3", "4", "6"]
    assert store.calls.count("owed") == 3, "each of them once at the beginning, and once for the hole"


async def test_a_commit_whose_answer_was_lost_is_found_by_those_who_read(
    server: Harness, store: HeldBack
) -> None:
    """It is not known to be stored, so its sender is told that it was not; but nothing overtakes it."""
    juliet = await server.client(JULIET)
    romeo = await online(server, "garden")
    store.fail("append.done")
    await juliet.send(say(1))
    juliet.expect(refusal(1, "resource-constraint", type="wait"))
    romeo.expect_nothing()
    store.recover()
    await juliet.send(say(2))
    assert bodies(romeo) == ["1", "2"]


async def test_a_commit_whose_answer_was_lost_is_found_though_nobody_writes_any_more(
    server: Harness, store: HeldBack
) -> None:
    juliet = await server.client(JULIET)
    romeo = await online(server, "garden")
    store.fail("append.done")
    await juliet.send(say(1))
    await server.advance(16)
    romeo.expect_nothing()
    store.recover()
    await server.advance(16)
    assert bodies(romeo) == ["1"]


async def test_who_fails_on_hearing_of_a_message_holds_up_nobody(server: Harness) -> None:
    """As an extension with a bug: the session would wait for the end of its message for ever."""

    def fail(message: Message, session: Session) -> None:
        raise RuntimeError("a bug")

    juliet, romeo = await server.client(JULIET), await online(server, "garden")
    server.node.core.inbound.after_sent(fail)
    await juliet.send(say(1) + PING)
    assert bodies(romeo) == ["1"]
    juliet.expect("<iq type='result' from='*' to='*' id='ping'/>")
    assert server.node.archiver.failures == 1
    server.node.archiver.failures = 0


async def test_who_gets_the_address_of_a_deleted_account_gets_none_of_its_messages(
    server: Harness, store: HeldBack
) -> None:
    """Neither what is being stored for it right then, nor what has to stay behind that."""
    juliet, romeo = await server.client(JULIET), await online(server, "garden")
    store.hold("append")
    juliet.send_nowait(say(1) + say(2, more=SECRET))
    await server.pass_by()
    await server.node.administration.delete(Jid.parse(ROMEO))
    romeo.cut()
    await server.pass_by()
    impostor = await server.client(f"{ROMEO}/garden")
    impostor.send_nowait("<presence/>")
    await server.pass_by()
    store.let_go()
    await server.settle()
    juliet.expect_nothing()
    assert bodies(impostor) == []
    await juliet.send(say(3))
    assert bodies(impostor) == ["3"]


# ---- what has a row, and how it is called


async def test_a_row_is_called_the_same_wherever_its_owner_meets_it(server: Harness) -> None:
    """In the message itself, in the copy for the sender's other devices, and in the history of both sides."""
    juliet = await server.client(JULIET)
    chamber = await copying(server, "juliet@capulet.lit/chamber")
    garden = await online(server, "garden")
    silent = await copying(server, f"{ROMEO}/silent", priority=-1)
    chamber.received.clear()
    garden.received.clear()
    forged = "".join(
        f"<stanza-id xmlns='{SID}' by='{by}' id='forged'/>"
        for by in (ROMEO, "juliet@capulet.lit", "capulet.lit")
    )
    await juliet.send(say(1, more=forged))
    ids = server.node.core.stanza_ids
    for owner, clients in (("juliet@capulet.lit", (chamber,)), (ROMEO, (garden, silent))):
        (row,) = await history(server, owner)
        name = ids.text(await server.account(owner), row.id)
        assert b"forged" not in row.stanza
        assert b"stanza-id" not in row.stanza, "it is derived when it is told"
        for client in clients:
            (got,) = client.received
            for direction in ("sent", "received"):
                if (copy := got.child(direction, "urn:xmpp:carbons:2")) is not None:
                    (forwarded,) = copy.elements()
                    (got,) = forwarded.elements()
            (child,) = [each for each in got.elements() if each.name == "stanza-id"]
            assert child.attrs == {"by": owner, "id": name}
            client.received.clear()
            await client.send("<iq type='set' id='m'><query xmlns='urn:xmpp:mam:2'/></iq>")
            result = client.received[0].child("result", "urn:xmpp:mam:2")
            assert result is not None
            assert result.attrs["id"] == name


async def test_a_note_to_oneself_is_one_row(server: Harness) -> None:
    juliet = await server.client(JULIET, available=True)
    chamber = await server.client("juliet@capulet.lit/chamber", available=True)
    juliet.received.clear()
    await juliet.send(say(1, to="juliet@capulet.lit") + say(2, to=str(chamber.jid)))
    assert bodies(juliet) == ["1"]
    assert bodies(chamber) == ["1", "2"]
    rows = await history(server, "juliet@capulet.lit")
    assert len(rows) == 2
    for row in rows:
        assert row.peer & ~3 == peer_key(juliet.jid)
        assert row.peer & Mark.SENT
    assert await server.waiting("juliet@capulet.lit") == 0


@pytest.mark.parametrize("there", [True, False], ids=["he is there", "nobody is there"])
@pytest.mark.parametrize(
    "message",
    [
        "<message to='{to}' type='headline'><body>News</body></message>",
        "<message to='{to}' type='error' id='1'><body>1</body><error type='cancel'/></message>",
        "<message to='{to}' type='groupchat'><body>1</body></message>",
        f"<message to='{{to}}' type='chat'>{COMPOSING}</message>",
        f"<message to='{{to}}' type='chat'><body>1</body>{SECRET}</message>",
    ],
)
@pytest.mark.parametrize("to", [ROMEO, f"{ROMEO}/garden"])
async def test_what_is_no_part_of_a_conversation_leaves_no_row(
    server: Harness, store: HeldBack, message: str, to: str, there: bool
) -> None:
    juliet = await server.client(JULIET)
    if there:
        await online(server, "garden")
    await juliet.send(message.format(to=to))
    assert store.appended == []
    assert await owed(server, ROMEO) == await history(server, "juliet@capulet.lit") == []


@pytest.mark.parametrize(
    "payload",
    ["<x xmlns='urn:x'/>", "<body>1</body><no-permanent-store xmlns='urn:xmpp:hints'/>"],
)
async def test_what_is_only_to_be_delivered_is_stored_all_the_same_and_no_part_of_the_history(
    server: Harness, payload: str
) -> None:
    """Its sender is told that it was taken, so a server that dies must not lose it (I1)."""
    juliet = await server.client(JULIET)
    message = f"<message to='{ROMEO}' type='chat'>{payload}</message>"
    came = f"<message from='{JULIET}' to='{ROMEO}' type='chat'>{payload}"
    romeo = await online(server, "garden")
    await juliet.send(message)
    romeo.expect(f"{came}</message>")
    assert await server.waiting(ROMEO) == 0
    await romeo.close()
    await juliet.send(message)
    assert await server.waiting(ROMEO) == 1
    *_, row = await owed(server, ROMEO)
    assert await history(server, ROMEO) == await history(server, "juliet@capulet.lit") == []
    assert row.kind == Kind.OWED | Kind.HIDDEN
    assert not row.peer & Mark.UNREAD
    again = await online(server, "garden")
    again.expect(f"{came}<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='*'/></message>")
    assert await history(server, ROMEO) == await history(server, "juliet@capulet.lit") == []
    assert await server.waiting(ROMEO) == 0
