from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from xmppd.auth.passwords import Passwords, TooBusy
from xmppd.auth.saslprep import PasswordError
from xmppd.auth.scram import derive_keys, make_credentials
from xmppd.storage.interfaces import ScramHash, ScramKeys


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(5, threads=1, waiting=2)
    yield passwords
    passwords.close()


class Gate:
    """Keeps the hashing threads waiting until it is opened. Made on the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.open = threading.Event()
        self.busy = asyncio.Event()
        self.entered = 0

        def slow(password: str, hash: ScramHash, salt: bytes, iterations: int) -> ScramKeys:
            self.entered += 1
            loop.call_soon_threadsafe(self.busy.set)
            self.open.wait(10)
            return derive_keys(password, hash, salt, iterations)

        monkeypatch.setattr("xmppd.auth.passwords.derive_keys", slow)


async def test_a_password_is_hashed_and_recognised(passwords: Passwords) -> None:
    credentials = await passwords.hash("pencil")
    assert {keys.iterations for keys in credentials.values()} == {5}
    assert await passwords.verify("pencil", credentials)
    assert not await passwords.verify("pencil2", credentials)
    assert not await passwords.verify("", credentials)
    assert not await passwords.verify("pen\tcil", credentials)


async def test_a_password_is_recognised_however_it_was_typed(passwords: Passwords) -> None:
    credentials = await passwords.hash("p\u00e4ss\u00adword")
    assert await passwords.verify("pa\u0308ssword", credentials)


async def test_what_can_be_no_password_is_not_hashed(passwords: Passwords) -> None:
    with pytest.raises(PasswordError):
        await passwords.hash("")


@pytest.mark.parametrize("hash", ScramHash)
async def test_any_key_of_an_account_is_enough(passwords: Passwords, hash: ScramHash) -> None:
    credentials = {hash: make_credentials("pencil", 7)[hash]}
    assert await passwords.verify("pencil", credentials)
    assert not await passwords.verify("pen", credentials)
    assert not await passwords.verify("pencil", {})


async def test_beyond_the_queue_nobody_is_hashed_for(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    credentials = make_credentials("pencil", 5)
    asked = [asyncio.create_task(passwords.verify("pencil", credentials)) for _ in range(5)]
    done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert len(waiting) == passwords.pending == 3  # one runs, two wait
    assert {type(task.exception()) for task in done} == {TooBusy}
    with pytest.raises(TooBusy):
        await passwords.hash("pencil")
    gate.open.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert passwords.pending == 0
    assert await passwords.verify("pencil", credentials)


async def test_the_loop_goes_on_meanwhile(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    asked = asyncio.create_task(passwords.verify("pencil", make_credentials("pencil", 5)))
    await gate.busy.wait()
    assert not asked.done()
    gate.open.set()
    assert await asked


async def test_who_goes_away_gives_up_the_place_in_the_queue(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    credentials = make_credentials("pencil", 5)
    first = asyncio.create_task(passwords.verify("pencil", credentials))
    await gate.busy.wait()
    for _ in range(50):
        gone = asyncio.create_task(passwords.verify("pencil", credentials))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
    assert passwords.pending == 1
    gate.open.set()
    assert await first
    assert await passwords.verify("pencil", credentials)
    assert gate.entered == 2  # nothing was hashed for those who had gone


async def test_no_bound_is_0() -> None:
    passwords = Passwords(5, threads=0, waiting=0)
    credentials = make_credentials("pencil", 5)
    assert all(await asyncio.gather(*(passwords.verify("pencil", credentials) for _ in range(200))))
    passwords.close()
