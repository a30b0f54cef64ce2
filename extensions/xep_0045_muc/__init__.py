"""XEP-0045: Multi-User Chat, on ``muc.<domain>``. One room has one home, in which one thing happens after the other.

=============  ==================================================================================
room.py        what a room is: settings, lists, occupants, clients
turns.py       one thing after the other
rooms.py       rooms in memory and in the storage
service.py     which room a stanza is for
requests.py    what handles an IQ or a request to a room; a table, filled in ``setup`` below
creating.py    rooms begin
owner.py       what owners ask: settings, the end of a room
form.py        the form for settings; fields.py: its fields
consequences.py  what those in a room see of new settings
destroying.py  rooms end
discovery.py   what the service and rooms say about themselves
entering.py    who comes, goes, changes nick
admin.py       roles and lists, by moderators, admins and owners
administering.py  what those who run the server do, by `xmppd room`
rights.py      who may do what to whom
roles.py       occupants get other roles
lists.py       who is owner, admin, member, outcast: changed for whoever may
registration.py  people register, and reserve a nick
invitations.py people are invited, and decline
voice.py       visitors ask for a voice
nicks.py       how nicks are written and compared
places.py      who may have which, and the number of people
forgetting.py  accounts are deleted
presence.py    how occupants look to each other
talking.py     messages to all, the subject
slow.py        how often one may say something
reflecting.py  who is in the room sees what is said, in the order of the archive
stored.py      how it stands there
history.py     what was said before one came
archive.py     all of it, page by page
retracting.py  what is taken back: tombstones
moderation.py  moderators take back what others said
private.py     messages to one occupant
relay.py       IQs to one occupant, self-ping
post.py        what rooms send, to whom
=============  ==================================================================================
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from xmppd import ns
from xmppd.extension import Extension, Setup, Xep
from xmppd.extensions.xep_0045_muc.admin import Administration, Asked, Modified
from xmppd.extensions.xep_0045_muc.administering import Administering
from xmppd.extensions.xep_0045_muc.archive import RoomArchive
from xmppd.extensions.xep_0045_muc.consequences import Consequences
from xmppd.extensions.xep_0045_muc.creating import Creating
from xmppd.extensions.xep_0045_muc.destroying import Destroying
from xmppd.extensions.xep_0045_muc.discovery import Discovery, PageQuery, RoomFacts
from xmppd.extensions.xep_0045_muc.entering import Entering
from xmppd.extensions.xep_0045_muc.forgetting import Forgetting
from xmppd.extensions.xep_0045_muc.form import ConfigForm
from xmppd.extensions.xep_0045_muc.history import RoomHistory
from xmppd.extensions.xep_0045_muc.invitations import Invitations
from xmppd.extensions.xep_0045_muc.lists import Lists
from xmppd.extensions.xep_0045_muc.moderation import Moderate, Moderation
from xmppd.extensions.xep_0045_muc.names import USER
from xmppd.extensions.xep_0045_muc.owner import AskSettings, Order, Owners
from xmppd.extensions.xep_0045_muc.places import Places
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.presence import Announcer
from xmppd.extensions.xep_0045_muc.private import Private
from xmppd.extensions.xep_0045_muc.reflecting import Reflecting
from xmppd.extensions.xep_0045_muc.registration import Asking, Registering, Registration
from xmppd.extensions.xep_0045_muc.relay import SELF_PING, Relay
from xmppd.extensions.xep_0045_muc.requests import RoomRequests
from xmppd.extensions.xep_0045_muc.retracting import MODERATION, Retracting
from xmppd.extensions.xep_0045_muc.roles import Roles
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.service import Service
from xmppd.extensions.xep_0045_muc.slow import SlowMode, told
from xmppd.extensions.xep_0045_muc.talking import Talking
from xmppd.extensions.xep_0045_muc.voice import Voice
from xmppd.im.archive_queries import AskForm, AskMetadata, Query
from xmppd.im.pages import Pages
from xmppd.im.results import MAM
from xmppd.im.room_lines import RoomLines
from xmppd.jid import Jid
from xmppd.routing import rsm
from xmppd.routing.disco import InfoQuery, Item
from xmppd.sessions.facts import AccountDeleted, SessionGone


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.muc]``."""

    host: Annotated[
        str, msgspec.Meta(description="Rooms are at this name in front of each domain: muc.example.org.")
    ] = "muc"
    people: Annotated[
        int,
        msgspec.Meta(ge=2, le=100, description="Most people in one room; a person may have several clients."),
    ] = 100
    cached_rooms: Annotated[
        int,
        msgspec.Meta(ge=1, le=1_000_000, description="Rooms without anybody in them that stay in memory."),
    ] = 10_000
    create: Annotated[
        Literal["everyone", "admins"],
        msgspec.Meta(description="Who may make rooms: everyone, or the admins of the server alone."),
    ] = "everyone"
    rooms_per_owner: Annotated[
        int,
        msgspec.Meta(ge=1, le=1_000_000, description="Rooms that one person may own and make another one."),
    ] = 1_000
    page: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=1_000,
            description="Messages in one answer of a room's archive where the client does not say.",
        ),
    ] = 50
    max_page: Annotated[
        int,
        msgspec.Meta(ge=1, le=1_000, description="Most messages in one answer, whatever the client says."),
    ] = 100


def setup(s: Setup, options: Options) -> None:
    core = s.core
    store, archive = core.stores.rooms, core.stores.archive
    post = Post(core.router, core.pipeline, core.tasks)
    announcer = Announcer(post)
    rooms = Rooms(store, core.clock, core.tasks, capacity=options.cached_rooms)
    reflecting = Reflecting(archive, core.archiver, core.stanza_ids, post, core.clock, core.tasks)
    retracting = Retracting(archive, core.stores.pending, core.stanza_ids, core.clock, core.tasks)
    core.chat_lists.show_rooms(RoomLines(archive, store, core.stanza_ids))
    history = RoomHistory(archive, reflecting, post, core.clock.now)
    places = Places(options.people)
    entering = Entering(rooms, announcer, places, history, post)
    slow = SlowMode(core.clock)
    talking = Talking(store, core.archiver, core.resends, reflecting, retracting, slow, core.clock)
    hosts = {f"{options.host}.{domain}": str(domain) for domain in core.config.domains}
    private = Private(rooms, core.router, core.pipeline, core.messages, post, hosts)
    s.after_received(private.after_received)
    s.hourly(retracting.resume)
    requests = RoomRequests(post, Relay(core.router, post, core.clock, core.tasks, core.ids.token))
    pages = Pages(archive, core.stanza_ids, usual=options.page, most=options.max_page)
    room_archive = RoomArchive(pages, reflecting, post)
    requests.room("get", AskForm, room_archive.on_form, aside=True)
    requests.room("set", Query, room_archive.on_query, aside=True)
    requests.room("get", AskMetadata, room_archive.on_metadata, aside=True)
    moderation = Moderation(archive, core.archiver, core.stanza_ids, reflecting, retracting, core.ids)
    requests.room("set", Moderate, moderation.on_set)
    roles = Roles(announcer)
    lists = Lists(store, places, entering, roles, post)
    administration = Administration(lists, roles, entering)
    requests.room("get", Asked, administration.on_get)
    requests.room("set", Modified, administration.on_set)
    registration = Registration(lists)
    requests.room("get", Asking, registration.on_get)
    requests.room("set", Registering, registration.on_set)

    async def exists(user: Jid) -> bool:
        return not core.router.is_local(user) or await core.accounts.get(user) is not None

    requests.message("x", USER, Invitations(lists, post, exists).on_message)
    requests.message("x", ns.DATA_FORMS, Voice(roles, post).on_form)
    destroying = Destroying(rooms, store, entering)
    owners = Owners(
        rooms,
        store,
        ConfigForm(options.people),
        lists,
        Consequences(entering, announcer, post, core.ids),
        destroying,
    )
    requests.room("get", AskSettings, owners.on_ask)
    requests.room("set", Order, owners.on_order)
    facts = RoomFacts()
    facts.feature(SELF_PING)
    facts.feature(MAM, f"{MAM}#extended", rsm.NS, ns.STANZA_ID, when=_is_archived)
    facts.feature(ns.RETRACTION, f"{ns.RETRACTION}#tombstone", MODERATION, when=_is_archived)
    facts.form_field(told)
    discovery = Discovery(store, facts)
    requests.service("get", InfoQuery, discovery.on_service_info)
    requests.service("get", PageQuery, discovery.on_service_items)
    requests.room("get", InfoQuery, discovery.on_room_info)
    requests.room("get", PageQuery, discovery.on_room_items)
    s.items(lambda domain: [Item(Jid(None, f"{options.host}.{domain}"), name="Chat rooms")])

    def may_create(user: Jid) -> bool:
        return options.create == "everyone" or user in core.config.admins

    async def sweep() -> None:
        await destroying.sweep([f"{options.host}.{domain}" for domain in core.config.domains])

    s.hourly(sweep)
    creating = Creating(rooms, store, may_create, options.rooms_per_owner)
    service = Service(rooms, creating, entering, talking, private, requests, post, core.tasks)
    for domain in core.config.domains:
        core.router.add_host(f"{options.host}.{domain}", service)
    s.rooms(Administering(hosts, store, rooms, places, lists, destroying, exists))
    s.on(SessionGone, service.on_gone)
    s.on(AccountDeleted, Forgetting(rooms, store, roles, core.clock, core.tasks).on_deleted)


def _is_archived(room: Room) -> bool:
    return room.config.archived


EXTENSION: Final = Extension(
    name="muc",
    xep="0045",
    version="1.35.5",
    summary="Group chat: rooms with members, roles, history and one order of messages for all.",
    config=Options,
    setup=setup,
    status="partial",
    also=(
        Xep(number="0410", version="1.1.0"),
        Xep(number="0421", version="1.0.1"),
        Xep(number="0425", version="0.3.0"),
        Xep(number="0500", version="0.1.1"),
    ),
)
