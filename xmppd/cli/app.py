"""All commands in one application, and how each way to end becomes an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from xmppd import __version__, stanza
from xmppd.cli import check, db, init, pipeline, serve, user
from xmppd.cli.run import ConfigFile, Json, Run, UsageError, describe, to_json
from xmppd.errors import UserError

_DONE, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130


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
    )
    app.callback()(_start)
    app.command("serve")(serve.serve)
    app.command("init")(init.init)
    app.command("check")(check.check)
    app.command("pipeline")(pipeline.pipeline)
    app.command("version")(version)
    app.add_typer(user.build(), name="user")
    app.add_typer(db.build(), name="db")
    return app


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
        raise UsageError(
            "a command is missing: serve, init, user, db, check, pipeline or version. See `xmppd --help`."
        )
    Run.before_command(context, config, json)


def version(context: typer.Context, config: ConfigFile = None, json: Json = False) -> None:
    """Print the version, and whether the program was compiled."""
    compiled = not str(stanza.__file__).endswith(".py")  # setup.py
    text = f"xmppd {__version__} (compiled)" if compiled else f"xmppd {__version__}"
    Run.of(context, config, json).answer({"version": __version__, "compiled": compiled}, text)


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
