"""XEP-0441: users say whose messages are in their history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import JULIET, NURSE, ROMEO, ask, refused
from xmppd.extensions.xep_0313_mam.preferences import Wishes
from xmppd.jid import Jid
from xmppd.storage.archive import Preferences


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness(
        "capulet.lit", "montague.lit", toml="[extensions.mam_preferences]\nmax_items = 3\n"
    ) as harness:
        yield harness


def prefs(default: str, always: str = "", never: str = "") -> str:
    lists = "".join(
        f"<{name}>{''.join(f'<jid>{jid}</jid>' for jid in jids.split())}</{name}>"
        for name, jids in (("always", always), ("never", never))
    )
    return f"<prefs xmlns='urn:xmpp:mam:2' default='{default}'>{lists}</prefs>"


async def want(client: Client, default: str, always: str = "", never: str = "") -> None:
    await client.send(f"<iq type='set' id='juliet3'>{prefs(default, always, never)}</iq>")
    client.expect(
        f"<iq type='result' from='{client.jid.bare}' to='{client.jid}' id='juliet3'>"
        f"{prefs(default, always, never)}</iq>"
    )


async def wanted(client: Client, default: str, always: str = "", never: str = "") -> None:
    await client.send("<iq type='get' id='juliet2'><prefs xmlns='urn:xmpp:mam:2'/></iq>")
    client.expect(
        f"<iq type='result' from='{client.jid.bare}' to='{client.jid}' id='juliet2'>"
        f"{prefs(default, always, never)}</iq>"
    )


async def test_everything_is_kept_until_somebody_wants_otherwise(server: Harness) -> None:
    # XEP-0441#config
    juliet = await server.client(f"{JULIET}/balcony")
    await wanted(juliet, "always")
    await want(juliet, "roster", always=ROMEO, never=f"{NURSE} {NURSE}/kitchen")
    await wanted(juliet, "roster", always=ROMEO, never=f"{NURSE} {NURSE}/kitchen")
    await want(juliet, "never")
    await wanted(juliet, "never")


async def test_missing_lists_are_empty_ones(server: Harness) -> None:
    # XEP-0441#config-always, XEP-0441#config-never
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<iq type='set' id='1'><prefs xmlns='urn:xmpp:mam:2' default='never'/></iq>")
    juliet.received.clear()
    await wanted(juliet, "never")


async def test_what_the_operator_set_for_the_account_stays(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    id = await server.account(JULIET)
    await server.stores.preferences.set_days(id, 7)
    await want(juliet, "never")
    assert await server.stores.preferences.load(id) == replace(Preferences(days=7), default="never")


@pytest.mark.parametrize(
    ("payload", "type", "condition"),
    [
        ("<prefs xmlns='urn:xmpp:mam:2'/>", "modify", "bad-request"),
        (prefs("sometimes"), "modify", "bad-request"),
        (prefs("always", always="@"), "modify", "jid-malformed"),
        (prefs("always", never="@"), "modify", "jid-malformed"),
        (prefs("always", always="a@x b@x", never="c@x d@x"), "wait", "resource-constraint"),
    ],
)
async def test_nonsense_changes_nothing(server: Harness, payload: str, type: str, condition: str) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    await want(juliet, "roster")
    await refused(juliet, payload, type, condition)
    await wanted(juliet, "roster")


@pytest.mark.parametrize(
    ("default", "always", "never", "kept"),
    [
        # XEP-0441#config-default
        ("always", "", "", True),
        ("never", "", "", False),
        ("roster", "", "", False),
        # XEP-0441#match-rules
        ("never", ROMEO, "", True),
        ("always", "", ROMEO, False),
        ("never", f"{ROMEO}/orchard", "", True),
        ("never", f"{ROMEO}/phone", "", False),
        ("always", "", f"{ROMEO}/phone", True),
        ("always", "", f"{ROMEO}/orchard", False),
        ("always", ROMEO, f"{ROMEO}/orchard", False),
        ("never", f"{ROMEO}/orchard", ROMEO, True),
        ("always", ROMEO, ROMEO, False),
    ],
)
def test_the_most_exact_rule_decides(default: str, always: str, never: str, kept: bool) -> None:
    wishes = Wishes(
        Preferences(
            default,
            frozenset(Jid.parse(text) for text in always.split()),
            frozenset(Jid.parse(text) for text in never.split()),
        )
    )
    assert wishes.keep(Jid.parse(f"{ROMEO}/orchard")) is kept


async def test_the_history_obeys(server: Harness) -> None:
    """Of what Juliet does not want, Romeo has his side: it is his history."""
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await want(juliet, "always", never=f"{ROMEO}/orchard")
    await romeo.send(f"<message to='{JULIET}' type='chat'><body>in</body></message>")
    await juliet.send(f"<message to='{romeo.jid}' type='chat'><body>out</body></message>")
    await juliet.send(f"<message to='{ROMEO}' type='chat'><body>to any</body></message>")
    for client in (juliet, romeo):
        client.received.clear()
    assert (await ask(juliet)).bodies == ["to any"]
    assert (await ask(romeo)).bodies == ["in", "out", "to any"]


async def test_what_is_not_wanted_in_the_history_still_waits_for_its_recipient(server: Harness) -> None:
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony")
    await want(juliet, "never")
    await juliet.close()
    await romeo.send(f"<message to='{JULIET}' type='chat'><body>psst</body></message>")
    juliet = await server.client(f"{JULIET}/balcony")
    assert (await ask(juliet)).bodies == []
    await juliet.send("<presence/>")
    [body] = [body for message in juliet.received if (body := message.child("body")) is not None]
    assert body.text() == "psst"
    juliet.received.clear()
    assert (await ask(juliet)).bodies == []


async def test_roster_means_whoever_is_in_the_roster_at_that_time(server: Harness) -> None:
    # XEP-0441#config-default
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await want(juliet, "roster")

    async def says(body: str) -> None:
        await romeo.send(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>")

    async def set_item(attributes: str) -> None:
        await juliet.send(
            f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='{ROMEO}'{attributes}/></query></iq>"
        )

    await says("stranger")
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")  # Juliet does not list him for that
    await says("suitor")
    await set_item("")
    await says("contact")
    await set_item(" subscription='remove'")
    await says("past")
    juliet.received.clear()
    assert (await ask(juliet)).bodies == ["contact"]


async def test_preferences_are_there_after_the_account_left_the_memory(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(
        f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='{ROMEO}'/></query></iq>"
    )
    juliet.received.clear()
    await want(juliet, "roster")
    await juliet.close()
    server.node.core.accounts.drop(Jid.parse(JULIET))
    for sender in (f"{ROMEO}/orchard", f"{NURSE}/kitchen"):
        client = await server.client(sender)
        await client.send(f"<message to='{JULIET}' type='chat'><body>{sender}</body></message>")
    juliet = await server.client(f"{JULIET}/balcony")
    assert (await ask(juliet)).bodies == [f"{ROMEO}/orchard"]


async def test_all_nodes_obey() -> None:
    async with Harness("capulet.lit", "montague.lit", nodes=2) as server:
        juliet = await server.client(f"{JULIET}/balcony", node=0, available=True)
        romeo = await server.client(f"{ROMEO}/orchard", node=1, available=True)
        for default, body in (("always", "0"), ("never", "1"), ("always", "2")):
            await want(juliet, default)
            await romeo.send(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>")
            juliet.received.clear()
        assert (await ask(juliet)).bodies == ["0", "2"]
