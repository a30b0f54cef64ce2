"""A room as its home knows it: settings, lists and who is there. Changed only by what is done in the room's turn."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Iterator

from xmppd.extensions.xep_0045_muc.names import OCCUPANT_ID, Role
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, decoded
from xmppd.extensions.xep_0045_muc.turns import Turns
from xmppd.jid import Jid
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Presence
from xmppd.storage.rooms import Affiliated, Affiliation, RoomRecord, Subject
from xmppd.xml.element import Element

NOBODY = Affiliated(Affiliation.NONE)


class Attendance:
    """One client in the room. ``session``: its session, if it is one of this node. ``presence``: what it sent last.
    ``held``: messages, with their rows in the archive (0: none), that wait until it has the history; None: it has.
    """

    __slots__ = ("held", "jid", "presence", "session")

    def __init__(self, jid: Jid, session: Session | None, presence: Presence) -> None:
        self.jid = jid
        self.session = session
        self.presence = presence
        self.held: list[tuple[Message, int]] | None = []


class Occupant:
    """A nick in the room and whose it is: all clients of ``user`` (bare) that entered with it (XEP-0045#enter-multi
    is the same nick for several clients of one person).
    """

    __slots__ = ("clients", "id", "jid", "nick", "role", "user")

    def __init__(self, jid: Jid, user: Jid, role: Role, id: str) -> None:
        """``jid`` is the occupant's address ``room@service/nick``, ``id`` what XEP-0421 calls it."""
        self.jid = jid
        self.nick = jid.resource or ""
        self.user = user
        self.role = role
        self.id = id
        self.clients: dict[Jid, Attendance] = {}

    @property
    def presence(self) -> Presence:
        """What one of its clients sent last."""
        return next(reversed(self.clients.values())).presence


class Room:
    """``occupants`` by nick; ``attending`` by the full JID of each client."""

    def __init__(self, record: RoomRecord) -> None:
        self.id = record.id
        self.jid = record.jid
        self.config: RoomConfig = decoded(record.config)
        self.subject: Subject | None = record.subject
        self.affiliations: dict[Jid, Affiliated] = dict(record.affiliations)
        self.version = record.version
        self.created = record.created
        self.occupants: dict[str, Occupant] = {}
        self.attending: dict[Jid, Occupant] = {}
        self.turns = Turns()
        self.gone = False  # it was destroyed: who still holds it does nothing with it any more
        self._secret = record.secret

    def entry(self, user: Jid) -> Affiliated:
        """What the room's lists say of ``user`` (bare)."""
        return self.affiliations.get(user, NOBODY)

    def affiliation(self, user: Jid) -> Affiliation:
        return self.entry(user).affiliation

    def members(self) -> Iterator[tuple[Jid, Affiliated]]:
        """Owners, admins and members."""
        return (item for item in self.affiliations.items() if item[1].affiliation >= Affiliation.MEMBER)

    def of(self, user: Jid) -> list[Occupant]:
        """The occupants that are ``user`` (bare)."""
        return [each for each in self.occupants.values() if each.user == user]

    def occupant_id(self, user: Jid) -> str:
        """XEP-0421#id-generation: the same for one person in one room, whatever the nick; tells nothing else."""
        digest = hmac.digest(self._secret, str(user).encode(), hashlib.sha256)
        return b32encode(digest[:20]).decode().lower()

    def role_of(self, affiliation: Affiliation) -> Role:
        """With which role somebody enters (XEP-0045#affil)."""
        if affiliation >= Affiliation.ADMIN:
            return Role.MODERATOR
        if affiliation is Affiliation.MEMBER or not self.config.moderated:
            return Role.PARTICIPANT
        return Role.VISITOR

    def clients(self) -> Iterator[tuple[Occupant, Attendance]]:
        """Every client in the room."""
        for occupant in self.occupants.values():
            for attendance in occupant.clients.values():
                yield occupant, attendance

    def sees_jids(self, occupant: Occupant) -> bool:
        """Whether ``occupant`` sees who is behind the nicks (XEP-0045#roomconfig-whois)."""
        return occupant.role is Role.MODERATOR or self.config.whois == "anyone"

    def id_element(self, occupant: Occupant) -> Element:
        return Element("occupant-id", OCCUPANT_ID, {"id": occupant.id})
