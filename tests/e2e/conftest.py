"""What the end-to-end tests share: a server under attack, beside which two ordinary users talk."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support import noise
from tests.support.process import ServerProcess
from tests.support.wire import Wires
from tests.support.witness import USERS, Latency, Witness

# aioxmpp needs lxml 4, which does not install there (setup.cfg).
collect_ignore = ["test_aioxmpp.py"] if sys.version_info >= (3, 13) else []

MIB = 1_048_576
P99_MS = 250.0  # generous: an undisturbed exchange takes 1 ms, plus two commits
GROWTH = 64 * MIB  # what an attack may add to the memory that the server holds, at its peak

ATTACKED = {
    "handshake_seconds": 2,
    "close_seconds": 1,
    "send_buffer_bytes": MIB,
    "bytes_per_second": 25 * MIB,
    "burst_bytes": 8 * MIB,
    "stanzas_per_second": 50_000,
    "burst_stanzas": 10_000,
    "connections_per_address": 1_500,
    "unauthenticated_per_address": 1_200,
    "login_failures_per_address": 0,
    "offline_messages": 1_000,
}


class Attack:
    """One attack on a server that others use meanwhile."""

    def __init__(self, server: ServerProcess, wires: Wires, witness: Witness) -> None:
        self.server = server
        self.wires = wires
        self.witness = witness
        self.base = 0

    def begin(self) -> None:
        self.witness.look()
        self.server.forget_peak()
        self.base = self.server.rss()

    def end(self) -> tuple[Latency, int]:
        """What the others noticed, and the bytes that the server needed for it at most."""
        return self.witness.look(), self.server.peak() - self.base


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Witness]]:
    """One server for all attacks, so that none may leave it worse for the next."""
    folder = tmp_path_factory.mktemp("attacked")
    server = ServerProcess(
        folder, accounts=["mercutio", "tybalt", "nurse", *noise.USERS, *USERS], limits=ATTACKED
    )
    with server.running(), Witness(server.c2s_tls[1], server.certificate, server.pid) as witness:
        yield server, witness


@pytest.fixture
async def attack(
    attacked: tuple[ServerProcess, Witness], request: pytest.FixtureRequest
) -> AsyncIterator[Attack]:
    """An attack; afterwards nobody may have noticed: neither the other users, nor the memory, nor the log."""
    server, witness = attacked
    async with Wires(server) as wires:
        attack = Attack(server, wires, witness)
        attack.begin()
        yield attack
        latency, growth = attack.end()
    print(f"\n{request.node.name}: others {latency}; memory +{growth / MIB:.1f} MiB")
    server.check_log()
    assert latency.p99 < P99_MS + 2 * latency.disk, f"others noticed: {latency}"
    assert growth < GROWTH, f"the server took {growth / MIB:.1f} MiB more"


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """An ordinary server for ordinary people. Tests leave it as they found it, except for contacts."""
    people = [
        "juliet", "romeo", "tybalt", "mercutio", "nurse", "paris", "benvolio", "montague", "sampson", "gregory",
        "peter", "laurence",
    ]  # fmt: skip
    server = ServerProcess(
        tmp_path_factory.mktemp("town"), accounts=people, limits={"login_failures_per_account": 0}
    )
    with server.running():
        yield server
