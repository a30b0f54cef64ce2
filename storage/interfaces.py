"""What the server needs of its storage: one Protocol per aggregate, whose docstrings are the contract.

Implementations subclass these, so a missing method is a type error. Domain types go in and come out; rows stay
inside. ``owner`` is an account's id (``AccountRecord.id``): positive, never reused. Every method is one transaction,
durable when it returns; each may raise ``StorageUnavailable``, after which nothing of it has happened.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.archive import (
    ArchiveStore,
    ChatListStore,
    CursorStore,
    DictionaryStore,
    PendingStore,
    PreferenceStore,
)
from xmppd.storage.rooms import RoomStore


class StorageUnavailable(UserError):
    """The storage cannot do what was asked for a reason outside the program (disk full, file gone, server away)."""


class AccountExists(Exception):
    """An account with that address is there already."""


class NoSuchAccount(Exception):
    """There is no account with that id or address."""


class RosterFull(Exception):
    """The roster holds as many items as the limit allows."""


class BlocklistFull(Exception):
    """The block list holds as many addresses as the limit allows."""


class PrivateFull(Exception):
    """As many private elements are kept for the account as the limit allows."""


class ScramHash(Enum):
    """The hash functions of SCRAM that are served; the value is what ``hashlib`` calls it."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA512 = "sha512"


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What SCRAM needs to check a password without knowing it (RFC 5802#3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


Credentials = Mapping[ScramHash, ScramKeys]


@dataclass(frozen=True, slots=True)
class LastSeen:
    """When the account's last available resource went away, in seconds since the epoch, and the status text it left."""

    at: float
    status: str = ""


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """One account. ``jid`` is bare, ``created`` in seconds since the epoch.

    ``last_seen`` is None until the first session ended.
    """

    id: int
    jid: Jid
    created: float
    last_seen: LastSeen | None = None


class AccountStore(Protocol):
    """Accounts, their credentials and when they were last seen."""

    @abstractmethod
    async def create(self, accounts: Sequence[tuple[Jid, Credentials]], *, now: float) -> list[int]:
        """Create all of ``accounts`` or none; their ids, in order.

        ``AccountExists`` (text: the address) if one is there.
        """

    @abstractmethod
    async def get(self, jid: Jid) -> AccountRecord | None:
        """The account of the bare address ``jid``."""

    @abstractmethod
    async def credentials(self, jid: Jid) -> Credentials | None:
        """The keys of the account ``jid``; None where there is no such account."""

    @abstractmethod
    async def set_credentials(self, jid: Jid, credentials: Credentials) -> None:
        """Replace the keys of ``jid``; ``NoSuchAccount`` if there is none."""

    @abstractmethod
    async def delete(self, jid: Jid) -> None:
        """Remove the account, everything that it owns in any aggregate, and what others approved for it in advance
        (``RosterItem.approved``); ``NoSuchAccount`` if there is none.

        Its archive, which may be large, is emptied in portions behind that; what a crash leaves of it, within hours.
        """

    @abstractmethod
    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = 100
    ) -> list[AccountRecord]:
        """At most ``limit`` accounts in order of domain, then localpart, behind ``after``.

        ``contains`` filters localparts.
        """

    @abstractmethod
    async def set_last_seen(self, owner: int, seen: LastSeen) -> None:
        """Remember ``seen``; nothing happens where the account is gone."""

    @abstractmethod
    async def last_seen(
        self, jids: Iterable[Jid], *, unless_blocking: Iterable[Jid] = ()
    ) -> dict[Jid, LastSeen]:
        """What is known of the accounts ``jids``; unknown ones are left out.

        So are those whose block list holds one of the addresses ``unless_blocking``.
        """


class Subscription(Enum):
    """RFC 6121#2.1.2.5: who may see whose presence. The value is what stands in the ``subscription`` attribute."""

    NONE = "none"
    TO = "to"
    FROM = "from"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class RosterItem:
    """What an account's roster says about ``jid`` (bare, or with a resource where the user put one).

    ``ask``: our subscription request is out (``ask='subscribe'``). ``approved``: pre-approval (RFC 6121#3.4).
    ``request``: the contact's request waits for an answer; it holds that stanza as bytes, to be delivered again
    (RFC 6121#3.1.3). ``listed``: the user sees the item; one that only carries a request is not listed
    (RFC 6121#3.1.3: it must not be pushed).
    """

    jid: Jid
    name: str = ""
    groups: tuple[str, ...] = ()
    subscription: Subscription = Subscription.NONE
    ask: bool = False
    approved: bool = False
    request: bytes | None = None
    listed: bool = True

    @property
    def sees_them(self) -> bool:
        """We receive the contact's presence."""
        return self.subscription in (Subscription.TO, Subscription.BOTH)

    @property
    def sees_us(self) -> bool:
        """The contact receives our presence."""
        return self.subscription in (Subscription.FROM, Subscription.BOTH)


@dataclass(frozen=True, slots=True)
class Roster:
    """A whole roster. ``version`` grows with each change that a client sees (RFC 6121#2.6)."""

    version: int = 0
    items: Mapping[Jid, RosterItem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RosterChange:
    """Replace ``owner``'s item for ``contact`` by what ``change`` makes of it; None: there is no item.

    ``change`` is pure and quick; it runs inside the transaction and may raise, which undoes all of it.
    """

    owner: int
    contact: Jid
    change: Callable[[RosterItem | None], RosterItem | None]


@dataclass(frozen=True, slots=True)
class RosterUpdate:
    """What a ``RosterChange`` did; ``version`` is the roster's afterwards."""

    owner: int
    contact: Jid
    before: RosterItem | None
    after: RosterItem | None
    version: int

    @property
    def visible(self) -> bool:
        """Whether the user's clients have to be told (RFC 6121#2.1.6)."""
        return _listed(self.before) != _listed(self.after)


def _listed(item: RosterItem | None) -> tuple[object, ...] | None:
    if item is None or not item.listed:
        return None
    return item.name, item.groups, item.subscription, item.ask, item.approved


class RosterStore(Protocol):
    """Rosters with their subscription states."""

    @abstractmethod
    async def load(self, owner: int) -> Roster:
        """The whole roster; an empty one of version 0 where there is none."""

    @abstractmethod
    async def update(
        self, changes: Sequence[RosterChange], *, limit: int = 0, request_limit: int | None = None
    ) -> list[RosterUpdate]:
        """Apply all ``changes`` in order, in one transaction, or none.

        The version of a roster grows by one for each of its changes that is ``visible``. ``RosterFull`` if one of them
        adds an item to a roster that holds ``limit`` items (0: no limit); listed ones and those
        that are not are counted apart, so that strangers' requests leave the user's own contacts their room: for those
        that are not listed ``request_limit`` holds (None: the same). No change is lost among concurrent callers.
        """


class BlocklistStore(Protocol):
    """XEP-0191 block lists."""

    @abstractmethod
    async def load(self, owner: int) -> frozenset[Jid]:
        """Every blocked address."""

    @abstractmethod
    async def add(self, owner: int, jids: Iterable[Jid], *, limit: int) -> frozenset[Jid]:
        """Block ``jids``; those that were not blocked before.

        ``BlocklistFull`` if that makes them more than ``limit`` (0: no limit).
        """

    @abstractmethod
    async def remove(self, owner: int, jids: Iterable[Jid] | None) -> frozenset[Jid]:
        """Unblock ``jids``, or all where None; those that were blocked before."""


class PrivateStore(Protocol):
    """XEP-0049: XML that a client keeps for itself, by the name and namespace of its root."""

    @abstractmethod
    async def get(self, owner: int, name: str, space: str) -> bytes | None:
        """The stored element as UTF-8 with its own ``xmlns``."""

    @abstractmethod
    async def put(self, owner: int, entries: Iterable[tuple[str, str, bytes]], *, limit: int = 0) -> None:
        """Store each ``(name, namespace, element)``, all or none; what was there under the same name is replaced.

        ``PrivateFull`` if that adds to them and makes them more than ``limit`` (0: no limit).
        """


@dataclass(frozen=True, slots=True)
class Vcard:
    """A vCard as UTF-8 and the SHA-1 of its photo's bytes in hexadecimal; "" where it has none (XEP-0153)."""

    xml: bytes
    photo_hash: str = ""


class VcardStore(Protocol):
    """XEP-0054 vCards."""

    @abstractmethod
    async def get(self, owner: int) -> Vcard | None: ...

    @abstractmethod
    async def photo_hash(self, owner: int) -> str | None:
        """The vCard's ``photo_hash`` alone, which is quick; None where there is no vCard."""

    @abstractmethod
    async def put(self, owner: int, vcard: Vcard) -> None: ...


class SecretStore(Protocol):
    """Random keys that every node of a server shares and that survive restarts."""

    @abstractmethod
    async def get(self, name: str, *, size: int = 32) -> bytes:
        """The secret ``name`` of ``size`` bytes; made and stored at the first call, the same ever after.

        ``ValueError`` if it was made with another ``size``.
        """


@dataclass(frozen=True, slots=True)
class Stores:
    """Every aggregate of one storage. Whoever opened it awaits ``close()``, which first does what was asked before.

    ``maintain`` does what a storage needs from time to time, such as room for the coming month; opening it did so too.
    """

    accounts: AccountStore
    rosters: RosterStore
    blocklists: BlocklistStore
    private: PrivateStore
    vcards: VcardStore
    archive: ArchiveStore
    pending: PendingStore
    cursors: CursorStore
    chat_lists: ChatListStore
    preferences: PreferenceStore
    rooms: RoomStore
    dictionaries: DictionaryStore
    secrets: SecretStore
    maintain: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
