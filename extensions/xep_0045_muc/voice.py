"""Visitors ask for a voice, and moderators give it to them (XEP-0045#requestvoice, #voiceapprove)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import MUC, Role
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.presence import Change
from xmppd.extensions.xep_0045_muc.rights import check_role
from xmppd.extensions.xep_0045_muc.roles import Roles
from xmppd.extensions.xep_0045_muc.room import Attendance, Occupant, Room
from xmppd.jid import Jid
from xmppd.routing.forms import form_field, submitted
from xmppd.stanza import Message
from xmppd.xml.element import Element, text_element

FORM: Final = f"{MUC}#request"
_ALLOW: Final = "muc#request_allow"
_ROLE: Final = "participant"  # the one that can be asked for


class Voice:
    def __init__(self, roles: Roles, post: Post) -> None:
        self._roles = roles
        self._post = post

    def on_form(self, room: Room, message: Message, form: Element) -> None:
        """A form in a message to the room: a request, or the answer to one."""
        occupant = room.attending.get(message.sender)
        if occupant is None:
            raise StanzaError("not-acceptable", "you are not in this room")
        if form.get("type") == "cancel":
            return  # XEP-0045#voiceapprove: the request is skipped
        fields = submitted(form, FORM)
        if fields.get("muc#role", ("",)) != (_ROLE,):
            raise StanzaError("bad-request", f"the role that can be asked for is {_ROLE}")
        if _ALLOW in fields:
            self._answer(room, occupant, fields)
        else:
            self._ask(room, occupant, message)

    def _ask(self, room: Room, occupant: Occupant, message: Message) -> None:
        if occupant.role is not Role.VISITOR:
            raise StanzaError("not-acceptable", "you have a voice already")
        moderators: list[Attendance] = [
            client for each, client in room.clients() if each.role is Role.MODERATOR
        ]
        if not moderators:
            raise StanzaError("recipient-unavailable", "no moderator is in the room; ask again later")
        form = _approval(occupant, message.sender)
        self._post.to_each(
            moderators, Message(type="normal", sender=room.jid, to=None, id=message.id, children=[form])
        )

    def _answer(self, room: Room, moderator: Occupant, fields: Mapping[str, tuple[str, ...]]) -> None:
        if moderator.role is not Role.MODERATOR:
            raise StanzaError("forbidden", "only moderators give a voice")
        if fields[_ALLOW][0] not in ("1", "true"):
            return
        visitor = room.occupants.get(fields.get("muc#roomnick", ("",))[0])
        jid = fields.get("muc#jid", ("",))[0]
        if visitor is None or (jid and Jid.of(jid).bare != visitor.user):
            raise StanzaError("item-not-found", "who asked for a voice is not in the room any more")
        if visitor.role is Role.VISITOR:  # else another moderator was faster
            check_role(room, moderator.user, visitor, Role.PARTICIPANT)
            self._roles.set(room, visitor, Role.PARTICIPANT, Change(actor=moderator.nick))


def _approval(visitor: Occupant, jid: Jid) -> Element:
    fields = [
        _field("FORM_TYPE", "hidden", "", FORM),
        _field("muc#role", "list-single", "Requested role", _ROLE),
        _field("muc#jid", "jid-single", "User ID", str(jid)),
        _field("muc#roomnick", "text-single", "Room Nickname", visitor.nick),
        _field(_ALLOW, "boolean", "Grant voice to this person?", "false"),
    ]
    text = "To give a voice to this person, select the checkbox and send the form."
    form = Element("x", ns.DATA_FORMS, {"type": "form"})
    form.children = [
        text_element("title", ns.DATA_FORMS, "Voice request"),
        text_element("instructions", ns.DATA_FORMS, text),
        *fields,
    ]
    return form


def _field(name: str, type: str, label: str, value: str) -> Element:
    field = form_field(name, type, text_element("value", ns.DATA_FORMS, value))
    if label:
        field.attrs["label"] = label
    return field
