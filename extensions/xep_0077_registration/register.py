"""Strangers make themselves an account before they log in (XEP-0077#usecases-register). Off unless it is enabled.

What one address may register is bounded, and so is how many passwords are hashed for strangers at a time.
"""

from __future__ import annotations

import logging
from math import ceil
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from xmppd import ns
from xmppd.auth.throttle import Buckets, ThrottleConfig
from xmppd.config.values import bound
from xmppd.errors import StanzaError
from xmppd.extension import Core, Extension, Setup
from xmppd.extensions.xep_0077_registration.query import NS, Submission, blank, keys_of
from xmppd.jid import Jid, JidError, prepare_local
from xmppd.logs import fields
from xmppd.networks import network_of
from xmppd.sessions.offers import StreamInfo
from xmppd.storage.interfaces import AccountExists, StorageUnavailable
from xmppd.xml.element import Element

FEATURE: Final = "http://jabber.org/features/iq-register"

_HOUR: Final = 3_600.0

log = logging.getLogger("xmppd.accounts")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.register]``."""

    per_address_per_hour: Annotated[
        int,
        bound(
            1_000_000,
            "Attempts to register an account from one IPv4 address or one IPv6 /64 network in an hour.",
        ),
    ] = 20
    min_password_length: Annotated[int, bound(128, "Fewest characters of a password.")] = 6
    instructions: Annotated[str, Meta(description="What people read above the form.", max_length=10_000)] = (
        "Choose a user name and a password."
    )


class Registration:
    """Answers IQs of clients that have not logged in."""

    def __init__(self, core: Core, options: Options) -> None:
        self._core = core
        self._options = options
        self._attempts = Buckets(
            options.per_address_per_hour, ThrottleConfig(window_seconds=_HOUR), core.clock
        )

    def offer(self, stream: StreamInfo) -> Element | None:
        return Element("register", FEATURE) if stream.user is None else None

    async def on_iq(self, stream: StreamInfo, iq: Element) -> Element:
        type, id, to = iq.get("type"), iq.get("id"), iq.get("to")
        if type not in ("get", "set") or not id:
            raise StanzaError("bad-request", "an iq has an id, and a request is a get or a set")
        if to is not None and Jid.of(to) != stream.domain:
            raise StanzaError("not-allowed", f"before you log in you can speak to {stream.domain} only")
        if self._core.config.tls.required and not stream.secure:
            raise StanzaError("not-authorized", "start TLS first")  # XEP-0077#security
        query = iq.child("query", NS)
        assert query is not None  # what it is registered for
        reply = Element("iq", ns.CLIENT, {"type": "result", "id": id})
        if type == "get":
            reply.children.append(blank(self._options.instructions))
        else:
            await self._register(stream, Submission.parse(query))
        return reply

    async def _register(self, stream: StreamInfo, form: Submission) -> None:
        if form.remove:  # XEP-0077#usecases-cancel
            raise StanzaError("unexpected-request", "log in to remove your account")
        if not form.username or not form.password:  # XEP-0077#usecases-register
            raise StanzaError("not-acceptable", "give a user name and a password")
        self._count(stream.address)  # before the name is prepared, which may take milliseconds
        try:
            jid = Jid(prepare_local(form.username), stream.domain.domain)
        except JidError as err:
            raise StanzaError("not-acceptable", str(err)) from err
        try:
            await self._create(jid, form.password)
        except StorageUnavailable as err:
            log.error("storage: %s", err)
            raise StanzaError(
                "resource-constraint", "nothing can be stored right now; try again later"
            ) from err
        log.info("registered", extra=fields(user=jid, address=stream.address))

    async def _create(self, jid: Jid, password: str) -> None:
        administration, taken = self._core.administration, StanzaError("conflict", "the name is taken")
        # what makes an administrator is the name alone, so nobody just takes it
        if jid in self._core.config.admins or await administration.existing([jid]):
            raise taken
        keys = await keys_of(password, self._core.passwords, least=self._options.min_password_length)
        try:
            await administration.create_many([(jid, keys)])
        except AccountExists as err:
            raise taken from err

    def _count(self, address: str) -> None:
        """One more attempt; also with a name that is none, or taken: else names could be guessed without end."""
        key = hash(network_of(address))
        wait = self._attempts.wait(key)
        if wait > 0:
            raise StanzaError("resource-constraint", f"too many accounts; try again in {ceil(wait)} seconds")
        self._attempts.add(key)


def setup(s: Setup, options: Options) -> None:
    registration = Registration(s.core, options)
    s.stream_feature(registration.offer)
    s.early_iq("query", NS, registration.on_iq)


EXTENSION: Final = Extension(
    name="register",
    xep="",  # named once, by ``account``
    version="",
    summary="Anybody can make an account, from any client (the other half of XEP-0077).",
    config=Options,
    setup=setup,
    enabled=False,
)
