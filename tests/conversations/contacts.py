"""People who see one another's presence, and what they then get."""

from __future__ import annotations

from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, Subscription

JULIET, ROMEO, NURSE = "juliet@capulet.lit", "romeo@montague.lit", "nurse@capulet.lit"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
STAMP = "<delay xmlns='urn:xmpp:delay' from='{}' stamp='2026-09-21T14:13:20.000Z'/>"
DELAY = STAMP.format("capulet.lit")
MONTAGUE = STAMP.format("montague.lit")


async def sees(server: Harness, watcher: str, watched: str) -> None:
    """``watcher`` is subscribed to the presence of ``watched``; each may be an account of ours or elsewhere."""
    await _grant(server, watcher, watched, "to")
    await _grant(server, watched, watcher, "from")


async def _grant(server: Harness, owner: str, contact: str, half: str) -> None:
    jid = Jid.parse(contact)
    if not server.node.core.router.is_local(Jid.parse(owner)):
        return

    def change(item: RosterItem | None) -> RosterItem:
        both = item is not None and item.subscription.value != half
        return RosterItem(jid, subscription=Subscription.BOTH if both else Subscription(half))

    await server.stores.rosters.update([RosterChange(await server.account(owner), jid, change)])


async def friends(server: Harness, one: str, other: str) -> None:
    """Each sees the other. To be called before they are connected: the server reads rosters once."""
    await sees(server, one, other)
    await sees(server, other, one)


def presence(sender: str, to: str, content: str = "") -> str:
    return f"<presence from='{sender}' to='{to}'>{content}</presence>"


def gone(sender: str, to: str, content: str = "") -> str:
    return f"<presence type='unavailable' from='{sender}' to='{to}'>{content}</presence>"


def probe(sender: str, to: str) -> str:
    return f"<presence type='probe' from='{sender}' to='{to}'/>"


async def block(client: Client, jid: str) -> None:
    await client.send(
        f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block></iq>"
    )
    client.received.clear()
