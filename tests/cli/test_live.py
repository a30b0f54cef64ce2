"""Commands while a server runs: they go through it, and what they change has taken effect when they return."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from tests.cli.test_user import add, refused
from tests.cli.tool import ServerProcess, call, logged_in
from xmppd.control import place
from xmppd.lock import DataLock

JULIET = "juliet@chat.example"


def test_accounts_are_administered_through_the_server(site: Path, server: ServerProcess) -> None:
    c2s_tls = server.address("c2s_tls")
    assert stat.S_IMODE((site / "data" / "control.sock").stat().st_mode) == 0o600
    add(JULIET, "romeo@other.example")
    with logged_in(c2s_tls, JULIET, "secret"):
        pass
    refused(call("user", "add", JULIET, "--password", "x"), 1, "is an account already")
    refused(call("user", "add", "a@else.example", "--password", "x"), 1, "chat.example, other.example")
    refused(call("user", "show", "nobody@chat.example"), 1, "there is no account nobody@chat.example")
    refused(call("user", "del", "nobody@chat.example", "--yes"), 1, "there is no account nobody@chat.example")
    assert call("user", "list").out.splitlines() == [JULIET, "romeo@other.example"]
    assert call("user", "list", "--contains", "rom", "--json").json[0]["last_seen"] is None
    assert call("user", "show", JULIET, "--json").json["contacts"] == 0
    (site / "more.csv").write_text("a@chat.example,x\nb@chat.example,y\n" + f"{JULIET},z\n")
    assert call("user", "import", "more.csv", "--json").json["created"] == 2
    assert call("user", "import", "more.csv", "--update", "--json").json["updated"] == 3
    with logged_in(c2s_tls, JULIET, "z"):
        pass


def test_passwd_ends_the_sessions(site: Path, server: ServerProcess) -> None:
    c2s_tls = server.address("c2s_tls")
    add(JULIET)
    with logged_in(c2s_tls, JULIET, "secret") as client:
        assert call("user", "passwd", JULIET, "--password", "new").status == 0
        assert "<stream:error>" in client.read_to_end()
    with pytest.raises(AssertionError, match="not-authorized"):
        with logged_in(c2s_tls, JULIET, "secret"):
            pass
    with logged_in(c2s_tls, JULIET, "new"):
        pass


def test_del_ends_the_sessions(site: Path, server: ServerProcess) -> None:
    c2s_tls = server.address("c2s_tls")
    add(JULIET)
    with logged_in(c2s_tls, JULIET, "secret") as client:
        assert call("user", "del", JULIET, "--yes").status == 0
        assert "<stream:error>" in client.read_to_end()
    with pytest.raises(AssertionError, match="not-authorized"):
        with logged_in(c2s_tls, JULIET, "secret"):
            pass


def test_two_servers_cannot_share_a_data_dir(site: Path, server: ServerProcess) -> None:
    server.ready()
    with ServerProcess("serve", cwd=site) as second:
        ended = second.wait()
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err == (
        f"error: {site}/data/lock is held by process {server.pid} (serve); two processes cannot use one data_dir\n"
    )
    assert call("user", "list").status == 0


def test_what_a_killed_server_left_behind_disturbs_nobody(site: Path, server: ServerProcess) -> None:
    server.ready()
    add(JULIET)
    assert server.stop(signal.SIGKILL).status == -signal.SIGKILL
    assert (site / "data" / "control.sock").exists()
    assert call("user", "list").out == f"{JULIET}\n"
    with ServerProcess("serve", cwd=site) as second:
        second.ready()
        assert call("user", "list").out == f"{JULIET}\n"
    assert not (site / "data" / "control.sock").exists()
    assert call("user", "list").out == f"{JULIET}\n"


def test_a_command_waits_while_another_one_or_a_starting_server_has_the_lock(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(JULIET)
    storage = (site / "data" / "xmppd.db").rename(site / "later.db")  # the server is about to make it
    lock = DataLock.acquire(site / "data", "serve")
    looked: list[Path] = []
    look = place.connect

    def connect(data_dir: Path) -> socket.socket | None:
        looked.append(data_dir)
        if len(looked) == 3:
            storage.rename(site / "data" / "xmppd.db")
            lock.release()
        return look(data_dir)

    monkeypatch.setattr("xmppd.control.place.connect", connect)
    assert call("user", "list").out == f"{JULIET}\n"
    assert len(looked) == 3


def test_a_command_does_not_wait_for_ever(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmppd.cli.backend._WAIT_SECONDS", 0.0)
    with DataLock.acquire(site / "data", "a command"):
        refused(call("user", "list"), 1, f"{site}/data/lock is held by process {os.getpid()} (a command)")


def test_a_data_dir_with_a_long_path(site: Path) -> None:
    deep = "/".join(["x" * 50] * 4)
    toml = (site / "xmppd.toml").read_text().replace('"data"', f'"{deep}"')
    (site / "xmppd.toml").write_text(toml)
    with ServerProcess("serve", cwd=site) as server:
        server.ready()
        add(JULIET)
        assert call("user", "list").out == f"{JULIET}\n"
        assert Path.cwd() == site
        assert call("check", "--json").json[2]["text"].startswith(f"process {server.pid}")


def test_a_socket_of_somebody_else_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data_dir: Path) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("xmppd.control.place.connect", refuse)
    refused(call("user", "list"), 1, f"control socket in {site}/data cannot be opened: Permission denied")
