"""The server's end of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from xmppd.accounts import Accounts
from xmppd.control import place
from xmppd.control.protocol import (
    LINE_LIMIT,
    SOCKET_NAME,
    Answer,
    CreateMany,
    Delete,
    Existing,
    Failure,
    GetStatus,
    List,
    Request,
    SetCredentials,
    SetRetention,
    Show,
    Status,
    decoder,
    encode,
    failure,
)
from xmppd.control.rooms import RoomRequest, answer
from xmppd.errors import UserError
from xmppd.rooms import RoomDesk
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.control")

_read_request = decoder(Request)


class ControlServer:
    """Answers requests about ``accounts``, ``rooms`` and ``status`` in ``data_dir``, whose lock this process holds."""

    def __init__(
        self, data_dir: Path, accounts: Accounts, rooms: RoomDesk, status: Callable[[], Status]
    ) -> None:
        self._data_dir = data_dir
        self._accounts = accounts
        self._rooms = rooms
        self._status = status
        self._tasks = Tasks()
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; ``UserError`` where the socket cannot be made."""
        try:
            sock = place.bind(self._data_dir)
        except OSError as err:
            raise UserError(
                f"{self._data_dir / SOCKET_NAME} cannot be made: {err.strerror}; "
                "data_dir has to be a folder of the server's user, on a local file system"
            ) from err
        self._listener = await asyncio.start_unix_server(self._accept, sock=sock, limit=LINE_LIMIT)

    async def close(self) -> None:
        """Stop listening, end the connections, remove the socket."""
        if self._listener is not None:
            self._listener.close()
            (self._data_dir / SOCKET_NAME).unlink(missing_ok=True)
        await self._tasks.aclose()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start("control connection", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(encode(await self._answer(line)))
                await writer.drain()
        except (ConnectionError, ValueError):  # ValueError: a line beyond LINE_LIMIT
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Answer[object]:
        try:
            request: Request = _read_request(line)
        except msgspec.MsgspecError as err:
            return Answer(
                error=Failure("bad-request", f"{err}; are the command and the server of the same version?")
            )
        try:
            return Answer(result=await self._do(request))
        except Exception as err:
            known = failure(err)
            if known is None:
                log.exception("control request failed: %s", type(request).__name__)
            return Answer(error=known or Failure("bug", "the server failed; its log says how"))

    async def _do(self, request: Request) -> object:
        if isinstance(request, RoomRequest):
            return await answer(self._rooms.get(), request)
        accounts = self._accounts
        match request:
            case Existing(jids):
                return await accounts.existing(jids)
            case CreateMany(created):
                await accounts.create_many(created)
            case SetCredentials(jid, credentials):
                await accounts.set_credentials(jid, credentials)
            case SetRetention(jid, days):
                await accounts.set_retention(jid, days)
            case Delete(jid):
                await accounts.delete(jid)
            case List(domain, contains, after, limit):
                return await accounts.list(domain=domain, contains=contains, after=after, limit=limit)
            case Show(jid):
                return await accounts.show(jid)
            case GetStatus():
                return self._status()
        return None
