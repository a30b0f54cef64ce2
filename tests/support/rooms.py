"""Rooms in conversations: made as they are to be, and what is said in them, in short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.harness import Client, Harness
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, encoded
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliated, Affiliation

ROOM = "coven@muc.shakespeare.lit"
MUC = "http://jabber.org/protocol/muc"
ADMIN = f"{MUC}#admin"
USER = f"{MUC}#user"


async def make_room(
    server: Harness,
    owner: str,
    others: Mapping[str, Affiliation | Affiliated] | None = None,
    /,
    *,
    room: str = ROOM,
    **settings: Any,
) -> None:
    """The room ``room``, which stays, with these settings; ``owner`` (bare) is its owner, ``others`` what is said."""
    settings = {"persistent": True, **settings}
    lists = {owner: Affiliation.OWNER, **(others or {})}
    await server.stores.rooms.create(
        Jid.parse(room),
        encoded(RoomConfig(**settings)),
        {
            Jid.parse(jid): each if isinstance(each, Affiliated) else Affiliated(each)
            for jid, each in lists.items()
        },
        secret=b"sixteen bytes!!!",
        now=server.clock.now(),
    )


def enter(nick: str, inside: str = "", room: str = ROOM) -> str:
    return f"<presence to='{room}/{nick}'><x xmlns='{MUC}'>{inside}</x></presence>"


async def attend(server: Harness, jid: str, nick: str, *, room: str = ROOM) -> Client:
    """A client of ``jid`` (full) that is in the room; nobody has to look at what that made the server say."""
    client = await server.client(jid, available=True)
    await client.send(enter(nick, room=room))
    assert client.received[-1].name == "message", client.received  # the subject: it is in
    return client


def forget(*clients: Client) -> None:
    """What came until now is of no interest."""
    for client in clients:
        client.received.clear()


def admin(type: str, *items: str, id: str = "1", room: str = ROOM) -> str:
    """``items``: what stands in each ``<item …/>``, attributes and, behind a ``>``, children."""
    written = "".join(f"<item {item}</item>" if ">" in item else f"<item {item}/>" for item in items)
    return f"<iq type='{type}' id='{id}' to='{room}'><query xmlns='{ADMIN}'>{written}</query></iq>"


def done(to: Client, id: str = "1", room: str = ROOM) -> str:
    return f"<iq type='result' id='{id}' from='{room}' to='{to.jid}'/>"


def listed(to: Client, *items: str, id: str = "1", room: str = ROOM) -> str:
    written = "".join(f"<item {item}</item>" if ">" in item else f"<item {item}/>" for item in items)
    query = f"<query xmlns='{ADMIN}'>{written}</query>"
    return f"<iq type='result' id='{id}' from='{room}' to='{to.jid}'>{query}</iq>"


def refused(
    to: Client,
    condition: str,
    type: str,
    text: str | None = "*",
    *,
    id: str = "1",
    room: str = ROOM,
    kind: str = "iq",
) -> str:
    """The error that the room answers with; ``text`` None: without one."""
    remedy = (
        ""
        if text is None
        else f"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>{text}</text>"
    )
    return (
        f"<{kind} type='error' id='{id}' from='{room}' to='{to.jid}'><error type='{type}'>"
        f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{remedy}</error></{kind}>"
    )


def seen(
    to: Client,
    nick: str,
    affiliation: str,
    role: str,
    *,
    jid: Client | str | None = None,
    codes: tuple[int, ...] = (),
    actor: str = "",
    reason: str = "",
    gone: bool = False,
    new_nick: str = "",
    room: str = ROOM,
) -> str:
    """How ``to`` sees the occupant ``nick``; ``gone``: by unavailable presence."""
    address = "" if jid is None else f" jid='{jid.jid if isinstance(jid, Client) else jid}'"
    renamed = f" nick='{new_nick}'" if new_nick else ""
    inside = (f"<actor nick='{actor}'/>" if actor else "") + (f"<reason>{reason}</reason>" if reason else "")
    statuses = "".join(f"<status code='{code}'/>" for code in codes)
    return (
        f"<presence from='{room}/{nick}' to='{to.jid}'{' type=' + repr('unavailable') if gone else ''}>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<x xmlns='{USER}'><item affiliation='{affiliation}' role='{role}'{address}{renamed}>{inside}</item>"
        f"{statuses}</x></presence>"
    )


def subject(to: Client, room: str = ROOM) -> str:
    """What ends the way into a room that has no subject."""
    return f"<message type='groupchat' from='{room}' to='{to.jid}'><subject/></message>"


def no_entry(to: Client, nick: str, condition: str, type: str, text: str = "*", room: str = ROOM) -> str:
    """The error that answers ``enter(nick)``."""
    address = f"{room}/{nick}" if nick else room
    return (
        f"<presence type='error' from='{address}' to='{to.jid}'><error type='{type}'>"
        f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        f"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>{text}</text></error></presence>"
    )


def not_in_it(to: Client, nick: str, room: str = ROOM) -> str:
    """The answer to presence of somebody who is not in the room (XEP-0045#enter-gc)."""
    return (
        f"<presence type='unavailable' from='{room}/{nick}' to='{to.jid}'><x xmlns='{USER}'>"
        "<item affiliation='none' role='none'><reason>You are not in the room.</reason></item>"
        "<status code='110'/><status code='307'/><status code='333'/></x></presence>"
    )
