"""`xmppd serve`: how it starts, says so, reloads and ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_user import add, refused
from tests.cli.tool import SECONDS, Result, ServerProcess, call, logged_in
from xmppd import certificates
from xmppd.config import Limits
from xmppd.config.decode import fields

JULIET = "juliet@chat.example"


def serve_ends(site: Path, *arguments: object) -> Result:
    """How a server that cannot start ends."""
    with ServerProcess("serve", *arguments, cwd=site) as server:
        return server.wait()


def test_the_ready_line(site: Path, server: ServerProcess) -> None:
    line = server.ready()
    found = re.fullmatch(
        r"ready c2s=127\.0\.0\.1:(\d+) c2s_tls=127\.0\.0\.1:(\d+) http=127\.0\.0\.1:(\d+)", line
    )
    assert found, line
    ports = [int(port) for port in found.groups()]
    assert len(set(ports)) == 3
    for port in ports:
        socket.create_connection(("127.0.0.1", port), SECONDS).close()
    ended = server.stop()
    assert ended.status == 0
    assert ended.out == "", "one line only"


def test_the_ready_line_as_json(site: Path) -> None:
    (site / "xmppd.toml").write_text((site / "xmppd.toml").read_text().replace('http = ["127.0.0.1:0"]', ""))
    with ServerProcess("serve", "--json", cwd=site) as server:
        ready = json.loads(server.ready())
    assert sorted(ready) == ["c2s", "c2s_tls", "ready"]
    assert ready["ready"] is True
    assert re.fullmatch(r"127\.0\.0\.1:\d+", ready["c2s"])


def test_several_addresses_of_one_kind(site: Path) -> None:
    toml = (site / "xmppd.toml").read_text()
    (site / "xmppd.toml").write_text(
        toml.replace('c2s = ["127.0.0.1:0"]', 'c2s = ["127.0.0.1:0", "127.0.0.1:0"]')
    )
    with ServerProcess("serve", cwd=site) as server:
        assert re.match(r"ready c2s=127\.0\.0\.1:\d+,127\.0\.0\.1:\d+ c2s_tls=", server.ready())


@pytest.mark.parametrize("addresses", [["0.0.0.0", "[::]"], ["[::]", "127.0.0.1"], ["[::]"]])
def test_ipv4_and_ipv6_on_one_port(site: Path, addresses: list[str]) -> None:
    """One listener for both, or one for each: whatever order they stand in."""
    with socket.socket(socket.AF_INET6) as free:
        free.bind(("::", 0))
        port = free.getsockname()[1]
    listed = [f"{host}:{port}" for host in addresses]
    toml = (site / "xmppd.toml").read_text()
    (site / "xmppd.toml").write_text(toml.replace('c2s = ["127.0.0.1:0"]', f"c2s = {json.dumps(listed)}"))
    with ServerProcess("serve", cwd=site) as server:
        assert server.ready().startswith(f"ready c2s={','.join(listed)} ")
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), SECONDS).close()
        assert server.stop().status == 0


@pytest.mark.parametrize("abstract", [False, True] if sys.platform == "linux" else [False])
def test_systemd_is_told(site: Path, abstract: bool) -> None:
    name = f"@xmppd-test-{os.getpid()}" if abstract else str(site / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.bind("\0" + name[1:] if abstract else name)
        with ServerProcess("serve", cwd=site, env={"NOTIFY_SOCKET": name}) as server:
            assert sock.recv(4096).decode().splitlines() == ["READY=1", f"MAINPID={server.pid}"]
            assert server.ready().startswith("ready "), "and the line came before"
            server.process.send_signal(signal.SIGHUP)
            assert sock.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert sock.recv(4096) == b"READY=1"
            assert server.stop().status == 0
            assert sock.recv(4096) == b"STOPPING=1"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_five_seconds_and_says_goodbye(
    site: Path, server: ServerProcess, how: signal.Signals
) -> None:
    c2s_tls = server.address("c2s_tls")
    add(JULIET)
    with logged_in(c2s_tls, JULIET, "secret") as client, logged_in(c2s_tls, JULIET, "secret"):
        begun = time.monotonic()
        ended = server.stop(how)
        assert time.monotonic() - begun < 5
        assert ended.status == 0
        assert "Traceback" not in ended.err
        last = client.read_to_end()
        assert "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in last
        assert last.endswith("</stream:stream>")
    assert call("user", "list").out == f"{JULIET}\n"


def test_sighup_reloads_the_certificate_and_drops_nobody(site: Path, server: ServerProcess) -> None:
    c2s_tls = server.address("c2s_tls")
    add(JULIET, "romeo@chat.example")
    with logged_in(c2s_tls, JULIET, "secret") as old:
        certificates.write(site / "cert.pem", site / "key.pem", ["chat.example"])
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(" reloaded\n")
        with logged_in(c2s_tls, "romeo@chat.example", "secret") as new:
            assert new.certificate != old.certificate
        (site / "cert.pem").write_text("broken")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("not reloaded, everything stays as it was reason=")
        with logged_in(c2s_tls, "romeo@chat.example", "secret") as newer:
            assert newer.certificate == new.certificate
        assert call("user", "passwd", JULIET, "--password", "x").status == 0
        assert "<stream:error>" in old.read_to_end(), "it was there all the time"


def test_sighup_reloads_the_configuration(site: Path, server: ServerProcess) -> None:
    server.ready()
    toml = (site / "xmppd.toml").read_text()
    (site / "xmppd.toml").write_text(toml + "[limits]\nroster_items = 7\n[log]\nformat = 'json'\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for('"message": "reloaded"')
    told = next(json.loads(line) for line in server.err.splitlines() if "next start" in line)
    assert (told["level"], told["keys"]) == ("warning", "limits.roster_items")
    (site / "xmppd.toml").write_text(toml + "[limits]\nroster_item = 7\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("did you mean limits.roster_items?")
    assert server.stop().status == 0


def test_a_second_sigterm_does_not_cut_the_end_short(site: Path, server: ServerProcess) -> None:
    server.ready()
    for _ in range(3):
        server.process.send_signal(signal.SIGTERM)
    ended = server.stop()
    assert ended.status == 0
    assert " stopped\n" in ended.err
    assert not list((site / "data").glob("*-wal"))


def test_sighup_reloads_bounds_on_connections(site: Path, server: ServerProcess) -> None:
    found = re.search(r" c2s=127\.0\.0\.1:(\d+)", server.ready())
    assert found is not None
    port = int(found[1])
    with socket.create_connection(("127.0.0.1", port)) as first:
        toml = (site / "xmppd.toml").read_text()
        (site / "xmppd.toml").write_text(toml + "[limits]\nconnections_per_address = 1\n")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(" reloaded\n")
        assert "next start" not in server.err
        with socket.create_connection(("127.0.0.1", port)) as second:
            assert second.recv(1) == b"", "one connection is all that is allowed now"
        first.sendall(b"<nonsense>")
        assert first.recv(1) == b"<", "who was there is served as before"


def test_the_log_is_json_where_it_is_asked_for(site: Path) -> None:
    with ServerProcess("serve", "--log-json", cwd=site) as server:
        server.ready()
        ended = server.stop()
    messages = [json.loads(line)["message"] for line in ended.err.splitlines()]
    assert messages[0] == "ready"
    assert messages[-1] == "stopped"


def test_without_any_limit_it_works_too(site: Path) -> None:
    limits = "".join(f"{name} = 0\n" for name in fields(Limits))
    (site / "xmppd.toml").write_text(f"{(site / 'xmppd.toml').read_text()}[limits]\n{limits}")
    add(JULIET)
    with ServerProcess("serve", cwd=site) as server:
        c2s_tls = server.address("c2s_tls")
        with logged_in(c2s_tls, JULIET, "secret") as client:
            assert call("user", "passwd", JULIET, "--password", "x").status == 0
            assert "<stream:error>" in client.read_to_end()
        assert server.stop().status == 0


def test_a_control_socket_that_cannot_be_made(site: Path) -> None:
    (site / "data" / "control.sock").mkdir(parents=True)
    with ServerProcess("serve", cwd=site) as server:
        ended = server.wait()
    assert ended.status == 1
    assert ended.out == ""
    assert f"{site}/data/control.sock cannot be made: Is a directory" in ended.err
    assert "Traceback" not in ended.err


def test_more_workers_need_redis(site: Path) -> None:
    refused(
        serve_ends(site, "--workers", 4),
        2,
        "--workers 4 needs Redis",
        "set cluster.redis",
        "leave --workers out",
    )
    (site / "xmppd.toml").write_text(
        (site / "xmppd.toml").read_text() + '[cluster]\nredis = "redis://127.0.0.1:1"\n'
    )
    refused(serve_ends(site, "--workers", 2), 2, "this version runs one process")


def test_there_has_to_be_something_to_listen_on(site: Path) -> None:
    (site / "xmppd.toml").write_text('domains = ["chat.example"]')
    refused(serve_ends(site), 2, "xmppd.toml: listen: there is nothing to listen on; set listen.c2s")


def test_a_missing_certificate_is_named_with_the_remedy(site: Path) -> None:
    (site / "cert.pem").unlink()
    refused(
        serve_ends(site),
        2,
        f"{site}/cert.pem: there is no such file (tls.certificate)",
        "`xmppd init DIR --domain",
    )


def test_a_key_that_does_not_fit(site: Path) -> None:
    certificates.write(site / "other.pem", site / "key.pem", ["chat.example"])
    refused(serve_ends(site), 2, f"{site}/key.pem: tls.key is not the key of {site}/cert.pem")


def test_a_port_in_use_is_named_and_nothing_is_left_behind(site: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        toml = (site / "xmppd.toml").read_text()
        (site / "xmppd.toml").write_text(
            toml.replace('http = ["127.0.0.1:0"]', f'http = ["127.0.0.1:{port}"]')
        )
        with ServerProcess("serve", cwd=site) as server:
            ended = server.wait()
    assert ended.status == 1
    assert ended.out == ""
    assert f"127.0.0.1:{port}" in ended.err
    assert "in use" in ended.err
    assert "Traceback" not in ended.err
    assert call("user", "list").status == 0


# The embedded configuration has fixed ports, which another test run may use; everything else of it holds.
ON_ANY_PORT = """
import sys
from xmppd.config import Address
fallback = sys.modules["xmppd.config.fallback"]
fallback.Address = lambda host, port: Address(host, 0)
from xmppd.cli.app import main
main()
"""


class EmbeddedServer(ServerProcess):
    """A server without a configuration file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "tests.cli.tool.program", lambda *words: [sys.executable, "-c", ON_ANY_PORT, *words]
        )
        super().__init__("serve", cwd=folder)


def test_without_configuration_it_makes_all_it_needs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with EmbeddedServer(tmp_path, monkeypatch) as first:
        c2s_tls = first.address("c2s_tls")
        told = re.search(r"created admin@localhost with the password (\S+) ", first.err)
        assert told, first.err
        with logged_in(c2s_tls, "admin@localhost", told[1]) as client:
            certificate = client.certificate
        assert call("user", "show", "admin@localhost", "--json").json["admin"] is True
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "key.pem").stat().st_mode & 0o777 == 0o600
    with EmbeddedServer(tmp_path, monkeypatch) as second:
        with logged_in(second.address("c2s_tls"), "admin@localhost", told[1]) as client:
            assert client.certificate == certificate
        assert "password" not in second.err
