"""The form in which an owner sees and sets what a room is (XEP-0045#registrar-formtype-owner). What the server does
not do is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from xmppd import ns
from xmppd.extensions.xep_0045_muc.fields import (
    Choice,
    Choices,
    Field,
    Flag,
    Language,
    Line,
    Number,
    Option,
    Seconds,
    Text,
    field,
    not_so,
    number,
)
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.settings import RoomConfig
from xmppd.jid import Jid
from xmppd.routing.forms import filled_in
from xmppd.storage.rooms import Affiliation
from xmppd.xml.element import Element, text_element

ROOM_CONFIG: Final = "http://jabber.org/protocol/muc#roomconfig"

_NAME: Final = 200  # characters
_DESCRIPTION: Final = 2_000
_LANGUAGE: Final = 35  # RFC 5646#4.4.1: what any software takes
_PASSWORD: Final = 200
_SLOW: Final = 86_400  # seconds
_HISTORY: Final = 100  # messages
_CROWD: Final = (10, 20, 30, 50, 100)

_ROLES: Final = (("moderator", "Moderator"), ("participant", "Participant"), ("visitor", "Visitor"))
_WHISPERERS: Final = (
    ("anyone", "Anyone"),
    ("participants", "Anyone with voice"),
    ("moderators", "Moderators only"),
    ("none", "Nobody"),
)
_KNOWING: Final = (("moderators", "Moderators only"), ("anyone", "Anyone"))

_MAX_USERS: Final = "muc#roomconfig_maxusers"
_PROTECTED: Final = "muc#roomconfig_passwordprotectedroom"
_SECRET: Final = "muc#roomconfig_roomsecret"
_ADMINS: Final = "muc#roomconfig_roomadmins"
_OWNERS: Final = "muc#roomconfig_roomowners"

FIELDS: Final[tuple[Field, ...]] = (
    Line("muc#roomconfig_roomname", "name", "Name", _NAME),
    Text("muc#roomconfig_roomdesc", "description", "Description", _DESCRIPTION),
    Language("muc#roomconfig_lang", "lang", "Language of the discussion, such as en", _LANGUAGE),
    Flag("muc#roomconfig_publicroom", "public", "Anybody can find the room"),
    Flag("muc#roomconfig_persistentroom", "persistent", "The room stays when nobody is in it"),
    Flag("muc#roomconfig_membersonly", "members_only", "Only members enter"),
    Flag("muc#roomconfig_allowinvites", "members_invite", "Members may invite others"),
    Flag("muc#roomconfig_moderatedroom", "moderated", "Who is no member needs a moderator's leave to speak"),
    Flag("muc#roomconfig_changesubject", "occupants_change_subject", "Participants may change the subject"),
    Choice("muc#roomconfig_allowpm", "private_messages", "Who may send private messages", _WHISPERERS),
    Choice("muc#roomconfig_whois", "whois", "Who sees the addresses behind the nicks", _KNOWING),
    Choices("muc#roomconfig_presencebroadcast", "broadcast", "Whose presence all see", _ROLES),
    Choices("muc#roomconfig_getmemberlist", "member_list", "Who may ask for the list of members", _ROLES),
    Flag("muc#roomconfig_enablelogging", "archived", "Messages are kept in the room's archive"),
    Number("muc#maxhistoryfetch", "history", "Messages that who enters is shown", _HISTORY),
    # XEP-0500#muc-configuration-activation
    Seconds(
        "muc#roomconfig_slow_mode_duration",
        "slow_seconds",
        "Seconds between two messages of one person",
        _SLOW,
    ),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an owner sent: the settings that follow, and addresses (bare) that become something else."""

    config: RoomConfig
    affiliations: Mapping[Jid, Affiliation]


class ConfigForm:
    def __init__(self, most: int) -> None:
        """``most`` people in a room, for the whole server."""
        self._most = most

    def blank(self, room: Room) -> Element:
        """The form with what holds now."""
        config = room.config
        people = min(config.people or self._most, self._most)
        admins, owners = (_listed(room, each) for each in (Affiliation.ADMIN, Affiliation.OWNER))
        return Element(
            "x",
            ns.DATA_FORMS,
            {"type": "form"},
            [
                text_element("title", ns.DATA_FORMS, f"Settings of {config.name or room.jid.local}"),
                text_element("instructions", ns.DATA_FORMS, _instructions(room)),
                _form_type(),
                *(each.xml(getattr(config, each.setting)) for each in FIELDS),
                field(
                    _MAX_USERS, "list-single", "Most people in the room", [str(people)], self._crowds(people)
                ),
                field(
                    _PROTECTED, "boolean", "Who enters needs a password", ["1" if config.password else "0"]
                ),
                field(_SECRET, "text-private", "Password", [config.password] if config.password else []),
                field(_ADMINS, "jid-multi", "Admins, one address in a line", admins),
                field(_OWNERS, "jid-multi", "Owners, one address in a line", owners),
            ],
        )

    def _crowds(self, people: int) -> list[Option]:
        return [(str(n), str(n)) for n in sorted({*_CROWD, people, self._most}) if n <= self._most]

    def read(self, form: Element, room: Room) -> Wish:
        """What ``form``, of type submit, asks for; what it does not mention stays, what is no field of ours is nothing.
        ``not-acceptable`` for values that cannot be, ``bad-request`` for what is no form.
        """
        if not any(form.elements()):  # XEP-0045#createroom-instant: everything as it is
            return Wish(room.config, {})
        given = filled_in(form, ROOM_CONFIG)
        changes: dict[str, Any] = {
            each.setting: each.read(given[each.var]) for each in FIELDS if each.var in given
        }
        if _MAX_USERS in given:
            people = number(_MAX_USERS, "".join(given[_MAX_USERS][:1]), 1, self._most)
            changes["people"] = 0 if people == self._most else people
        changes["password"] = _password(given, room.config.password)
        wish = Wish(msgspec.structs.replace(room.config, **changes), _affiliations(given, room))
        if wish.config.people != room.config.people:
            _check_people(wish, room, wish.config.people or self._most)
        return wish


def _listed(room: Room, affiliation: Affiliation) -> list[str]:
    return sorted(str(jid) for jid, each in room.affiliations.items() if each.affiliation is affiliation)


def _instructions(room: Room) -> str:
    if room.config.locked:
        return (
            "Nobody else enters the room until you have sent this form. Sent as it is, it makes a usual room."
        )
    return "Change what you like and send the form."


def _form_type() -> Element:
    value = text_element("value", ns.DATA_FORMS, ROOM_CONFIG)
    return Element("field", ns.DATA_FORMS, {"var": "FORM_TYPE", "type": "hidden"}, [value])


def _password(given: Mapping[str, tuple[str, ...]], now: str) -> str:
    """The password behind it; "": none is asked for."""
    secret = Text(_SECRET, "password", "", _PASSWORD).read(given[_SECRET]) if _SECRET in given else now
    protected = bool(secret)
    if _PROTECTED in given:
        protected = Flag(_PROTECTED, "", "").read(given[_PROTECTED])
    if protected and not secret:
        # XEP-0045#createroom-reserved: "because the password for a password-protected room is blank"
        raise not_so(_SECRET, "a room that asks for a password has one")
    return secret if protected else ""


def _check_people(wish: Wish, room: Room, most: int) -> None:
    """Members are never more than the room holds."""
    after = {user: entry.affiliation for user, entry in room.affiliations.items()} | dict(wish.affiliations)
    members = sum(each >= Affiliation.MEMBER for each in after.values())
    if members > most:
        raise not_so(_MAX_USERS, f"the room has {members} members, more than {most}")


def _affiliations(given: Mapping[str, tuple[str, ...]], room: Room) -> dict[Jid, Affiliation]:
    """What changes in the lists of admins and owners, of which the form holds all that there are to be.

    Who is no admin any more is a member; who is no owner any more an admin (XEP-0045#roomconfig), unless it is said who
    the admins are.
    """
    wanted: dict[Jid, Affiliation] = {}
    for var, one, less in (
        (_ADMINS, Affiliation.ADMIN, Affiliation.MEMBER),
        (_OWNERS, Affiliation.OWNER, Affiliation.ADMIN),
    ):
        if var not in given:
            continue
        if _ADMINS in given:
            less = Affiliation.MEMBER
        named = dict.fromkeys(_addresses(var, given[var]))
        for jid, entry in room.affiliations.items():
            if entry.affiliation is one and jid not in named and jid not in wanted:
                wanted[jid] = less
        for jid in named:
            wanted[jid] = one
    return {jid: new for jid, new in wanted.items() if room.affiliation(jid) is not new}


def _addresses(var: str, values: tuple[str, ...]) -> list[Jid]:
    # COMPAT: some clients send what people typed, line by line, as one value
    named = [Jid.of(text).bare for value in values for line in value.splitlines() if (text := line.strip())]
    if (server := next((jid for jid in named if jid.local is None), None)) is not None:
        raise not_so(var, f"{server} is nobody's address")
    return named
