"""XEP-0441: Message Archive Management Preferences. Whose messages go into a user's history.

What is not to go there is still delivered: it waits for who is away, and is then forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final, Self

import msgspec

from xmppd.config.values import bound
from xmppd.errors import StanzaError
from xmppd.extension import Core
from xmppd.im.results import MAM
from xmppd.jid import Jid
from xmppd.routing.iq import Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.sessions.account import Account
from xmppd.sessions.facts import RosterChanged
from xmppd.storage.archive import Preferences
from xmppd.storage.interfaces import RosterItem
from xmppd.xml.element import Element, text_element

DEFAULTS: Final = ("always", "never", "roster")
_UNSET: Final = Preferences()


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.mam_preferences]``."""

    max_items: Annotated[int, bound(100_000, "Most addresses in the two lists of one account together.")] = (
        1_000
    )


@dataclass(frozen=True, slots=True)
class AskPreferences:
    """What does the user want?"""

    TAG: ClassVar[Name] = Name(MAM, "prefs")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class SetPreferences:
    """What the user wants from now on."""

    TAG: ClassVar[Name] = Name(MAM, "prefs")
    default: str
    always: frozenset[Jid]
    never: frozenset[Jid]

    @classmethod
    def parse(cls, element: Element) -> Self:
        default = element.get("default")
        if default not in DEFAULTS:
            # XEP-0441#config-default
            raise StanzaError("bad-request", f"the default is one of {', '.join(DEFAULTS)}")
        return cls(default, _jids(element, "always"), _jids(element, "never"))


def _jids(element: Element, name: str) -> frozenset[Jid]:
    """XEP-0441#config-always, XEP-0441#config-never: a missing list is an empty one."""
    listed = element.child(name)
    return frozenset() if listed is None else frozenset(Jid.of(jid.text()) for jid in listed.each("jid"))


def to_xml(preferences: Preferences) -> Element:
    """``<prefs/>`` with both lists, even if they are empty (XEP-0441#config)."""
    lists: list[Element | str] = [
        Element(name, MAM, children=[text_element("jid", MAM, str(jid)) for jid in sorted(jids)])
        for name, jids in (("always", preferences.always), ("never", preferences.never))
    ]
    return Element("prefs", MAM, {"default": preferences.default}, lists)


class Wishes:
    """What an account wants, as its ``Account`` keeps it where it wants anything unusual. ``contacts`` are the bare
    addresses in its roster, where that matters.
    """

    __slots__ = ("_preferences", "contacts")

    def __init__(self, preferences: Preferences, contacts: Iterable[Jid] = ()) -> None:
        self._preferences = preferences
        self.contacts = set(contacts)

    def keep(self, peer: Jid) -> bool:
        """Whether messages from and to ``peer`` are kept. The most exact rule holds (XEP-0441#match-rules); where both
        lists have the same address, ``never``.
        """
        always, never = self._preferences.always, self._preferences.never
        if peer in never:
            return False
        if peer in always:
            return True
        bare = peer.bare
        if bare in never:
            return False
        if bare in always:
            return True
        default = self._preferences.default
        return default == "always" or (default == "roster" and bare in self.contacts)


class Keeping:
    """Keeps and obeys the preferences. Who wants everything kept costs one look into a dict per message."""

    def __init__(self, core: Core, options: Options) -> None:
        self._core = core
        self._store = core.stores.preferences
        self._options = options

    async def load(self, account: Account) -> None:
        await self._obey(account, await self._store.load(account.id))

    async def _obey(self, account: Account, preferences: Preferences | None) -> None:
        if preferences is None or replace(preferences, days=None) == _UNSET:
            account.drop(Wishes)
            return
        contacts: Iterable[Jid] = ()
        if preferences.default == "roster":
            roster = await self._core.rosters.get(account)
            contacts = [item.jid.bare for item in roster.items.values() if item.listed]
        account.put(Wishes(preferences, contacts))

    def keeps(self, account: Account, peer: Jid) -> bool:
        """Whether ``account`` wants messages from and to ``peer`` in its history."""
        wishes = account.get(Wishes)
        return wishes is None or wishes.keep(peer)

    def on_roster(self, fact: RosterChanged) -> None:
        account = self._core.accounts.peek(fact.account)
        wishes = None if account is None else account.get(Wishes)
        if wishes is not None:
            contact = fact.update.contact.bare
            if _is_contact(fact.update.after):
                wishes.contacts.add(contact)
            else:
                wishes.contacts.discard(contact)

    async def on_get(self, request: Request[AskPreferences], outbox: Outbox) -> Element:
        return to_xml(await self._store.load(request.own.id) or _UNSET)

    async def on_set(self, request: Request[SetPreferences], outbox: Outbox) -> Element:
        account, wanted = request.own, request.payload
        most = self._options.max_items
        if 0 < most < len(wanted.always) + len(wanted.never):
            raise StanzaError("resource-constraint", f"the two lists have at most {most} addresses together")
        after = Preferences(wanted.default, wanted.always, wanted.never)
        await self._store.save(account.id, after)
        await self._obey(account, after)
        self._core.accounts.forget(account.jid)  # other nodes read it again
        return to_xml(after)


def _is_contact(item: RosterItem | None) -> bool:
    return item is not None and item.listed


async def refuse(request: Request[AskPreferences | SetPreferences], outbox: Outbox) -> Element:
    """XEP-0441#config: the preferences of somebody else; whether there are any is not told."""
    raise StanzaError("forbidden", "preferences are for their owner alone")
