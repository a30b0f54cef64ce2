"""XEP-0045#moderator, #grantmod, #revokemod: kicks, voice and moderators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import ROOM, admin, attend, done, enter, forget, listed, make_room, refused, seen
from xmppd.storage.rooms import Affiliation


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        yield server


class People:
    """crone1 is owner, wiccarocks admin, hag66 member, pistol nothing; all are there."""

    owner: Client
    admin: Client
    member: Client
    guest: Client

    async def come(self, server: Harness, **settings: Any) -> None:
        lists = {
            "wiccarocks@shakespeare.lit": Affiliation.ADMIN,
            "hag66@shakespeare.lit": Affiliation.MEMBER,
        }
        await make_room(server, "crone1@shakespeare.lit", lists, **settings)
        self.owner = await attend(server, "crone1@shakespeare.lit/desktop", "firstwitch")
        self.admin = await attend(server, "wiccarocks@shakespeare.lit/laptop", "secondwitch")
        self.member = await attend(server, "hag66@shakespeare.lit/pda", "thirdwitch")
        self.guest = await attend(server, "pistol@shakespeare.lit/harfleur", "pistol")
        self.forget()

    @property
    def all(self) -> tuple[Client, ...]:
        return self.owner, self.admin, self.member, self.guest

    def forget(self) -> None:
        forget(*self.all)


@pytest_asyncio.fixture
async def there(server: Harness) -> People:
    people = People()
    await people.come(server)
    return people


@pytest_asyncio.fixture
async def moderated(server: Harness) -> People:
    people = People()
    await people.come(server, moderated=True)
    return people


async def test_a_moderator_kicks_an_occupant(there: People) -> None:
    await there.admin.send(admin("set", "nick='pistol' role='none'><reason>Avaunt, you cullion!</reason>"))
    why: dict[str, Any] = {"actor": "secondwitch", "reason": "Avaunt, you cullion!", "gone": True}
    there.guest.expect(seen(there.guest, "pistol", "none", "none", codes=(110, 307), **why))
    # the moderator hears of success before it sees what came of it
    there.admin.expect(
        done(there.admin), seen(there.admin, "pistol", "none", "none", jid=there.guest, codes=(307,), **why)
    )
    there.member.expect(seen(there.member, "pistol", "none", "none", codes=(307,), **why))
    for client in there.all:
        if client is not there.owner:
            client.expect_nothing()


async def test_who_was_kicked_is_not_in_the_room_any_more_and_may_come_back(there: People) -> None:
    await there.admin.send(admin("set", "nick='pistol' role='none'"))
    there.forget()
    await there.guest.send(f"<message type='groupchat' to='{ROOM}' id='m'><body>Not so!</body></message>")
    there.guest.expect(refused(there.guest, "not-acceptable", "modify", id="m", kind="message"))
    await there.guest.send(enter("pistol"))
    assert there.guest.received[-1].name == "message"


async def test_a_kick_takes_all_clients_of_the_occupant(server: Harness, there: People) -> None:
    phone = await attend(server, "pistol@shakespeare.lit/phone", "pistol")
    forget(phone)
    there.forget()
    await there.admin.send(admin("set", "nick='pistol' role='none'"))
    for client in (there.guest, phone):
        client.expect(
            seen(client, "pistol", "none", "none", codes=(110, 307), actor="secondwitch", gone=True)
        )
        client.expect_nothing()
    there.member.expect(
        seen(there.member, "pistol", "none", "none", codes=(307,), actor="secondwitch", gone=True)
    )
    there.member.expect_nothing()


async def test_nobody_is_kicked_by_who_is_below(there: People) -> None:
    await there.owner.send(admin("set", "nick='thirdwitch' role='moderator'"))
    there.forget()
    await there.member.send(admin("set", "nick='secondwitch' role='none'"))
    there.member.expect(refused(there.member, "not-allowed", "cancel"))
    await there.admin.send(admin("set", "nick='firstwitch' role='none'"))
    there.admin.expect(refused(there.admin, "not-allowed", "cancel"))
    there.owner.expect_nothing()


async def test_a_moderator_is_kicked_by_admins_only(there: People) -> None:
    await there.owner.send(
        admin("set", "nick='thirdwitch' role='moderator'", "nick='pistol' role='moderator'")
    )
    there.forget()
    await there.member.send(admin("set", "nick='pistol' role='none'"))
    there.member.expect(refused(there.member, "not-allowed", "cancel"))
    await there.admin.send(admin("set", "nick='pistol' role='none'"))
    there.admin.expect(done(there.admin))


async def test_who_is_no_moderator_kicks_nobody(there: People) -> None:
    await there.member.send(admin("set", "nick='pistol' role='none'"))
    there.member.expect(refused(there.member, "forbidden", "auth"))
    there.guest.expect_nothing()


async def test_who_is_not_in_the_room_kicks_nobody(server: Harness, there: People) -> None:
    await there.admin.send(f"<presence type='unavailable' to='{ROOM}/secondwitch'/>")
    there.forget()
    await there.admin.send(admin("set", "nick='pistol' role='none'"))
    there.admin.expect(refused(there.admin, "forbidden", "auth"))


async def test_nobody_is_kicked_who_is_not_there(there: People) -> None:
    await there.admin.send(admin("set", "nick='nym' role='none'"))
    there.admin.expect(refused(there.admin, "item-not-found", "cancel"))


async def test_a_moderator_grants_voice(moderated: People) -> None:
    there = moderated
    await there.owner.send(
        admin("set", "nick='pistol' role='participant'><reason>A worthy witch indeed!</reason>")
    )
    why: dict[str, Any] = {"actor": "firstwitch", "reason": "A worthy witch indeed!"}
    there.owner.expect(
        done(there.owner), seen(there.owner, "pistol", "none", "participant", jid=there.guest, **why)
    )
    there.member.expect(seen(there.member, "pistol", "none", "participant", **why))
    there.guest.expect(seen(there.guest, "pistol", "none", "participant", codes=(110,), **why))
    await there.guest.send(f"<message type='groupchat' to='{ROOM}' id='m'><body>Hear me</body></message>")
    there.guest.expect(
        f"<message type='groupchat' id='m' from='{ROOM}/pistol' to='{there.guest.jid}'><body>Hear me</body>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/></message>"
    )


async def test_a_moderator_revokes_voice(there: People) -> None:
    await there.admin.send(
        admin("set", "nick='thirdwitch' role='visitor'><reason>Not so worthy after all!</reason>")
    )
    why: dict[str, Any] = {"actor": "secondwitch", "reason": "Not so worthy after all!"}
    there.admin.expect(
        done(there.admin), seen(there.admin, "thirdwitch", "member", "visitor", jid=there.member, **why)
    )
    there.guest.expect(seen(there.guest, "thirdwitch", "member", "visitor", **why))
    there.member.expect(seen(there.member, "thirdwitch", "member", "visitor", codes=(110,), **why))
    await there.member.send(f"<message type='groupchat' to='{ROOM}' id='m'><body>Oh</body></message>")
    there.member.expect(refused(there.member, "forbidden", "auth", id="m", kind="message"))


@pytest.mark.parametrize("role", ["visitor", "participant"])
async def test_nobody_takes_the_voice_or_more_of_admins_and_owners(there: People, role: str) -> None:
    for nick in ("firstwitch", "secondwitch"):
        await there.owner.send(admin("set", f"nick='{nick}' role='{role}'"))
        there.owner.expect(refused(there.owner, "not-allowed", "cancel"))
        await there.admin.send(admin("set", f"nick='{nick}' role='{role}'"))
        there.admin.expect(refused(there.admin, "not-allowed", "cancel"))
    there.guest.expect_nothing()


async def test_a_moderator_takes_the_voice_of_those_below_only(server: Harness, there: People) -> None:
    await there.owner.send(
        admin("set", "nick='thirdwitch' role='moderator'", "nick='pistol' role='moderator'")
    )
    other = await attend(server, "nym@shakespeare.lit/harfleur", "nym")
    forget(other)
    there.forget()
    # pistol, who is nothing to the room, cannot silence a member; others who are nothing he can
    await there.owner.send(admin("set", "nick='thirdwitch' role='participant'"))
    there.forget()
    await there.guest.send(admin("set", "nick='thirdwitch' role='visitor'"))
    there.guest.expect(refused(there.guest, "not-allowed", "cancel"))
    await there.guest.send(admin("set", "nick='nym' role='visitor'"))
    there.guest.expect(done(there.guest))


async def test_the_voice_list_is_read_and_changed_in_one_go(server: Harness, moderated: People) -> None:
    there = moderated
    nym = await attend(server, "nym@shakespeare.lit/harfleur", "nym")
    there.forget()
    forget(nym)
    await there.owner.send(admin("get", "role='participant'"))
    there.owner.expect(
        listed(
            there.owner,
            f"affiliation='member' jid='{there.member.jid}' nick='thirdwitch' role='participant'",
        )
    )
    await there.owner.send(
        admin(
            "set",
            "nick='thirdwitch' role='visitor'",
            "nick='pistol' role='participant'><reason>A worthy fellow.</reason>",
            "nick='nym' role='participant'><reason>A worthy fellow.</reason>",
        )
    )
    worthy: dict[str, Any] = {"actor": "firstwitch", "reason": "A worthy fellow."}
    there.owner.expect(
        done(there.owner),
        seen(there.owner, "thirdwitch", "member", "visitor", jid=there.member, actor="firstwitch"),
        seen(there.owner, "pistol", "none", "participant", jid=there.guest, **worthy),
        seen(there.owner, "nym", "none", "participant", jid=nym, **worthy),
    )


async def test_of_several_changes_all_are_done_or_none(there: People) -> None:
    await there.admin.send(
        admin(
            "set", "nick='pistol' role='none'", "nick='thirdwitch' role='visitor'", "nick='nym' role='none'"
        )
    )
    there.admin.expect(refused(there.admin, "item-not-found", "cancel"))
    await there.admin.send(admin("set", "nick='pistol' role='none'", "nick='firstwitch' role='visitor'"))
    there.admin.expect(refused(there.admin, "not-allowed", "cancel"))
    for client in there.all:
        client.expect_nothing()


async def test_an_admin_grants_and_revokes_moderator_status(there: People) -> None:
    await there.admin.send(
        admin("set", "nick='thirdwitch' role='moderator'><reason>A worthy witch indeed!</reason>")
    )
    why: dict[str, Any] = {"actor": "secondwitch", "reason": "A worthy witch indeed!"}
    there.admin.expect(
        done(there.admin), seen(there.admin, "thirdwitch", "member", "moderator", jid=there.member, **why)
    )
    there.guest.expect(seen(there.guest, "thirdwitch", "member", "moderator", **why))
    # it sees from now on who is behind the nicks, of those as well who are there
    there.member.expect(
        seen(there.member, "thirdwitch", "member", "moderator", jid=there.member, codes=(110,), **why),
        seen(there.member, "firstwitch", "owner", "moderator", jid=there.owner),
        seen(there.member, "secondwitch", "admin", "moderator", jid=there.admin),
        seen(there.member, "pistol", "none", "participant", jid=there.guest),
    )
    there.member.expect_nothing()
    there.forget()

    await there.admin.send(admin("get", "role='moderator'"))
    there.admin.expect(
        listed(
            there.admin,
            f"affiliation='owner' jid='{there.owner.jid}' nick='firstwitch' role='moderator'",
            f"affiliation='admin' jid='{there.admin.jid}' nick='secondwitch' role='moderator'",
            f"affiliation='member' jid='{there.member.jid}' nick='thirdwitch' role='moderator'",
        )
    )

    await there.admin.send(
        admin("set", "nick='thirdwitch' role='participant'", "nick='pistol' role='moderator'")
    )
    there.admin.expect(
        done(there.admin),
        seen(there.admin, "thirdwitch", "member", "participant", jid=there.member, actor="secondwitch"),
        seen(there.admin, "pistol", "none", "moderator", jid=there.guest, actor="secondwitch"),
    )
    there.member.expect(
        seen(there.member, "thirdwitch", "member", "participant", codes=(110,), actor="secondwitch")
    )


async def test_who_is_no_admin_makes_nobody_moderator(there: People) -> None:
    await there.owner.send(admin("set", "nick='thirdwitch' role='moderator'"))
    there.forget()
    for client in (there.member, there.guest):
        await client.send(admin("set", "nick='pistol' role='moderator'"))
        client.expect(refused(client, "forbidden", "auth"))
    await there.guest.send(admin("set", "nick='thirdwitch' role='participant'"))
    there.guest.expect(refused(there.guest, "forbidden", "auth"))


async def test_lists_of_roles_are_for_moderators(there: People) -> None:
    for role in ("moderator", "participant", "visitor"):
        await there.member.send(admin("get", f"role='{role}'"))
        there.member.expect(refused(there.member, "forbidden", "auth"))
    await there.member.send(admin("set", "nick='pistol' role='participant'"))  # what it is already
    there.member.expect(refused(there.member, "forbidden", "auth"))


async def test_who_is_not_shown_any_more_is_seen_to_go(server: Harness) -> None:
    there = People()
    await there.come(server, broadcast=("moderator", "participant"))
    await there.admin.send(admin("set", "nick='pistol' role='visitor'"))
    there.admin.expect(
        done(there.admin),
        seen(there.admin, "pistol", "none", "visitor", jid=there.guest, actor="secondwitch", gone=True),
    )
    there.admin.expect_nothing()
    there.guest.expect(seen(there.guest, "pistol", "none", "visitor", codes=(110,), actor="secondwitch"))
    await there.admin.send(admin("set", "nick='pistol' role='participant'"))
    there.admin.expect(
        done(there.admin),
        seen(there.admin, "pistol", "none", "participant", jid=there.guest, actor="secondwitch"),
    )


@pytest.mark.parametrize(
    ("item", "condition"),
    [
        ("nick='pistol' role='none' affiliation='outcast' jid='pistol@shakespeare.lit'", "bad-request"),
        ("nick='pistol' role='none' affiliation='outcast'", "bad-request"),
        ("nick='pistol'", "bad-request"),
        ("role='none'", "bad-request"),
        ("nick='' role='none'", "bad-request"),
        ("nick='pistol' role='king'", "bad-request"),
        ("affiliation='emperor' jid='pistol@shakespeare.lit'", "bad-request"),
        ("affiliation='outcast'", "bad-request"),
        ("affiliation='outcast' jid='@shakespeare.lit'", "jid-malformed"),
        ("affiliation='outcast' jid='pi stol@shakespeare.lit'", "jid-malformed"),
        ("affiliation='member' jid='pistol@shakespeare.lit' nick='&#xa0;'", "jid-malformed"),
        (f"nick='pistol' role='none'><reason>{'x' * 1001}</reason>", "not-acceptable"),
    ],
)
async def test_what_makes_no_sense_is_refused(there: People, item: str, condition: str) -> None:
    await there.owner.send(admin("set", item))
    there.owner.expect(refused(there.owner, condition, "modify"))
    await there.owner.send(admin("set", "nick='pistol' role='none'", item))
    there.owner.expect(refused(there.owner, condition, "modify"))
    there.guest.expect_nothing()


async def test_a_request_has_items_each_about_another_person(there: People) -> None:
    wrong: tuple[tuple[str, ...], ...] = (
        (),
        ("nick='pistol' role='visitor'", "nick='pistol' role='none'"),
        ("nick='pistol' role='none'", "affiliation='outcast' jid='pistol@shakespeare.lit'"),
    )
    for items in wrong:
        await there.owner.send(admin("set", *items))
        there.owner.expect(refused(there.owner, "bad-request", "modify"))
    wrong = ((), ("role='none'",), ("affiliation='none'",), ("role='visitor' affiliation='owner'",))
    for items in wrong:
        await there.owner.send(admin("get", *items))
        there.owner.expect(refused(there.owner, "bad-request", "modify"))
