"""Whatever an owner fills in: settings that can be stored, read and shown again, or an error that says why not."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.owners import CONFIG, DATA
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.form import FIELDS, ConfigForm
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, decoded, encoded
from xmppd.extensions.xep_0045_muc.turns import Turns
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliated, Affiliation, RoomRecord
from xmppd.tasks import Tasks
from xmppd.xml.element import Element, text_element

OWNER = Jid.parse("crone1@shakespeare.lit")
OTHERS = ("maxusers", "passwordprotectedroom", "roomsecret", "roomadmins", "roomowners")
NAMES = (*(field.var for field in FIELDS), *(f"muc#roomconfig_{name}" for name in OTHERS), "FORM_TYPE", "x")
PLAUSIBLE = st.sampled_from(
    ("", "0", "1", "true", "10", "100", "anyone", "moderators", "visitor", "en", str(OWNER), "a@b", CONFIG)
)
VALUES = st.lists(st.one_of(PLAUSIBLE, st.text(max_size=300)), max_size=3)


def room(config: RoomConfig) -> Room:
    record = RoomRecord(
        1,
        Jid.parse("coven@muc.shakespeare.lit"),
        encoded(config),
        None,
        {OWNER: Affiliated(Affiliation.OWNER)},
        1,
        0.0,
        b"sixteen bytes!!!",
    )
    return Room(record, Turns("room", Tasks()))


def submitted(fields: dict[str, list[str]]) -> Element:
    children: list[Any] = [
        Element("field", DATA, {"var": name}, [text_element("value", DATA, value) for value in values])
        for name, values in fields.items()
    ]
    return Element("x", DATA, {"type": "submit"}, children)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_a_form_gives_settings_or_an_error(fields: dict[str, list[str]]) -> None:
    form = ConfigForm(100)
    try:
        wish = form.read(submitted({"FORM_TYPE": [CONFIG], **fields}), room(RoomConfig()))
    except StanzaError:
        return
    assert decoded(encoded(wish.config)) == wish.config
    shown = form.blank(room(wish.config))
    again = {
        field.get("var") or "": [value.text() for value in field.each("value")]
        for field in shown.each("field")
    }
    assert form.read(submitted(again), room(wish.config)).config == wish.config
