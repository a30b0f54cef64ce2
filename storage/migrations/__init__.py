"""Numbered SQL files per engine, `sqlite/0001_core.sql` and so on; applied in order, each once.

A file is never changed after a release: what is to be different is the next file. Its first line says from which
schema version on a program may use a database that it was applied to: ``-- compatible: 1``. A migration that older
programs would stumble over names its own number there, and they refuse to start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql").fullmatch
_COMPATIBLE: Final = re.compile(r"-- compatible: (\d+)").fullmatch


@dataclass(frozen=True, slots=True)
class Migration:
    """Makes schema version ``number`` out of the one before.

    ``compatible``: the oldest version whose programs still work with the result.
    """

    number: int
    name: str
    compatible: int
    sql: str


def migrations(engine: str) -> tuple[Migration, ...]:
    """All migrations of ``engine`` in order, numbered 1, 2, 3 ...; ``ValueError`` if the files are not so."""
    found = sorted(
        (
            parse(entry.name, entry.read_text(encoding="utf-8"))
            for entry in (files(__name__) / engine).iterdir()
            if entry.name.endswith(".sql")
        ),
        key=lambda migration: migration.number,
    )
    check(found)
    return tuple(found)


def check(found: list[Migration]) -> None:
    """``ValueError`` unless numbers have no gap and compatibility never goes back."""
    for number, migration in enumerate(found, 1):
        if migration.number != number:
            raise ValueError(
                f"migration {migration.number} ({migration.name}) stands where {number} has to be"
            )
        before = found[number - 2].compatible if number > 1 else 1
        if not before <= migration.compatible <= number:
            raise ValueError(
                f"migration {number}: 'compatible: {migration.compatible}' is outside {before}..{number}"
            )


def parse(file: str, text: str) -> Migration:
    """The migration in ``text``, the content of ``file``."""
    name = _NAME(file)
    compatible = _COMPATIBLE(text.partition("\n")[0])
    if name is None or compatible is None:
        raise ValueError(f"{file}: must be called 0001_name.sql, with the first line '-- compatible: N'")
    return Migration(int(name[1]), name[2], int(compatible[1]), text)
