from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.tool import ServerProcess
from xmppd import certificates

TOML = """\
domains = ["chat.example", "other.example"]
data_dir = "data"
admins = ["admin@chat.example"]

[listen]
c2s = ["127.0.0.1:0"]
c2s_tls = ["127.0.0.1:0"]
http = ["127.0.0.1:0"]

[tls]
certificate = "cert.pem"
key = "key.pem"

[auth]
scram_iterations = 4096
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, which is the working directory."""
    (tmp_path / "xmppd.toml").write_text(TOML)
    certificates.write(tmp_path / "cert.pem", tmp_path / "key.pem", ["chat.example", "other.example"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def server(site: Path) -> Iterator[ServerProcess]:
    """A server that runs in ``site``; its first line has not been read."""
    with ServerProcess("serve", cwd=site) as running:
        yield running
