"""kill -9 during traffic: what the server acknowledged is there when it is back (DESIGN I1)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, ServerProcess
from tests.support.wire import Wire, Wires

KILLS, SOAK_KILLS = 5, 200
SENDERS = [f"sender{number}" for number in range(4)]
SLEEPERS = [f"sleeper{number}" for number in range(3)]
FRIENDS = [f"friend{number}" for number in range(3)]
LOST = (EOFError, ConnectionError, TimeoutError)


@dataclass(slots=True)
class Acknowledged:
    """What the server said it had done."""

    messages: dict[str, list[str]] = field(
        default_factory=dict
    )  # by recipient: ids, in the order they were sent
    names: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # by user and contact: the name it was given last
    removed: dict[str, set[str]] = field(default_factory=dict)
    requests: set[tuple[str, str]] = field(default_factory=set)  # who asked whom for a subscription
    granted: set[tuple[str, str]] = field(default_factory=set)  # who let whom see its presence

    def __len__(self) -> int:
        changes = sum(map(len, self.names.values())) + sum(map(len, self.removed.values()))
        return sum(map(len, self.messages.values())) + changes + len(self.requests) + len(self.granted)


async def send_messages(wire: Wire, user: str, done: Acknowledged, numbers: count[int]) -> None:
    """To people who are not there; the answer to a ping says that what was sent before it is kept."""
    for number in numbers:
        sent: list[tuple[str, str]] = []
        for _ in range(random.randint(1, 5)):
            to, id = random.choice(SLEEPERS), f"{user}.{number}.{len(sent)}"
            wire.write(f"<message type='chat' to='{to}@{DOMAIN}' id='{id}'><body>{id}</body></message>")
            sent.append((to, id))
        await wire.ping()
        for to, id in sent:
            done.messages.setdefault(to, []).append(id)


async def change_roster(wire: Wire, user: str, done: Acknowledged, numbers: count[int]) -> None:
    for number in numbers:
        contact = f"contact{number % 20}@elsewhere.example"
        names, removed = done.names.setdefault(user, {}), done.removed.setdefault(user, set())
        if contact in names and random.random() < 0.3:
            removed.discard(contact)
            del names[contact]
            await set_item(wire, f"<item jid='{contact}' subscription='remove'/>")
            removed.add(contact)
        else:
            removed.discard(contact)
            names.pop(contact, None)  # until it is acknowledged, either may be there
            await set_item(wire, f"<item jid='{contact}' name='{number}'><group>g</group></item>")
            names[contact] = str(number)


async def set_item(wire: Wire, item: str) -> None:
    await wire.ask(f"<query xmlns='jabber:iq:roster'>{item}</query>", type="set")


async def subscribe(wire: Wire, user: str, done: Acknowledged, numbers: count[int]) -> None:
    for number in numbers:
        if number >= len(SLEEPERS):
            return
        to = SLEEPERS[number]
        await wire.send(f"<presence type='subscribe' to='{to}@{DOMAIN}'/>")
        await wire.ping()
        done.requests.add((user, to))


async def befriend(wire: Wire, user: str, done: Acknowledged, numbers: count[int]) -> None:
    """Let everybody see us in advance (RFC 6121#3.4)."""
    for number in numbers:
        if number >= len(SENDERS):
            return
        await wire.send(f"<presence type='subscribed' to='{SENDERS[number]}@{DOMAIN}'/>")
        await wire.ping()
        done.granted.add((user, SENDERS[number]))


Work = Callable[[Wire, str, Acknowledged, "count[int]"], Awaitable[None]]


async def work(wires: Wires, who: str, job: Work, done: Acknowledged, numbers: count[int]) -> None:
    try:
        wire = await wires.login(who)
        await job(wire, who, done, numbers)
    except LOST:
        pass  # the server was killed; what it had not acknowledged may be there or not


async def check(server: ServerProcess, done: Acknowledged, received: dict[str, list[str]]) -> None:
    """Log in as everybody and look. ``received``: the ids of messages that came, by recipient; more are added."""
    async with Wires(server) as wires:
        for user in SLEEPERS:
            wire = await wires.login(user)
            await wire.send("<presence/>")
            end = f"<message type='chat' to='{wire.jid}' id='end'><body>end</body></message>"
            await wire.send(end)  # goes behind all that was kept
            asked = set()
            while True:
                got = await wire.receive()
                if got.name == "message" and got.get("id") == "end":
                    break
                if got.name == "message":
                    received.setdefault(user, []).append(got.get("id") or "")
                elif got.get("type") == "subscribe":
                    asked.add((got.get("from") or "").partition("@")[0])
            missing = set(done.messages.get(user, ())) - set(received.get(user, ()))
            assert not missing, f"{len(missing)} messages for {user} are missing: {sorted(missing)[:5]}"
            forgotten = {sender for sender, to in done.requests if to == user} - asked
            assert not forgotten, f"{user} is not asked by {forgotten} any more"
        for user in [*SENDERS, *FRIENDS]:
            wire = await wires.login(user)
            roster = await wire.ask("<query xmlns='jabber:iq:roster'/>")
            items = {item.get("jid"): item for query in roster.elements() for item in query.elements()}
            for contact, name in done.names.get(user, {}).items():
                assert contact in items, f"{contact} is missing in the roster of {user}"
                assert items[contact].get("name") == name
            assert not done.removed.get(user, set()) & items.keys(), f"contacts of {user} came back"
            for sender, to in done.requests:
                if sender == user:
                    assert items[f"{to}@{DOMAIN}"].get("ask") == "subscribe"
            for friend, to in done.granted:
                if friend == user:
                    assert items[f"{to}@{DOMAIN}"].get("approved") == "true"


def in_order(done: Acknowledged, received: dict[str, list[str]]) -> None:
    """Of one sender, messages come in the order in which they were sent (I5); none is kept twice (I2)."""
    for user, ids in received.items():
        assert len(ids) == len(set(ids)), f"{user} got messages twice"
        for sender in SENDERS:
            numbers = [tuple(map(int, id.split(".")[1:])) for id in ids if id.startswith(f"{sender}.")]
            assert numbers == sorted(numbers), f"{user} got messages of {sender} in another order"


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_nothing_acknowledged_is_missing_after_kill_9(tmp_path: Path, soak: bool) -> None:
    server = ServerProcess(tmp_path, accounts=[*SENDERS, *SLEEPERS, *FRIENDS], limits={"offline_messages": 0})
    done = Acknowledged()
    received: dict[str, list[str]] = {}
    jobs: list[tuple[str, Work, count[int]]] = [
        *((user, send_messages, count()) for user in SENDERS),
        *((user, change_roster, count()) for user in SENDERS),
        *((user, subscribe, count()) for user in SENDERS),
        *((user, befriend, count()) for user in FRIENDS),
    ]
    try:
        for kill in range(SOAK_KILLS if soak else KILLS):
            server.start()
            async with Wires(server) as wires:
                working = [
                    asyncio.create_task(work(wires, user, job, done, numbers)) for user, job, numbers in jobs
                ]
                await asyncio.sleep(random.uniform(0.05, 0.6))  # the moment of the kill is what varies
                server.kill()
                await asyncio.gather(*working)
            if kill % 3 == 2:  # otherwise the next one finds everything as the last one left it
                with server.running():
                    await check(server, done, received)
        with server.running():
            await check(server, done, received)
    finally:
        server.close()
    in_order(done, received)
    assert len(done) > 100, "there was traffic"
    print(
        f"\n{len(done)} acknowledgements before {kill + 1} kills, {sum(map(len, received.values()))} messages came"
    )
