"""`xmppd version`: which version is installed."""

from __future__ import annotations

import typer

from xmppd import __version__, stanza
from xmppd.cli.run import ConfigFile, Json, Run, alone


def build() -> typer.Typer:
    return alone("version", version)


def version(context: typer.Context, config: ConfigFile = None, json: Json = False) -> None:
    """Print the version, and whether the program was compiled."""
    compiled = not str(stanza.__file__).endswith(".py")  # setup.py
    text = f"xmppd {__version__} (compiled)" if compiled else f"xmppd {__version__}"
    Run.of(context, config, json).answer({"version": __version__, "compiled": compiled}, text)
