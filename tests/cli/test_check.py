"""`xmppd check`: each thing that can be wrong, seen wrong once."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.test_user import add
from tests.cli.tool import ServerProcess, call
from xmppd import certificates
from xmppd.cli.check import find
from xmppd.cli.checks.dns import Resolver, Srv, Unreachable
from xmppd.cli.checks.finding import Finding, Level
from xmppd.config import Config, load, parse

OK, WARN, ERROR = Level.OK, Level.WARN, Level.ERROR


class Zone(Resolver):
    """Answers from ``records``; None: nobody answers."""

    def __init__(self, records: Mapping[str, Sequence[Srv]] | None) -> None:
        self._records = records

    async def srv(self, name: str) -> Sequence[Srv]:
        if self._records is None:
            raise Unreachable("timed out")
        return self._records.get(name, ())


def findings(
    config: Config, records: Mapping[str, Sequence[Srv]] | None = None, now: float = 0
) -> dict[str, Finding]:
    now = now or datetime.now(UTC).timestamp()
    found = asyncio.run(find(config, Path("xmppd.toml"), Zone(records), now))
    assert all(finding.level is OK or finding.remedy or finding.text for finding in found)
    by_subject = {finding.subject: finding for finding in found}
    assert len(by_subject) == len(found)
    return by_subject


def config_of(site: Path, **replaced: str) -> Config:
    text = (site / "xmppd.toml").read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return parse(text, site, {})


def is_(finding: Finding, level: Level, *texts: str) -> None:
    assert finding.level is level, finding
    for text in texts:
        assert text in f"{finding.text} / {finding.remedy}"


def test_a_healthy_site(site: Path) -> None:
    text = (site / "xmppd.toml").read_text()
    text = text.replace('"chat.example", "other.example"', '"localhost"').replace("chat.example", "localhost")
    (site / "xmppd.toml").write_text(text)
    certificates.write(site / "cert.pem", site / "key.pem", ["localhost"])
    result = call("check", "--json")
    assert result.status == 0
    levels = {finding["subject"]: finding["level"] for finding in result.json}
    assert levels.pop("certificate names") == "warn"  # self-made
    assert set(levels.values()) == {"ok"}
    assert {"configuration", "data_dir", "server", "storage", "private key", "DNS of localhost"} <= set(
        levels
    )
    shown = call("check")
    assert shown.status == 0
    assert "ok    storage: " in shown.out
    assert "warn  certificate names: " in shown.out
    assert not (site / "data").exists(), "it only looks"


def test_an_error_is_1_and_comes_with_its_remedy(site: Path) -> None:
    (site / "key.pem").chmod(0o644)
    result = call("check")
    assert result.status == 1
    assert f"error private key: {site}/key.pem has mode 644" in result.out
    assert f"      chmod 600 {site}/key.pem\n" in result.out
    assert call("check", "--json").status == 1


def test_certificate_names(site: Path) -> None:
    is_(findings(config_of(site))["certificate names"], WARN, "self-made")
    config = config_of(site, **{'"other.example"]': '"other.example", "third.example"]'})
    is_(
        findings(config)["certificate names"],
        ERROR,
        "not for third.example",
        "subjectAltName holds third.example",
    )


@pytest.mark.parametrize(
    ("days", "level", "text"),
    [
        (-1, ERROR, "it is not valid before"),
        (1, OK, "823 more days"),
        (815, WARN, "expires in 9 days"),
        (826, ERROR, "it expired at"),
    ],
)
def test_certificate_expiry(site: Path, days: int, level: Level, text: str) -> None:
    made = datetime.now(UTC)
    is_(
        findings(config_of(site), now=(made + timedelta(days=days)).timestamp())["certificate expiry"],
        level,
        text,
    )


def test_a_certificate_that_cannot_be_used(site: Path) -> None:
    certificates.write(site / "other.pem", site / "key.pem", ["chat.example"])
    is_(findings(config_of(site))["certificate"], ERROR, "key.pem: tls.key is not the key of", "cert.pem")
    (site / "cert.pem").unlink()
    is_(
        findings(config_of(site))["certificate"],
        ERROR,
        "there is no such file (tls.certificate)",
        "xmppd init",
    )
    plain = parse(
        'domains = ["a.example"]\n[listen]\nc2s = ["127.0.0.1:0"]\n[tls]\nrequired = false', site, {}
    )
    is_(findings(plain)["certificate"], WARN, "in the clear")


def test_the_embedded_certificate_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subjects = {finding["subject"]: finding for finding in call("check", "--json").json}
    assert subjects["certificate"]["level"] == "ok"
    assert "made when the server starts" in subjects["certificate"]["text"]


def test_ports(site: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = parse(
            f'domains = ["a.example"]\n[listen]\nhttp = ["127.0.0.1:{port}", "127.0.0.1:0"]', site, {}
        )
        found = findings(config)
    is_(found[f"port 127.0.0.1:{port} (http)"], ERROR, "Address already in use", "end what uses it")
    is_(found["port 127.0.0.1:0 (http)"], OK, "the system chooses one")
    is_(findings(config)[f"port 127.0.0.1:{port} (http)"], OK, "it is free")
    nothing = parse('domains = ["a.example"]', site, {})
    is_(findings(nothing)["ports"], ERROR, "nothing to listen on")


def test_a_port_of_the_running_server_is_in_order(site: Path, server: ServerProcess) -> None:
    _, port = server.address("http")
    text = (site / "xmppd.toml").read_text()
    config = parse(text.replace('http = ["127.0.0.1:0"]', f'http = ["localhost:{port}"]'), site, {})
    found = findings(config)
    is_(found[f"port localhost:{port} (http)"], OK, "this server listens on it")
    is_(found["server"], OK, f"process {server.pid} runs version")
    is_(found["storage"], OK, "schema version")


def test_data_dir(site: Path) -> None:
    config = config_of(site)
    is_(findings(config)["data_dir"], OK, "is made when it is needed")
    add("juliet@chat.example")
    is_(findings(config)["data_dir"], OK, "is writable")
    (site / "data").chmod(0o755)
    is_(findings(config)["data_dir"], WARN, "mode 755", "chmod 700")
    is_(
        findings(parse('domains = ["a.b"]\ndata_dir = "key.pem"', site, {}))["data_dir"],
        ERROR,
        "is no folder",
    )


def test_storage(site: Path) -> None:
    config = config_of(site)
    is_(findings(config)["storage"], OK, "is made when it is needed")
    add("juliet@chat.example")
    is_(findings(config)["storage"], OK, "has schema version")
    database = sqlite3.connect(site / "data" / "xmppd.db")
    with database:
        database.execute("UPDATE meta SET value = 999 WHERE name IN ('schema', 'compatible')")
    database.close()
    is_(findings(config)["storage"], ERROR, "schema version 999")
    (site / "data" / "xmppd.db").write_bytes(b"no database" * 1000)
    is_(findings(config)["storage"], ERROR, "no SQLite database")


def test_places_that_cannot_be_looked_at_are_findings_too(site: Path) -> None:
    # A name that is too long stands for a folder that another user may not enter: tests may run as root.
    name = "x" * 300
    other = parse(f'domains = ["a.b"]\ndata_dir = "{name}"', site, {})
    is_(findings(other)["data_dir"], ERROR, "cannot be looked at", "as the user who runs the server")
    other = parse(f'domains = ["a.b"]\n[storage]\nurl = "sqlite:{name}"', site, {})
    is_(findings(other)["storage"], ERROR, "cannot be looked at", "as the user who runs the server")


def test_dns(site: Path) -> None:
    config = config_of(
        site,
        **{
            '"chat.example", "other.example"': '"bücher.example", "chat.example", "localhost", "10.0.0.1"',
            'c2s = ["127.0.0.1:0"]': 'c2s = ["127.0.0.1:5222"]',
        },
    )
    found = findings(
        config,
        {
            "_xmpp-client._tcp.xn--bcher-kva.example": [Srv("xmpp.example", 5222)],
            "_xmpps-client._tcp.xn--bcher-kva.example": [Srv("xmpp.example", 443)],
            "_xmpp-server._tcp.chat.example": [Srv(".", 0)],
        },
    )
    dns = {subject: finding for subject, finding in found.items() if subject.startswith("DNS")}
    is_(dns.pop("DNS of localhost"), OK)
    is_(dns.pop("DNS of 10.0.0.1"), OK)
    is_(dns.pop("DNS _xmpp-client._tcp.xn--bcher-kva.example"), OK, "xmpp.example:5222")
    is_(dns.pop("DNS _xmpps-client._tcp.xn--bcher-kva.example"), WARN, "xmpp.example:443", "listens on 0")
    is_(dns.pop("DNS _xmpp-server._tcp.xn--bcher-kva.example"), OK, "there is none")
    is_(
        dns.pop("DNS _xmpp-client._tcp.chat.example"),
        WARN,
        "add: _xmpp-client._tcp.chat.example. 3600 IN SRV 5 0 5222",
    )
    is_(dns.pop("DNS _xmpps-client._tcp.chat.example"), WARN, "direct TLS")
    is_(dns.pop("DNS _xmpp-server._tcp.chat.example"), OK, "there is none")
    assert dns == {}


def test_dns_of_what_is_not_served(site: Path) -> None:
    config = parse('domains = ["chat.example"]\n[listen]\nhttp = ["127.0.0.1:0"]', site, {})
    found = findings(config, {"_xmpp-client._tcp.chat.example": [Srv("xmpp.example", 5222)]})
    is_(found["DNS _xmpp-client._tcp.chat.example"], WARN, "does not listen for that")
    is_(found["DNS _xmpps-client._tcp.chat.example"], OK, "none is needed")


def test_without_dns_there_are_only_warnings(site: Path) -> None:
    found = findings(config_of(site), None)
    dns = [finding for subject, finding in found.items() if subject.startswith("DNS")]
    assert len(dns) == 6
    for finding in dns:
        is_(finding, WARN, "no name server answers here: timed out")


def test_a_server_of_another_version(
    site: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ready()
    monkeypatch.setattr("xmppd.cli.check.__version__", "99.0")
    is_(findings(load(site / "xmppd.toml", {}))["server"], WARN, "installed is 99.0", "restart it")
