"""XEP-0077: users change their password and remove their account."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, Subscription

BILL = "bill@shakespeare.lit"
GLOBE = f"{BILL}/globe"
LAX = "[auth]\nscram_iterations = 4096\n[limits]\npassword_hashes = 1\n"
FORM = (
    "<x xmlns='jabber:x:data' type='submit'><field type='hidden' var='FORM_TYPE'>"
    "<value>jabber:iq:register:changepassword</value></field><field var='username'><value>{}</value></field>"
    "<field var='password'><value>{}</value></field></x>"
)


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", "capulet.lit", toml=LAX) as harness:
        yield harness


async def submit(client: Client, payload: str, to: str = "shakespeare.lit") -> None:
    target = f"to='{to}'" if to else ""
    await client.send(
        f"<iq type='set' {target} id='1'><query xmlns='jabber:iq:register'>{payload}</query></iq>"
    )


def change(username: str, password: str) -> str:
    return f"<username>{username}</username><password>{password}</password>"


async def has_password(server: Harness, password: str) -> bool:
    credentials = await server.stores.accounts.credentials(Jid.parse(BILL))
    return credentials is not None and await server.node.passwords.verify(password, credentials)


async def befriend(server: Harness, owner: str, contact: str) -> None:
    id, item = await server.account(owner), RosterItem(Jid.parse(contact), subscription=Subscription.BOTH)
    await server.stores.rosters.update([RosterChange(id, item.jid, lambda _: item)])


def refused(client: Client, type: str, condition: str) -> None:
    (got,) = client.received
    error = got.child("error")
    assert error is not None
    assert error.get("type") == type
    assert error.child(condition, "urn:ietf:params:xml:ns:xmpp-stanzas") is not None
    # XEP-0077#usecases-changepw: what was sent, the password with it, is not sent back
    assert [child.name for child in got.elements()] == ["error"]
    client.received.clear()


@pytest.mark.parametrize("to", ["shakespeare.lit", "", BILL])
@pytest.mark.parametrize(
    "payload", [change("bill", "newpass"), change(BILL, "newpass"), FORM.format("Bill", "newpass")]
)
async def test_the_password_is_what_the_user_says_from_now_on(server: Harness, to: str, payload: str) -> None:
    bill = await server.client(GLOBE)
    await submit(bill, payload, to)
    bill.expect(f"<iq type='result' from='{to or BILL}' to='{GLOBE}' id='1'/>")
    assert await has_password(server, "newpass")
    assert bill.error is None


async def test_other_sessions_end_when_the_password_changes(server: Harness) -> None:
    bill, stolen = await server.client(GLOBE), await server.client(f"{BILL}/stolen")
    anne = await server.client("anne@shakespeare.lit/home")
    await submit(bill, change("bill", "newpass"))
    assert stolen.error is not None
    assert stolen.error.condition == "reset"
    assert bill.error is None
    assert anne.error is None


@pytest.mark.parametrize(
    ("payload", "type", "condition"),
    [
        ("<password>newpass</password>", "modify", "bad-request"),
        ("<username>bill</username>", "modify", "bad-request"),
        (change("bill", ""), "modify", "bad-request"),
        (FORM.format("bill", ""), "modify", "bad-request"),
        (FORM.format("bill", "newpass").replace("submit", "cancel"), "modify", "bad-request"),
        (change("anne", "newpass"), "cancel", "not-allowed"),
        (change("bill@capulet.lit", "newpass"), "cancel", "not-allowed"),
        (change("b@d@x", "newpass"), "cancel", "not-allowed"),
        (change("bill", "short"), "modify", "not-acceptable"),
        (change("bill", "no\u0007bell\u0007").replace("\u0007", "\u2028"), "modify", "not-acceptable"),
    ],
)
async def test_what_cannot_be_a_new_password_changes_nothing(
    server: Harness, payload: str, type: str, condition: str
) -> None:
    bill = await server.client(GLOBE)
    await submit(bill, change("bill", "theglobe"))
    bill.received.clear()
    await submit(bill, payload)
    refused(bill, type, condition)
    assert await has_password(server, "theglobe")


async def test_who_asks_is_told_that_there_is_an_account(server: Harness) -> None:
    bill = await server.client(GLOBE)
    await bill.send("<iq type='get' to='shakespeare.lit' id='1'><query xmlns='jabber:iq:register'/></iq>")
    bill.expect(
        f"<iq type='result' from='shakespeare.lit' to='{GLOBE}' id='1'><query xmlns='jabber:iq:register'>"
        "<registered/><instructions>*</instructions><username>bill</username><password/></query></iq>"
    )


async def test_nobody_manages_accounts_at_another_domain(server: Harness) -> None:
    bill = await server.client(GLOBE)
    await submit(bill, "<remove/>", to="capulet.lit")
    refused(bill, "cancel", "service-unavailable")
    assert await server.stores.accounts.get(Jid.parse(BILL)) is not None


async def test_no_password_is_changed_in_the_clear(server: Harness) -> None:
    bill = await server.client(GLOBE)
    bill.session.secure = False
    await submit(bill, change("bill", "newpass"))
    refused(bill, "modify", "not-authorized")


async def test_where_encryption_is_optional_a_password_may_be_changed_without() -> None:
    async with Harness("shakespeare.lit", toml=f"{LAX}\n[tls]\nrequired = false\n") as server:
        bill = await server.client(GLOBE)
        bill.session.secure = False
        await submit(bill, change("bill", "newpass"))
        bill.expect(f"<iq type='result' from='shakespeare.lit' to='{GLOBE}' id='1'/>")


@pytest.mark.parametrize(
    ("option", "payload"), [("change_password", change("bill", "newpass")), ("remove", "<remove/>")]
)
async def test_operators_can_forbid_both(option: str, payload: str) -> None:
    async with Harness("shakespeare.lit", toml=f"[extensions.account]\n{option} = false\n") as server:
        bill = await server.client(GLOBE)
        await submit(bill, payload)
        refused(bill, "cancel", "not-allowed")


async def test_an_account_is_removed_and_all_its_sessions_end(server: Harness) -> None:
    bill, home = await server.client(GLOBE, available=True), await server.client(f"{BILL}/home")
    bill.received.clear()
    await submit(bill, "<remove/>", to="")
    bill.expect(f"<iq type='result' from='{BILL}' to='{GLOBE}' id='1'/>")
    bill.expect_nothing()
    for client in (bill, home):
        assert client.error is not None
        assert client.error.condition == "not-authorized"
    assert await server.stores.accounts.get(Jid.parse(BILL)) is None
    # and whoever takes the name has nothing to do with it
    again = await server.client(GLOBE)
    assert again.session.account is not bill.session.account


async def test_contacts_are_told_that_an_account_was_removed(server: Harness) -> None:
    anne = await server.client("anne@shakespeare.lit/home")
    await anne.send("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
    await befriend(server, BILL, "anne@shakespeare.lit")
    await befriend(server, "anne@shakespeare.lit", BILL)
    bill = await server.client(GLOBE, available=True)
    await anne.send("<presence/>")
    anne.received.clear()
    await submit(bill, "<remove/>")
    told = [(element.name, element.get("from"), element.get("type")) for element in anne.received]
    assert ("presence", GLOBE, "unavailable") in told
    assert ("presence", BILL, "unsubscribe") in told
    assert ("presence", BILL, "unsubscribed") in told
    assert told.count(("presence", GLOBE, "unavailable")) == 1


async def test_a_removal_stands_alone(server: Harness) -> None:
    bill = await server.client(GLOBE)
    await submit(bill, f"<remove/>{change('bill', 'newpass')}")
    refused(bill, "modify", "bad-request")
    assert bill.error is None


async def test_support_is_announced(server: Harness) -> None:
    bill = await server.client(GLOBE)
    await bill.send(
        "<iq type='get' to='shakespeare.lit' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    features = [feature.get("var") for feature in next(bill.received[0].elements()).each("feature")]
    assert "jabber:iq:register" in features
