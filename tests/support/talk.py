"""What is said in rooms, in short."""

from __future__ import annotations

from tests.support.harness import Client, Harness
from tests.support.rooms import ROOM, enter
from tests.support.xml import parse
from xmppd.jid import Jid
from xmppd.storage.archive import Query, Row

OWNER, ADMIN, HAG = "crone1@shakespeare.lit", "wiccarocks@shakespeare.lit", "hag66@shakespeare.lit"
SID = "urn:xmpp:sid:0"
OCCUPANT = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"


def tell(text: object, more: str = "", *, id: object | None = None, to: str = ROOM) -> str:
    """A message to all."""
    return (
        f"<message to='{to}' type='groupchat' id='{text if id is None else id}'>"
        f"<body>{text}</body>{more}</message>"
    )


def origin(id: object) -> str:
    return f"<origin-id xmlns='{SID}' id='{id}'/>"


def told(
    to: Client,
    nick: str,
    text: object,
    more: str = "",
    *,
    id: object | None = None,
    late: str = "",
    kept: bool = True,
) -> str:
    """What ``tell`` becomes for ``to``; ``late``: the stamp, where it is history."""
    named = f"<stanza-id xmlns='{SID}' by='{ROOM}' id='*'/>" if kept else ""
    delay = f"<delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='{late}'/>" if late else ""
    return (
        f"<message from='{ROOM}/{nick}' to='{to.jid}' type='groupchat' id='{text if id is None else id}'>"
        f"<body>{text}</body>{more}{OCCUPANT}{named}{delay}</message>"
    )


def texts(client: Client) -> list[str]:
    """The texts of the messages that came, taken away with all else."""
    found, client.received = client.received, []
    return [
        body.text()
        for element in found
        if element.name == "message" and element.get("type") != "error"
        for body in element.each("body")
    ]


def name(client: Client) -> str:
    """What the room calls the message that ``client`` got last."""
    found = client.received[-1].child("stanza-id", SID)
    assert found is not None
    return found.attrs["id"]


async def history(server: Harness, client: Client, nick: str, wanted: str = "") -> list[str]:
    """The texts that ``client`` gets as it enters; what it got is put aside."""
    await client.send(enter(nick, wanted))
    return texts(client)


async def rows(server: Harness, room: str = ROOM) -> list[Row]:
    """What is in the archive of ``room``."""
    record = await server.stores.rooms.load(Jid.parse(room))
    assert record is not None
    return await server.stores.archive.read(record.id, Query(), limit=1_000)


async def stored(server: Harness, room: str = ROOM) -> list[str]:
    """The texts in the archive of ``room``; a tombstone is a cross, what has none a dash."""
    found = []
    for row in await rows(server, room):
        [message] = parse(row.stanza.decode())
        body = message.child("body")
        taken = message.child("retracted", "urn:xmpp:message-retract:1")
        found.append("†" if taken is not None else "-" if body is None else body.text())
    return found
