"""Juliet and Romeo, each on a domain of the same server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.conversations.contacts import JULIET, ROMEO
from tests.conversations.subscribing import interested
from tests.support.harness import Client, Harness


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
