"""A room as its home knows it: settings, lists and who is there. Changed only by what is done in the room's turn."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Iterator

from xmppd.extensions.xep_0045_muc.names import OCCUPANT_ID, Role
from xmppd.extensions.xep_0045_muc.nicks import likeness
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
    """A nick in the room and whose it is: all clients of ``user`` (bare) that entered with it (XEP-0045#enter-conflict
    lets several clients of one person share a nick).
    """

    __slots__ = ("clients", "id", "jid", "likeness", "nick", "role", "user")

    def __init__(self, jid: Jid, user: Jid, role: Role, id: str) -> None:
        """``jid`` is the occupant's address ``room@service/nick``, ``id`` what XEP-0421 calls it."""
        self.user = user
        self.role = role
        self.id = id
        self.clients: dict[Jid, Attendance] = {}
        self.rename(jid)

    def rename(self, jid: Jid) -> None:
        """Its address is ``jid`` now."""
        self.jid = jid
        self.nick = jid.resource or ""
        self.likeness = likeness(self.nick)

    @property
    def presence(self) -> Presence:
        """What one of its clients sent last."""
        return next(reversed(self.clients.values())).presence

    def show(self, client: Attendance, presence: Presence) -> None:
        """``client``, which is one of its own, has sent ``presence``."""
        client.presence = presence
        del self.clients[client.jid]
        self.clients[client.jid] = client


class Room:
    """``occupants`` by nick; ``attending`` by the full JID of each client."""

    def __init__(self, record: RoomRecord, turns: Turns) -> None:
        self.id = record.id
        self.jid = record.jid
        self.config: RoomConfig = decoded(record.config)
        self.subject: Subject | None = record.subject
        self.affiliations: dict[Jid, Affiliated] = dict(record.affiliations)
        self.version = record.version
        self.created = record.created
        self.occupants: dict[str, Occupant] = {}
        self.attending: dict[Jid, Occupant] = {}
        self.turns = turns
        self.gone = False  # it was destroyed: who still holds it does nothing with it any more
        self._secret = record.secret

    def entry(self, user: Jid) -> Affiliated:
        """What the room's lists say of ``user`` (bare)."""
        return self.affiliations.get(user, NOBODY)

    def affiliation(self, user: Jid) -> Affiliation:
        """Of ``user`` (bare), or of all on the same domain, where that is banned (XEP-0045#modifyban)."""
        entry = self.affiliations.get(user) or self.affiliations.get(Jid.parse(user.domain))
        return Affiliation.NONE if entry is None else entry.affiliation

    def members(self) -> Iterator[tuple[Jid, Affiliated]]:
        """Owners, admins and members."""
        return (item for item in self.affiliations.items() if item[1].affiliation >= Affiliation.MEMBER)

    def of(self, user: Jid) -> list[Occupant]:
        """The occupants that are ``user`` (bare)."""
        return [each for each in self.occupants.values() if each.user == user]

    def like(self, nick: str) -> Occupant | None:
        """The occupant whose nick is ``nick``, or one that people cannot tell from it."""
        found = self.occupants.get(nick)
        if found is None:
            wanted = likeness(nick)
            found = next((each for each in self.occupants.values() if each.likeness == wanted), None)
        return found

    def address(self, nick: str) -> Jid:
        """The occupant's address with ``nick``, which is prepared."""
        return Jid(self.jid.local, self.jid.domain, nick)

    def occupant_id(self, user: Jid) -> str:
        """XEP-0421#id-generation: the same for one person in one room, whatever the nick; tells nothing else."""
        digest = hmac.digest(self._secret, str(user).encode(), hashlib.sha256)
        return b32encode(digest[:20]).decode().lower()

    def role_of(self, affiliation: Affiliation) -> Role:
        """With which role somebody enters (XEP-0045#roles-default)."""
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
        """Whether ``occupant`` sees who is behind the nicks (XEP-0045#enter-nonanon, #enter-semianon)."""
        return occupant.role is Role.MODERATOR or self.config.whois == "anyone"

    def id_element(self, occupant: Occupant) -> Element:
        return Element("occupant-id", OCCUPANT_ID, {"id": occupant.id})
