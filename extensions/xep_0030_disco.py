"""XEP-0030: Service Discovery, of the server and of accounts. What there is to tell, others have put into ``Disco``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.extension import Extension, NoOptions, Setup
from xmppd.im.rosters import Rosters
from xmppd.routing.disco import Disco, Entity, Identity, Info, InfoQuery, Item, ItemsQuery, items_xml
from xmppd.routing.iq import At, Request
from xmppd.routing.outbox import Outbox
from xmppd.xml.element import Element


class Discovery:
    def __init__(self, disco: Disco, rosters: Rosters) -> None:
        self._disco = disco
        self._rosters = rosters

    async def on_server_info(self, request: Request[InfoQuery], outbox: Outbox) -> Element:
        return self._info(Entity.SERVER, request.payload.node)

    async def on_account_info(self, request: Request[InfoQuery], outbox: Outbox) -> Element:
        if not await self._trusts(request):
            # XEP-0030#security: no other answer than for an account that does not exist
            raise StanzaError("service-unavailable")
        return self._info(Entity.ACCOUNT, request.payload.node)

    async def on_server_items(self, request: Request[ItemsQuery], outbox: Outbox) -> Element:
        domain = request.iq.to
        assert domain is not None
        return self._items(Entity.SERVER, request.payload.node, self._disco.server_items(domain))

    async def on_account_items(self, request: Request[ItemsQuery], outbox: Outbox) -> Element:
        account, node = request.account, request.payload.node
        if account is None or not await self._trusts(request):
            return items_xml(node, ())  # XEP-0030#security: empty, whether the account exists or not
        return self._items(Entity.ACCOUNT, node, [Item(resource.jid) for resource in account.available()])

    async def _trusts(self, request: Request[InfoQuery] | Request[ItemsQuery]) -> bool:
        """Whether the sender may see the presence of the account that is asked about."""
        if request.at is At.OWN:
            return True
        account = request.account
        return account is not None and (await self._rosters.get(account)).shows_to(request.sender)

    def _info(self, entity: Entity, node: str) -> Element:
        return (self._node(entity, node) if node else self._disco.info(entity)).xml(node)

    def _items(self, entity: Entity, node: str, items: Sequence[Item]) -> Element:
        if node:
            self._node(entity, node)
            return items_xml(node, ())  # no node of ours has items
        return items_xml("", items)

    def _node(self, entity: Entity, name: str) -> Info:
        info = self._disco.node_info(entity, name)
        if info is None:
            raise StanzaError("item-not-found", "there is no such node")  # XEP-0030#errors
        return info


def setup(s: Setup, config: NoOptions) -> None:
    discovery = Discovery(s.core.disco, s.core.rosters)
    s.feature(ns.DISCO_INFO, ns.DISCO_ITEMS, at=(Entity.SERVER, Entity.ACCOUNT))
    s.identity(Identity("server", "im", name="xmppd"))
    s.identity(Identity("account", "registered"), (Entity.ACCOUNT,))
    s.iq("get", InfoQuery, discovery.on_server_info, (At.SERVER,))
    s.iq("get", InfoQuery, discovery.on_account_info, (At.OWN, At.ACCOUNT))
    s.iq("get", ItemsQuery, discovery.on_server_items, (At.SERVER,))
    s.iq("get", ItemsQuery, discovery.on_account_items, (At.OWN, At.ACCOUNT, At.NOBODY))


EXTENSION: Final = Extension(
    name="disco",
    xep="0030",
    version="2.5.0",
    summary="Clients and other servers can ask what the server and its accounts can do.",
    config=NoOptions,
    setup=setup,
)
