"""`xmppd init`: what it writes is enough to serve, and it destroys nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.cli.test_user import refused
from tests.cli.tool import call
from xmppd import certificates
from xmppd.cli.extensions import options
from xmppd.config import load


def test_it_writes_what_a_server_needs(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    result = call("init", folder, "--domain", "Chat.Example", "--domain", "bücher.example", "--json")
    assert result.status == 0
    assert result.json == {
        "config": f"{folder}/xmppd.toml",
        "certificate": f"{folder}/cert.pem",
        "key": f"{folder}/key.pem",
        "data_dir": f"{folder}/data",
        "domains": ["chat.example", "bücher.example"],
    }
    config = load(folder / "xmppd.toml", options())
    assert [str(domain) for domain in config.domains] == ["chat.example", "bücher.example"]
    assert [str(admin) for admin in config.admins] == ["admin@chat.example"]
    assert [address.port for address in (*config.listen.c2s, *config.listen.c2s_tls)] == [5222, 5223]
    assert [str(address) for address in config.listen.http] == ["127.0.0.1:5280"]
    assert config.tls.required
    assert config.data_dir == folder / "data"
    pair = certificates.read(folder / "cert.pem", folder / "key.pem")
    assert pair.names == {"chat.example", "xn--bcher-kva.example", "localhost"}
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700


def test_a_server_on_localhost_listens_only_there(tmp_path: Path) -> None:
    assert call("init", tmp_path, "--domain", "localhost").status == 0
    config = load(tmp_path / "xmppd.toml", options())
    assert [str(address) for address in config.listen.c2s] == ["127.0.0.1:5222"]


def test_it_says_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = call("init", ".", "--domain", "chat.example").out
    assert "xmppd user add admin@chat.example -c ./xmppd.toml" in out
    assert "xmppd serve -c ./xmppd.toml" in out


def test_nothing_is_overwritten_without_yes(tmp_path: Path) -> None:
    for name in ("xmppd.toml", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("mine")
        refused(call("init", tmp_path, "--domain", "chat.example"), 1, f"{tmp_path}/{name}", "--yes")
        assert (tmp_path / name).read_text() == "mine"
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_with_yes_the_data_stay(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "xmppd.db").write_text("precious")
    (tmp_path / "xmppd.toml").write_text("mine")
    (tmp_path / "key.pem").write_text("mine")
    (tmp_path / "key.pem").chmod(0o644)
    assert call("init", tmp_path, "--domain", "chat.example", "--yes").status == 0
    load(tmp_path / "xmppd.toml", options())
    assert (tmp_path / "data" / "xmppd.db").read_text() == "precious"
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_domain_is_needed_and_has_to_be_one(tmp_path: Path) -> None:
    refused(call("init", tmp_path), 2, "--domain")
    refused(call("init", tmp_path, "--domain", "a@chat.example"), 2, "more than a domain")
    refused(call("init", tmp_path, "--domain", "a..b"), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(call("init", tmp_path / "file" / "site", "--domain", "chat.example"), 1, "cannot be written")
