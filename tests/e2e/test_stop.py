"""How a server ends, and how it takes over new certificates while it runs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, ServerProcess
from tests.support.wire import LoginFailed, Wire, Wires
from xmppd.cli.serve import raise_file_limit

USERS = [f"user{number}" for number in range(500)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"])
    with server.running():
        yield server


async def stop(server: ServerProcess) -> float:
    """SIGTERM; the seconds until the server has ended, which has to be with 0."""
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0
    return time.monotonic() - began


async def test_sigterm_says_goodbye_on_every_stream(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet = await wires.login("juliet", available=True)
        romeo = await wires.login("romeo", direct_tls=False)
        stranger = await wires.stranger()
        clear = await wires.connect()
        await clear.open()
        silent = await wires.connect()
        ending = asyncio.create_task(stop(server))
        for wire in (juliet, romeo, stranger, clear, silent):
            assert await wire.error() == "system-shutdown"
            wire.abort()
        assert await ending < 2


async def test_sigint_ends_it_too(server: ServerProcess) -> None:
    server.signal(signal.SIGINT)
    assert await server.ended() == 0


async def test_what_was_sent_before_the_end_is_kept(server: ServerProcess) -> None:
    """Also what the server had not even looked at yet when it was told to stop, as far as it acknowledged it."""
    async with Wires(server) as wires:
        juliet = await wires.login("juliet")
        for number in range(200):
            await juliet.send(
                f"<message type='chat' to='romeo@{DOMAIN}' id='m{number}'><body>{number}</body></message>"
            )
        await juliet.ping()
        await stop(server)
    server.start()
    async with Wires(server) as wires:
        romeo = await wires.login("romeo")
        await romeo.send("<presence/>")
        for number in range(200):
            message = await romeo.until(lambda got: got.name == "message")
            assert message.get("id") == f"m{number}"


@pytest.mark.slow
async def test_500_clients_and_one_that_never_reads_do_not_hold_it_up(tmp_path: Path) -> None:
    raise_file_limit()
    server = ServerProcess(tmp_path, accounts=[*USERS, "deaf"])
    with server.running():
        async with Wires(server) as wires:
            deaf = await wires.login("deaf/ears", receive_buffer=4_096)
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            people = []
            for start in range(0, len(USERS), 20):
                names = USERS[start : start + 20]
                people += await asyncio.gather(*[wires.login(name, available=True) for name in names])
            body = "x" * 100_000
            for _ in range(30):  # more than fits into its socket, less than the server holds for it
                await people[0].send(
                    f"<message type='headline' to='{deaf.jid}'><body>{body}</body></message>"
                )
            await people[0].ping()
            ending = asyncio.create_task(stop(server))
            conditions = await asyncio.gather(*[goodbye(wire) for wire in people])
            assert set(conditions) == {"system-shutdown"}
            seconds = await ending
            print(f"\n500 clients and a deaf one: stopped after {seconds:.1f} s")
            assert seconds < 5


async def goodbye(wire: Wire) -> str:
    condition = await wire.error()
    wire.abort()
    return condition


async def test_sigterm_while_nobody_can_say_goodbye(tmp_path: Path) -> None:
    """Half-open connections do not hold it up either."""
    server = ServerProcess(tmp_path)
    with server.running():
        async with Wires(server) as wires:
            for _ in range(20):
                await wires.connect()
                await wires.connect(direct=True)
            assert await stop(server) < 5


PLUS = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"]


@pytest.mark.parametrize("direct", [True, False], ids=["direct TLS", "STARTTLS"])
@pytest.mark.parametrize("mechanism", PLUS)
async def test_logins_are_bound_to_the_certificate(
    mechanism: str, direct: bool, server: ServerProcess
) -> None:
    async with Wires(server) as wires:
        wire = await wires.login("juliet", mechanism=mechanism, direct_tls=direct)
        await wire.ping()


async def test_the_types_of_binding_are_advertised(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        wire = await wires.connect(tls=True)
        features = await wire.open()
        bindings = features.child("sasl-channel-binding", "urn:xmpp:sasl-cb:0")  # XEP-0440
        assert bindings is not None
        assert [each.get("type") for each in bindings.elements()] == ["tls-server-end-point"]
        mechanisms = features.child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl")
        assert mechanisms is not None
        assert set(PLUS) <= {each.text() for each in mechanisms.elements()}


@pytest.mark.parametrize(
    "binding",
    [
        ("tls-server-end-point", bytes(32)),
        ("tls-server-end-point", b""),
        ("tls-exporter", bytes(32)),
        ("tls-unique", bytes(12)),
    ],
    ids=["wrong", "empty", "another type", "a type of TLS 1.2"],
)
async def test_a_wrong_binding_does_not_log_in(binding: tuple[str, bytes], server: ServerProcess) -> None:
    """This is what a man in the middle, with a certificate of his own, would bring about."""
    async with Wires(server) as wires:
        wire = await wires.stranger()
        with pytest.raises(LoginFailed):
            await wire.authenticate("juliet", mechanism="SCRAM-SHA-256-PLUS", binding=binding)
        await wire.authenticate("juliet", mechanism="SCRAM-SHA-256-PLUS")


async def test_a_new_certificate_is_taken_over_on_sighup(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet = await wires.login("juliet", available=True)
        waiting = await wires.stranger()  # logs in after the reload, over the old certificate
        old = juliet.end_point
        server.new_certificate()
        server.signal(signal.SIGHUP)
        await server.logged("xmppd.serve reloaded")

        romeo = await wires.login("romeo", mechanism="SCRAM-SHA-256-PLUS", available=True)
        assert romeo.end_point != old
        await romeo.send(f"<message to='{juliet.jid}'><body>still there?</body></message>")
        await juliet.expect(
            f"<message from='{romeo.jid}' to='{juliet.jid}'><body>still there?</body></message>"
        )
        assert waiting.end_point == old
        await waiting.authenticate("juliet", mechanism="SCRAM-SHA-512-PLUS")
        fresh = await wires.stranger()
        with pytest.raises(LoginFailed):  # the binding of the certificate that was
            await fresh.authenticate(
                "juliet", mechanism="SCRAM-SHA-256-PLUS", binding=("tls-server-end-point", old)
            )


@pytest.mark.parametrize("broken", ["certificate", "key", "missing", "another key"])
async def test_a_broken_certificate_leaves_the_old_one_in_force(broken: str, server: ServerProcess) -> None:
    server.expected.append("not reloaded, everything stays as it was")
    trusted = server.client_tls()
    good = server.certificate.read_bytes(), server.key.read_bytes()
    match broken:
        case "certificate":
            server.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        case "key":
            server.key.write_text("no key")
        case "missing":
            server.certificate.unlink()
        case _:
            server.new_certificate()
            server.certificate.write_bytes(good[0])
    server.signal(signal.SIGHUP)
    line = await server.logged("not reloaded, everything stays as it was")
    assert str(server.certificate) in line or str(server.key) in line, "it names the file"
    async with Wires(server) as wires:
        wire = wires.keep(await Wire.connect(server.c2s_tls, tls=trusted))
        await wire.open()
        await wire.authenticate("juliet", mechanism="SCRAM-SHA-256-PLUS")
        server.certificate.write_bytes(good[0])
        server.key.write_bytes(good[1])
        server.signal(signal.SIGHUP)
        await server.logged("xmppd.serve reloaded")
