"""XEP-0313: Message Archive Management. Every device sees the whole history; XEP-0441: whose messages are in it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from xmppd.extension import Extension, Setup
from xmppd.extensions.xep_0313_mam import preferences
from xmppd.extensions.xep_0313_mam.history import History, refuse
from xmppd.extensions.xep_0313_mam.preferences import AskPreferences, Keeping, SetPreferences
from xmppd.im.archive_queries import AskForm, AskMetadata, Query
from xmppd.im.pages import Pages
from xmppd.im.results import MAM
from xmppd.routing import rsm
from xmppd.routing.disco import Entity
from xmppd.routing.iq import At
from xmppd.sessions.facts import RosterChanged

_OTHERS: Final = (At.ACCOUNT, At.NOBODY)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.mam]``."""

    page: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=1_000, description="Messages in one answer where the client does not say how many."
        ),
    ] = 50
    max_page: Annotated[
        int,
        msgspec.Meta(ge=1, le=1_000, description="Most messages in one answer, whatever the client says."),
    ] = 100


def setup(s: Setup, options: Options) -> None:
    core = s.core
    archive, ids = core.stores.archive, core.stanza_ids
    history = History(archive, Pages(archive, ids, usual=options.page, most=options.max_page), ids)
    # XEP-0313#support, XEP-0059#support: where archives are, which is not at the server
    s.feature(MAM, f"{MAM}#extended", f"{MAM}#groupchat-field", rsm.NS, at=(Entity.ACCOUNT,))
    s.iq("get", AskForm, history.on_form, at=(At.OWN,))
    s.iq("set", Query, history.on_query, at=(At.OWN,))
    s.iq("get", AskMetadata, history.on_metadata, at=(At.OWN,))
    s.iq("get", AskForm, refuse, at=_OTHERS)
    s.iq("set", Query, refuse, at=_OTHERS)
    s.iq("get", AskMetadata, refuse, at=_OTHERS)


def set_up_preferences(s: Setup, options: preferences.Options) -> None:
    keeping = Keeping(s.core, options)
    s.account_data(keeping.load)
    s.on(RosterChanged, keeping.on_roster)
    s.core.messages.set_keeps(keeping.keeps)
    s.iq("get", AskPreferences, keeping.on_get, at=(At.OWN,))
    s.iq("set", SetPreferences, keeping.on_set, at=(At.OWN,))
    s.iq("get", AskPreferences, preferences.refuse, at=_OTHERS)
    s.iq("set", SetPreferences, preferences.refuse, at=_OTHERS)


EXTENSION: Final = Extension(
    name="mam",
    xep="0313",
    version="1.1.3",
    summary="Every device of a user sees the whole history, back to the first day.",
    config=Options,
    setup=setup,
)

PREFERENCES: Final = Extension(
    name="mam_preferences",
    xep="0441",
    version="0.2.0",
    summary="Users say whose messages are not kept in their history.",
    config=preferences.Options,
    setup=set_up_preferences,
)
