"""What happens to a client that is in the middle of logging in when its account is changed."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, PASSWORD, ServerProcess
from tests.support.scram import ScramExchange
from tests.support.wire import Wires
from xmppd import ns

NEW = "a much better password"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, accounts=["juliet"])
    with process.running():
        yield process


async def command(server: ServerProcess, *arguments: str) -> None:
    done = await asyncio.to_thread(server.run, *arguments)
    assert done.returncode == 0, done.stderr


async def test_who_proved_the_old_password_does_not_bind_after_a_new_one_is_set(
    server: ServerProcess,
) -> None:
    async with Wires(server) as wires:
        wire = await wires.stranger()
        await wire.authenticate("juliet")
        await wire.open()
        await command(server, "user", "passwd", f"juliet@{DOMAIN}", "--password", NEW)
        assert await wire.error() == "reset"
        late = await wires.stranger()
        await late.authenticate("juliet", NEW)


async def test_a_proof_begun_with_the_old_password_is_refused(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        wire = await wires.stranger()
        exchange = ScramExchange("SCRAM-SHA-256", "juliet", PASSWORD, None)
        first = b64encode(exchange.first()).decode()
        await wire.send(f"<auth xmlns='{ns.SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>")
        challenge = await wire.receive()
        await command(server, "user", "passwd", f"juliet@{DOMAIN}", "--password", NEW)
        final = b64encode(exchange.final(b64decode(challenge.text()))).decode()
        await wire.send(f"<response xmlns='{ns.SASL}'>{final}</response>")
        await wire.expect(f"<failure xmlns='{ns.SASL}'><not-authorized/></failure>")
        await wire.authenticate("juliet", NEW)  # on the same connection


async def test_an_account_made_again_is_not_that_of_who_logged_in_before(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        wire = await wires.stranger()
        await wire.authenticate("juliet")
        await wire.open()
        await command(server, "user", "del", f"juliet@{DOMAIN}", "--yes")
        await command(server, "user", "add", f"juliet@{DOMAIN}", "--password", NEW)
        assert await wire.error() == "not-authorized"
