"""XEP-0049: what clients keep for themselves."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness
from xmppd.jid import Jid

NS = "jabber:iq:private"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
PREFS = (
    "<exodus xmlns='exodus:prefs' version='1'><defaultnick>Hamlet &amp; Søn</defaultnick>"
    "<plain xmlns=''/><x xmlns='jabber:client'/></exodus>"
)


def query(content: str = "") -> str:
    return f"<query xmlns='{NS}'>{content}</query>"


async def write(client: Client, content: str) -> None:
    await client.send(f"<iq type='set' id='w'>{query(content)}</iq>")
    client.expect(f"<iq type='result' from='{client.jid.bare}' to='{client.jid}' id='w'/>")


async def read(client: Client, asked: str, answer: str) -> None:
    await client.send(f"<iq type='get' id='r'>{query(asked)}</iq>")
    client.expect(f"<iq type='result' from='{client.jid.bare}' to='{client.jid}' id='r'>{query(answer)}</iq>")


async def refuse(client: Client, type: str, content: str, condition: str, to: str = "") -> None:
    """A request of ``type`` is answered with ``condition``."""
    address = f"to='{to}'" if to else ""
    await client.send(f"<iq type='{type}' id='e' {address}>{query(content)}</iq>")
    kind = {"forbidden": "auth", "resource-constraint": "wait"}.get(condition, "modify")
    client.expect(
        f"<iq type='error' from='{to or client.jid.bare}' to='{client.jid}' id='e'><error type='{kind}'>"
        f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></iq>"
    )


async def test_what_is_kept_comes_back_to_every_client_of_the_account() -> None:
    async with Harness("denmark.lit") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await write(hamlet, PREFS)
        await read(hamlet, "<exodus xmlns='exodus:prefs'/>", PREFS)
        await hamlet.close()
        elsewhere = await server.client("hamlet@denmark.lit/ship")
        await read(elsewhere, "<exodus xmlns='exodus:prefs'/>", PREFS)


async def test_what_was_never_kept_is_empty() -> None:
    async with Harness("denmark.lit") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await write(hamlet, PREFS)
        await read(hamlet, "<exodus xmlns='other:prefs'/>", "<exodus xmlns='other:prefs'/>")
        await read(hamlet, "<other xmlns='exodus:prefs'/>", "<other xmlns='exodus:prefs'/>")


async def test_a_new_element_replaces_its_namesake() -> None:
    async with Harness("denmark.lit") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await write(hamlet, "<a xmlns='x'>1</a><b xmlns='x'>1</b>")
        await write(hamlet, "<a xmlns='x'>2</a>")
        await read(hamlet, "<a xmlns='x'/>", "<a xmlns='x'>2</a>")
        await read(hamlet, "<b xmlns='x'/>", "<b xmlns='x'>1</b>")


@pytest.mark.parametrize("content", ["", "only text", "<mine/>", "<mine xmlns=''/>"])
@pytest.mark.parametrize("type", ["get", "set"])
async def test_an_element_has_a_namespace_of_its_own(type: str, content: str) -> None:
    async with Harness("denmark.lit") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await refuse(hamlet, type, content, "not-acceptable")


async def test_one_reads_one_element_at_a_time() -> None:
    async with Harness("denmark.lit") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await refuse(hamlet, "get", "<a xmlns='x'/><b xmlns='x'/>", "bad-request")


@pytest.mark.parametrize("owner", ["hamlet@denmark.lit", "nobody@denmark.lit"])
@pytest.mark.parametrize("type", ["get", "set"])
async def test_nobody_touches_what_is_somebody_elses(type: str, owner: str) -> None:
    async with Harness("denmark.lit") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await write(hamlet, PREFS)
        macbeth = await server.client("macbeth@denmark.lit/heath")
        await refuse(macbeth, type, "<exodus xmlns='exodus:prefs'>mine</exodus>", "forbidden", to=owner)
        await read(hamlet, "<exodus xmlns='exodus:prefs'/>", PREFS)


async def test_there_is_room_for_so_many_and_so_large_elements() -> None:
    async with Harness(
        "denmark.lit", toml="[extensions.private]\nmax_elements = 2\nmax_bytes = 1024"
    ) as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await write(hamlet, "<a xmlns='x'/><b xmlns='x'/>")
        await refuse(hamlet, "set", "<a xmlns='x'>new</a><c xmlns='x'/>", "resource-constraint")
        await read(hamlet, "<a xmlns='x'/>", "<a xmlns='x'/>")
        exactly = "y" * (1024 - len("<a xmlns='x'></a>"))
        await write(hamlet, f"<a xmlns='x'>{exactly}</a>")
        await refuse(hamlet, "set", f"<a xmlns='x'>{exactly}z</a>", "policy-violation")
        await read(hamlet, "<a xmlns='x'/>", f"<a xmlns='x'>{exactly}</a>")


async def test_bounds_can_be_switched_off() -> None:
    async with Harness("denmark.lit", toml="[extensions.private]\nmax_elements = 0\nmax_bytes = 0") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await write(hamlet, "".join(f"<e{number} xmlns='x'/>" for number in range(150)))
        await write(hamlet, f"<e1 xmlns='x'>{'y' * 200_000}</e1>")


async def test_an_account_that_was_deleted_meanwhile_keeps_nothing() -> None:
    async with Harness("denmark.lit") as server:
        hamlet = await server.client("hamlet@denmark.lit/castle")
        await server.stores.accounts.delete(Jid.parse("hamlet@denmark.lit"))
        await hamlet.send(f"<iq type='set' id='w'>{query(PREFS)}</iq>")
        assert hamlet.received.pop().attrs["type"] == "error"
