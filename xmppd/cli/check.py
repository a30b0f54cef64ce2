"""`xmppd check`: whether a server can run with the configuration, and whether clients will find it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from xmppd import __version__
from xmppd.cli.checks.dns import Resolver, SystemResolver, check_dns
from xmppd.cli.checks.finding import Finding, Level, error, ok, warn
from xmppd.cli.checks.machine import check_data_dir, check_ports, check_storage
from xmppd.cli.checks.tls import check_tls
from xmppd.cli.run import ConfigFile, Json, Run, alone
from xmppd.clock import SystemClock
from xmppd.config import Config
from xmppd.control import ControlClient, Status
from xmppd.errors import UserError

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.ERROR: "red"}


def build() -> typer.Typer:
    return alone("check", check)


def check(context: typer.Context, config: ConfigFile = None, json: Json = False) -> None:
    """Check configuration, certificate, DNS records, ports and storage. Exit status 1 if something is wrong."""
    run = Run.of(context, config, json).located()
    findings = asyncio.run(find(run.config(), run.file, SystemResolver(), SystemClock().now()))
    if run.json:
        run.answer([_as_json(finding) for finding in findings], "")
    else:
        _print(findings)
    if any(finding.level is Level.ERROR for finding in findings):
        raise typer.Exit(1)


async def find(config: Config, file: Path | None, resolver: Resolver, now: float) -> list[Finding]:
    """Everything there is to say about ``config``, which came from ``file`` or, where that is None, from nowhere."""
    running, server = await _server(config)
    return [
        ok(
            "configuration",
            str(file) if file else "the embedded one: no file was named and there is no xmppd.toml",
        ),
        check_data_dir(config),
        server,
        await check_storage(config),
        *check_tls(config, now, made_at_start=file is None),
        *check_ports(config, running),
        *await check_dns(config, resolver),
    ]


async def _server(config: Config) -> tuple[Status | None, Finding]:
    try:
        client = await ControlClient.connect(config.data_dir)
        if client is None:
            return None, ok("server", "it is not running")
        try:
            status = await client.status()
        finally:
            await client.close()
    except UserError as err:
        return None, error("server", str(err), "")
    if status.version != __version__:
        text = f"process {status.pid} runs version {status.version}, installed is {__version__}"
        return status, warn("server", text, "restart it")
    return status, ok("server", f"process {status.pid} runs version {status.version}")


def _as_json(finding: Finding) -> dict[str, str]:
    return {
        "level": finding.level.value,
        "subject": finding.subject,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _print(findings: Sequence[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        line = Text(f"{finding.level.value:5} ", style=_COLOURS[finding.level])
        line.append(f"{finding.subject}: {finding.text}", style="default")
        console.print(line)
        if finding.remedy:
            console.print(Text(f"      {finding.remedy}"))
