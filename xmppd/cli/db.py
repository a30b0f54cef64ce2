"""`xmppd db`: the database of a server: which schema it has, bringing it up to date, moving it to another engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from xmppd.cli.run import ConfigFile, Json, Run, group
from xmppd.config import Config
from xmppd.config.values import STORAGE_FORMS
from xmppd.errors import UserError
from xmppd.lock import DataLock
from xmppd.storage.migrations import Migration
from xmppd.storage.migrations.plan import Plan
from xmppd.storage.open import open_configured, plan_storage, storage_name


def build() -> typer.Typer:
    return group(
        "The database: status, migrate, copy, train-dictionary.",
        {"status": status, "migrate": migrate, "copy": copy, "train-dictionary": train},
    )


def status(context: typer.Context, config: ConfigFile = None, json: Json = False) -> None:
    """Say which database it is and which schema it has. Only reads; a server may run."""
    run = Run.of(context, config, json)
    name, plan = _plan(run.config())
    lines = [f"database: {name}", f"schema version: {plan.version or 'none: it is made when it is needed'}"]
    if plan.version:
        lines.append(
            "up to date" if not plan.pending else f"`xmppd db migrate` applies {_named(plan.pending)}"
        )
    run.answer(_described(name, plan), "\n".join(lines))


def migrate(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Make the database, or bring its schema up to date, all or nothing. `xmppd serve` does that at its start."""
    run = Run.of(context, config, json)
    settings = run.config()
    if settings.storage.url == "sqlite::memory:":
        raise UserError("storage.url keeps everything in memory: there is nothing to migrate")
    name, plan = _plan(settings)
    found = _described(name, plan)
    if not plan.pending:
        text = f"{name} has schema version {plan.version} and is up to date"
        run.answer(found | {"applied": []}, text)
    elif dry_run:
        run.answer(found | {"applied": []}, f"would apply {_named(plan.pending)} to {name}")
    else:
        asyncio.run(_migrate(settings))
        _, now = _plan(settings)
        text = f"applied {_named(plan.pending)} to {name}"
        run.answer(_described(name, now) | {"applied": found["pending"]}, text)


def copy(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help=f"An empty database, made if it is a file: {STORAGE_FORMS}. A relative path starts here.",
            show_default=False,
        ),
    ],
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Copy everything to another database, on SQLite or PostgreSQL, and compare, while no server runs.

    The server uses the copy once its configuration names it. The database that is copied stays as it is.
    """
    from xmppd.cli.copying import copied_text, copy_storage  # here, because the other commands need no bars

    run = Run.of(context, config, json).located()
    done = copy_storage(run.config(), target, run.base, quiet=run.json)
    run.answer(done, copied_text(done, target, run.file))


def train(context: typer.Context, config: ConfigFile = None, json: Json = False) -> None:
    """Learn from the archive how to store messages in less room, while no server runs. Older ones stay as they are.

    Pieces of messages stand in the dictionary, which is in the database, and stay there when the messages are erased.
    """
    from xmppd.cli.training import train_dictionary  # as copying

    run = Run.of(context, config, json)
    done = train_dictionary(run.config(), quiet=run.json)
    sizes = f"{done['after']} bytes of storage for a message of {done['plain']}, instead of {done['before']}"
    if done["number"] is None:
        text = f"not stored, since it would not save enough: {sizes}"
    else:
        text = f"dictionary {done['number']} holds from the next start on: {sizes}"
    run.answer(done, text)


def _plan(config: Config) -> tuple[str, Plan]:
    """The database's name for people, and what has to be done to it."""
    url = config.storage.url or ""
    return storage_name(url), asyncio.run(plan_storage(url, config.data_dir))


async def _migrate(config: Config) -> None:
    with DataLock.acquire(config.data_dir, "a migration"):
        await (await open_configured(config)).close()


def _named(migrations: Sequence[Migration]) -> str:
    return ", ".join(f"{migration.number:04}_{migration.name}" for migration in migrations)


def _described(name: str, plan: Plan) -> dict[str, Any]:
    return {
        "database": name,
        "version": plan.version,
        "pending": [{"number": migration.number, "name": migration.name} for migration in plan.pending],
    }
