"""A transport between a real socket and a receiver, in the clear and with TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.net.parts import Pair, contexts, pair, tcp
from xmppd.net.tls import ServerTls
from xmppd.net.transport import READ_SIZE, Flusher, Transport, TransportLimits

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Tls = tuple[ServerTls, ssl.SSLContext] | None


@pytest.fixture(params=["clear", "TLS 1.2", "TLS 1.3"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Tls:
    match request.param:
        case "clear":
            return None
        case "TLS 1.2":
            return contexts(tmp_path, ssl.TLSVersion.TLSv1_2)
        case _:
            return contexts(tmp_path)


@pytest.fixture
async def both(tls: Tls) -> AsyncIterator[Pair]:
    async with pair(tls) as both:
        yield both


async def turns(count: int = 20) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_nothing_is_read_before_it_is_asked_for(both: Pair) -> None:
    both.writer.write(b"early")
    await both.writer.drain()
    await turns()
    assert not both.recorder.received
    both.transport.resume_reading()
    await both.recorder.until(lambda: both.recorder.received == b"early")


async def test_reading_can_pause_and_go_on(both: Pair) -> None:
    both.transport.resume_reading()
    both.writer.write(b"one")
    await both.recorder.until(lambda: both.recorder.received == b"one")
    both.transport.pause_reading()
    both.transport.pause_reading()
    both.writer.write(b"two")
    await both.writer.drain()
    await turns()
    assert both.recorder.received == b"one"
    both.transport.resume_reading()
    both.transport.resume_reading()
    await both.recorder.until(lambda: both.recorder.received == b"onetwo")


async def test_much_is_read_in_turns(both: Pair) -> None:
    """A fast sender gets no more than ``READ_SIZE`` per wake-up, and nothing stays behind in OpenSSL."""
    data = os.urandom(60 * 16_384)  # the last record of TLS is full
    both.transport.resume_reading()
    both.writer.write(data)
    await both.recorder.until(lambda: len(both.recorder.received) == len(data))
    assert both.recorder.received == data
    assert max(both.recorder.pieces) <= READ_SIZE


async def test_pausing_in_the_middle_loses_nothing(both: Pair) -> None:
    """Also of what OpenSSL has decrypted: the kernel would not report it again."""
    data = os.urandom(20 * 16_384)
    transport, recorder = both.transport, both.recorder

    def pause(_: bytes) -> None:
        transport.pause_reading()
        asyncio.get_running_loop().call_soon(transport.resume_reading)

    recorder.on_data = pause
    transport.resume_reading()
    both.writer.write(data)
    await recorder.until(lambda: len(recorder.received) == len(data))
    assert recorder.received == data


async def test_byte_by_byte(both: Pair) -> None:
    both.transport.resume_reading()
    for byte in b"hello":
        both.writer.write(bytes([byte]))
        await both.writer.drain()
    await both.recorder.until(lambda: both.recorder.received == b"hello")


async def test_what_is_written_in_one_tick_is_sent_at_once() -> None:
    class Counting(socket.socket):
        sent: list[int]

        def send(self, data: ReadableBuffer, flags: int = 0) -> int:
            count = super().send(data, flags)
            self.sent.append(count)
            return count

    theirs, plain = tcp()
    ours = Counting(fileno=plain.detach())
    ours.sent = []
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    transport = Transport(
        loop, Flusher(loop), ours, "127.0.0.1", TransportLimits(send_buffer=2**20, linger=1)
    )
    with theirs:
        for word in (b"one", b"two", b"three"):
            transport.write(word)
        assert not ours.sent
        await turns(3)
        assert ours.sent == [11]
        transport.write(b"four")
        await turns(3)
        assert ours.sent == [11, 4]
        transport.abort()


async def test_much_is_written_in_order(both: Pair) -> None:
    """More than the socket takes: the rest goes when the peer reads."""
    pieces = [os.urandom(50_000) for _ in range(100)]
    for piece in pieces:
        both.transport.write(piece)
        await asyncio.sleep(0)
    assert both.transport.pending > 0
    draining = asyncio.create_task(both.transport.drained())
    assert await both.peer_reads(5_000_000) == b"".join(pieces)
    assert await draining
    assert both.transport.pending == 0
    assert await both.transport.drained()
    both.transport.write(b"more")
    assert await both.peer_reads(4) == b"more"


async def test_both_directions_at_once(both: Pair) -> None:
    out, into = os.urandom(2_000_000), os.urandom(2_000_000)
    both.transport.resume_reading()
    both.transport.write(out)
    both.writer.write(into)
    assert await both.peer_reads(len(out)) == out
    await both.recorder.until(lambda: len(both.recorder.received) == len(into))
    assert both.recorder.received == into


async def test_a_peer_that_does_not_read_overflows(tls: Tls) -> None:
    async with pair(tls, send_buffer=100_000, small=True, peer_buffer=1_024) as both:
        both.recorder.on_overflow = both.transport.abort
        both.transport.write(bytes(90_000))
        written = 90_000
        while not both.recorder.overflows:
            both.transport.write(bytes(10_000))
            written += 10_000
            await asyncio.sleep(0)
            assert both.transport.pending <= 100_000 + 10_000
            assert written < 2**24
        both.transport.write(bytes(10_000))
        assert both.recorder.overflows == 1
        assert both.recorder.lost == [None]
        assert not await both.transport.drained()


async def test_a_single_write_beyond_the_bound_overflows(tls: Tls) -> None:
    async with pair(tls, send_buffer=100_000, small=True, peer_buffer=1_024) as both:
        both.recorder.on_overflow = both.transport.abort
        both.transport.write(bytes(5_000_000))
        await both.recorder.until(lambda: both.recorder.overflows)
        assert both.recorder.lost == [None]


async def test_waiting_for_the_socket_ends_when_the_connection_does(tls: Tls) -> None:
    async with pair(tls, small=True, peer_buffer=1_024) as both:
        both.transport.write(bytes(5_000_000))
        draining = asyncio.create_task(both.transport.drained())
        await turns()
        assert not draining.done()
        both.transport.abort()
        assert not await draining


async def test_closing_sends_the_last_words_first(both: Pair) -> None:
    both.transport.resume_reading()
    both.transport.write(b"x" * 3_000_000)
    both.transport.write(b"goodbye")
    both.transport.close()
    both.transport.close()
    both.transport.write(b"too late")
    assert (await both.peer_reads_all())[-7:] == b"goodbye"
    both.writer.close()
    await both.recorder.until(lambda: both.recorder.lost)
    assert both.recorder.lost == [None]
    assert both.transport.is_closed()


async def test_the_last_words_arrive_though_much_was_not_read(both: Pair) -> None:
    """A socket closed over unread input resets the connection, and the peer would not see what was said."""
    both.writer.write(b"flood" * 100_000)
    both.transport.write(b"too much")
    both.transport.close()
    assert await both.peer_reads_all() == b"too much"
    assert not both.recorder.received


async def test_a_peer_that_does_not_close_is_cut_off(tls: Tls) -> None:
    async with pair(tls, linger=0.05) as both:
        both.transport.write(b"goodbye")
        both.transport.close()
        await both.recorder.until(lambda: both.recorder.lost)
        assert both.recorder.lost == [None]


async def test_the_peer_closes(both: Pair) -> None:
    both.transport.resume_reading()
    both.writer.write(b"bye")
    both.writer.close()
    await both.recorder.until(lambda: both.recorder.lost)
    assert both.recorder.received == b"bye"
    assert both.recorder.lost == [None]
    both.transport.write(b"anybody?")
    both.transport.close()
    both.transport.abort()
    assert both.recorder.lost == [None], "told once"


async def test_the_connection_breaks(both: Pair) -> None:
    both.transport.resume_reading()
    both.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    both.writer.transport.abort()
    await both.recorder.until(lambda: both.recorder.lost)
    (error,) = both.recorder.lost
    assert error is None or isinstance(error, ConnectionResetError)  # OpenSSL may take it for a rude goodbye


async def test_an_error_of_the_receiver_ends_only_its_connection(
    both: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    both.recorder.on_data = fail
    both.transport.resume_reading()
    both.writer.write(b"x")
    await both.recorder.until(lambda: both.recorder.lost)
    assert "ZeroDivisionError" in caplog.text


# TLS


async def test_starttls_in_the_middle(tmp_path: Path) -> None:
    """What was written before goes in the clear and first, what follows inside TLS."""
    server, client = contexts(tmp_path)
    async with pair() as both:
        transport = both.transport
        transport.resume_reading()
        both.writer.write(b"starttls")
        await both.recorder.until(lambda: both.recorder.received == b"starttls")
        transport.pause_reading()
        transport.write(b"proceed")
        starting = asyncio.create_task(transport.start_tls(server.context))
        assert await both.peer_reads(7) == b"proceed"
        await both.writer.start_tls(client, server_hostname="capulet.example")
        await starting
        assert transport.secure
        assert transport.tls_version == "TLSv1.3"
        transport.resume_reading()
        both.writer.write(b"secret")
        await both.recorder.until(lambda: both.recorder.received == b"starttlssecret")
        transport.write(b"too")
        assert await both.peer_reads(3) == b"too"


@pytest.mark.parametrize(
    "garbage", [b"<stream:stream>" * 10, bytes(100), b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"]
)
async def test_garbage_is_no_handshake(garbage: bytes, tmp_path: Path) -> None:
    server, _ = contexts(tmp_path)
    async with pair() as both:
        starting = asyncio.create_task(both.transport.start_tls(server.context))
        both.writer.write(garbage)
        with pytest.raises(OSError):
            await starting
        assert not both.transport.secure


async def test_the_peer_leaves_in_the_middle_of_the_handshake(tmp_path: Path) -> None:
    server, _ = contexts(tmp_path)
    async with pair() as both:
        starting = asyncio.create_task(both.transport.start_tls(server.context))
        both.writer.write(b"\x16\x03\x01\x02\x00\x01\x00")
        await turns()
        both.writer.close()
        with pytest.raises(OSError):
            await starting


@pytest.mark.parametrize("end", [Transport.abort, Transport.close])
async def test_a_handshake_is_given_up(end: Callable[[Transport], None], tmp_path: Path) -> None:
    server, _ = contexts(tmp_path)
    async with pair() as both:
        starting = asyncio.create_task(both.transport.start_tls(server.context))
        await turns()
        both.transport.write(b"</stream:stream>")
        end(both.transport)  # also the polite way is short: there is no channel yet to say anything on
        with pytest.raises(OSError):
            await starting
        assert both.recorder.lost == [None]


class TlsPeer:
    """A client's end of TLS, by hand: what to send when is up to the test."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="capulet.example")

    def shake(self, received: bytes = b"") -> bool:
        """One step of the handshake; whether it was the last."""
        self._incoming.write(received)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def write(self, data: bytes) -> None:
        self._tls.write(data)

    def take(self) -> bytes:
        """What is to be sent."""
        return self._outgoing.read()


async def test_a_handshake_byte_by_byte(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    peer = TlsPeer(client)
    async with pair() as both:
        starting = asyncio.create_task(both.transport.start_tls(server.context))
        done = peer.shake()
        while True:
            for byte in peer.take():
                both.writer.write(bytes([byte]))
                await both.writer.drain()
                await turns(2)
            if done:
                break
            done = peer.shake(await both.reader.read(1_000))
        await starting
        both.transport.resume_reading()
        peer.write(b"hello")
        for byte in peer.take():
            both.writer.write(bytes([byte]))
            await both.writer.drain()
        await both.recorder.until(lambda: both.recorder.received == b"hello")


async def test_data_right_behind_the_handshake_is_not_lost(tmp_path: Path) -> None:
    """A client may send its first data together with the end of its handshake."""
    server, client = contexts(tmp_path)
    peer = TlsPeer(client)
    async with pair() as both:
        starting = asyncio.create_task(both.transport.start_tls(server.context))
        received = b""
        while not peer.shake(received):
            both.writer.write(peer.take())
            received = await both.reader.read(65_536)
        peer.write(b"at once")
        both.writer.write(peer.take())
        await starting
        both.transport.resume_reading()
        await both.recorder.until(lambda: both.recorder.received == b"at once")


async def test_starting_tls_needs_a_paused_plain_transport(tmp_path: Path) -> None:
    server, _ = contexts(tmp_path)
    async with pair() as both:
        both.transport.resume_reading()
        with pytest.raises(RuntimeError):
            await both.transport.start_tls(server.context)


async def test_an_unread_backlog_in_the_clear_forbids_tls(tmp_path: Path) -> None:
    server, _ = contexts(tmp_path)
    async with pair(small=True, peer_buffer=1_024) as both:
        both.transport.write(bytes(5_000_000))
        with pytest.raises(OSError, match="does not read"):
            await both.transport.start_tls(server.context)


async def test_without_a_receiver_it_ends() -> None:
    theirs, ours = tcp()
    loop = asyncio.get_running_loop()
    transport = Transport(
        loop, Flusher(loop), ours, "127.0.0.1", TransportLimits(send_buffer=2**20, linger=1)
    )
    transport.resume_reading()
    with theirs:
        theirs.send(b"x")
        await loop.sock_recv(theirs, 1)
    assert transport.is_closed()
