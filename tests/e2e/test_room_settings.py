"""A room is found, made, configured and destroyed with slixmpp, which sends a form back whole."""

from __future__ import annotations

import pytest
from slixmpp import JID
from slixmpp.exceptions import IqError

from tests.support.process import DOMAIN, ServerProcess
from tests.support.slix import Person

SERVICE = f"muc.{DOMAIN}"
ROOM = JID(f"ball@{SERVICE}")


async def test_a_room_from_its_making_to_its_end(town: ServerProcess) -> None:
    async with Person(town, "juliet") as juliet, Person(town, "romeo") as romeo:
        for person in (juliet, romeo):
            person.xmpp.register_plugin("xep_0045")
        services = await juliet.plugin("xep_0030").get_items(jid=JID(DOMAIN))
        assert (SERVICE, None, "Chat rooms") in services["disco_items"]["items"]

        rooms = juliet.plugin("xep_0045")
        await rooms.join_muc_wait(ROOM, "Juliet", timeout=5)
        form = await rooms.get_room_config(ROOM)
        values = form.get_values()
        assert values["muc#roomconfig_publicroom"] is True
        form.set_values(
            {**values, "muc#roomconfig_roomname": "A ball", "muc#roomconfig_persistentroom": True}
        )
        await rooms.set_room_config(ROOM, form)

        found = await romeo.plugin("xep_0030").get_items(jid=JID(SERVICE))
        assert (str(ROOM), None, "A ball") in found["disco_items"]["items"]
        info = await romeo.plugin("xep_0030").get_info(jid=ROOM)
        assert {"muc_persistent", "muc_open"} <= info["disco_info"]["features"]
        with pytest.raises(IqError, match="forbidden"):
            await romeo.plugin("xep_0045").get_room_config(ROOM)

        await rooms.destroy(ROOM, reason="Dawn.")
        with pytest.raises(IqError, match="item-not-found"):
            await romeo.plugin("xep_0030").get_info(jid=ROOM)
