"""Archives in tests: what is in them, and what a client is shown of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.harness import Client, Harness
from tests.support.xml import parse
from xmppd import stanza as stanzas
from xmppd.im.results import MAM
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, Mark, NewMessage, NewRow, peer_key
from xmppd.xml.element import Element

JULIET, ROMEO, NURSE = "juliet@capulet.lit", "romeo@montague.lit", "nurse@capulet.lit"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
RSM = "http://jabber.org/protocol/rsm"
FORWARD = "urn:xmpp:forward:0"


def chat(sender: str, to: str, body: str) -> str:
    return f"<message from='{sender}' to='{to}' type='chat'><body>{body}</body></message>"


def said(*bodies: str) -> list[str]:
    """Romeo said these to Juliet."""
    return [chat(f"{ROMEO}/orchard", JULIET, body) for body in bodies]


async def archive(server: Harness, owner: str, *messages: str, kind: Kind = Kind.NONE) -> list[str]:
    """Put ``messages``, each with its ``from`` and ``to``, into the archive of ``owner``, a second apart; what they are
    called there.
    """
    id, bare = await server.account(owner), Jid.parse(owner)
    names = []
    for text in messages:
        [element] = parse(text)
        message = stanzas.parse(element, Jid.parse(element.attrs["from"]))
        assert message.to is not None
        if message.sender.bare == bare:
            peer = peer_key(message.to) | Mark.SENT
        else:
            peer = peer_key(message.sender)
        [placed] = await server.stores.archive.append([NewMessage(message.wire(), [NewRow(id, peer, kind)])])
        names.append(server.node.core.stanza_ids.text(id, placed.places[0].id))
        server.clock.advance(1)
    return names


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer to a query: the messages in the order in which they came, and the ``<fin/>`` behind them."""

    results: list[Element]
    fin: Element

    @property
    def names(self) -> list[str]:
        return [result.attrs["id"] for result in self.results]

    @property
    def messages(self) -> list[Element]:
        return [message for result in self.results if (message := _forwarded(result)) is not None]

    @property
    def bodies(self) -> list[str]:
        return [body.text() for message in self.messages if (body := message.child("body")) is not None]

    @property
    def complete(self) -> bool:
        return self.fin.attrs.get("complete") == "true"

    @property
    def set(self) -> dict[str, str]:
        """The texts in the ``<set/>``."""
        element = self.fin.child("set", RSM)
        assert element is not None
        return {child.name: child.text() for child in element.elements()}


def _forwarded(result: Element) -> Element | None:
    forwarded = result.child("forwarded", FORWARD)
    return None if forwarded is None else forwarded.child("message", "jabber:client")


def query(rsm: str = "", inside: str = "", **fields: str | list[str]) -> str:
    """``<query/>`` with these fields in its form (``with_``, ``after_id``, ...) and these children of ``<set/>``."""
    form = "".join(
        f"<field var='{name.strip('_').replace('_', '-')}'>{_values(value)}</field>"
        for name, value in fields.items()
    )
    if form:
        hidden = f"<field var='FORM_TYPE' type='hidden'>{_values(MAM)}</field>"
        form = f"<x xmlns='jabber:x:data' type='submit'>{hidden}{form}</x>"
    page = f"<set xmlns='{RSM}'>{rsm}</set>" if rsm else ""
    return f"<query xmlns='{MAM}' queryid='q'>{form}{page}{inside}</query>"


def _values(values: str | list[str]) -> str:
    listed = [values] if isinstance(values, str) else values
    return "".join(f"<value>{value}</value>" for value in listed)


async def ask(client: Client, rsm: str = "", inside: str = "", **fields: str | list[str]) -> Shown:
    """Send a query, and take its answer."""
    await client.send(f"<iq type='set' id='mam1'>{query(rsm, inside, **fields)}</iq>")
    results = []
    while client.received and client.received[0].name == "message":
        result = client.received.pop(0).child("result", MAM)
        assert result is not None
        assert result.attrs["queryid"] == "q"
        results.append(result)
    answer = client.received.pop(0)
    fin = answer.child("fin", MAM)
    assert fin is not None, f"{client.jid} got no history but {answer} with {answer.children}"
    return Shown(results, fin)


async def refused(client: Client, payload: str, type: str, condition: str, text: str = "*") -> None:
    """Ask the account of ``client`` for ``payload``, and get an error that says ``text``."""
    await client.send(f"<iq type='set' id='1'>{payload}</iq>")
    client.expect(
        f"<iq type='error' from='{client.jid.bare}' to='{client.jid}' id='1'><error type='{type}'>"
        f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>{text}</text></error></iq>"
    )
    client.expect_nothing()
