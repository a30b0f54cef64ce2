"""The network between phones and the server: a TCP proxy that cuts connections as networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from random import Random
from typing import Final

from tests.support.durability.letters import Post
from tests.support.process import Address

# What happens, seen from the phone. Bytes that wait in the proxy are lost except with "late".
CUTS: Final = (
    "reset",  # both ends get a RST
    "closed",  # both ends get a FIN, outside of TLS
    "moved",  # the phone knows that its address is gone, the server hears nothing
    "unplugged",  # the server gets a RST, the phone hears nothing
    "silent",  # nobody hears anything
    "torn",  # half of what comes next arrives, then both get a RST
    "late",  # the phone is gone; what it sent last arrives when it may be there again
)
_SILENCE: Final = 4.0  # seconds after which an end that heard nothing is told


class Network:
    """``target`` says where the server is now. ``start``, ``cut`` as often as you like, ``close``."""

    def __init__(self, target: Callable[[], Address], rng: Random, post: Post) -> None:
        self.target = target
        self.rng = rng
        self.post = post
        self.open: dict[_Path, None] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> Address:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Path(self).phone, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return host, port

    def cut(self) -> None:
        """Cut one connection in one way, both by chance."""
        if self.open:
            path = self.rng.choice(list(self.open))
            how = self.rng.choice(CUTS)
            self.post.figures.cuts += 1
            self.post.happened(f"is cut off: {how}", self.post.ports.get(path.port, "somebody at login"))
            path.cut(how)

    def lose(self, name: str) -> None:
        """The phone ``name`` is out of reach; the server hears nothing of that."""
        for path in list(self.open):
            if self.post.ports.get(path.port) == name:
                path.cut("moved")

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for path in list(self.open):
            path.end()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            action()

        self.keep(asyncio.create_task(wait()))

    def keep(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class _Path:
    """One connection through the proxy."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.port = 0  # of the phone
        self.phone = _End(self)
        self.server = _End(self)
        self.phone.other, self.server.other = self.server, self.phone
        self.torn = False

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.server, *self.network.target())
        except OSError:
            self.end()

    def cut(self, how: str) -> None:
        phone, server, network = self.phone, self.server, self.network
        match how:
            case "reset":
                self.end()
            case "closed":
                phone.close()
                server.close()
            case "torn":
                self.torn = True
                network.later(_SILENCE, self.end)
            case "late":
                phone.hold = True
                network.later(network.rng.uniform(0.02, 0.2), phone.reset)
                network.later(network.rng.uniform(0.2, 1.2), self.arrive_late)
            case _:
                phone.mute = server.mute = True
                if how == "moved":
                    phone.reset()
                elif how == "unplugged":
                    server.reset()
                network.later(_SILENCE, self.end)

    def arrive_late(self) -> None:
        self.server.write(b"".join(self.phone.held))
        self.server.close()

    def end(self) -> None:
        self.phone.reset()
        self.server.reset()
        self.network.open.pop(self, None)


class _End(asyncio.Protocol):
    """One of its two ends: where bytes come from, and go to."""

    other: _End

    def __init__(self, path: _Path) -> None:
        self.path = path
        self.transport: asyncio.Transport | None = None
        self.mute = False  # what comes from here is lost
        self.hold = False  # what comes from here is held back
        self.held: list[bytes] = []
        self._early: list[bytes] = []  # to be written once there is a connection
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        path = self.path
        if self is path.phone:
            path.network.open[path] = None
            path.port = transport.get_extra_info("peername")[1]
            path.network.keep(asyncio.create_task(path.connect()))
        if self._over:
            self.reset()
        elif self._early:
            transport.write(b"".join(self._early))

    def data_received(self, data: bytes) -> None:
        if self.mute:
            return
        if self.hold:
            self.held.append(data)
        elif self.path.torn:
            self.other.write(data[: len(data) // 2])
            self.path.end()
        else:
            self.other.write(data)

    def eof_received(self) -> bool:
        if not (self.mute or self.hold or self.other.mute):
            self.other.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        if self.mute or self.hold or self.other.mute or self.other.hold:
            return
        if exc is None:
            self.other.close()
        else:
            self.other.reset()
        self.path.network.open.pop(self.path, None)

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.write(data)

    def close(self) -> None:
        """With a FIN, behind what was written."""
        self._over = True
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """With a RST."""
        self._over = True
        if self.transport is not None and not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
