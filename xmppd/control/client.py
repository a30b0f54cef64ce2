"""The command line's end of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from xmppd.accounts import PAGE, AccountDetails, Accounts
from xmppd.control import place
from xmppd.control.protocol import (
    ERRORS,
    LINE_LIMIT,
    Answer,
    CreateMany,
    Delete,
    Existing,
    GetStatus,
    List,
    Request,
    SetCredentials,
    SetRetention,
    Show,
    Status,
    decoder,
    encode,
)
from xmppd.control.rooms import ControlRooms
from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.interfaces import AccountRecord, Credentials

_ANSWER_SECONDS: Final = 120.0  # it takes milliseconds, a second for 1,000 accounts


class ControlClient(Accounts):
    """``Accounts`` as a running server has them. ``UserError`` where it does not answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.rooms = ControlRooms(self._ask)

    @staticmethod
    async def connect(data_dir: Path) -> ControlClient | None:
        """A connection to the server that runs on ``data_dir``; None where none does."""
        try:
            sock = place.connect(data_dir)
        except OSError as err:
            raise UserError(
                f"the server's control socket in {data_dir} cannot be opened: {err.strerror}; "
                "run the command as the user who runs the server"
            ) from err
        if sock is None:
            return None
        return ControlClient(*await asyncio.open_unix_connection(sock=sock, limit=LINE_LIMIT))

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def existing(self, jids: Sequence[Jid]) -> frozenset[Jid]:
        found: frozenset[Jid] = await self._ask(Existing(jids), frozenset[Jid])
        return found

    async def create_many(self, accounts: Sequence[tuple[Jid, Credentials]]) -> None:
        await self._ask(CreateMany(accounts), None)

    async def set_credentials(self, jid: Jid, credentials: Credentials) -> None:
        await self._ask(SetCredentials(jid, credentials), None)

    async def set_retention(self, jid: Jid, days: int | None) -> None:
        await self._ask(SetRetention(jid, days), None)

    async def delete(self, jid: Jid) -> None:
        await self._ask(Delete(jid), None)

    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = PAGE
    ) -> list[AccountRecord]:
        found: list[AccountRecord] = await self._ask(
            List(domain, contains, after, limit), list[AccountRecord]
        )
        return found

    async def show(self, jid: Jid) -> AccountDetails:
        details: AccountDetails = await self._ask(Show(jid), AccountDetails)
        return details

    async def status(self) -> Status:
        status: Status = await self._ask(GetStatus(), Status)
        return status

    async def _ask(self, request: Request, of: Any) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._writer.write(encode(request))
                await self._writer.drain()
                line = await self._reader.readline()
        except TimeoutError as err:
            raise UserError(
                f"the server did not answer within {_ANSWER_SECONDS:.0f} s; look into its log"
            ) from err
        except ConnectionError as err:
            raise UserError("the server closed the connection; has it been stopped? Try again") from err
        if not line.endswith(b"\n"):
            raise UserError("the server closed the connection; has it been stopped? Try again")
        answer = decoder(Answer[of])(line)
        if answer.error is not None:
            raise ERRORS.get(answer.error.code, UserError)(answer.error.message)
        return answer.result
