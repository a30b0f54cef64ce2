"""What every bus keeps: order between two nodes, delivery to the one node, no waiting, no error for who is gone."""

from __future__ import annotations

from tests.unit.cluster.parts import Cluster
from xmppd.cluster.interfaces import Deliver, End, Envelope, Forget, Kept
from xmppd.jid import Jid
from xmppd.stanza import Iq, Message, Presence
from xmppd.xml.element import Element, text_element

ROMEO = Jid.parse("romeo@montague.lit/garden")
JULIET = Jid.parse("juliet@capulet.lit/balcony")


def message(number: int) -> Deliver:
    return Deliver(ROMEO, Message(type="chat", sender=JULIET, to=ROMEO, id=str(number)))


async def test_an_envelope_arrives_at_the_one_node_and_not_within_the_call(cluster: Cluster) -> None:
    envelope = message(1)
    cluster.bus.send("b", envelope)
    assert cluster.heard["b"] == []
    assert await cluster.take("b") == [envelope]
    assert await cluster.take("a") == await cluster.take("c") == []


async def test_between_two_nodes_order_is_kept(cluster: Cluster) -> None:
    sent: list[Envelope] = []
    for number in range(300):
        sent.append(message(number) if number % 3 else Forget(ROMEO.bare))
        cluster.bus.send("b", sent[-1])
        if number % 50 == 0:
            await cluster.settle()
    heard = cluster.heard["b"]
    await cluster.settle()
    assert heard == sent


async def test_a_node_may_send_to_itself(cluster: Cluster) -> None:
    cluster.bus.send("a", Kept(ROMEO.bare))
    assert cluster.heard["a"] == []
    assert await cluster.take("a") == [Kept(ROMEO.bare)]


async def test_what_is_sent_to_a_node_that_is_gone_or_never_was_is_lost(cluster: Cluster) -> None:
    cluster.bus.send("nowhere", message(1))
    cluster.bus.send("b", message(2))
    cluster.bus.leave("b")
    cluster.bus.leave("b")
    cluster.bus.send("b", message(3))
    heard = await cluster.take("b")
    assert heard in ([], [message(2)])
    cluster.join("b")
    cluster.bus.send("b", Forget(ROMEO.bare))
    assert await cluster.take("b") == [Forget(ROMEO.bare)]


async def test_a_stanza_arrives_as_it_was_sent(cluster: Cluster) -> None:
    payload = Element("x", "urn:x", {"a": "<'\"&é"}, [text_element("y", "urn:y", " Ω\n"), "tail"])
    stanzas = [
        Message(type="normal", sender=JULIET, to=ROMEO.bare, id="1", lang="it", children=["a", payload, "z"]),
        Presence(type="", sender=JULIET, to=None, children=[text_element("priority", "jabber:client", "-5")]),
        Presence(type="unavailable", sender=JULIET, to=ROMEO),
        Iq(type="set", sender=JULIET.bare, to=ROMEO, id="push", children=[payload]),
    ]
    for stanza in stanzas:
        cluster.bus.send("b", Deliver(ROMEO, stanza))
    heard = await cluster.take("b")
    assert len(heard) == len(stanzas)
    for stanza, envelope in zip(stanzas, heard, strict=True):
        assert isinstance(envelope, Deliver)
        assert envelope.to == ROMEO
        assert type(envelope.stanza) is type(stanza)
        assert envelope.stanza.wire() == stanza.wire()


async def test_the_other_envelopes_arrive_as_they_were_sent(cluster: Cluster) -> None:
    envelopes: list[Envelope] = [
        Forget(ROMEO.bare),
        Kept(ROMEO.bare),
        End(ROMEO, "id1", "not-authorized", "gone"),
    ]
    for envelope in envelopes:
        cluster.bus.send("c", envelope)
    assert await cluster.take("c") == envelopes
