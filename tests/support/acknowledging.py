"""What tests of stream management (XEP-0198) share: Romeo writes, Juliet acknowledges and loses her connection."""

from __future__ import annotations

from tests.support.harness import Client, Harness
from xmppd.sessions.asleep import Asleep
from xmppd.stream.management import NS

JULIET = "juliet@capulet.lit"
BALCONY, PHONE = f"{JULIET}/balcony", f"{JULIET}/phone"
ROMEO = "romeo@capulet.lit/orchard"
R = f"<r xmlns='{NS}'/>"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
SECRET = "<no-store xmlns='urn:xmpp:hints'/>"
GONE = f"<presence from='{BALCONY}' to='romeo@capulet.lit' type='unavailable'/>"


def a(h: int) -> str:
    return f"<a xmlns='{NS}' h='{h}'/>"


def chat(text: object, to: str = BALCONY, more: str = "") -> str:
    return f"<message to='{to}' type='chat'><body>{text}</body>{more}</message>"


def came(text: object, to: str = BALCONY, more: str = "") -> str:
    """What Romeo's ``chat`` becomes for Juliet."""
    return f"<message from='{ROMEO}' to='{to}' type='chat'><body>{text}</body>{more}</message>"


async def couple(server: Harness) -> tuple[Client, Client]:
    """Juliet, who acknowledges and may resume, and Romeo, who may see her; both are available."""
    juliet = await server.client(BALCONY, available=True)
    romeo = await server.client(ROMEO, available=True)
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    await juliet.send("<presence to='romeo@capulet.lit' type='subscribed'/>")
    await juliet.enable()
    juliet.received.clear()
    romeo.received.clear()
    return juliet, romeo


def sleepers(server: Harness) -> int:
    """How many sessions have no connection and may be resumed."""
    return sum(isinstance(each.link, Asleep) for each in server.node.core.directory.sessions)
