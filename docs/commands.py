"""The page of the command line, from the signatures of the commands themselves: the same text as `--help`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

from xmppd.cli.app import COMMANDS, EPILOG, command

_EVERYWHERE: Final = ("config", "json")  # parameters that each command has


class Parameter:
    """One parameter of a command, as a person writes it."""

    def __init__(self, name: str, annotation: Any, default: object) -> None:
        kind, *marks = get_args(annotation)
        self.name = name
        self.info = next(mark for mark in marks if isinstance(mark, (ArgumentInfo, OptionInfo)))
        self.is_argument = isinstance(self.info, ArgumentInfo)
        self.required = default is inspect.Parameter.empty
        self.repeated = get_origin(kind) is list
        self.help = self.info.help or ""
        self.default = default
        # In Annotated, the first spelling stands where a default would.
        spelled = (self.info.default, *(self.info.param_decls or ()))
        declared = [text for text in spelled if isinstance(text, str) and text.startswith("-")]
        long = next((text for text in declared if text.startswith("--")), f"--{name.replace('_', '-')}")
        self.spellings = [text for text in declared if text != long] + [long]
        self.value = "" if kind is bool else self.info.metavar or _value(kind)

    def in_synopsis(self) -> str:
        if self.is_argument:
            return self.value
        once = " ".join(filter(None, (self.spellings[-1], self.value)))
        text = f"{once} ..." if self.repeated else once
        return text if self.required else f"[{text}]"

    def row(self) -> str:
        spelled = self.value if self.is_argument else ", ".join(self.spellings)
        written = f"`{spelled}`" if self.is_argument or not self.value else f"`{spelled} {self.value}`"
        note = " Required." if self.required else ""
        if not isinstance(self.default, bool) and isinstance(self.default, int):
            note = f" Default: {self.default}."
        return f"| {written} | {self.help}{note} |".replace("||", "\\|\\|")


def commands_page() -> Iterator[str]:
    """The lines of docs/reference/cli.md."""
    commands = [each for name in COMMANDS for each in _commands(name, command(name))]
    everywhere = [each for each in _parameters(commands[0][1]) if each.name in _EVERYWHERE]
    yield "# Command line"
    yield ""
    yield "Every command works whether or not the server runs: it speaks to the server through `control.sock` in"
    yield "`data_dir`, or opens the storage itself where none runs. So run it as the user who runs the server."
    yield "Three need the server to be stopped, and name its process where it is not: `db copy`,"
    yield "`db train-dictionary`, and `db migrate` where there is something to do."
    yield ""
    yield EPILOG.replace('{"error": {"kind", "message", ...}}', '`{"error": {"kind", "message", ...}}`')
    yield ""
    yield "Every command takes:"
    yield ""
    yield from _table([*everywhere])
    yield "| `-h, --help` | Print the command's help and exit. |"
    for name, callback in commands:
        parameters = [each for each in _parameters(callback) if each.name not in _EVERYWHERE]
        parameters.sort(key=lambda each: not each.is_argument)
        yield ""
        yield f"## {name}"
        yield ""
        yield f"    {' '.join([name, *(each.in_synopsis() for each in parameters)])}"
        yield ""
        yield inspect.getdoc(callback) or ""
        if parameters:
            yield ""
            yield from _table(parameters)


def _commands(name: str, app: Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    prefix = f"xmppd {name}" if app.registered_callback else "xmppd"
    for each in app.registered_commands:
        assert each.callback is not None
        yield f"{prefix} {each.name}", each.callback


def _parameters(callback: Callable[..., Any]) -> Iterator[Parameter]:
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        if get_origin(hints[name]) is Annotated:
            yield Parameter(name, hints[name], parameter.default)


def _table(parameters: list[Parameter]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for parameter in parameters:
        yield parameter.row()


def _value(kind: Any) -> str:
    kinds = get_args(kind) or (kind,)
    if int in kinds:
        return "N"
    return "FILE" if Path in kinds else "TEXT"
