"""XEP-0045#roomconfig: owners say what a room is, and those in it see what follows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.owners import DATA, OWNER, asked_form, configure, order, settings, told, values_of
from tests.support.rooms import ROOM, admin, attend, done, enter, forget, make_room, refused, seen
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

CRONE, WICCA, HAG = "crone1@shakespeare.lit", "wiccarocks@shakespeare.lit", "hag66@shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        await make_room(server, CRONE, {WICCA: Affiliation.ADMIN}, name="A Dark Cave", persistent=True)
        yield server


@pytest_asyncio.fixture
async def owner(server: Harness) -> Client:
    client = await attend(server, f"{CRONE}/desktop", "firstwitch")
    client.received.clear()
    return client


@pytest_asyncio.fixture
async def hag(server: Harness, owner: Client) -> Client:
    """No member."""
    client = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(client, owner)
    return client


# The form


async def test_the_form_shows_what_holds(owner: Client) -> None:
    form = await asked_form(owner)
    assert values_of(form) == {
        "FORM_TYPE": ["http://jabber.org/protocol/muc#roomconfig"],
        "roomname": ["A Dark Cave"],
        "roomdesc": [],
        "lang": [],
        "publicroom": ["1"],
        "persistentroom": ["1"],
        "membersonly": ["0"],
        "allowinvites": ["1"],
        "moderatedroom": ["0"],
        "changesubject": ["0"],
        "allowpm": ["anyone"],
        "whois": ["moderators"],
        "presencebroadcast": ["moderator", "participant", "visitor"],
        "getmemberlist": ["moderator", "participant", "visitor"],
        "enablelogging": ["1"],
        "muc#maxhistoryfetch": ["20"],
        "slow_mode_duration": ["0"],
        "maxusers": ["100"],
        "passwordprotectedroom": ["0"],
        "roomsecret": [],
        "roomadmins": [WICCA],
        "roomowners": [CRONE],
    }


async def test_each_field_says_what_may_be_filled_in(owner: Client) -> None:
    form = await asked_form(owner)
    fields = {field.get("var", ""): field for field in form.each("field")}
    types = {(var or "").removeprefix("muc#roomconfig_"): field.get("type") for var, field in fields.items()}
    assert types == {  # XEP-0045#registrar-formtype-owner
        "FORM_TYPE": "hidden",
        "muc#maxhistoryfetch": "text-single",
        "slow_mode_duration": "text-single",
        "allowpm": "list-single",
        "allowinvites": "boolean",
        "changesubject": "boolean",
        "enablelogging": "boolean",
        "getmemberlist": "list-multi",
        "lang": "text-single",
        "maxusers": "list-single",
        "membersonly": "boolean",
        "moderatedroom": "boolean",
        "passwordprotectedroom": "boolean",
        "persistentroom": "boolean",
        "presencebroadcast": "list-multi",
        "publicroom": "boolean",
        "roomadmins": "jid-multi",
        "roomdesc": "text-single",
        "roomname": "text-single",
        "roomowners": "jid-multi",
        "roomsecret": "text-private",
        "whois": "list-single",
    }
    assert all(field.get("label") for var, field in fields.items() if var != "FORM_TYPE")
    options = {
        var: [value.text() for option in field.each("option") for value in option.each("value")]
        for var, field in fields.items()
        if var and field.get("type", "").startswith("list")  # type: ignore[union-attr]
    }
    roles = ["moderator", "participant", "visitor"]
    assert options == {
        "muc#roomconfig_allowpm": ["anyone", "participants", "moderators", "none"],
        "muc#roomconfig_whois": ["moderators", "anyone"],
        "muc#roomconfig_presencebroadcast": roles,
        "muc#roomconfig_getmemberlist": roles,
        "muc#roomconfig_maxusers": ["10", "20", "30", "50", "100"],
    }


async def test_a_form_that_is_sent_back_as_it_came_changes_nothing(owner: Client) -> None:
    form = await asked_form(owner)
    await owner.send(
        settings({name: values for name, values in values_of(form).items() if name != "FORM_TYPE"})
    )
    owner.expect(done(owner))
    owner.expect_nothing()


async def test_who_is_no_owner_gets_no_form_and_sets_nothing(server: Harness, owner: Client) -> None:
    wicca = await attend(server, f"{WICCA}/laptop", "secondwitch")
    wicca.received.clear()
    await wicca.send(f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{OWNER}'/></iq>")
    wicca.expect(refused(wicca, "forbidden", "auth"))
    await wicca.send(settings({"roomname": "Mine"}))
    wicca.expect(refused(wicca, "forbidden", "auth"))
    assert values_of(await asked_form(owner))["roomname"] == ["A Dark Cave"]


async def test_an_owner_need_not_be_in_the_room(server: Harness) -> None:
    away = await server.client(f"{CRONE}/desktop")
    await configure(away, roomname="The Cave")
    assert values_of(await asked_form(away))["roomname"] == ["The Cave"]


async def test_settings_survive_a_restart(server: Harness, owner: Client) -> None:
    await configure(owner, roomdesc="The place for all good witches!", maxusers=20, lang="en")
    await server.restart(crash=True)
    again = await server.client(f"{CRONE}/desktop")
    values = values_of(await asked_form(again))
    assert (values["roomdesc"], values["maxusers"], values["lang"]) == (
        ["The place for all good witches!"],
        ["20"],
        ["en"],
    )


async def test_an_owner_who_cancels_changes_nothing(owner: Client) -> None:
    await owner.send(order(f"<x xmlns='{DATA}' type='cancel'/>"))
    owner.expect(done(owner))
    owner.expect_nothing()
    assert values_of(await asked_form(owner))["roomname"] == ["A Dark Cave"]


async def test_a_text_that_is_emptied_is_gone_and_one_that_is_not_sent_stays(owner: Client) -> None:
    await configure(owner, roomdesc="Dark.")
    await configure(owner, roomname="")
    values = values_of(await asked_form(owner))
    assert (values["roomname"], values["roomdesc"]) == ([], ["Dark."])


async def test_fields_of_other_servers_are_ignored(owner: Client) -> None:
    await owner.send(settings({"roomname": "The Cave", "muc#roomconfig_allow_voice_requests": 0, "x#mam": 1}))
    owner.expect(told(owner, 104), done(owner))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("publicroom", "maybe", "it is 0 or 1, not 'maybe'"),
        ("publicroom", ("0", "1"), "it has one value"),
        ("publicroom", (), "it is 0 or 1, not ''"),
        ("whois", "none", "it is one of moderators, anyone, not 'none'"),
        ("allowpm", "friends", "it is one of anyone, participants, moderators, none, not 'friends'"),
        ("presencebroadcast", ("moderator", "ghost"), "*"),
        ("getmemberlist", "all", "*"),
        ("maxusers", 0, "it is a number from 1 to 100, not '0'"),
        ("maxusers", 101, "it is a number from 1 to 100, not '101'"),
        ("maxusers", "many", "*"),
        ("maxusers", "\u0661", "*"),
        ("maxusers", "1", "the room has 2 members, more than 1"),
        ("muc#maxhistoryfetch", 101, "it is a number from 0 to 100, not '101'"),
        ("muc#maxhistoryfetch", -1, "*"),
        ("muc#roomconfig_slow_mode_duration", 86_401, "it is a number from 0 to 86400, not '86401'"),
        ("roomname", "x" * 201, "it has at most 200 characters, not 201"),
        ("roomdesc", "x" * 2001, "it has at most 2000 characters, not 2001"),
        ("lang", "good English", "it is a language tag such as en or pt-BR, not 'good English'"),
        ("roomsecret", "x" * 201, "it has at most 200 characters, not 201"),
        ("passwordprotectedroom", "1", "*"),
        ("roomadmins", "shakespeare.lit", "shakespeare.lit is nobody&apos;s address"),
    ],
)
async def test_values_that_cannot_be_are_not_acceptable(
    owner: Client, field: str, value: str | tuple[str, ...], text: str
) -> None:
    before = values_of(await asked_form(owner))
    await owner.send(settings({field: value}))
    name = "muc#roomconfig_roomsecret" if field == "passwordprotectedroom" else field
    name = name if "#" in name else f"muc#roomconfig_{name}"
    owner.expect(refused(owner, "not-acceptable", "modify", text if text == "*" else f"{name}: {text}"))
    assert values_of(await asked_form(owner)) == before


async def test_what_is_no_address_is_malformed(owner: Client) -> None:
    await owner.send(settings({"roomadmins": "@@"}))
    owner.expect(refused(owner, "jid-malformed", "modify"))


# What those in the room see


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({"roomname": "The Cave"}, (104,)),
        ({"enablelogging": 0}, (171,)),
        ({"publicroom": 0, "enablelogging": 0}, (104, 171)),
    ],
)
async def test_those_in_the_room_are_told_what_kind_of_change_it_is(
    owner: Client, hag: Client, values: dict[str, str], codes: tuple[int, ...]
) -> None:
    await owner.send(settings(dict(values)))
    owner.expect(told(owner, *codes), done(owner))
    hag.expect(told(hag, *codes))
    hag.expect_nothing()


async def test_logging_that_begins_again_is_told(owner: Client, hag: Client) -> None:
    await configure(owner, enablelogging=0)
    forget(owner, hag)
    await configure(owner, enablelogging=1)
    hag.expect(told(hag, 170))


async def test_in_a_room_that_becomes_non_anonymous_all_see_who_is_there(owner: Client, hag: Client) -> None:
    await owner.send(settings({"whois": "anyone"}))
    hag.expect(
        told(hag, 172),
        seen(hag, "firstwitch", "owner", "moderator", jid=owner),
        seen(hag, "thirdwitch", "none", "participant", jid=hag, codes=(100, 110)),
    )
    hag.expect_nothing()


async def test_a_room_that_becomes_semi_anonymous_says_so(owner: Client, hag: Client) -> None:
    await configure(owner, whois="anyone")
    forget(owner, hag)
    await owner.send(settings({"whois": "moderators"}))
    hag.expect(told(hag, 173))
    hag.expect_nothing()


async def test_who_is_no_member_leaves_a_room_that_becomes_members_only(
    server: Harness, owner: Client, hag: Client
) -> None:
    wicca = await attend(server, f"{WICCA}/laptop", "secondwitch")
    forget(owner, hag, wicca)
    await owner.send(settings({"membersonly": 1}))
    hag.expect(seen(hag, "thirdwitch", "none", "none", codes=(110, 322), gone=True))
    hag.expect_nothing()
    wicca.expect(
        seen(wicca, "thirdwitch", "none", "none", jid=hag, codes=(322,), gone=True), told(wicca, 104)
    )
    owner.expect(
        seen(owner, "thirdwitch", "none", "none", jid=hag, codes=(322,), gone=True),
        told(owner, 104),
        done(owner),
    )
    await hag.send(enter("thirdwitch"))
    assert hag.received.pop().get("type") == "error"


async def test_who_is_no_member_has_no_voice_in_a_room_that_becomes_moderated(
    owner: Client, hag: Client
) -> None:
    await configure(owner, moderatedroom=1)
    hag.expect(told(hag, 104), seen(hag, "thirdwitch", "none", "visitor", codes=(110,)))
    hag.expect_nothing()
    owner.expect(told(owner, 104), seen(owner, "thirdwitch", "none", "visitor", jid=hag), done(owner))
    await hag.send(f"<message type='groupchat' to='{ROOM}'><body>Hail!</body></message>")
    assert hag.received.pop().get("type") == "error"
    await configure(owner, moderatedroom=0)
    hag.expect(told(hag, 104), seen(hag, "thirdwitch", "none", "participant", codes=(110,)))


async def test_a_moderator_stays_one_in_a_room_that_becomes_moderated(owner: Client, hag: Client) -> None:
    await owner.send(admin("set", "nick='thirdwitch' role='moderator'"))
    forget(owner, hag)
    await configure(owner, moderatedroom=1)
    hag.expect(told(hag, 104))
    hag.expect_nothing()


async def test_who_is_not_to_be_seen_any_more_goes_for_the_others(
    server: Harness, owner: Client, hag: Client
) -> None:
    pistol = await attend(server, "pistol@shakespeare.lit/harfleur", "pistol")
    forget(owner, hag, pistol)
    await owner.send(settings({"presencebroadcast": ("moderator",)}))
    hag.expect(told(hag, 104), seen(hag, "pistol", "none", "none", gone=True))
    hag.expect_nothing()
    await owner.send(settings({"presencebroadcast": ("moderator", "participant")}))
    hag.expect(
        told(hag, 104),
        seen(hag, "thirdwitch", "none", "participant", codes=(110,)),
        seen(hag, "pistol", "none", "participant"),
    )


async def test_who_was_not_seen_goes_unseen(server: Harness, owner: Client, hag: Client) -> None:
    await configure(owner, presencebroadcast=("moderator",), roomadmins=())
    wicca = await attend(server, f"{WICCA}/laptop", "secondwitch")
    forget(wicca)
    await owner.send(
        settings({"membersonly": 1, "presencebroadcast": ("moderator", "participant", "visitor")})
    )
    wicca.expect(told(wicca, 104), seen(wicca, "secondwitch", "member", "participant", codes=(110,)))
    wicca.expect_nothing()  # about who left, in the same moment
    assert hag.received[-1].get("type") == "unavailable"


async def test_a_password_is_asked_for_once_it_is_set(server: Harness, owner: Client) -> None:
    await configure(owner, roomsecret="cauldronburn")
    assert values_of(await asked_form(owner))["passwordprotectedroom"] == ["1"]
    hag = await server.client(f"{HAG}/pda", available=True)
    await hag.send(enter("thirdwitch"))
    assert hag.received.pop().get("type") == "error"
    await configure(owner, passwordprotectedroom=0)
    await hag.send(enter("thirdwitch"))
    assert hag.received.pop().name == "message"


async def test_a_password_stays_where_only_the_rest_is_sent(owner: Client) -> None:
    await configure(owner, roomsecret="cauldronburn")
    await configure(owner, passwordprotectedroom=1, roomname="The Cave")
    assert values_of(await asked_form(owner))["roomsecret"] == ["cauldronburn"]


# The lists of admins and owners


async def test_an_admin_who_is_not_in_the_list_any_more_is_a_member(server: Harness, owner: Client) -> None:
    wicca = await attend(server, f"{WICCA}/laptop", "secondwitch")
    forget(owner, wicca)
    await owner.send(settings({"roomadmins": ()}))
    owner.expect(
        seen(owner, "secondwitch", "member", "participant", jid=wicca, actor="firstwitch"), done(owner)
    )


async def test_who_is_in_the_list_becomes_admin(owner: Client, hag: Client) -> None:
    await owner.send(settings({"roomadmins": (WICCA, HAG)}))
    owner.expect(seen(owner, "thirdwitch", "admin", "moderator", jid=hag, actor="firstwitch"), done(owner))


async def test_an_owner_who_is_not_in_the_list_any_more_is_an_admin(server: Harness, owner: Client) -> None:
    await configure(owner, roomowners=(CRONE, HAG))
    hag = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(owner, hag)
    await owner.send(settings({"roomowners": CRONE}))
    owner.expect(seen(owner, "thirdwitch", "admin", "moderator", jid=hag, actor="firstwitch"), done(owner))


async def test_an_owner_who_is_in_neither_list_any_more_is_a_member(server: Harness, owner: Client) -> None:
    await configure(owner, roomowners=(CRONE, HAG))
    hag = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(owner, hag)
    await owner.send(settings({"roomowners": CRONE, "roomadmins": WICCA}))
    owner.expect(seen(owner, "thirdwitch", "member", "participant", jid=hag, actor="firstwitch"), done(owner))


async def test_who_is_in_the_list_becomes_owner(owner: Client, hag: Client) -> None:
    await owner.send(settings({"roomowners": (CRONE, HAG)}))
    owner.expect(seen(owner, "thirdwitch", "owner", "moderator", jid=hag, actor="firstwitch"), done(owner))


async def test_an_owner_may_resign_where_there_is_another(server: Harness, owner: Client) -> None:
    await owner.send(settings({"roomowners": HAG}))
    room = await server.stores.rooms.load(Jid.parse(ROOM))
    assert room is not None
    found = {str(jid): entry.affiliation for jid, entry in room.affiliations.items()}
    assert found == {CRONE: Affiliation.ADMIN, HAG: Affiliation.OWNER, WICCA: Affiliation.ADMIN}


@pytest.mark.parametrize("values", [{"roomowners": ()}, {"roomadmins": (CRONE,)}])
async def test_the_last_owner_cannot_resign(owner: Client, values: dict[str, tuple[str, ...]]) -> None:
    await owner.send(settings({"roomname": "Nobody's", **values}))
    owner.expect(refused(owner, "conflict", "cancel"))
    assert values_of(await asked_form(owner))["roomname"] == ["A Dark Cave"]


async def test_the_form_makes_no_more_members_than_the_room_holds(owner: Client) -> None:
    await configure(owner, maxusers=3)
    owner.received.clear()
    await owner.send(settings({"roomadmins": [f"witch{number}@shakespeare.lit" for number in range(3)]}))
    owner.expect(refused(owner, "not-allowed", "cancel"))
