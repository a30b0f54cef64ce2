"""What the tests of attacks see through: the users beside an attack notice when a server does nothing for them."""

from __future__ import annotations

import asyncio
import signal

from tests.e2e.conftest import P99_MS
from tests.support.process import ServerProcess
from tests.support.witness import Witness


async def test_a_server_that_stands_still_is_noticed(attacked: tuple[ServerProcess, Witness]) -> None:
    server, witness = attacked
    witness.look()
    server.signal(signal.SIGSTOP)
    await asyncio.sleep(1)  # the test is about this time
    server.signal(signal.SIGCONT)
    assert witness.look().most > P99_MS
