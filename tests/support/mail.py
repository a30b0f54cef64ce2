"""What tests of messages that wait share: Juliet writes, Romeo comes and goes."""

from __future__ import annotations

from tests.support.clock import EPOCH
from tests.support.harness import Client, Harness
from xmppd.clock import stamp

ROMEO, JULIET, PARIS = "romeo@capulet.lit", "juliet@capulet.lit/balcony", "paris@capulet.lit/street"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
HINTS = "urn:xmpp:hints"
SECRET = f"<no-store xmlns='{HINTS}'/>"
DAY = 86_400.0


def bodies(client: Client) -> list[str]:
    """The texts of the messages that came, taken away from what was received."""
    found, client.received = client.received, []
    return [
        body.text()
        for element in found
        if element.name == "message" and element.get("type") != "error"
        for body in element.each("body")
    ]


def texts(first: int, end: int) -> list[str]:
    return [str(number) for number in range(first, end)]


def say(text: object, to: str = ROMEO, type: str = "chat", more: str = "") -> str:
    return f"<message to='{to}' type='{type}' id='{text}'><body>{text}</body>{more}</message>"


def says(first: int, end: int, to: str = ROMEO, more: str = "") -> str:
    """``say`` for each of ``texts(first, end)``."""
    return "".join(say(text, to, more=more) for text in texts(first, end))


def kept(text: object, sender: str = JULIET, at: float = EPOCH, to: str = ROMEO) -> str:
    """What ``say`` becomes for who gets it later."""
    return (
        f"<message from='{sender}' to='{to}' type='chat' id='{text}'><body>{text}</body>"
        f"<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='{stamp(at)}'/></message>"
    )


def live(text: object, sender: str = JULIET, to: str = ROMEO) -> str:
    """What ``say`` becomes for who is there."""
    return f"<message from='{sender}' to='{to}' type='chat' id='{text}'><body>{text}</body></message>"


def refusal(text: object, condition: str, type: str = "cancel", to: str = ROMEO) -> str:
    """What its sender hears of ``say`` when the server does not take it, and says why."""
    return (
        f"<message type='error' from='{to}' to='{JULIET}' id='{text}'><error type='{type}'>"
        f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></message>"
    )


def presence(priority: int = 0) -> str:
    return f"<presence><priority>{priority}</priority></presence>"


async def online(server: Harness, resource: str, priority: int = 0) -> Client:
    """A client of Romeo's that sends initial presence; what it gets of presence is put aside."""
    client = await server.client(f"{ROMEO}/{resource}")
    await client.send(presence(priority))
    client.received = [element for element in client.received if element.name != "presence"]
    return client


async def coming(server: Harness, resource: str, *, reading: bool = True) -> Client:
    """A client of Romeo's that sends initial presence, when all have gone on as far as the test lets them;
    ``reading=False``: what it is sent stays in the socket.
    """
    client = await server.client(f"{ROMEO}/{resource}")
    if not reading:
        client.stop_reading()
    client.send_nowait("<presence/>")
    await server.pass_by()
    return client
