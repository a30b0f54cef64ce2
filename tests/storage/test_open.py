"""`[storage] url`: the forms it may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmppd.errors import ConfigError
from xmppd.storage.open import open_stores, sqlite_path

BASE = Path("/etc/xmppd")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/xmppd/x.db", Path("/var/lib/xmppd/x.db")),
        ("sqlite:x.db", BASE / "x.db"),
        ("sqlite:data/x y.db", BASE / "data" / "x y.db"),
        ("sqlite:./data/x%20y.db", BASE / "data" / "x%20y.db"),
        ("sqlite:../x.db", BASE / ".." / "x.db"),
        ("sqlite::memory:", None),
    ],
)
def test_the_allowed_forms(url: str, path: Path | None) -> None:
    assert sqlite_path(url, BASE) == path


def test_a_relative_base_is_that_of_the_moment() -> None:
    assert sqlite_path("sqlite:x.db", Path()) == Path.cwd() / "x.db"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "sqlite",
            "sqlite:",
            "sqlite://",
            "sqlite:///",
            "sqlite://host/x.db",
            "sqlite:/x.db",
            "sqlite:////",
        ),
        *(
            "sqlite:data/",
            "sqlite:x.db?mode=ro",
            "sqlite:x\0.db",
            "SQLITE:x.db",
            "mysql://x",
            "x.db",
            "/x.db",
        ),
        *("memory", ":memory:", "sqlite:///:memory:/", "file:x.db"),
    ],
)
async def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_stores(url, BASE)
    assert repr(url) in str(caught.value)
    for said in ("[storage] url", "sqlite:///absolute/path", "sqlite:path", "sqlite::memory:"):
        assert said in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_postgresql_comes_later(scheme: str) -> None:
    with pytest.raises(ConfigError, match="comes with a later version") as caught:
        await open_stores(f"{scheme}://user:secret@host/db", BASE)
    assert "secret" not in str(caught.value)
