"""Traffic that is made to hurt: too much of it, too little, cut off, or of something else than XMPP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import ATTACKED, MIB, Attack
from tests.support.process import DOMAIN, ROOT, ServerProcess
from tests.support.wire import HEADER, LoginFailed, Wire
from xmppd import ns

BODY = "x" * 60_000


async def test_bytes_behind_starttls_are_refused(attack: Attack) -> None:
    """What comes in the clear behind <starttls/> must not be taken for something said inside TLS (RFC 6120#5.3.1)."""
    wire = await attack.wires.connect()
    await wire.open()
    await wire.send(f"<starttls xmlns='{ns.TLS}'/><auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGEAYg==</auth>")
    assert await wire.error() == "policy-violation"


async def test_bytes_that_follow_starttls_at_once_are_no_part_of_tls(attack: Attack) -> None:
    """The same, when they come a moment later: OpenSSL reads them as a handshake, and there it ends."""
    wire = await attack.wires.connect()
    await wire.open()
    await wire.send(f"<starttls xmlns='{ns.TLS}'/>")
    await wire.expect(f"<proceed xmlns='{ns.TLS}'/>")
    await wire.send(HEADER + f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGEAYg==</auth>")
    await wire.closed()


async def test_a_client_that_never_reads_is_closed(attack: Attack) -> None:
    """What waits for it is bounded; messages that come when it is gone are kept for it."""
    reader = await attack.wires.login("nurse/deaf", receive_buffer=4_096, available=True)
    reader.stop_reading()
    sender = await attack.wires.login("mercutio", available=True)
    sent = 0
    for _ in range(40):
        for _ in range(10):
            await sender.send(
                f"<message type='chat' to='nurse@{DOMAIN}' id='n{sent}'><body>{BODY}</body></message>"
            )
            sent += 1
        await sender.ping()
    wire = await attack.wires.login("nurse/ears", available=True)
    got = []
    async with asyncio.timeout(10):
        await wire.send(f"<message type='chat' to='{wire.jid}' id='last'><body>end</body></message>")
        while (message := await wire.until(lambda got: got.name == "message")).get("id") != "last":
            got.append(int((message.get("id") or "")[1:]))
    assert got == list(range(sent - len(got), sent)), "what was kept is the end of what was sent, in order"
    print(f"of {sent} messages, {len(got)} were kept for when it comes back")
    assert len(got) > sent // 2


@contextlib.contextmanager
def stopped_client(server: ServerProcess, name: str) -> Iterator[str]:
    """A client in a process that stands still; its address."""
    command = [sys.executable, "-m", "tests.support.sleeper"]
    with subprocess.Popen(
        [*command, str(server.c2s_tls[1]), str(server.certificate), name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "reading\n"
            program.send_signal(signal.SIGSTOP)
            yield f"{name}@{DOMAIN}/asleep"
        finally:
            program.kill()


async def test_a_stopped_client_is_like_one_that_never_reads(attack: Attack) -> None:
    """SIGSTOP: the system still acknowledges what comes, until its buffers are full."""
    with stopped_client(attack.server, "tybalt") as asleep:
        sender = await attack.wires.login("mercutio")
        for _ in range(20):
            for _ in range(10):
                await sender.send(f"<message type='headline' to='{asleep}'><body>{BODY}</body></message>")
            await sender.ping()
        answer = await sender.request("<ping xmlns='urn:xmpp:ping'/>", to=asleep)
        assert answer.get("type") == "error", "the session is gone"


async def test_a_byte_a_second_is_too_slow(attack: Attack) -> None:
    wire = await attack.wires.connect(tls=True)
    began = time.monotonic()
    header = iter(HEADER)

    async def drip() -> None:
        for char in header:
            await wire.send(char)
            await asyncio.sleep(0.1)  # the test is about this time

    dripping = asyncio.create_task(drip())
    assert await wire.error() == "connection-timeout"
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    assert time.monotonic() - began < ATTACKED["handshake_seconds"] + 2


async def test_whoever_logs_in_but_binds_nothing_is_closed(attack: Attack) -> None:
    wire = await attack.wires.stranger()
    await wire.authenticate("mercutio")
    await wire.open()
    assert await wire.error() == "connection-timeout"


async def test_50_mib_at_full_speed_are_slowed_down(attack: Attack) -> None:
    """The rate limit pauses reading; nothing is lost, nobody is closed."""
    wire = await attack.wires.login("mercutio")
    stanza = f"<message type='headline' to='nobody@{DOMAIN}'><body>{BODY}</body></message>".encode()
    began = time.monotonic()
    for _ in range(50 * MIB // len(stanza)):
        await wire.send(stanza)
    await wire.ping()
    seconds = time.monotonic() - began
    least = (50 * MIB - ATTACKED["burst_bytes"]) / ATTACKED["bytes_per_second"]
    assert least * 0.9 < seconds < least * 3 + 5


async def test_100_000_stanzas_in_one_write_are_slowed_down(attack: Attack) -> None:
    wire = await attack.wires.login("mercutio")
    began = time.monotonic()
    wire.write(f"<message type='headline' to='tybalt@{DOMAIN}'/>".encode() * 100_000)
    await wire.ping(seconds=30)
    seconds = time.monotonic() - began
    least = (100_000 - ATTACKED["burst_stanzas"]) / ATTACKED["stanzas_per_second"]
    assert least * 0.9 < seconds


async def test_100_000_requests_whose_answers_nobody_reads(attack: Attack) -> None:
    """The answers add up in front of a client that does not read them; it is closed, or has to wait."""
    wire = await attack.wires.login("mercutio", receive_buffer=4_096)
    wire.stop_reading()
    request = (
        f"<iq type='get' id='x' to='{DOMAIN}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    assert not await wire.flood(request.encode() * 100_000)


async def test_a_flood_of_messages_to_keep_does_not_delay_others(attack: Attack) -> None:
    """Each has to be written to the disk before the next is read; those who need no disk do not wait for it."""
    wire = await attack.wires.login("mercutio")
    wire.write(f"<message type='chat' to='tybalt@{DOMAIN}'><body>x</body></message>".encode() * 3_000)
    await wire.until(lambda got: got.get("type") == "error")  # offline_messages is 1,000
    await wire.ping()


async def test_a_flood_behind_a_login_waits_outside(attack: Attack) -> None:
    """While passwords are being checked nothing more is read (DESIGN I9: a stranger holds 64 KiB at most)."""
    login = f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AG1lcmN1dGlvAHdyb25n</auth>"
    flood = login.encode() + b"<a/>" * 500_000

    async def send() -> None:
        wire = await attack.wires.stranger()
        await wire.flood(flood)
        with contextlib.suppress(EOFError):
            assert await wire.error() in ("unsupported-stanza-type", "policy-violation")

    await asyncio.gather(*[send() for _ in range(50)])


async def test_too_many_failed_logins_end_the_stream(attack: Attack) -> None:
    wire = await attack.wires.stranger()
    for _ in range(5):
        with pytest.raises(LoginFailed, match="not-authorized"):
            await wire.authenticate("mercutio", "wrong")
    began = time.monotonic()
    assert await wire.error() == "policy-violation"
    assert time.monotonic() - began < 1, "at once, not when the time to log in is over"


async def test_a_wrong_sender_ends_the_stream(attack: Attack) -> None:
    wire = await attack.wires.login("mercutio")
    await wire.send(f"<message from='tybalt@{DOMAIN}' to='nurse@{DOMAIN}'><body>I am Tybalt</body></message>")
    assert await wire.error() == "invalid-from"


async def test_a_stranger_may_send_no_stanza(attack: Attack) -> None:
    wire = await attack.wires.stranger()
    await wire.send(f"<message to='nurse@{DOMAIN}'><body>hello</body></message>")
    assert await wire.error() == "not-authorized"


GARBAGE = {
    "XMPP": HEADER.encode(),
    "HTTP": b"GET / HTTP/1.1\r\nHost: capulet.example\r\n\r\n",
    "a large record": b"\x16\x03\x01\xff\xff" + b"\x01" * 65_535,
    "a broken hello": b"\x16\x03\x01\x00\x05\x01\x00\xff\xff\xff",  # says that more is to come
    "SSL 2": b"\x80\x2e\x01\x03\x01",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "noise": os.urandom(100_000),
}


async def test_garbage_on_the_tls_port(attack: Attack) -> None:
    """It is closed at once, or when the time for a handshake is over; an alert of TLS is all that the server says."""

    async def send(garbage: bytes) -> bytes:
        wire = await attack.wires.connect(direct=True)
        await wire.flood(garbage)
        try:
            return await wire.reader.read()
        except ConnectionError:
            return b""

    async with asyncio.timeout(ATTACKED["handshake_seconds"] + 5):
        said = await asyncio.gather(*map(send, GARBAGE.values()))
    assert all(answer[:1] in (b"", b"\x15") and len(answer) < 10 for answer in said), said


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH\r\n" * 10_000])
async def test_another_protocol_on_the_port_for_clients(request_: bytes, attack: Attack) -> None:
    wire = await attack.wires.connect()
    await wire.flood(request_)
    assert await wire.error() in ("not-well-formed", "policy-violation", "connection-timeout")


async def test_tls_on_the_port_that_begins_in_the_clear(attack: Attack) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        attack.wires.keep(await Wire.connect(attack.server.c2s, tls=attack.server.client_tls()))


async def test_an_old_tls_version_is_refused(attack: Attack) -> None:
    context = attack.server.client_tls()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    good = attack.wires.keep(await Wire.connect(attack.server.c2s_tls, tls=context))
    await good.open()
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")  # no forward secrecy, no authenticated encryption
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await Wire.connect(attack.server.c2s_tls, tls=context)


async def test_a_client_that_half_closes_is_let_go(attack: Attack) -> None:
    wire = await attack.wires.connect()
    await wire.open()
    wire.half_close()
    await wire.closed()


async def test_connections_that_break_in_the_middle_of_a_stanza(attack: Attack) -> None:
    watcher = await attack.wires.login("tybalt", available=True)

    async def visit() -> str:
        wire = await attack.wires.login("mercutio", available=True)
        await wire.send(f"<message to='{watcher.jid}'><body>I am hur")
        wire.reset()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await wire.writer.wait_closed()
        return wire.jid

    visitors = [await visit() for _ in range(50)]
    for jid in visitors:  # what is sent now shows the server that they are gone, if nothing has before
        await watcher.send(f"<message type='headline' to='{jid}'><body>Are you there?</body></message>")
    await watcher.ping()
    for jid in visitors:
        answer = await watcher.request("<ping xmlns='urn:xmpp:ping'/>", to=jid)
        assert answer.get("type") == "error", "the session is gone"


async def test_addresses_that_are_costly_to_prepare(attack: Attack) -> None:
    """Within its rate of bytes and stanzas one client could keep the server busy with nothing but addresses."""
    letters = "\u0315\u0300" * 500
    client = await attack.wires.login("tybalt")
    other = await attack.wires.login("nurse")
    stanza = f"<message to='{letters}%d@{DOMAIN}/{letters}'/>"
    await client.send("".join(stanza % number for number in range(400)))

    async def handled(count: int) -> None:
        for _ in range(count):
            assert (await client.receive()).get("type") == "error"

    costly, turns = 30, 0
    handling = asyncio.create_task(handled(costly))
    while not handling.done():
        await other.ping()
        turns += 1
    await handling
    print(f"\nduring {costly} costly stanzas another client had {turns} turns")
    assert turns > 5 * costly, f"another client had {turns} turns during {costly} costly stanzas"
    attack.wires.drop(client)
