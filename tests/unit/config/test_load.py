"""What a configuration file means, and what is said about each mistake in it."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct

from xmppd.config import MECHANISMS, Address, BadConfig, Config, bound, load, parse
from xmppd.errors import ConfigError
from xmppd.jid import Jid

BASE = Path("/srv/chat")


class Register(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accounts for everybody."""

    per_hour: Annotated[int, bound(100, "Accounts per hour.")] = 5
    welcome: Annotated[str, Meta(description="The first message.", min_length=1)] = "hello"


EXTENSIONS = {"register": Register, "blocking": Register}


def read(text: str) -> Config:
    return parse(text, BASE, EXTENSIONS, name="xmppd.toml")


def mistakes(text: str) -> list[str]:
    with pytest.raises(BadConfig) as caught:
        read(text)
    assert caught.value.exit_status == 2
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    return lines


def mistake(text: str) -> str:
    lines = mistakes(text)
    assert len(lines) == 1, lines
    return lines[0]


def test_everything_is_parsed() -> None:
    config = read("""
        domains = ["Chat.Example", "bücher.example"]
        data_dir = "var/data"
        admins = ["Admin@chat.example"]
        [listen]
        c2s = ["127.0.0.1:5222", "[::1]:5222"]
        c2s_tls = ["0.0.0.0:0", "0.0.0.0:0"]
        http = ["localhost:5280"]
        proxy_protocol = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]
        [tls]
        certificate = "cert.pem"
        key = "/etc/key.pem"
        required = false
        [auth]
        mechanisms = ["SCRAM-SHA-256", "PLAIN"]
        scram_iterations = 20_000
        [storage]
        url = "sqlite:db/chat.db"
        [cluster]
        redis = "redis://127.0.0.1:6379/0"
        [limits]
        stanza_bytes = 100_000
        ping_after_seconds = 0.5
        offline_messages = 0
        [log]
        level = "debug"
        format = "json"
        [extensions.register]
        enabled = true
        per_hour = 0
    """)
    assert config.domains == (Jid(None, "chat.example"), Jid(None, "bücher.example"))
    assert config.data_dir == BASE / "var/data"
    assert config.admins == {Jid("admin", "chat.example")}
    assert config.listen.c2s == (Address("127.0.0.1", 5222), Address("::1", 5222))
    assert config.listen.c2s_tls == (Address("0.0.0.0", 0),) * 2
    assert config.listen.http == (Address("localhost", 5280),)
    assert config.listen.proxy_protocol == tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8", "192.0.2.1/32")))
    assert (config.tls.certificate, config.tls.key) == (BASE / "cert.pem", Path("/etc/key.pem"))
    assert not config.tls.required
    assert config.auth.mechanisms == ("SCRAM-SHA-256", "PLAIN")
    assert config.auth.scram_iterations == 20_000
    assert config.storage.url == "sqlite:///srv/chat/db/chat.db"
    assert config.cluster.redis == "redis://127.0.0.1:6379/0"
    assert config.limits.stanza_bytes == 100_000
    assert config.limits.ping_after_seconds == 0.5
    assert config.limits.offline_messages == 0
    assert (config.log.level, config.log.format) == ("debug", "json")
    register = config.extensions["register"]
    assert (register.enabled, register.options) == (True, Register(per_hour=0))


def test_what_is_absent_is_off_or_the_default() -> None:
    config = read('domains = ["a.example"]')
    assert config.listen.c2s == config.listen.c2s_tls == config.listen.http == ()
    assert config.data_dir == BASE / "data"
    assert config.storage.url == "sqlite:///srv/chat/data/xmppd.db"
    assert config.tls.certificate is None
    assert config.tls.required
    assert config.auth.mechanisms == MECHANISMS
    assert config.auth.scram_iterations == 10_000
    assert config.extensions["blocking"].enabled is None
    assert config.extensions["blocking"].options == Register()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///var/chat.db", "sqlite:///var/chat.db"),
        ("sqlite:chat.db", "sqlite:///srv/chat/chat.db"),
        ("sqlite:../chat.db", "sqlite:///srv/chat/../chat.db"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("postgresql://x:secret@h:1/d", "postgresql://x:secret@h:1/d"),
        ("postgres:///d?host=/run/postgresql", "postgres:///d?host=/run/postgresql"),
    ],
)
def test_storage_urls(url: str, expected: str) -> None:
    assert read(f'domains = ["a.example"]\n[storage]\nurl = "{url}"').storage.url == expected


def test_a_key_that_is_not_named_is_in_the_certificates_file() -> None:
    config = read('domains = ["a.example"]\n[tls]\ncertificate = "both.pem"')
    assert config.tls.key == config.tls.certificate == BASE / "both.pem"


def test_the_home_directory_may_be_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/juliet")
    assert read('domains = ["a.example"]\ndata_dir = "~/chat"').data_dir == Path("/home/juliet/chat")


UNKNOWN_AND_MISSING = {
    "": 'domains: it is missing; allowed: a list of domains such as ["example.org"], at least one',
    "domains = ['a.b']\nadmin = []": "admin: unknown key; did you mean admins?",
    "domains = ['a.b']\n[limit]": "limit: unknown key; did you mean limits?",
    "domains = ['a.b']\nc2s = ['127.0.0.1:1']": "c2s: unknown key; did you mean listen.c2s?",
    "domains = ['a.b']\n[listen]\nrequired = true": "listen.required: unknown key; did you mean tls.required?",
    "domains = ['a.b']\n[listen]\nc2s-tls = []": "listen.c2s-tls: unknown key; did you mean listen.c2s_tls?",
    "domains = ['a.b']\n[limits]\nstanza_bites = 1": (
        "limits.stanza_bites: unknown key; did you mean limits.stanza_bytes?"
    ),
    "domains = ['a.b']\n[extensions.registration]": (
        "extensions.registration: unknown extension; did you mean extensions.register?"
    ),
    "domains = ['a.b']\n[extensions.xyz]": "extensions.xyz: unknown extension; allowed: blocking, register",
    "domains = ['a.b']\n[extensions.register]\nper_our = 1": (
        "extensions.register.per_our: unknown key; did you mean extensions.register.per_hour?"
    ),
    "domains = ['a.b']\n[extensions.register]\nenable = true": (
        "extensions.register.enable: unknown key; did you mean extensions.register.enabled?"
    ),
    "domains = ['a.b']\n[cluster]\nxyzzy = 1": "cluster.xyzzy: unknown key; allowed: redis",
}

WRONG_VALUES = {
    "domains = 'a.b'": 'domains = "a.b": it is no list; allowed: a list of domains',
    "domains = []": "domains = []: the list is empty; allowed: a list of domains",
    "domains = ['a.b', 5]": 'domains = ["a.b", 5]: it is no text',
    "domains = ['a.b', 'A.b']": "'a.b' comes twice",
    "domains = ['x@a.b']": "'x@a.b' is more than a domain",
    "domains = ['a..b']": "'a..b' is no domain",
    "domains = ['a.b']\nadmins = ['a.b']": "'a.b' is no address of an account",
    "domains = ['a.b']\nadmins = ['x@a.b/home']": "'x@a.b/home' is no address of an account",
    "domains = ['a.b']\nadmins = ['x@c.d']": "'x@c.d' is on no domain of this server; allowed: addresses on a.b",
    "domains = ['a.b']\ndata_dir = 5": "data_dir = 5: it is no text; allowed: a path",
    "domains = ['a.b']\ndata_dir = ''": "it is empty",
    "domains = ['a.b']\nlisten = 5": "listen = 5: it is no table; allowed: a section [listen]",
    "domains = ['a.b']\nextensions = 5": "extensions = 5: it is no table; allowed: sections [extensions.NAME]",
    "domains = ['a.b']\nextensions.register = 5": "extensions.register = 5: it is no table",
    "domains = ['a.b']\n[extensions.register]\nenabled = 1": (
        "extensions.register.enabled = 1: wrong type; allowed: true or false"
    ),
    "domains = ['a.b']\n[extensions.register]\nper_hour = 101": (
        "extensions.register.per_hour = 101: out of range; allowed: 0 (off) or a whole number from 1 to 100"
    ),
    "domains = ['a.b']\n[listen]\nhttp = ['5280']": "'5280' names no host and port; allowed: a list such as",
    "domains = ['a.b']\n[listen]\nhttp = [5280]": "it is no text",
    "domains = ['a.b']\n[listen]\nhttp = ['::1:80']": 'an IPv6 address stands in brackets, as in "[::1]:80"',
    "domains = ['a.b']\n[listen]\nhttp = ['h:65536']": "the port is no number from 0 to 65535",
    "domains = ['a.b']\n[listen]\nhttp = ['h:-1']": "the port is no number from 0 to 65535",
    "domains = ['a.b']\n[listen]\nhttp = ['http://h:80']": "names no host",
    "domains = ['a.b']\n[listen]\nhttp = [':80']": "names no host and port",
    "domains = ['a.b']\n[listen]\nhttp = ['h:80', 'h:80']": "'h:80' comes twice",
    "domains = ['a.b']\n[listen]\nproxy_protocol = ['10.0.0.1/8']": "10.0.0.1/8 has host bits set",
    "domains = ['a.b']\n[listen]\nproxy_protocol = ['proxy']": "'proxy' does not appear to be",
    "domains = ['a.b']\n[tls]\nrequired = 'yes'": 'tls.required = "yes": wrong type; allowed: true or false',
    "domains = ['a.b']\n[tls]\nkey = 'k.pem'": "tls.key: there is no certificate for it; set tls.certificate",
    "domains = ['a.b']\n[auth]\nmechanisms = ['SCRAM-SHA256']": (
        '"SCRAM-SHA256" is unknown; did you mean SCRAM-SHA-256?; allowed: a list of "SCRAM-SHA-512-PLUS"'
    ),
    "domains = ['a.b']\n[auth]\nmechanisms = []": "auth.mechanisms = []: ",
    "domains = ['a.b']\n[auth]\nscram_iterations = 4095": (
        "scram_iterations = 4095: out of range; allowed: a whole number from 4096 to 10000000"
    ),
    "domains = ['a.b']\n[auth]\nscram_iterations = true": "scram_iterations = true: wrong type",
    "domains = ['a.b']\n[auth]\nscram_iterations = 1e4": "scram_iterations = 10000.0: it is no whole number",
    "domains = ['a.b']\n[limits]\nstanza_bytes = 9_999": (
        "stanza_bytes = 9999: out of range; allowed: 0 (off) or a whole number from 10000 to 67108864"
    ),
    "domains = ['a.b']\n[limits]\nstanza_bytes = -1": "stanza_bytes = -1: out of range",
    "domains = ['a.b']\n[limits]\nroster_items = false": "roster_items = false: wrong type",
    "domains = ['a.b']\n[limits]\nping_after_seconds = -0.1": "allowed: 0 (off) or a number up to 86400",
    "domains = ['a.b']\n[limits]\nping_after_seconds = inf": "ping_after_seconds = inf: out of range",
    "domains = ['a.b']\n[limits]\nping_after_seconds = nan": "ping_after_seconds = nan: out of range",
    "domains = ['a.b']\n[limits]\nping_after_seconds = '60s'": 'ping_after_seconds = "60s": wrong type',
    "domains = ['a.b']\n[storage]\nurl = 'mysql://x'": 'unknown scheme; allowed: "sqlite:relative/path"',
    "domains = ['a.b']\n[storage]\nurl = 'sqlite:'": "it names no file",
    "domains = ['a.b']\n[storage]\nurl = 'sqlite:data/'": "it names no file",
    "domains = ['a.b']\n[storage]\nurl = 'sqlite://chat.db'": "SQLite has none",
    "domains = ['a.b']\n[storage]\nurl = 'postgresql://x:secret@h:x/d'": (
        'url = "postgresql://x:***@h:x/d": the port is no number from 1 to 65535'
    ),
    "domains = ['a.b']\n[storage]\nurl = 'postgresql://x:sec@ret:secret@h/d'": (
        '"postgresql://x:***@h/d": more than one @'
    ),
    "domains = ['a.b']\n[storage]\nurl = 'postgres://h/d?password=secret&x=y'": (
        '"postgres://h/d?password=***&x=y": unknown option'
    ),
    "domains = ['a.b']\n[storage]\nconnections = 0": (
        "connections = 0: out of range; allowed: a whole number from 1 to 1000"
    ),
    "domains = ['a.b']\n[cluster]\nredis = 'localhost'": 'allowed: "redis://host:port/0"',
    "domains = ['a.b']\n[log]\nlevel = 'inf'": 'log.level = "inf": "inf" is unknown; did you mean info?',
    "domains = ['a.b']\n[log]\nlevel = ['info']": 'log.level = ["info"]: ',
    "domains = ['a.b']\nadmins = {x = 1}": "admins = {x = 1}: it is no list",
}

CONFLICTS = {
    "domains = ['a.b']\n[listen]\nc2s_tls = ['h:1']": (
        "listen.c2s_tls: there is no certificate for it; set tls.certificate"
    ),
    "domains = ['a.b']\n[listen]\nc2s = ['h:1']": "listen.c2s: tls.required is true, but there is no certificate",
    "domains = ['a.b']\n[listen]\nc2s = ['h:1']\nhttp = ['h:1']\n[tls]\nrequired = false": (
        'listen: "h:1" is listed for two services; give each its own port'
    ),
}


@pytest.mark.parametrize(("text", "expected"), (UNKNOWN_AND_MISSING | CONFLICTS).items())
def test_unknown_missing_and_conflicting_keys(text: str, expected: str) -> None:
    assert mistake(text).startswith(f"xmppd.toml: {expected}")


@pytest.mark.parametrize(("text", "expected"), WRONG_VALUES.items())
def test_wrong_values(text: str, expected: str) -> None:
    said = mistake(text)
    assert said.startswith("xmppd.toml: ")
    assert expected in said
    assert "secret" not in said


def test_the_remedy_of_a_missing_certificate_is_init() -> None:
    assert "`xmppd init DIR --domain DOMAIN`" in mistake("domains = ['a.b']\n[listen]\nc2s_tls = ['h:1']")


def test_without_a_certificate_plain_listeners_are_fine_when_tls_is_not_required() -> None:
    text = "domains = ['a.b']\n[listen]\nc2s = ['h:1']\nhttp = ['h:2']\n[tls]\nrequired = false"
    assert read(text).listen.c2s == (Address("h", 1),)


def test_all_mistakes_are_told_at_once() -> None:
    said = mistakes(
        "domain = []\n[limits]\nstanza_depth = true\n[auth]\nscram_iterations = 1\n[extensions.x]"
    )
    keys = [line.split(": ")[1].split(" = ")[0] for line in said]
    assert keys == ["extensions.x", "domain", "limits.stanza_depth", "auth.scram_iterations", "domains"]


def test_a_problem_has_its_parts() -> None:
    with pytest.raises(BadConfig) as caught:
        read("domains = ['a.b']\n[auth]\nmechanisms = ['PLANE']")
    (problem,) = caught.value.problems
    assert caught.value.file == "xmppd.toml"
    assert problem.key == "auth.mechanisms"
    assert problem.value == '["PLANE"]'
    assert problem.suggestion == "PLAIN"
    assert '"SCRAM-SHA-1"' in problem.allowed


def test_a_syntax_error_names_its_line() -> None:
    assert "(at line 2, column" in mistake("domains = ['a.b']\nlisten = = 3")


def test_a_long_or_hostile_value_is_shown_on_one_line() -> None:
    said = mistake('domains = ["a.b"]\ndata_dir = ["' + "x" * 500 + '\\n\\u001b[31m"]')
    assert len(said) < 300
    assert said.isprintable()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: there is no such file; `xmppd init DIR") as caught:
        load(tmp_path / "gone.toml", {})
    assert caught.value.exit_status == 2


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"this is a folder; name the file in it, such as .*/xmppd\.toml"):
        load(tmp_path, {})


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "xmppd.toml").write_bytes(b"domains = ['\xff.b']")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load(tmp_path / "xmppd.toml", {})


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "xmppd.toml"
    file.write_text("domains = ['a.b']")
    file.chmod(0)
    if os.geteuid() == 0:  # root reads everything

        def refuse(path: Path) -> bytes:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        ConfigError, match=r"xmppd\.toml: it cannot be read: Permission denied; check its owner"
    ):
        load(file, {})


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "xmppd.toml").write_text("domains = ['a.b']\n[tls]\ncertificate = 'c.pem'")
    monkeypatch.chdir(tmp_path)
    config = load(Path("site/xmppd.toml"), {})
    assert config.data_dir == tmp_path / "site" / "data"
    assert config.tls.certificate == tmp_path / "site" / "c.pem"
