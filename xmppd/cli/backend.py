"""Accounts and rooms, through the running server or, where none runs, in the storage itself under the server's lock."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeVar

from xmppd.accounts import Accounts, AccountService, NobodyIsOnline
from xmppd.auth.passwords import Passwords
from xmppd.clock import SystemClock
from xmppd.config import Config
from xmppd.control import ControlClient
from xmppd.errors import UserError
from xmppd.im.cursors import Cursors
from xmppd.lock import LOCK_NAME, DataLock, Locked
from xmppd.rooms import RoomAdministrator
from xmppd.storage.interfaces import AccountExists, NoSuchAccount, Stores
from xmppd.storage.open import open_configured, schema_versions
from xmppd.tasks import Tasks

T = TypeVar("T")

_WAIT_SECONDS = 10.0  # for a server that is starting or stopping, or for another command
_RETRY_SECONDS: Final = 0.1
_IN_MEMORY: Final = "sqlite::memory:"


def with_accounts(config: Config, work: Callable[[Accounts], Awaitable[T]], *, create: bool = False) -> T:
    """Do ``work`` with the accounts of the server that ``config`` describes, and close everything.

    ``create`` as in ``open_accounts``.
    """

    async def run() -> T:
        async with open_accounts(config, create=create) as accounts:
            return await work(accounts)

    return asyncio.run(run())


@asynccontextmanager
async def open_accounts(config: Config, *, create: bool = False) -> AsyncIterator[Accounts]:
    """The accounts until the context ends.

    A server that starts, and another command, are waited for. ``create``: a storage that is not there yet is made;
    else that is a ``UserError``, and nothing is left behind in the file system. ``UserError`` says what is in the way;
    an account that is missing or there already becomes one too.
    """
    async with AsyncExitStack() as stack:
        client = await _connect_or_lock(config, stack, create)
        accounts = await _open(config, stack, create) if client is None else client
        try:
            yield accounts
        except AccountExists as err:
            raise UserError(
                f"{err} is an account already; `xmppd user passwd {err}` changes its password"
            ) from err
        except NoSuchAccount as err:
            raise UserError(f"there is no account {err}; `xmppd user list` shows which there are") from err


def with_rooms(config: Config, work: Callable[[RoomAdministrator], Awaitable[T]]) -> T:
    """Do ``work`` with the rooms of the server that ``config`` describes, and close everything."""

    async def run() -> T:
        async with open_rooms(config) as rooms:
            return await work(rooms)

    return asyncio.run(run())


@asynccontextmanager
async def open_rooms(config: Config) -> AsyncIterator[RoomAdministrator]:
    """The rooms until the context ends, as ``open_accounts``."""
    async with AsyncExitStack() as stack:
        client = await _connect_or_lock(config, stack, create=False)
        yield await _open_rooms(config, stack) if client is None else client.rooms


def cores() -> int:
    """How many processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1


async def _connect_or_lock(config: Config, stack: AsyncExitStack, create: bool) -> ControlClient | None:
    """The running server; None where none runs: then its lock is ours until ``stack`` ends."""
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while True:
        if (client := await ControlClient.connect(config.data_dir)) is not None:
            stack.push_async_callback(client.close)
            return client
        if not (create or await _is_used(config)):
            raise _nothing_here(config)
        try:
            stack.enter_context(DataLock.acquire(config.data_dir, "a command"))
        except Locked:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return None


async def _is_used(config: Config) -> bool:
    """Whether a server or a command was here. Each leaves a lock; a restored backup is a storage without one."""
    try:
        return (config.data_dir / LOCK_NAME).exists() or await _has_storage(config)
    except OSError:  # a folder that this user may not enter: taking the lock says so
        return True


async def _has_storage(config: Config) -> bool:
    version, _ = await schema_versions(config.storage.url or "", config.data_dir)
    return version > 0


def _nothing_here(config: Config) -> UserError:
    if config.storage.url == _IN_MEMORY:
        return UserError(
            "storage.url keeps everything in memory, so accounts exist only while the server runs: start it"
        )
    return UserError(
        f"no server has been started here yet: there is no storage for {config.data_dir}; start one with "
        "`xmppd serve`, make an account with `xmppd user add`, or name the configuration of another with -c"
    )


async def _open_storage(config: Config, stack: AsyncExitStack, create: bool) -> Stores:
    url = config.storage.url or ""
    if url == _IN_MEMORY or not (create or await _has_storage(config)):
        raise _nothing_here(config)
    stores = await open_configured(config)
    stack.push_async_callback(stores.close)
    return stores


async def _open(config: Config, stack: AsyncExitStack, create: bool) -> Accounts:
    stores = await _open_storage(config, stack, create)
    passwords = Passwords(config.auth.scram_iterations)
    stack.callback(passwords.close)
    clock = SystemClock()
    limits = config.limits
    cursors = Cursors(stores.cursors, clock, Tasks(), days=limits.offline_days, limit=limits.offline_messages)
    return AccountService(
        stores, config.domains, passwords.hash, NobodyIsOnline(), clock, waiting=cursors.count
    )


async def _open_rooms(config: Config, stack: AsyncExitStack) -> RoomAdministrator:
    """Those of a node in which nobody is: so what is done to a room is done by the same code as in a server."""
    from xmppd.cli import extensions  # here, because the other commands start faster without these
    from xmppd.node import build

    stores = await _open_storage(config, stack, create=False)
    node = await build(config, stores, extensions.known())
    stack.push_async_callback(node.aclose)
    stack.push_async_callback(node.core.tasks.finish, _WAIT_SECONDS)  # what is sent to those who are away
    return node.core.rooms.get()
