"""`xmppd pipeline`: through which stages messages and presence go, in order, and who acts at each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import typer

from xmppd.cli.extensions import registrations
from xmppd.cli.run import ConfigFile, Json, Run, alone
from xmppd.routing.pipeline import Inbound, Outbound, Registration, Stage

_SIDES: tuple[tuple[str, Sequence[Stage]], ...] = (("sender", tuple(Outbound)), ("recipient", tuple(Inbound)))


def build() -> typer.Typer:
    return alone("pipeline", pipeline)


def pipeline(context: typer.Context, config: ConfigFile = None, json: Json = False) -> None:
    """Print the stages that stanzas pass, in order, and who acts at each."""
    run = Run.of(context, config, json)
    stages = describe(asyncio.run(registrations(run.config())))
    run.answer(stages, "\n".join(_line(stage) for stage in stages))


def describe(registered: Sequence[Registration]) -> list[dict[str, Any]]:
    """Each stage with its side, the reason for its place, and the handlers at it in the order in which they run."""
    return [
        {
            "side": side,
            "stage": stage.name.lower(),
            "why": stage.value,
            "handlers": [
                {"owner": one.owner, "kind": one.kind.__name__.lower()}
                for one in registered
                if one.stage is stage
            ],
        }
        for side, stages in _SIDES
        for stage in stages
    ]


def _line(stage: dict[str, Any]) -> str:
    handlers = ", ".join(f"{one['owner']} ({one['kind']})" for one in stage["handlers"]) or "-"
    return f"{stage['side']:9}  {stage['stage']:8}  {handlers:40}  {stage['why']}"
