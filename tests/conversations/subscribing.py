"""Juliet and Romeo on their way to see one another: their rosters, and what they are told."""

from __future__ import annotations

from tests.conversations.contacts import ERRORS, JULIET, ROMEO
from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, Subscription

DELAY = "<delay xmlns='urn:xmpp:delay' from='*' stamp='*'/>"


async def interested(server: Harness, jid: str) -> Client:
    """Available, and interested in its roster."""
    client = await server.client(jid, available=True)
    await client.send("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
    client.received.clear()
    return client


async def friends(server: Harness, *clients: Client, state: Subscription = Subscription.BOTH) -> None:
    """Juliet and Romeo have one another in their rosters in ``state`` (as Juliet sees it)."""
    mirrored = {Subscription.TO: Subscription.FROM, Subscription.FROM: Subscription.TO}
    await put(server, JULIET, RosterItem(Jid.parse(ROMEO), subscription=state))
    await put(server, ROMEO, RosterItem(Jid.parse(JULIET), subscription=mirrored.get(state, state)))
    for client in clients:  # so that the node reads the rosters again
        await client.send(
            "<iq type='set' id='x'><query xmlns='jabber:iq:roster'><item jid='x@x.lit'/></query></iq>"
        )
        client.received.clear()


async def put(server: Harness, owner: str, item: RosterItem) -> None:
    id = await server.account(owner)
    await server.stores.rosters.update([RosterChange(id, item.jid, lambda _: item)])


async def item(server: Harness, owner: str, contact: str) -> RosterItem | None:
    roster = await server.stores.rosters.load(await server.account(owner))
    return roster.items.get(Jid.parse(contact))


async def states(server: Harness) -> tuple[str, str]:
    """What Juliet's roster says of Romeo, and his of her; "-": nothing."""
    return state(await item(server, JULIET, ROMEO)), state(await item(server, ROMEO, JULIET))


def state(item: RosterItem | None) -> str:
    if item is None or not item.listed:
        return "-"
    return item.subscription.value + (" ask" if item.ask else "")


def push(client: Client, contact: str, subscription: str, more: str = "") -> str:
    return (
        f"<iq type='set' id='*' from='{client.jid.bare}' to='{client.jid}'>"
        f"<query xmlns='jabber:iq:roster' ver='*'><item jid='{contact}' subscription='{subscription}'{more}/>"
        "</query></iq>"
    )


def presence(type: str, sender: str, to: str) -> str:
    return f"<presence type='{type}' from='{sender}' to='{to}'/>"


def error(id: str, type: str, condition: str, by: str, to: str) -> str:
    return (
        f"<presence type='error' id='{id}' from='{by}' to='{to}'><error type='{type}'>"
        f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></presence>"
    )
