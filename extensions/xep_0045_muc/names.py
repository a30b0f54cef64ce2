"""What XEP-0045 calls things on the wire."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from xmppd.storage.rooms import Affiliation

MUC: Final = "http://jabber.org/protocol/muc"
USER: Final = f"{MUC}#user"
ADMIN: Final = f"{MUC}#admin"
OWNER: Final = f"{MUC}#owner"
OCCUPANT_ID: Final = "urn:xmpp:occupant-id:0"  # XEP-0421


class Role(IntEnum):
    """XEP-0045#roles, the higher the more; lasts as long as a visit."""

    NONE = 0
    VISITOR = 1
    PARTICIPANT = 2
    MODERATOR = 3


AFFILIATIONS: Final = {one.name.lower(): one for one in Affiliation}
ROLES: Final = {one.name.lower(): one for one in Role}


class Status(IntEnum):
    """XEP-0045#registrar-statuscodes: what happened, as codes in ``<x xmlns='…muc#user'/>``."""

    REAL_JIDS = 100  # everybody here sees your real JID
    AFFILIATION_ABSENT = 101  # your affiliation changed while you were not in the room
    SHOWS_UNAVAILABLE = 102
    SHOWS_UNAVAILABLE_NOT = 103
    CONFIGURED = 104  # something that concerns no privacy changed
    SELF = 110
    LOGGED = 170
    LOGGED_NOT = 171
    NON_ANONYMOUS = 172
    SEMI_ANONYMOUS = 173
    CREATED = 201
    NICK_ASSIGNED = 210
    BANNED = 301
    NICK_CHANGED = 303
    KICKED = 307
    AFFILIATION_LOST = 321  # no member any more, in a room for members
    MEMBERS_ONLY = 322  # the room is for members from now on
    SHUTDOWN = 332
    ERROR = 333  # a presence or message to it came back as an error
