"""Every table of the schema as a list: by it a storage is moved to another engine, and an account loses what it has.

The engines have the same tables, with the same names and columns. What differs is how some kinds of values are stored;
between them values are plain: ``bool``, sorted tuples of ids, and so on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

Kind = Literal["int", "real", "text", "bytes", "bool", "ids"]
Value = int | float | str | bytes | bool | tuple[int, ...] | None
Values = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """``columns``: name and kind of each. The first ``key`` of them tell rows apart, and order them."""

    name: str
    key: int
    columns: tuple[tuple[str, Kind], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)

    @property
    def large(self) -> tuple[str, ...]:
        """The columns whose values may be large."""
        return tuple(name for name, kind in self.columns if kind == "bytes")


# All but what belongs to the database itself, such as the state of its writers; a test compares this with the schema.
TABLES: Final = (
    Table("secrets", 1, (("name", "text"), ("value", "bytes"))),
    Table("dictionaries", 1, (("number", "int"), ("content", "bytes"))),
    Table(
        "accounts",
        1,
        (
            ("id", "int"),
            ("domain", "text"),
            ("local", "text"),
            ("created", "real"),
            ("seen_at", "real"),
            ("seen_status", "text"),
        ),
    ),
    Table(
        "scram_keys",
        2,
        (
            ("owner", "int"),
            ("hash", "text"),
            ("salt", "bytes"),
            ("iterations", "int"),
            ("stored_key", "bytes"),
            ("server_key", "bytes"),
        ),
    ),
    Table("deleted_owners", 1, (("id", "int"), ("at", "real"))),
    Table("roster_versions", 1, (("owner", "int"), ("version", "int"))),
    Table(
        "roster_items",
        2,
        (
            ("owner", "int"),
            ("contact", "text"),
            ("name", "text"),
            ("groups", "text"),
            ("subscription", "text"),
            ("ask", "bool"),
            ("approved", "bool"),
            ("request", "bytes"),
            ("listed", "bool"),
        ),
    ),
    Table("blocked", 2, (("owner", "int"), ("jid", "text"))),
    Table("private_xml", 3, (("owner", "int"), ("space", "text"), ("name", "text"), ("element", "bytes"))),
    Table("vcards", 1, (("owner", "int"), ("photo_hash", "text"), ("xml", "bytes"))),
    Table(
        "archive",
        2,
        (
            ("owner", "int"),
            ("id", "int"),
            ("peer", "int"),
            ("kind", "int"),
            ("origin", "int"),
            ("stanza", "bytes"),
        ),
    ),
    Table("archive_floors", 1, (("owner", "int"), ("id", "int"))),
    Table("archive_cursors", 1, (("owner", "int"), ("upto", "int"), ("above", "ids"))),
    Table(
        "archive_preferences",
        1,
        (("owner", "int"), ("by_default", "text"), ("always", "text"), ("never", "text"), ("days", "int")),
    ),
    Table(
        "chat_lists",
        1,
        (("owner", "int"), ("version", "int"), ("upto", "int"), ("conversations", "bytes")),
    ),
    Table(
        "rooms",
        1,
        (
            ("id", "int"),
            ("domain", "text"),
            ("local", "text"),
            ("created", "real"),
            ("version", "int"),
            ("forgotten", "int"),
            ("subject", "text"),
            ("subject_nick", "text"),
            ("subject_at", "real"),
            ("secret", "bytes"),
            ("config", "bytes"),
        ),
    ),
    Table(
        "room_affiliations",
        2,
        (
            ("owner", "int"),
            ("jid", "text"),
            ("affiliation", "int"),
            ("nick", "text"),
            ("reason", "text"),
            ("version", "int"),
            ("since", "int"),
        ),
    ),
    Table("room_pictures", 1, (("owner", "int"), ("vcard", "bytes"))),
)

# Those whose ids the database gives, and never twice.
NUMBERED: Final = ("accounts", "rooms")

# What belongs to one account or room, and goes with it; the tests of the schemas find one that is missing.
OWNED: Final = tuple(table.name for table in TABLES if table.names[0] == "owner")

COPYING: Final = "copying"  # in ``meta`` while a copy is not complete


class Tables(Protocol):
    """One open storage, seen as its tables; nobody else uses it meanwhile. Whoever opened it awaits ``close()``."""

    @property
    def name(self) -> str:
        """The storage for people, without a password."""

    @abstractmethod
    async def count(self, table: Table) -> int:
        """How many rows it has."""

    @abstractmethod
    async def read(
        self, table: Table, after: Values | None, *, limit: int, most_bytes: int = 2**62
    ) -> list[Values]:
        """The first ``limit`` rows behind the key ``after`` (None: from the start), in the order of their keys; only up
        to the row with which their values of the kind ``bytes`` are ``most_bytes`` together.
        """

    @abstractmethod
    async def write(self, table: Table, rows: Sequence[Values]) -> None:
        """Add ``rows``; durable when it returns."""

    @abstractmethod
    async def last_ids(self) -> Mapping[str, int]:
        """Of each table in ``NUMBERED`` the largest id that was ever given; left out where there was none."""

    @abstractmethod
    async def begin(self) -> None:
        """From now on nobody but who copies may use this storage, until ``finish``."""

    @abstractmethod
    async def finish(self, last_ids: Mapping[str, int]) -> None:
        """The copy is complete. Ids up to ``last_ids`` are not given again."""

    @abstractmethod
    async def close(self) -> None: ...
