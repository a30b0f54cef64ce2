"""All commands in one application, and how each way to end becomes an exit status.

A command is the module of its name beside this one. Only the one that was called is imported: importing all of them
takes longer than most of them take to run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from xmppd.cli.run import ConfigFile, Json, Run, UsageError, describe, to_json
from xmppd.cli.version import version
from xmppd.errors import UserError

_DONE, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130

COMMANDS: Final = ("serve", "init", "check", "pipeline", "version", "user", "room", "db")

EPILOG = (
    "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted. With --json, standard output "
    'holds one JSON value, the result or {"error": {"kind", "message", ...}}; what is meant for people goes to '
    "standard error."
)


def build() -> typer.Typer:
    app = typer.Typer(
        name="xmppd",
        help="An XMPP chat server.",
        epilog=EPILOG,
        pretty_exceptions_enable=False,  # a traceback is a bug, and a bug report needs the plain one
        context_settings={"help_option_names": ["-h", "--help"]},
        invoke_without_command=True,
        cls=_Commands,
    )
    app.callback()(_start)
    return app


def command(name: str) -> typer.Typer:
    """The command ``name``, one of ``COMMANDS``: a group of more, or the only one in what is returned."""
    found: typer.Typer = import_module(f"xmppd.cli.{name}").build()
    found.info.name = name
    return found


class _Commands(TyperGroup):
    def list_commands(self, ctx: object) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> Any:
        """None: there is no such command; then all are at hand, for the names that may have been meant."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            self.commands[name] = typer.main.get_command(command(name))
        return self.commands.get(cmd_name)


def _start(
    context: typer.Context,
    config: ConfigFile = None,
    json: Json = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        version(context, config, json)
        raise typer.Exit
    if context.invoked_subcommand is None:
        names = f"{', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}"
        raise UsageError(f"a command is missing: {names}. See `xmppd --help`.")
    Run.before_command(context, config, json)


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit status."""
    try:
        status = build()(list(arguments), prog_name="xmppd", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else _DONE
    except UserError as err:
        return _report(err, err.exit_status, arguments)
    except typer.TyperException as err:
        return _report(UserError(_usage(err)), _USAGE, arguments)
    except typer.Abort:  # the input ended at a question
        return _report(UserError("aborted"), _FAILED, arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _report(error: UserError, status: int, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        print(to_json(describe(error, status)), flush=True)
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    return status


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "xmppd"
    message = error.format_message()
    end = "" if message.endswith((".", "?", "!")) else "."
    return f"{message}{end} See `{command} --help`."


def main() -> None:
    sys.exit(run(sys.argv[1:]))
