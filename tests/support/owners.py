"""What owners of rooms send, and what rooms answer, in short."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.harness import Client
from tests.support.rooms import MUC, ROOM, USER
from xmppd.xml.element import Element

OWNER = f"{MUC}#owner"
DATA = "jabber:x:data"
CONFIG = f"{MUC}#roomconfig"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"

Values = str | int | Iterable[str]


def order(inside: str, *, id: str = "1", room: str = ROOM) -> str:
    return f"<iq type='set' id='{id}' to='{room}'><query xmlns='{OWNER}'>{inside}</query></iq>"


def instant(*, room: str = ROOM) -> str:
    """The room is fine as it is."""
    return order(f"<x xmlns='{DATA}' type='submit'/>", room=room)


def settings(values: dict[str, Values], *, room: str = ROOM, form_type: str = CONFIG) -> str:
    """``values`` by field, without what all names begin with."""
    fields = [f"<field var='FORM_TYPE'><value>{form_type}</value></field>"]
    for name, each in values.items():
        var = name if "#" in name else f"muc#roomconfig_{name}"
        written = (str(each),) if isinstance(each, str | int) else each
        fields.append(f"<field var='{var}'>{''.join(f'<value>{value}</value>' for value in written)}</field>")
    return order(f"<x xmlns='{DATA}' type='submit'>{''.join(fields)}</x>", room=room)


async def configure(owner: Client, room: str = ROOM, **values: Values) -> None:
    """``owner`` sets ``values``, which is accepted; nobody has to look at what else that made the server say."""
    await owner.send(settings(values, room=room))
    assert any(each.name == "iq" and each.get("type") == "result" for each in owner.received), owner.received


def told(to: Client, *codes: int, room: str = ROOM) -> str:
    """The message about new settings."""
    statuses = "".join(f"<status code='{code}'/>" for code in codes)
    return (
        f"<message type='groupchat' id='*' from='{room}' to='{to.jid}'>"
        f"<x xmlns='{USER}'>{statuses}</x></message>"
    )


async def asked_form(owner: Client, room: str = ROOM) -> Element:
    """The form that ``owner`` gets."""
    await owner.send(f"<iq type='get' id='form' to='{room}'><query xmlns='{OWNER}'/></iq>")
    answer = owner.received.pop()
    assert answer.get("type") == "result", answer
    query = answer.child("query", OWNER)
    assert query is not None
    form = query.child("x", DATA)
    assert form is not None
    assert form.get("type") == "form"
    return form


def values_of(form: Element) -> dict[str, list[str]]:
    """By field, without what all names begin with."""
    return {
        (field.get("var") or "").removeprefix("muc#roomconfig_"): [
            value.text() for value in field.each("value")
        ]
        for field in form.each("field")
    }
