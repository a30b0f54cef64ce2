"""Whatever people do in a room, what must hold holds: it has an owner, roles go with affiliations, nobody has a nick
that could be taken for another's, it is not too full, and everybody sees the same people in it as the room does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.harness import Client, Harness
from tests.support.rooms import ADMIN, MUC, ROOM, USER, admin, enter, make_room
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

CAP = 4
PEOPLE = tuple(f"witch{n}@shakespeare.lit" for n in range(6))
NICKS = ("Hecate", "hecate", "hag", "crone", "Crone", "thirdwitch")
ROLES = ("none", "visitor", "participant", "moderator")
AFFILIATIONS = ("outcast", "none", "member", "admin", "owner")
TOML = f"[extensions.muc]\npeople = {CAP}"


@dataclass(frozen=True)
class Do:
    """Somebody's client does something: ``what`` with ``number``s that mean what it makes of them."""

    what: str
    who: int
    client: int
    other: int
    nick: int
    choice: int

    @property
    def jid(self) -> str:
        return f"{PEOPLE[self.who]}/{'ab'[self.client]}"


DOINGS = (
    ["enter"] * 6
    + ["nick", "leave", "drop", "register", "cancel", "invite", "restart"]
    + ["role", "affiliate", "affiliate two"] * 3
)
STEPS = st.lists(
    st.builds(
        Do,
        what=st.sampled_from(DOINGS),
        who=st.sampled_from((0, 0, 1, 1, 2, 3, 4, 5)),
        client=st.sampled_from((0, 0, 0, 1)),
        other=st.integers(0, 5),
        nick=st.integers(0, 5),
        choice=st.integers(0, 19),
    ),
    min_size=1,
    max_size=60,
)
SETTINGS = st.fixed_dictionaries(
    {
        "members_only": st.booleans(),
        "moderated": st.booleans(),
        "whois": st.sampled_from(["anyone", "moderators"]),
        "broadcast": st.sampled_from(
            [("moderator", "participant", "visitor"), ("moderator", "participant"), ("moderator",)]
        ),
    }
)


@dataclass
class Seen:
    """How a client sees an occupant."""

    affiliation: str
    role: str
    jids: frozenset[str]


@dataclass
class View:
    """What a client makes of all that it was told; ``me``: its nick there, "": it is not in the room."""

    client: Client
    me: str = ""
    others: dict[str, Seen] = field(default_factory=dict)

    def take_in(self) -> None:
        for stanza in self.client.received:
            nick = (stanza.get("from") or "").removeprefix(f"{ROOM}/")
            x = stanza.child("x", USER)
            if stanza.name != "presence" or x is None or stanza.get("type") == "error":
                continue
            codes = {status.get("code") for status in x.each("status")}
            items = list(x.each("item"))
            if stanza.get("type") == "unavailable":
                if "333" in codes and not self.me:
                    continue  # it showed itself in a room in which it is not
                assert nick in self.others, f"{self.client.jid} hears that {nick} goes, who was not there"
                del self.others[nick]
                if "110" in codes and "303" not in codes:
                    self.me = ""
                    self.others.clear()
                continue
            assert items
            self.others[nick] = Seen(
                items[0].get("affiliation") or "",
                items[0].get("role") or "",
                frozenset(jid for item in items if (jid := item.get("jid")) is not None),
            )
            if "110" in codes:
                self.me = nick
        self.client.received.clear()


class World:
    def __init__(self, server: Harness, settings: Mapping[str, Any]) -> None:
        self.server = server
        self.settings = settings
        self.views: dict[str, View] = {}

    async def view(self, jid: str) -> View:
        if jid not in self.views:
            self.views[jid] = View(await self.server.client(jid, available=True))
        return self.views[jid]

    async def do(self, step: Do) -> str:
        """The type of the answer, if one came."""
        if step.what == "restart":
            await self.server.restart()
            self.views.clear()
            return ""
        view = await self.view(step.jid)
        client = view.client
        if step.what == "drop":
            await client.close()
            del self.views[step.jid]
            return ""
        await client.send(self.xml(step, view))
        answers = [each for each in client.received if each.name == "iq" or each.get("type") == "error"]
        return str(answers[0].get("type")) if answers else ""

    def xml(self, step: Do, view: View) -> str:
        nick, other = NICKS[step.nick], PEOPLE[step.other]
        if step.what == "enter":
            return enter(nick)
        if step.what == "nick":
            return f"<presence to='{ROOM}/{nick}'><show>away</show></presence>"
        if step.what == "leave":
            return f"<presence to='{ROOM}/{nick}' type='unavailable'/>"
        if step.what == "register":
            return (
                f"<iq type='set' id='r' to='{ROOM}'><query xmlns='jabber:iq:register'>"
                f"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{MUC}#register</value>"
                f"</field><field var='muc#register_roomnick'><value>{nick}</value></field></x></query></iq>"
            )
        if step.what == "cancel":
            return (
                f"<iq type='set' id='c' to='{ROOM}'><query xmlns='jabber:iq:register'><remove/></query></iq>"
            )
        if step.what == "invite":
            return f"<message id='i' to='{ROOM}'><x xmlns='{USER}'><invite to='{other}'/></x></message>"
        if step.what == "role":
            there = sorted(view.others) or NICKS
            return admin("set", f"nick='{there[step.nick % len(there)]}' role='{ROLES[step.choice % 4]}'")
        items = [f"affiliation='{AFFILIATIONS[step.choice % 5]}' jid='{other}'"]
        if step.what == "affiliate two":
            another = PEOPLE[(step.other + 1 + step.nick % 5) % 6]
            items.append(f"affiliation='{AFFILIATIONS[step.choice % 4 + 1]}' jid='{another}' nick='{nick}'")
        return admin("set", *items)

    async def check(self) -> None:
        for view in self.views.values():
            view.take_in()
        record = await self.server.stores.rooms.load(Jid.parse(ROOM))
        assert record is not None
        lists = {str(jid): entry.affiliation for jid, entry in record.affiliations.items()}
        owners = [jid for jid, each in lists.items() if each is Affiliation.OWNER]
        assert owners, "nobody owns the room"
        assert sum(each >= Affiliation.MEMBER for each in lists.values()) <= CAP
        reserved = Counter(entry.nick.lower() for entry in record.affiliations.values() if entry.nick)
        assert all(count == 1 for count in reserved.values()), "a nick is reserved for two"
        truth = await self.truth(owners[0])
        self.check_people(truth, lists)
        for view in self.views.values():
            self.check_view(view, truth)

    async def truth(self, owner: str) -> dict[str, Seen]:
        """Who is there, as the room tells an owner, by nick."""
        view = await self.view(f"{owner}/a")
        await view.client.send(
            admin("get", "role='moderator'", "role='participant'", "role='visitor'", id="truth")
        )
        answer = next(each for each in view.client.received if each.get("id") == "truth")
        view.client.received.remove(answer)
        assert answer.get("type") == "result"
        query = answer.child("query", ADMIN)
        assert query is not None
        truth: dict[str, Seen] = {}
        for item in query.each("item"):
            nick, jid = item.get("nick") or "", frozenset({item.get("jid") or ""})
            before = truth.get(nick)
            now = Seen(item.get("affiliation") or "", item.get("role") or "", jid)
            if before is not None:
                assert (before.affiliation, before.role) == (now.affiliation, now.role)
                now.jids |= before.jids
            truth[nick] = now
        return truth

    def check_people(self, truth: Mapping[str, Seen], lists: Mapping[str, Affiliation]) -> None:
        alike: dict[str, str] = {}
        people = set()
        for nick, seen in truth.items():
            (user,) = {jid.partition("/")[0] for jid in seen.jids}
            people.add(user)
            assert alike.setdefault(nick.lower(), user) == user, f"two are called {nick}"
            affiliation = lists.get(user, Affiliation.NONE)
            assert seen.affiliation == affiliation.name.lower()
            if affiliation >= Affiliation.ADMIN:
                assert seen.role == "moderator"
            assert affiliation >= (
                Affiliation.MEMBER if self.settings["members_only"] else Affiliation.NONE
            ), f"{user} is there who may not be"
        absent = {jid for jid, each in lists.items() if each >= Affiliation.ADMIN} - people
        assert len(people) + len(absent) <= CAP, "there are more people than places"

    def check_view(self, view: View, truth: Mapping[str, Seen]) -> None:
        jid = str(view.client.jid)
        mine = [nick for nick, seen in truth.items() if jid in seen.jids]
        assert [view.me] == (mine or [""]), f"{jid} believes to be {view.me!r} and is {mine}"
        if not view.me:
            assert not view.others
            return
        sees = self.settings["whois"] == "anyone" or truth[view.me].role == "moderator"
        expected = {
            nick: (each.affiliation, each.role)
            for nick, each in truth.items()
            if nick == view.me or each.role in self.settings["broadcast"]
        }
        assert {nick: (each.affiliation, each.role) for nick, each in view.others.items()} == expected
        if sees:
            assert {nick: each.jids for nick, each in view.others.items()} == {
                nick: truth[nick].jids for nick in expected
            }


@pytest.mark.slow
@given(STEPS, SETTINGS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_holds_whatever_people_do(steps: list[Do], room: dict[str, Any]) -> None:
    asyncio.run(_check(steps, room))


async def _check(steps: list[Do], room: dict[str, Any]) -> None:
    async with Harness("shakespeare.lit", toml=TOML) as server:
        for jid in PEOPLE:
            await server.account(jid)
        lists = {PEOPLE[1]: Affiliation.ADMIN, PEOPLE[2]: Affiliation.MEMBER}
        await make_room(server, PEOPLE[0], lists, **room)
        world = World(server, room)
        for step in steps:
            await world.do(step)
            await world.check()
