"""The kinds of values that a configuration holds beyond numbers and text: how each is parsed, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, NewType

import msgspec

from xmppd.jid import Jid, JidError
from xmppd.storage.url import FORM, is_postgres, parse_postgres

Network = IPv4Network | IPv6Network
# "sqlite:" and an absolute path, or "postgresql://..."; how it is opened is the storage's business.
StorageUrl = NewType("StorageUrl", str)


@dataclass(frozen=True, slots=True)
class Kind:
    """Stands in ``Annotated`` beside ``msgspec.Meta`` where a value is more than msgspec knows.

    ``parse`` gets the TOML value and the folder of the file, and raises ``ValueError`` with what is wrong. ``allowed``
    completes the sentence "allowed: ...".
    """

    parse: Callable[[object, Path], Any]
    allowed: str


def bound(most: int, sentence: str, *, least: int = 0) -> msgspec.Meta:
    """A limit from ``least`` to ``most``, or 0, which switches it off."""
    return msgspec.Meta(ge=0, le=most, description=sentence, extra={"off": True, "least": least})


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``host`` is an IP address without brackets or a name; ``port`` 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """``host:port`` or ``[IPv6]:port``; ``ValueError`` with what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!r} names no host and port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError(f"{text!r}: only an IPv6 address stands in brackets")
    elif ":" in host and "/" not in host:
        raise ValueError(f'{text!r}: an IPv6 address stands in brackets, as in "[{host}]:{port}"')
    if not host or any(char.isspace() or char in "/[]@" for char in host):
        raise ValueError(f"{text!r} names no host")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{text!r}: the port is no number from 0 to 65535")
    return Address(host, int(port))


def _address(value: object, _: Path) -> Address:
    return parse_address(_text(value))


def _network(value: object, _: Path) -> Network:
    try:
        return ip_network(_text(value))
    except ValueError as err:
        raise ValueError(str(err)) from err


def _domain(value: object, _: Path) -> Jid:
    jid = _jid(value)
    if jid.local is not None or jid.resource is not None:
        raise ValueError(f"{str(jid)!r} is more than a domain")
    return jid


def _account(value: object, _: Path) -> Jid:
    jid = _jid(value)
    if jid.local is None or jid.resource is not None:
        raise ValueError(f"{str(jid)!r} is no address of an account")
    return jid


def _jid(value: object) -> Jid:
    try:
        return Jid.parse(_text(value))
    except JidError as err:
        raise ValueError(str(err)) from err


def _path(value: object, base: Path) -> Path:
    text = _text(value)
    if not text or "\0" in text:
        raise ValueError("it is empty" if not text else "it holds a NUL")
    return Path(base, Path(text).expanduser()).absolute()


def storage_url(value: object, base: Path) -> StorageUrl:
    """The storage that ``value`` names; a relative path starts at ``base``. ``ValueError`` holds no password."""
    text = _text(value)
    if is_postgres(text):
        return StorageUrl(parse_postgres(text).text)
    scheme, colon, rest = text.partition(":")
    if not colon or scheme != "sqlite":
        raise ValueError("unknown scheme")
    if rest == ":memory:":
        return StorageUrl(text)
    if rest.startswith("//") and not rest.startswith("///"):
        raise ValueError(
            "a path with two slashes: the second part of //host/path would be a host, and SQLite has none"
        )
    path = rest.removeprefix("//")
    if not path or path.endswith("/") or "\0" in path:
        raise ValueError("it names no file")
    return sqlite_url(Path(base, path).absolute())


def sqlite_url(path: Path) -> StorageUrl:
    return StorageUrl(f"sqlite://{path}")


def _redis(value: object, _: Path) -> str:
    text = _text(value)
    if not text.startswith(("redis://", "rediss://")) or not text.partition("://")[2]:
        raise ValueError("it is no address of a Redis server")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("it is no text")
    return value


def listed(
    one: Callable[[object, Path], Any],
    into: Callable[[Iterable[Any]], Any],
    allowed: str,
    *,
    empty: bool = True,
) -> Kind:
    """A list of what ``one`` parses, without duplicates (an address with port 0 may come twice)."""

    def parse(value: object, base: Path) -> Any:
        if not isinstance(value, list):
            raise ValueError("it is no list")
        if not value and not empty:
            raise ValueError("the list is empty")
        items: list[Any] = []
        for entry in value:
            item = one(entry, base)
            if item in items and getattr(item, "port", None) != 0:
                raise ValueError(f"{str(item)!r} comes twice")
            items.append(item)
        return into(items)

    return Kind(parse, allowed)


DOMAINS: Final = listed(
    _domain, tuple, 'a list of domains such as ["example.org"], at least one', empty=False
)
ACCOUNTS: Final = listed(_account, frozenset, 'a list of addresses such as ["admin@example.org"]')
ADDRESSES: Final = listed(
    _address, tuple, 'a list such as ["127.0.0.1:5222", "[::1]:5222"], port 0 for any free one'
)
NETWORKS: Final = listed(_network, tuple, 'a list of networks such as ["10.0.0.0/8", "fd00::/8"]')
PATH: Final = Kind(_path, "a path; a relative one starts at the folder of this file")
STORAGE_FORMS: Final = f'"sqlite:relative/path", "sqlite:///absolute/path" or "{FORM}"'
STORAGE: Final = Kind(storage_url, STORAGE_FORMS)
REDIS: Final = Kind(_redis, '"redis://host:port/0" or "rediss://..." for TLS')
