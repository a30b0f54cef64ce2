"""XEP-0198 over real connections: lost in every way, resumed by whoever may, and by nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, ServerProcess
from tests.support.slix import Person
from tests.support.wire import Wire, Wires
from xmppd import ns
from xmppd.stream.management import NS
from xmppd.xml.element import Element

R = f"<r xmlns='{NS}'/>"
UNEXPECTED = f"<failed xmlns='{NS}'><unexpected-request xmlns='{ns.STANZA_ERRORS}'/></failed>"
NOT_FOUND = f"<failed xmlns='{NS}'><item-not-found xmlns='{ns.STANZA_ERRORS}'/></failed>"
NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"], limits={"close_seconds": 0.5})
    with server.running():
        yield server


def chat(number: int, to: str, more: str = "") -> str:
    return f"<message to='{to}' type='chat' id='{number}'><body>{number}</body>{more}</message>"


async def enabled(wires: Wires, who: str, *, receive_buffer: int = 0) -> tuple[Wire, str]:
    """An available client that may resume; and its id."""
    wire = await wires.login(who, receive_buffer=receive_buffer)
    await wire.send(f"<enable xmlns='{NS}' resume='true'/>")
    answer = await wire.expect(f"<enabled xmlns='{NS}' id='*' resume='true' max='600'/>")
    await wire.send("<presence/>")
    await wire.until(lambda got: got.name == "presence")
    return wire, answer.get("id") or ""


async def logged_in(wires: Wires, user: str) -> Wire:
    """A client that has bound no resource yet."""
    wire = await wires.stranger()
    await wire.authenticate(user)
    features = await wire.open()
    assert features.child("sm", NS) is not None
    return wire


def resume(id: str, h: int) -> str:
    return f"<resume xmlns='{NS}' previd='{id}' h='{h}'/>"


async def resumed(wires: Wires, user: str, id: str, h: int, more: str = "") -> tuple[Wire, int]:
    """The client goes on, saying ``more`` at once; and how much of what it sent was handled."""
    wire = await logged_in(wires, user)
    await wire.send(resume(id, h) + more)
    answer = await wire.expect(f"<resumed xmlns='{NS}' previd='{id}' h='*'/>")
    return wire, int(answer.get("h") or "")


async def messages(wire: Wire, last: int) -> list[int]:
    """What comes up to the message ``last``."""
    got = [await wire.until(_is_message)]
    while got[-1].get("id") != str(last):
        got.append(await wire.until(_is_message))
    return [int(message.get("id") or "") for message in got]


def _saying(body: str) -> Callable[[Element], bool]:
    return lambda got: _is_message(got) and _body(got) == body


def _is_message(element: Element) -> bool:
    return element.name == "message"


# Another implementation


async def test_slixmpp_goes_on_where_it_was(server: ServerProcess) -> None:
    async with Wires(server) as wires, Person(server, "juliet/balcony", managed=True) as juliet:
        romeo = await wires.login("romeo", available=True)
        await romeo.send(f"<presence type='subscribed' to='juliet@{DOMAIN}'/>")
        sm = juliet.plugin("xep_0198")
        for number in range(3):
            await romeo.send(chat(number, f"juliet@{DOMAIN}/balcony"))
            assert (await juliet.next("message"))["body"] == str(number)
        for round in range(3):
            juliet.xmpp.transport.abort()
            await juliet.next("disconnected")
            await romeo.send(chat(10 + round, f"juliet@{DOMAIN}/balcony"))
            await romeo.ping()
            # On its way while there is no connection: it is sent again when there is one.
            juliet.xmpp.send_message(romeo.jid, f"yes {round}", mtype="chat")
            juliet.reconnect()
            await juliet.next("session_resumed")
            assert (await juliet.next("message"))["body"] == str(10 + round)
            await romeo.until(_saying(f"yes {round}"))
        await juliet.plugin("xep_0199").ping(jid=DOMAIN)
        juliet.quiet("message")
        assert sm.enabled_in


def _body(message: Element) -> str:
    body = message.child("body")
    return "" if body is None else body.text()


# Where it is allowed


async def test_nothing_of_it_is_for_strangers(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet, id = await enabled(wires, "juliet/balcony")
        wire = await wires.connect(tls=True)
        features = await wire.open()
        assert features.child("sm", NS) is None
        for request in (
            resume(id, 0),
            f"<enable xmlns='{NS}' resume='true'/>",
            R,
            f"<a xmlns='{NS}' h='0'/>",
        ):
            await wire.send(request)
            await wire.expect(UNEXPECTED)
        await wire.authenticate("romeo")
        await wire.open()
        await wire.bind()
        await juliet.ping()


async def test_it_is_enabled_behind_binding_and_resumed_instead_of_it(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet, id = await enabled(wires, "juliet/balcony")
        wire = await logged_in(wires, "juliet")
        await wire.send(f"<enable xmlns='{NS}' resume='true'/>")
        await wire.expect(UNEXPECTED)
        for attributes in ("", f"previd='{id}'", "h='0'", f"previd='{id}' h='-1'", f"previd='{id}' h='x'"):
            await wire.send(f"<resume xmlns='{NS}' {attributes}/>")
            await wire.expect(f"<failed xmlns='{NS}'><bad-request xmlns='{ns.STANZA_ERRORS}'/></failed>")
        await wire.bind("phone")
        await wire.send(resume(id, 0))
        await wire.expect(UNEXPECTED)
        await juliet.ping()
        await wire.ping()


async def test_whose_session_is_gone_may_bind_on_the_same_stream(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        wire = await logged_in(wires, "juliet")
        await wire.send(resume("gone", 0))
        await wire.expect(NOT_FOUND)
        await wire.bind("balcony")
        await wire.send(f"<enable xmlns='{NS}'/>")
        await wire.expect(f"<enabled xmlns='{NS}'/>")
        await wire.ping()


async def test_nobody_goes_on_with_the_session_of_somebody_else(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet, id = await enabled(wires, "juliet/balcony")
        thief = await logged_in(wires, "romeo")
        await thief.send(resume(id, 0))
        await thief.expect(NOT_FOUND)
        await thief.bind()
        await thief.send(chat(1, juliet.jid))
        assert await messages(juliet, 1) == [1]


# Lost and resumed


@pytest.mark.parametrize("how", ["reset", "closed", "nonsense", "half a stanza", "standing"])
async def test_however_it_was_lost_nothing_is_missed_or_doubled(server: ServerProcess, how: str) -> None:
    async with Wires(server) as wires:
        romeo = await wires.login("romeo/orchard")
        juliet, id = await enabled(wires, "juliet/balcony")
        for number in range(4):
            await romeo.send(chat(number, juliet.jid))
        assert await messages(juliet, 3) == [0, 1, 2, 3]
        handled = 1 + 2  # her own presence, and two of the messages
        if how == "reset":
            juliet.reset()
        elif how == "closed":
            juliet.writer.close()
        elif how == "nonsense":
            await juliet.send("<message></oops>")
            assert await juliet.error() == "not-well-formed"
        elif how == "half a stanza":
            await juliet.send(f"<message to='{romeo.jid}'><body>I am hur")
            juliet.reset()
        await romeo.send(chat(4, juliet.jid) + chat(5, juliet.jid, NO_STORE))
        await romeo.ping()
        again, count = await resumed(wires, "juliet", id, handled, chat(7, romeo.jid) + R)
        assert count == 1
        if how == "standing":
            assert await juliet.error() == "conflict"
        await romeo.send(chat(6, juliet.jid))
        assert await messages(again, 6) == [2, 3, 4, 5, 6]
        assert await messages(romeo, 7) == [7]
        await again.send(f"<a xmlns='{NS}' h='8'/>")
        await again.ping()
        assert not any(got.name == "message" for got in again.passed)


async def test_who_says_goodbye_is_gone(server: ServerProcess) -> None:
    """XEP-0198#closure."""
    async with Wires(server) as wires:
        juliet, id = await enabled(wires, "juliet/balcony")
        await juliet.send("</stream:stream>")
        again = await logged_in(wires, "juliet")
        async with asyncio.timeout(5):
            while True:
                await again.send(resume(id, 1))
                answer = await again.receive()
                if answer.name == "failed":
                    break
        assert answer.get("h") == "1"
        await again.bind("balcony")


@pytest.mark.parametrize("how", ["too large", "the same resource", "a new password"])
async def test_what_ends_a_session_for_good(server: ServerProcess, how: str) -> None:
    async with Wires(server) as wires:
        juliet, id = await enabled(wires, "juliet/balcony")
        if how == "too large":
            await juliet.send(f"<message><body>{'x' * 300_000}</body></message>")
            assert await juliet.error() == "policy-violation"
        elif how == "the same resource":
            juliet.reset()
            await wires.login("juliet/balcony")
        else:
            juliet.reset()
            arguments = ("user", "passwd", f"juliet@{DOMAIN}", "--password", "a much better password")
            assert (await asyncio.to_thread(server.run, *arguments)).returncode == 0
        wire = await wires.stranger()
        if how == "a new password":
            await wire.authenticate("juliet", "a much better password")
        else:
            await wire.authenticate("juliet")
        await wire.open()
        await wire.send(resume(id, 1))
        await wire.expect(f"<failed xmlns='{NS}' h='1'><item-not-found xmlns='{ns.STANZA_ERRORS}'/></failed>")


async def test_what_was_sent_twice_is_told_by_the_count(server: ServerProcess) -> None:
    """As many stanzas as fit, then the connection is reset; the client sends again what was not handled."""
    async with Wires(server) as wires:
        romeo, _ = await enabled(wires, "romeo/orchard")
        juliet, id = await enabled(wires, "juliet/balcony")
        sent = 1  # presence
        for round in range(8):
            stanzas = [chat(round * 100 + number, romeo.jid) for number in range(50)]
            await juliet.send("".join(stanzas))
            if round % 2:
                await asyncio.sleep(0.002 * round)  # the test is about this time
            juliet.reset()
            juliet, handled = await resumed(wires, "juliet", id, 1)
            missing = stanzas[handled - sent :]
            await juliet.send("".join(missing))
            sent += 50
        last = 7 * 100 + 49
        got: list[int] = []
        while not got or got[-1] != last:
            message = await romeo.until(_is_message)
            got.append(int(message.get("id") or ""))
        assert got == [round * 100 + number for round in range(8) for number in range(50)]


async def test_who_has_handled_too_much(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        _, id = await enabled(wires, "juliet/balcony")
        wire = await logged_in(wires, "juliet")
        await wire.send(resume(id, 7))
        error = await wire.receive()
        assert error.child("undefined-condition", ns.STREAM_ERRORS) is not None
        count = error.child("handled-count-too-high", NS)
        assert count is not None
        assert count.attrs == {"h": "7", "send-count": "1"}


async def test_a_client_that_does_not_read_loses_only_its_connection(tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path, accounts=["juliet", "romeo"], limits={"send_buffer_bytes": 65_536, "close_seconds": 0.5}
    )
    with server.running():
        async with Wires(server) as wires:
            romeo = await wires.login("romeo")
            juliet, id = await enabled(wires, "juliet/balcony", receive_buffer=4_096)
            juliet.stop_reading()
            count = 300
            for number in range(count):
                await romeo.send(chat(number, juliet.jid, f"<subject>{'x' * 20_000}</subject>"))
            await romeo.ping(seconds=20)
            await server.logged("a client does not read")
            again, _ = await resumed(wires, "juliet", id, 1)
            assert await messages(again, count - 1) == list(range(count))


async def test_what_the_old_connection_cannot_be_told_holds_up_nobody(tmp_path: Path) -> None:
    """It is dead, nobody knows yet, and pages of the archive wait for it when the client comes on another network."""
    limits = {"close_seconds": 60, "sm_queue_bytes": 64 * 1_048_576}
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"], limits=limits)
    with server.running():
        async with Wires(server) as wires:
            romeo = await wires.login("romeo")
            for number in range(12):
                await romeo.send(chat(number, f"juliet@{DOMAIN}", f"<subject>{'x' * 80_000}</subject>"))
            await romeo.ping(seconds=20)
            juliet, id = await enabled(wires, "juliet/balcony", receive_buffer=4_096)
            juliet.stop_reading()
            await juliet.send("<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'/></iq>" * 12)
            await romeo.ping()
            again, handled = await resumed(wires, "juliet", id, 1)
            assert handled == 13
            await again.ping(seconds=20)


# Races, in rounds


async def test_messages_that_come_while_it_resumes(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        romeo = await wires.login("romeo")
        juliet, id = await enabled(wires, "juliet/balcony")
        address, handled, number = juliet.jid, 1, 0
        for round in range(20):
            ready = await logged_in(wires, "juliet")
            if round % 3:
                juliet.reset()
            first = number

            async def talk() -> None:
                nonlocal number
                for _ in range(20):
                    await romeo.send(chat(number, address, NO_STORE if number % 4 == 0 else ""))
                    number += 1
                    await asyncio.sleep(0)

            talking = asyncio.create_task(talk())
            await asyncio.sleep(0.001 * (round % 5))  # the test is about this time
            await ready.send(resume(id, handled))
            answer = await ready.receive()
            assert answer.name == "resumed"
            await talking
            assert await messages(ready, number - 1) == list(range(first, number))
            handled += number - first
            juliet = ready


async def test_of_two_who_resume_at_once_one_goes_on(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        romeo = await wires.login("romeo")
        juliet, id = await enabled(wires, "juliet/balcony")
        address = juliet.jid
        for round in range(15):
            pair = [await logged_in(wires, "juliet") for _ in range(2)]
            await romeo.send(chat(round, address))
            if round % 2:
                juliet.reset()
            await asyncio.gather(*(wire.send(resume(id, 1)) for wire in pair))
            winner = None
            for wire in pair:
                first = await wire.receive()
                if first.name == "resumed" and not await _ended(wire):
                    assert winner is None
                    winner = wire
                elif first.name != "resumed":
                    assert first.child("conflict", ns.STREAM_ERRORS) is not None
            assert winner is not None
            await winner.ping()
            await romeo.send(chat(1_000 + round, address))
            await winner.until(_saying(str(1_000 + round)))
            await winner.send("</stream:stream>")
            juliet, id = await enabled(wires, "juliet/balcony")


async def _ended(wire: Wire) -> bool:
    """Whether its stream was ended because another one goes on."""
    await wire.send("<iq type='get' id='still-there'><ping xmlns='urn:xmpp:ping'/></iq>")
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            event = await wire.next()
            if isinstance(event, Element) and event.get("id") == "still-there":
                return False
            if isinstance(event, Element) and event.child("conflict", ns.STREAM_ERRORS) is not None:
                return True
    return True


# Silence


async def test_silence_is_broken_by_a_request(tmp_path: Path) -> None:
    limits = {"ping_after_seconds": 2, "ping_timeout_seconds": 0.8, "close_seconds": 0.5}
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"], limits=limits)
    with server.running():
        async with Wires(server) as wires:
            juliet, id = await enabled(wires, "juliet/balcony")
            # what was not acknowledged is asked for soon
            began = time.monotonic()
            await juliet.expect(R)
            assert time.monotonic() - began < 1.5
            await juliet.send(f"<a xmlns='{NS}' h='1'/>")
            # then there is nothing to ask for but a sign of life
            began = time.monotonic()
            await juliet.expect(R)
            assert 1.5 < time.monotonic() - began < 5
            await juliet.send(f"<a xmlns='{NS}' h='1'/>")
            await juliet.expect(R)
            assert await juliet.error() == "connection-timeout"
            again, _ = await resumed(wires, "juliet", id, 1)
            await again.ping()


# The end


@pytest.mark.parametrize("who", ["client", "server"])
async def test_the_last_word_is_what_was_handled(server: ServerProcess, who: str) -> None:
    async with Wires(server) as wires:
        romeo = await wires.login("romeo")
        juliet, _ = await enabled(wires, "juliet/balcony")
        await juliet.send(chat(1, romeo.jid))
        await juliet.ping()
        if who == "client":
            await juliet.send("</stream:stream>")
        else:
            server.signal(signal.SIGTERM)
        await juliet.expect(f"<a xmlns='{NS}' h='3'/>")
        if who == "server":
            assert await juliet.error() == "system-shutdown"
            juliet.abort()
            assert await server.ended() == 0


async def test_a_server_that_ends_keeps_what_sleepers_are_owed(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        romeo = await wires.login("romeo")
        juliet, id = await enabled(wires, "juliet/balcony")
        await romeo.send(chat(1, juliet.jid))
        assert await messages(juliet, 1) == [1]
        juliet.reset()
        await romeo.send(chat(2, juliet.jid))
        await romeo.ping()
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0
    server.start()
    async with Wires(server) as wires:
        again = await logged_in(wires, "juliet")
        await again.send(resume(id, 2))
        await again.expect(NOT_FOUND)
        await again.bind("balcony")
        await again.send("<presence/>")
        assert await messages(again, 2) == [1, 2]
