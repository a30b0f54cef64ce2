"""The engines that the contract suite runs on.

A new engine is a class with ``open`` and a line in ``ENGINES`` (parts.py), or in ``DURABLE`` where its data outlive
``close``.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from tests.storage.parts import DURABLE, ENGINES, Engine, add_account
from tests.support.postgres import Postgres
from xmppd.storage.interfaces import Stores

_NUMBERS = count(1)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine with an empty database of its own."""
    engine = ENGINES[request.param](tmp_path)
    yield engine
    engine.give_back()


@pytest.fixture(params=DURABLE)
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine whose data are there again when it is opened again."""
    engine = DURABLE[request.param](tmp_path)
    yield engine
    engine.give_back()


@pytest_asyncio.fixture
async def stores(engine: Engine) -> AsyncIterator[Stores]:
    stores = await engine.open()
    yield stores
    await stores.close()


@pytest_asyncio.fixture
async def owner(stores: Stores) -> int:
    """The id of an account juliet@capulet.example without credentials."""
    return await add_account(stores, "juliet@capulet.example")


@pytest_asyncio.fixture
async def other(stores: Stores) -> int:
    """The id of another account, romeo@montague.example."""
    return await add_account(stores, "romeo@montague.example")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [
        thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("storage")
    ]
    assert left == [], "close() must end the threads of the storage"


@pytest.fixture(scope="session")
def _stoppable() -> Iterator[Postgres]:
    with Postgres(authentication="scram-sha-256") as server:
        yield server


@pytest.fixture
def server(_stoppable: Postgres) -> Iterator[Postgres]:
    """A PostgreSQL that tests may stop; it runs again for the next one."""
    yield _stoppable
    if not _stoppable.running:
        _stoppable.start()


@pytest.fixture
def url(server: Postgres) -> str:
    """An empty database on it."""
    return server.create(f"trouble{next(_NUMBERS)}")
