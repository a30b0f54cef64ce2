"""What every command starts with: which configuration holds, how to answer, how to ask."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from xmppd.config import FILE_NAME, BadConfig, Config, embedded, load
from xmppd.errors import ConfigError, UserError

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help=f"The configuration file. Without it: ./{FILE_NAME} if it is there, else a server on localhost in ./data.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON value on standard output.")]


class UsageError(UserError):
    """The command was called in a way that cannot work; the text says how it can."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command. ``file`` is None where the embedded configuration holds."""

    file: Path | None
    json: bool
    base: Path = field(default_factory=Path.cwd)

    @staticmethod
    def of(context: typer.Context, config: Path | None, json: bool) -> Run:
        """``config`` and ``json`` as the command got them; what stood in front of the command counts too."""
        outer = context.find_object(Run)
        file = config or (outer.file if outer else None)
        return Run(file, json or (outer.json if outer else False))

    @staticmethod
    def before_command(context: typer.Context, config: Path | None, json: bool) -> None:
        """Keep the options that stood in front of a command for that command."""
        context.obj = Run.of(context, config, json)

    def located(self) -> Run:
        """The same with the file that holds where none was named."""
        if self.file is None and (self.base / FILE_NAME).exists():
            return Run(self.base / FILE_NAME, self.json, self.base)
        return self

    def config(self) -> Config:
        """The configuration; ``ConfigError`` where it is wrong."""
        from xmppd.cli.extensions import (
            options,  # here, because not every command reads it, and all extensions do much
        )

        file = self.located().file
        return load(file, options()) if file else embedded(self.base, options())

    def answer(self, result: object, text: str) -> None:
        """Print the result: as JSON, or as ``text``."""
        print(to_json(result) if self.json else text)

    def note(self, text: str) -> None:
        """Tell a person something that is not the result."""
        print(text, file=sys.stderr)


def group(help: str, commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """A command that holds ``commands``, by name. Their -c and --json may also stand in front of the name."""
    app = typer.Typer(help=help, pretty_exceptions_enable=False, add_completion=False)
    app.callback()(_before_command)
    for name, command in commands.items():
        app.command(name)(command)
    return app


def alone(name: str, command: Callable[..., None]) -> typer.Typer:
    """``command`` by ``name``, to call without a group before it."""
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command(name)(command)
    return app


def _before_command(context: typer.Context, config: ConfigFile = None, json: Json = False) -> None:
    Run.before_command(context, config, json)


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


ASK: Final = "give --password-stdin and write it to standard input, or give --password"


def ask_password(jid: object) -> str:
    """Ask a person twice; ``UsageError`` where nobody sits at a terminal."""
    if not sys.stdin.isatty():
        raise UsageError(f"a password for {jid} is needed: {ASK}")
    password: str = typer.prompt(f"Password of {jid}", hide_input=True, confirmation_prompt=True, err=True)
    return password


def read_password(password: str | None, from_stdin: bool, jid: object) -> str:
    """The password from whichever of the three places the caller chose; ``UsageError`` if there is none."""
    if password is not None and from_stdin:
        raise UsageError("--password and --password-stdin exclude each other")
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif password is None:
        password = ask_password(jid)
    if not password:
        raise UsageError("the password is empty")
    return password


def confirm(question: str, yes: bool) -> None:
    """Go on only with a yes; ``UsageError`` where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to answer on: give --yes")
    if not typer.confirm(question, err=True):
        raise UserError("nothing was done")


def describe(error: Exception, status: int) -> Mapping[str, Any]:
    """``error`` as it is printed with --json."""
    kind = "configuration" if isinstance(error, ConfigError) else "usage" if status == 2 else "failed"
    told: dict[str, Any] = {"kind": kind, "message": str(error)}
    if isinstance(error, BadConfig):
        told["file"] = error.file
        told["problems"] = [
            {
                "key": problem.key,
                "what": problem.what,
                "value": problem.value,
                "allowed": problem.allowed,
                "suggestion": problem.suggestion,
                "remedy": problem.remedy,
            }
            for problem in error.problems
        ]
    return {"error": told}
