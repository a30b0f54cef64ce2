"""What goes wrong around a server: ports, files, locks, disks. It says what to mend, and goes on where it can."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import MIB
from tests.support.process import DOMAIN, ServerProcess
from tests.support.wire import Wires

USERS = ["juliet", "romeo", "nurse"]


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path / "server", accounts=USERS)


def configure(server: ServerProcess, old: str, new: str) -> None:
    text = server.config.read_text()
    assert old in text
    server.config.write_text(text.replace(old, new, 1))


def refuses(server: ServerProcess, status: int, *words: str, **options: object) -> None:
    """The server does not start: one line says why, with all ``words`` in it."""
    done = server.run("serve", **options)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


def test_a_port_that_is_in_use(server: ServerProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"
        configure(server, 'c2s_tls = ["127.0.0.1:0"]', f'c2s_tls = ["{where}"]')
        refuses(server, 1, where, "in use", "[listen]")


def test_a_missing_certificate(server: ServerProcess) -> None:
    server.certificate.unlink()
    refuses(server, 2, str(server.certificate), "no such file", "xmppd init")


def test_a_key_that_belongs_to_another_certificate(server: ServerProcess) -> None:
    certificate = server.certificate.read_bytes()
    server.new_certificate()
    server.certificate.write_bytes(certificate)
    refuses(server, 2, str(server.key), str(server.certificate))


def test_a_setting_that_is_misspelt(server: ServerProcess) -> None:
    configure(server, "[limits]", "[limits]\nstanza_byte = 20000")
    refuses(server, 2, str(server.config), "stanza_byte", "stanza_bytes")


def test_a_damaged_database(server: ServerProcess) -> None:
    server.database.write_bytes(b"this is no database" * 100)
    refuses(server, 1, str(server.database), "no SQLite database")


def test_a_second_server_on_the_same_data(server: ServerProcess) -> None:
    with server.running():
        refuses(server, 1, str(server.database.parent / "lock"), f"process {server.pid}", "serve")


def test_what_a_killed_server_leaves_behind_is_in_nobodys_way(server: ServerProcess) -> None:
    data = server.database.parent
    server.start().kill()
    assert (data / "lock").exists()
    assert (data / "control.sock").exists()
    with server.running():
        assert server.run("user", "show", f"juliet@{DOMAIN}").returncode == 0
    assert not (data / "control.sock").exists()


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server")

    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))

    refuses(server, 1, str(server.database), preexec_fn=no_files)


@dataclass(frozen=True, slots=True)
class Disk:
    """A server whose disk can be made full, and have space again."""

    server: ServerProcess
    fill: Callable[[], object]
    free: Callable[[], object]


def _quota(folder: Path) -> Iterator[Disk]:
    """No file may grow: what SQLite sees is an I/O error."""
    server = ServerProcess(folder / "server", accounts=USERS)
    yield Disk(server, lambda: server.limit_files(0), lambda: server.limit_files(-1))


def _tmpfs(folder: Path) -> Iterator[Disk]:
    """A small file system of its own, for which one has to be root."""
    mount = folder / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], check=True)
    try:
        server = ServerProcess(mount / "server", accounts=USERS)
        filler = mount / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                for size in (4_096, 1):
                    try:
                        while file.write(bytes(size)):
                            pass
                    except OSError:
                        continue

        yield Disk(server, fill, filler.unlink)
        server.close()
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def _can_mount() -> bool:
    """Containers do not let even root mount."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(probe, capture_output=True).returncode == 0
    except OSError:
        return False


# Elsewhere than on Linux there is neither.
DISKS = {
    **({"quota": _quota} if hasattr(resource, "prlimit") else {}),
    **({"tmpfs": _tmpfs} if _can_mount() else {}),
}


@pytest.fixture(params=DISKS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    yield from DISKS[request.param](tmp_path)


async def test_a_disk_that_gets_full_and_has_space_again(disk: Disk) -> None:
    """Whoever wants something kept is told to wait; the rest goes on; nothing that was acknowledged is missing."""
    server = disk.server
    server.expected += [
        "storage: cannot use the database",
        "messages were not stored: cannot use the database",
    ]
    message = f"<message type='chat' to='nurse@{DOMAIN}' id='{{}}'><body>{'x' * 2_000}</body></message>"
    with server.running():
        async with Wires(server) as wires:
            juliet = await wires.login("juliet", available=True)
            romeo = await wires.login("romeo", available=True)
            await juliet.send(message.format("before"))
            await juliet.ping()
            disk.fill()
            kept = ["before"]
            refused = 0
            for number in range(600):
                await juliet.send(message.format(f"m{number}"))
                got = await juliet.request("<ping xmlns='urn:xmpp:ping'/>", to=DOMAIN)
                assert got.get("type") == "result"
                if juliet.passed and juliet.passed[-1].get("id") == f"m{number}":
                    refused += 1
                    error = juliet.passed[-1].child("error")
                    assert error is not None
                    assert error.get("type") == "wait"
                    assert error.child("resource-constraint", "urn:ietf:params:xml:ns:xmpp-stanzas")
                    if refused == 5:
                        break
                else:
                    kept.append(f"m{number}")
            assert refused == 5, "the disk is full at some time"

            answer = await romeo.request(
                f"<query xmlns='jabber:iq:roster'><item jid='nurse@{DOMAIN}'/></query>", type="set"
            )
            error = answer.child("error")
            assert error is not None
            assert error.child("resource-constraint", "urn:ietf:params:xml:ns:xmpp-stanzas")
            typing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
            await romeo.send(f"<message to='{juliet.jid}' type='chat'>{typing}</message>")  # no disk needed
            await juliet.until(lambda got: got.get("from") == romeo.jid and got.name == "message")
            late = await wires.login("romeo")  # reading goes on as well
            await late.ping()

            disk.free()
            await juliet.send(message.format("after"))
            await juliet.ping()
            kept.append("after")
            await romeo.ask(
                f"<query xmlns='jabber:iq:roster'><item jid='nurse@{DOMAIN}'/></query>", type="set"
            )
            nurse = await wires.login("nurse")
            await nurse.send("<presence/>")
            for id in kept:
                assert (await nurse.until(lambda got: got.name == "message")).get("id") == id


async def test_a_slow_disk_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Who sends what has to be kept waits for the disk, also when the rate limit would let go on; others do not."""
    server = ServerProcess(
        tmp_path, accounts=USERS, limits={"bytes_per_second": 16 * MIB, "burst_bytes": MIB // 4}
    )
    flood = f"<message type='chat' to='nurse@{DOMAIN}'><body>{'x' * 50_000}</body></message>".encode() * 400
    with server.running():
        async with Wires(server) as wires:
            juliet = await wires.login("juliet", available=True)
            romeo = await wires.login("romeo", available=True)
            other = sqlite3.connect(server.database, isolation_level=None)
            try:
                other.execute("BEGIN IMMEDIATE")
                server.forget_peak()
                base = server.rss()
                sending = asyncio.create_task(juliet.flood(flood))
                for _ in range(100):
                    await romeo.ping()
                    await asyncio.sleep(0.015)  # the time that the disk takes is what this is about
                growth = server.peak() - base
            finally:
                other.execute("ROLLBACK")
                other.close()
            assert growth < 8 * MIB, f"{growth / MIB:.0f} MiB of messages wait in memory"
            assert await sending
            await juliet.ping()


async def test_sigstop_and_sigcont(server: ServerProcess) -> None:
    """A server that slept goes on as if nothing had been."""
    with server.running():
        async with Wires(server) as wires:
            juliet = await wires.login("juliet", available=True)
            server.signal(signal.SIGSTOP)
            await juliet.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
            server.signal(signal.SIGCONT)
            await juliet.until(lambda got: got.get("id") == "p")
