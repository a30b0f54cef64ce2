"""``postgresql://`` addresses: what they may look like, and how to name them without their password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SCHEMES: Final = ("postgresql", "postgres")
FORM: Final = "postgresql://user:password@host:port/database"

# What holds for a database whose user says nothing about it.
CONNECTIONS: Final = 10
WAIT_SECONDS: Final = 10.0
STATEMENT_SECONDS: Final = 10.0

# What asyncpg knows, and two settings of the session; anything else it would send to the server as a setting.
_OPTIONS: Final = frozenset(
    {
        *("host", "port", "user", "password", "passfile", "dbname", "database"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
        *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs"),
        *("krbsrvname", "gsslib", "application_name", "search_path"),
    }
)
_SHOWN: Final = ("host", "port", "user", "dbname", "database")
_CHOICES: Final = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
}
_HOST: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:\[\]]*)(?::(?P<port>[^:]*))?"
).fullmatch


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """An address as it was written, and ``name``: the same for people, without password and connection options."""

    text: str
    name: str

    def __repr__(self) -> str:  # it stands in tracebacks
        return f"PostgresUrl({self.name})"


def is_postgres(text: str) -> bool:
    return text.partition(":")[0] in SCHEMES


def parse_postgres(text: str) -> PostgresUrl:
    """The address in ``text``; ``ValueError`` says what is wrong with it, and holds nothing of a password."""
    if any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("a space or an unprintable character in it: write it as %20, %09 and so on")
    try:
        parts = urlsplit(text)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    except ValueError as error:
        raise ValueError(
            "it cannot be taken apart: in a password ? is written %3F, [ is %5B, ] is %5D"
        ) from error
    if parts.scheme not in SCHEMES or not text.startswith(f"{parts.scheme}://"):
        raise ValueError("it has to start with postgresql://")
    if "#" in text:
        raise ValueError("a # in it: in a password it is written %23")
    user, hosts = _authority(parts.netloc)
    database = parts.path.removeprefix("/")
    if "/" in database:
        raise ValueError("a / behind the database: in a password or a name it is written %2F")
    _check_options(dict(options))
    shown = "&".join(f"{key}={quote(value, safe='/,')}" for key, value in options if key in _SHOWN)
    name = f"postgresql://{user}{'@' if user else ''}{hosts}/{database}{'?' if shown else ''}{shown}"
    return PostgresUrl(text, name)


def _authority(netloc: str) -> tuple[str, str]:
    """User and hosts, as written."""
    if netloc.count("@") > 1:
        raise ValueError("more than one @ in it: in a password it is written %40")
    user, at, hosts = netloc.rpartition("@")
    user = user.partition(":")[0]
    if at and not user:
        raise ValueError("there is no user in front of the @")
    for entry in hosts.split(",") if hosts else ():
        found = _HOST(entry)
        if found is None:
            raise ValueError(
                "a host has more than one colon: an IPv6 address stands in brackets, as in [::1]:5432"
            )
        if found["port"] is not None:
            _check_port(found["port"])
    return user, hosts


def _check_port(port: str) -> None:
    # Without the value: behind the first colon of a wrong address there may be a password.
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(
            "the port is no number from 1 to 65535; a / in a password is written %2F, a ? is %3F"
        )


def _check_options(options: dict[str, str]) -> None:
    for key, value in options.items():
        if key not in _OPTIONS:
            raise ValueError(f"unknown option {unquote(key)!r}; known are {', '.join(sorted(_OPTIONS))}")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise ValueError(f"{key} has to be one of {', '.join(_CHOICES[key])}")
    for port in options["port"].split(",") if "port" in options else ():
        _check_port(port)
