"""Whether a database is ours, which schema it has, and what it still needs: the same for every engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from xmppd import __version__
from xmppd.errors import UserError
from xmppd.storage.migrations import Migration
from xmppd.storage.tables import COPYING


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``migrate`` would do: ``version`` is the schema's now (0: an empty database), ``pending`` comes in order."""

    version: int
    pending: tuple[Migration, ...]


def decide(
    name: str, tables: Collection[str], meta: Mapping[str, object] | None, known: tuple[Migration, ...]
) -> Plan:
    """What is to be done to the database ``name`` (for people) with these ``tables``.

    ``meta``: what stands in the table of that name; None where there is none like ours. ``known``: the migrations of
    this program. ``UserError`` if the database is another program's, or was made by a newer one that this one is not
    compatible with.
    """
    if not tables:
        return Plan(0, known)
    if meta is None or not meta.keys() >= {"schema", "compatible", "program"}:
        raise UserError(
            f"the database {name} belongs to another program (its tables: {', '.join(sorted(tables)[:5])}); "
            "name another one in [storage] url"
        )
    if COPYING in meta:
        raise UserError(
            f"the database {name} holds a copy that was not finished: remove that file, or drop that database and make "
            "it anew, and run `xmppd db copy` again"
        )
    version, compatible = int(str(meta["schema"])), int(str(meta["compatible"]))
    if compatible > len(known):
        raise UserError(
            f"the database {name} has schema version {version}, written by xmppd {meta['program']}; it needs a program "
            f"that knows version {compatible} or newer, and this one, xmppd {__version__}, knows {len(known)}: "
            f"run xmppd {meta['program']} or newer, or bring back a backup from before the upgrade"
        )
    return Plan(version, known[version:])


def meta_rows(migration: Migration) -> list[tuple[str, object]]:
    """What stands in ``meta`` once ``migration`` was applied."""
    return [("schema", migration.number), ("compatible", migration.compatible), ("program", __version__)]
