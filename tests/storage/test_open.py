"""`[storage] url`: the forms it may have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xmppd.errors import ConfigError
from xmppd.storage.open import open_stores, postgres_url, sqlite_path, storage_name

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


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://x:secret@db.example/xmppd", "postgresql://x@db.example/xmppd"),
        ("postgres://x:se%40c%2Fret@db.example:5433/xmppd", "postgresql://x@db.example:5433/xmppd"),
        ("postgresql:///xmppd?host=/run/postgresql", "postgresql:///xmppd?host=/run/postgresql"),
        ("postgresql://[::1]:5432/x?password=secret&sslmode=require", "postgresql://[::1]:5432/x"),
        (
            "postgresql://x@a.example,b.example:5433/x?target_session_attrs=read-write",
            "postgresql://x@a.example,b.example:5433/x",
        ),
        ("postgresql:///?user=x&dbname=y", "postgresql:///?user=x&dbname=y"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_the_allowed_forms_of_postgresql(url: str, name: str) -> None:
    assert (postgres_url(url).text, postgres_url(url).name) == (url, name)
    assert storage_name(url) == name
    assert "secret" not in repr(postgres_url(url))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql:x", "has to start with postgresql://"),
        ("postgres:/x:secret@host/db", "has to start with postgresql://"),
        ("postgresql://x:sec/ret@host/db", "in a password is written %2F"),
        ("postgresql://x:/secret@host/db", "no number from 1 to 65535"),
        ("postgresql://x:sec?ret@host/db", "%3F"),
        ("postgresql://x:sec#ret@host/db", "%23"),
        ("postgresql://x:sec@ret@host/db", "%40"),
        ("postgresql://x:sec ret@host/db", "%20"),
        ("postgresql://x:sec[ret@host/db", "%5B"),
        ("postgresql://x:secret@host/a/b", "%2F"),
        ("postgresql://:secret@host/db", "no user"),
        ("postgresql://x:secret@host:0/db", "from 1 to 65535"),
        ("postgresql://x:secret@host:/db", "from 1 to 65535"),
        ("postgresql://x:secret@a,b:99999/db", "from 1 to 65535"),
        ("postgresql://x:secret@::1/db", "stands in brackets"),
        ("postgresql://x:secret@host/db?port=x", "from 1 to 65535"),
        ("postgresql://x:secret@host/db?ssl=true", "unknown option 'ssl'"),
        ("postgresql://x:secret@host/db?sslmode=on", "sslmode has to be one of disable"),
        ("postgresql://x:secret@host/db?sslmode", "cannot be taken apart"),
    ],
)
async def test_a_wrong_address_of_postgresql_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_stores(url, BASE)
    assert said in str(caught.value)
    assert "[storage] url" in str(caught.value)
    assert "postgresql://user:password@host:port/database" in str(caught.value)
    assert not re.search("sec|ret@", str(caught.value))
