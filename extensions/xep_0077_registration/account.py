"""Users change their password and remove their account (XEP-0077#usecases-changepw, XEP-0077#usecases-cancel).

After a change of the password every other session of the account ends: whoever knew only the old one is out. The
session that asked stays. After a removal it is told the result, then its stream ends as the others have.
"""

from __future__ import annotations

import logging
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from xmppd.config.values import bound
from xmppd.errors import StanzaError, StreamError
from xmppd.extension import Core, Extension, Setup
from xmppd.extensions.xep_0077_registration.query import NS, Ask, Submission, keys_of
from xmppd.jid import Jid, JidError
from xmppd.logs import fields
from xmppd.routing.iq import At, Request
from xmppd.routing.outbox import Outbox
from xmppd.sessions.session import Session
from xmppd.xml.element import Element, text_element

log = logging.getLogger("xmppd.accounts")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.account]``."""

    change_password: Annotated[bool, Meta(description="Whether users may change their password.")] = True
    remove: Annotated[bool, Meta(description="Whether users may remove their account.")] = True
    min_password_length: Annotated[int, bound(128, "Fewest characters of a new password.")] = 6


class OwnAccount:
    """What a user asks for the own account; the requests go to the server or to no address."""

    def __init__(self, core: Core, options: Options) -> None:
        self._core = core
        self._options = options

    async def on_ask(self, request: Request[Ask], outbox: Outbox) -> Element:
        session = _own_session(request)
        # XEP-0077#usecases-register: who has an account is told so
        children: list[Element | str] = [
            Element("registered", NS),
            text_element("instructions", NS, "You have an account. You can give it a new password."),
            text_element("username", NS, session.jid.local or ""),
            Element("password", NS),
        ]
        return Element("query", NS, children=children)

    async def on_submission(self, request: Request[Submission], outbox: Outbox) -> None:
        session = _own_session(request)
        if request.payload.remove:
            await self._remove(session, outbox)
        else:
            await self._change_password(session, request.payload)

    async def _change_password(self, session: Session, form: Submission) -> None:
        # XEP-0077#usecases-changepw has the conditions
        if not self._options.change_password:
            raise StanzaError("not-allowed", "passwords cannot be changed here")
        if self._core.config.tls.required and not session.secure:
            raise StanzaError("not-authorized", "this connection is not encrypted", type="modify")
        if not form.username or not form.password:
            raise StanzaError("bad-request", "give your user name and the new password")
        if not _names(form.username, session.jid.bare):
            raise StanzaError("not-allowed", "you can change your own password only")
        keys = await keys_of(form.password, self._core.passwords, least=self._options.min_password_length)
        await self._core.administration.set_credentials(session.jid.bare, keys, asker=session)
        log.info("password changed", extra=fields(user=session.jid, address=session.address))

    async def _remove(self, session: Session, outbox: Outbox) -> None:
        if not self._options.remove:
            raise StanzaError("not-allowed", "accounts cannot be removed here")
        await self._core.administration.delete(session.jid.bare, asker=session)
        log.info("account removed", extra=fields(user=session.jid, address=session.address))
        # XEP-0077#usecases-cancel: the result first, then the stream error
        outbox.call(lambda: session.link.fail(StreamError("not-authorized", "the account was deleted")))


def _own_session(request: Request[Ask] | Request[Submission]) -> Session:
    session, to = request.session, request.iq.to
    if session is None or to is None or to.domain != session.jid.domain:
        raise StanzaError("service-unavailable")  # XEP-0077#usecases-register: nobody else registers here
    return session


def _names(username: str, account: Jid) -> bool:
    """Whether ``username`` is the name or the address of ``account``."""
    address = username if "@" in username else f"{username}@{account.domain}"
    try:
        return Jid.parse(address) == account
    except JidError:
        return False


def setup(s: Setup, options: Options) -> None:
    account = OwnAccount(s.core, options)
    s.feature(NS)
    s.iq("get", Ask, account.on_ask, (At.SERVER, At.OWN))
    s.iq("set", Submission, account.on_submission, (At.SERVER, At.OWN))


EXTENSION: Final = Extension(
    name="account",
    xep="0077",
    version="2.4",
    summary="Users change their password and remove their account.",
    config=Options,
    setup=setup,
)
