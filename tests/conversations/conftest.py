"""Juliet and Romeo, each on a domain of the same server; and a server whose archive the test holds back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conversations.contacts import JULIET, ROMEO
from tests.conversations.subscribing import interested
from tests.support import mail
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", "montague.lit") as server:
        yield server


@pytest_asyncio.fixture
async def juliet(server: Harness) -> Client:
    return await interested(server, f"{JULIET}/balcony")


@pytest_asyncio.fixture
async def romeo(server: Harness) -> Client:
    return await interested(server, f"{ROMEO}/orchard")


@pytest.fixture
def store() -> HeldBack:
    """What stands in front of the archive of ``held``."""
    return HeldBack()


@pytest_asyncio.fixture
async def held(store: HeldBack) -> AsyncIterator[Harness]:
    """A server whose archive the test holds back, with the account that gets mail in ``tests.support.mail``."""
    async with Harness("capulet.lit", wrap=store.wrap) as server:
        await server.account(mail.ROMEO)
        yield server
        store.recover()
        store.let_go()
