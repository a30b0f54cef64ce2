"""Requests and answers on the control socket. Keys cross it, passwords never do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from xmppd.accounts import PAGE, NotServed
from xmppd.control.rooms import RoomRequest
from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.interfaces import AccountExists, Credentials, NoSuchAccount, StorageUnavailable

R = TypeVar("R")

SOCKET_NAME: Final = "control.sock"
LINE_LIMIT: Final = 16 * 1_048_576
"""Longest line in bytes; ``PAGE`` accounts with their keys are under 1 MiB."""


class Existing(Struct, frozen=True, tag_field="op", tag="existing"):
    jids: Sequence[Jid]


class CreateMany(Struct, frozen=True, tag_field="op", tag="create_many"):
    accounts: Sequence[tuple[Jid, Credentials]]


class SetCredentials(Struct, frozen=True, tag_field="op", tag="set_credentials"):
    jid: Jid
    credentials: Credentials


class SetRetention(Struct, frozen=True, tag_field="op", tag="set_retention"):
    jid: Jid
    days: int | None


class Delete(Struct, frozen=True, tag_field="op", tag="delete"):
    jid: Jid


class List(Struct, frozen=True, tag_field="op", tag="list"):
    domain: str | None = None
    contains: str = ""
    after: Jid | None = None
    limit: int = PAGE


class Show(Struct, frozen=True, tag_field="op", tag="show"):
    jid: Jid


class GetStatus(Struct, frozen=True, tag_field="op", tag="status"):
    pass


Request = (
    Existing | CreateMany | SetCredentials | SetRetention | Delete | List | Show | GetStatus | RoomRequest
)


class Status(Struct, frozen=True):
    """A running server: ``listening`` has its addresses by their kind (``c2s``, ``c2s_tls``, ``http``)."""

    pid: int
    version: str
    listening: Mapping[str, Sequence[str]]


class Failure(Struct, frozen=True):
    code: str
    message: str


class Answer(Struct, Generic[R], frozen=True, omit_defaults=True):
    result: R | None = None
    error: Failure | None = None


# What crosses the socket as itself; anything else arrives as a plain UserError.
ERRORS: Final[Mapping[str, type[Exception]]] = {
    "account-exists": AccountExists,
    "no-such-account": NoSuchAccount,
    "not-served": NotServed,
    "storage-unavailable": StorageUnavailable,
    "failed": UserError,
}


def failure(error: Exception) -> Failure | None:
    """How ``error`` crosses the socket; None for a bug, whose text stays on the server."""
    code = next((code for code, kind in ERRORS.items() if isinstance(error, kind)), None)
    return Failure(code, str(error)) if code else None


def encode(message: object) -> bytes:
    """One line, with its end."""
    return msgspec.json.encode(message, enc_hook=_to_json) + b"\n"


def decoder(of: Any) -> Callable[[bytes], Any]:
    """Reads a line as ``of``; ``msgspec.MsgspecError`` (a ValueError) where it is something else."""
    return msgspec.json.Decoder(of, dec_hook=_from_json).decode


def _to_json(value: object) -> str:
    if isinstance(value, Jid):
        return str(value)
    raise NotImplementedError(f"no JSON form for {type(value)}")


def _from_json(of: type, value: object) -> object:
    if of is Jid and isinstance(value, str):
        return Jid.parse(value)
    raise NotImplementedError(f"no {of} in JSON")
