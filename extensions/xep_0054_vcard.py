"""XEP-0054: vcard-temp, and XEP-0153: the photo's hash in presence.

Each account has one vCard, which everybody may read. Contacts learn of a photo by its hash in presence. The server
puts it there for clients that do not say themselves what their photo is (XEP-0398#presence), and sends the
presence of such clients again when the photo changes.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

from msgspec import Struct

from xmppd import ns
from xmppd.config import bound
from xmppd.errors import StanzaError
from xmppd.extension import Extension, Setup, Xep
from xmppd.jid import Jid
from xmppd.routing.disco import Entity
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.routing.pipeline import PASS, Outbound, Replace, Verdict
from xmppd.sessions.account import Account
from xmppd.sessions.session import Session
from xmppd.stanza import Presence
from xmppd.storage.interfaces import Vcard, VcardStore
from xmppd.xml.element import Element, text_element
from xmppd.xml.fragment import from_bytes
from xmppd.xml.writer import to_bytes

NS: Final = "vcard-temp"
UPDATE: Final = "vcard-temp:x:update"
TAG: Final = Name(NS, "vCard")


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on vCards."""

    max_bytes: Annotated[int, bound(16_777_216, "Largest vCard, its photo included.", least=4_096)] = 131_072


@dataclass(frozen=True, slots=True)
class Query:
    """Asks for a vCard, or stands for one whose contents do not matter."""

    TAG: ClassVar[Name] = TAG

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class Update:
    """A whole new vCard."""

    TAG: ClassVar[Name] = TAG
    vcard: Vcard

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(Vcard(to_bytes(element, context=""), _photo_hash(element)))


def _photo_hash(vcard: Element) -> str:
    """The SHA-1 of the photo's bytes in hexadecimal; "" where there is no photo (XEP-0153#publish)."""
    photo = vcard.child("PHOTO")
    binval = None if photo is None else photo.child("BINVAL")
    text = (
        "" if binval is None else "".join(binval.text().split())
    )  # XEP-0153#bizrules-image: spaces are ignored
    if not text:
        return ""
    try:
        return hashlib.sha1(b64decode(text, validate=True), usedforsecurity=False).hexdigest()
    except ValueError as err:
        raise StanzaError("bad-request", f"PHOTO/BINVAL is no base64: {err}") from err


class Photo:
    """Kept with an account that has a vCard. ``update`` stands in presence; it is told by identity that it is ours."""

    __slots__ = ("hash", "update")

    def __init__(self, hash: str) -> None:
        self.hash = hash
        self.update = Element("x", UPDATE, children=[text_element("photo", UPDATE, hash)])


class Vcards:
    def __init__(self, store: VcardStore, config: Config) -> None:
        self._store = store
        self._limit = config.max_bytes

    async def on_own(self, request: Request[Query], outbox: Outbox) -> Element:
        # XEP-0054#usecases allows an empty vCard or an error; clients that want to change theirs trip over the error
        vcard = await self._store.get(request.own.id)
        return Element("vCard", NS) if vcard is None else from_bytes(vcard.xml)

    async def on_other(self, request: Request[Query], outbox: Outbox) -> Element:
        # XEP-0054#usecases: the same error for an account without vCard as for no account
        vcard = None if request.account is None else await self._store.get(request.account.id)
        if vcard is None:
            raise StanzaError("service-unavailable")
        return from_bytes(vcard.xml)

    async def on_set(self, request: Request[Update], outbox: Outbox) -> None:
        account, vcard = request.own, request.payload.vcard
        if self._limit and len(vcard.xml) > self._limit:
            raise StanzaError(
                "policy-violation", f"the vCard has {len(vcard.xml)} bytes; {self._limit} are allowed"
            )
        await self._store.put(account.id, vcard)
        outbox.call(lambda: self._changed(account, vcard.photo_hash))

    async def on_intrusion(self, request: Request[Query], outbox: Outbox) -> None:
        # XEP-0054#usecases: the same whether the account exists or not
        raise StanzaError("forbidden", "a vCard is changed by its owner alone")

    # The photo in presence

    async def load(self, account: Account) -> None:
        hash = await self._store.photo_hash(account.id)
        if hash is not None:
            account.put(Photo(hash))

    def on_presence(self, presence: Presence, account: Account) -> Verdict:
        photo = account.get(Photo)
        if photo is None or presence.type:
            return PASS
        update = presence.child("x", UPDATE)
        if update is not None and update.child("photo") is not None:
            return PASS  # the client says itself what its photo is, or that it shows none (XEP-0153#bizrules-presence)
        others = [child for child in presence.children if child is not update]
        return Replace(presence.with_children([*others, photo.update]))

    def _changed(self, account: Account, hash: str) -> None:
        before = account.get(Photo)
        if before is not None and before.hash == hash:
            return
        account.put(Photo(hash))
        for resource in account.available():
            if isinstance(resource, Session) and resource.presence is not None:
                _send_again(resource, resource.presence, before)


def _send_again(session: Session, presence: Presence, before: Photo | None) -> None:
    """Let ``session`` broadcast its ``presence`` without what the server had added, unless it speaks for itself."""
    update = presence.child("x", UPDATE)
    ours = before is not None and update is before.update
    if not ours and update is not None and update.child("photo") is not None:
        return
    element = presence.element()
    session.act(
        Element(
            "presence",
            ns.CLIENT,
            {key: value for key, value in element.attrs.items() if key != "from"},
            [
                child
                for child in element.children
                if child is not update and not _is_stamp(child, session.jid)
            ],
        )
    )


def _is_stamp(child: Element | str, jid: Jid) -> bool:
    """Whether ``child`` is the time at which the server took the presence (XEP-0203)."""
    return isinstance(child, Element) and child.ns == ns.DELAY and child.get("from") == jid.domain


def setup(s: Setup, config: Config) -> None:
    vcards = Vcards(s.core.stores.vcards, config)
    s.feature(NS, at=(Entity.SERVER, Entity.ACCOUNT))
    s.iq("get", Query, vcards.on_own, (At.OWN,))
    s.iq("get", Query, vcards.on_other, (At.ACCOUNT,))
    s.iq("set", Update, vcards.on_set, (At.OWN,))
    s.iq("set", Query, vcards.on_intrusion, (At.ACCOUNT, At.NOBODY))
    s.account_data(vcards.load)
    s.stage(Outbound.ANNOTATE, vcards.on_presence, (Presence,))


EXTENSION: Final = Extension(
    name="vcard",
    xep="0054",
    version="1.3.0",
    summary="Users publish a visiting card, and their photo to all contacts, whatever client they use.",
    config=Config,
    setup=setup,
    also=(Xep(number="0153", version="1.1.1"),),
)
