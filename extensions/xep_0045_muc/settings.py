"""The settings of one room (XEP-0045#roomconfig), as they are stored."""

from __future__ import annotations

from typing import Literal

import msgspec

from xmppd.extensions.xep_0045_muc.names import Role


class RoomConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an owner may set. Stored as JSON: fields may be added, with a default; a stored one that is unknown by now
    is ignored.
    """

    locked: bool = (
        False  # XEP-0045#createroom-reserved: until its owner has configured it, nobody else enters
    )
    name: str = ""
    description: str = ""
    lang: str = ""
    persistent: bool = False
    public: bool = True
    members_only: bool = False
    moderated: bool = False
    password: str = ""  # "": none is asked for
    whois: Literal["moderators", "anyone"] = "moderators"
    occupants_change_subject: bool = False
    members_invite: bool = True
    private_messages: Literal["anyone", "participants", "moderators", "none"] = "anyone"
    broadcast: tuple[str, ...] = ("moderator", "participant", "visitor")  # whose presence all see
    member_list: tuple[str, ...] = ("moderator", "participant", "visitor")  # who may ask for lists
    archived: bool = True
    history: int = 20  # messages that who joins gets, unless the client says otherwise
    slow_seconds: int = 0  # between two messages of one person (XEP-0500); 0: none
    people: int = 0  # at most so many, below what the server allows; 0: that

    def shows(self, role: Role) -> bool:
        """Whether all hear of the presence of occupants with ``role``."""
        return role.name.lower() in self.broadcast


def encoded(config: RoomConfig) -> bytes:
    return msgspec.json.encode(config)


def decoded(config: bytes) -> RoomConfig:
    return msgspec.json.decode(config, type=RoomConfig)
