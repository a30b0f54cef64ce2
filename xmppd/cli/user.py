"""`xmppd user`: the accounts of a server, whether it runs or not."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from xmppd.accounts import PAGE, AccountDetails, Accounts
from xmppd.auth.scram import make_credentials
from xmppd.cli.backend import open_accounts, with_accounts
from xmppd.cli.run import ConfigFile, Json, Run, confirm, group, read_password, to_json
from xmppd.clock import stamp
from xmppd.config import Config
from xmppd.jid import Jid, JidError
from xmppd.logs import one_line
from xmppd.storage.interfaces import AccountRecord, Credentials

_DEFAULT: Final = "default"
_MOST_DAYS: Final = 36_500


def account_address(text: str) -> Jid:
    """``name@domain``; ``typer.BadParameter`` for anything else."""
    try:
        jid = Jid.parse(text)
    except JidError as err:
        raise typer.BadParameter(str(err)) from err
    if jid.local is None or jid.resource is not None:
        raise typer.BadParameter(f"{text!r} is no account: it has to be name@domain")
    return jid


def _days(text: str) -> int:
    """0: as the server does; typer takes None for an argument that is missing."""
    if text == _DEFAULT:
        return 0
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_DAYS):
        raise typer.BadParameter(
            f"{text!r} is neither `{_DEFAULT}` nor a number of days from 1 to {_MOST_DAYS}"
        )
    return int(text)


def _kept(days: int | None) -> str:
    return "as the server does" if days is None else f"for {days} {'day' if days == 1 else 'days'}"


Account = Annotated[
    Jid, typer.Argument(metavar="JID", parser=account_address, help="The account: name@domain.")
]
Password = Annotated[
    str | None,
    typer.Option(
        "--password", help="The password. Other users of this machine may see it; --password-stdin is safer."
    ),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
]


def build() -> typer.Typer:
    return group(
        "Accounts: add, passwd, retention, del, list, show, import.",
        {
            "add": add,
            "passwd": passwd,
            "retention": retention,
            "del": delete,
            "list": list_accounts,
            "show": show,
            "import": import_csv,
        },
    )


def add(
    context: typer.Context,
    jid: Account,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Create an account. Without a password on the command line it is asked for."""
    run = Run.of(context, config, json)
    _store_keys(
        run,
        jid,
        password,
        password_stdin,
        lambda accounts, keys: accounts.create_many([(jid, keys)]),
        create=True,
    )
    run.answer({"jid": str(jid), "created": True}, f"created {jid}")


def passwd(
    context: typer.Context,
    jid: Account,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Set a new password and end the account's sessions."""
    run = Run.of(context, config, json)
    _store_keys(
        run, jid, password, password_stdin, lambda accounts, keys: accounts.set_credentials(jid, keys)
    )
    run.answer({"jid": str(jid), "changed": True}, f"changed the password of {jid}")


def retention(
    context: typer.Context,
    jid: Account,
    days: Annotated[
        int,
        typer.Argument(
            metavar="DAYS",
            parser=_days,
            help="For how many days its messages are kept; `default`: as those of all.",
        ),
    ],
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Keep an account's history for a shorter time than that of others. Older messages are erased within an hour."""
    run = Run.of(context, config, json)
    wanted = days or None
    with_accounts(run.config(), lambda accounts: accounts.set_retention(jid, wanted))
    run.answer({"jid": str(jid), "retention_days": wanted}, f"the history of {jid} is kept {_kept(wanted)}")


def delete(
    context: typer.Context,
    jid: Account,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Delete an account with everything it owns and end its sessions."""
    run = Run.of(context, config, json)
    settings = run.config()
    confirm(f"Delete {jid} with its contacts, messages and everything else?", yes)
    with_accounts(settings, lambda accounts: accounts.delete(jid))
    run.answer({"jid": str(jid), "deleted": True}, f"deleted {jid}")


def show(context: typer.Context, jid: Account, config: ConfigFile = None, json: Json = False) -> None:
    """Print what there is to know about an account."""
    run = Run.of(context, config, json)
    settings = run.config()
    details = with_accounts(settings, lambda accounts: accounts.show(jid))
    result = account_json(details.account) | {
        "admin": jid in settings.admins,
        "contacts": details.contacts,
        "offline_messages": details.offline_messages,
        "retention_days": details.retention_days,
    }
    run.answer(result, _described(details, result["admin"]))


def list_accounts(
    context: typer.Context,
    domain: Annotated[str | None, typer.Option(help="Only accounts on this domain.")] = None,
    contains: Annotated[str, typer.Option(help="Only accounts whose name holds this text.")] = "",
    after: Annotated[
        Jid | None, typer.Option(metavar="JID", parser=account_address, help="Begin behind this account.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 0,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print jid,created,last_seen lines with a header.")
    ] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """List accounts by domain and name, one address per line."""
    run = Run.of(context, config, json)
    settings = run.config()
    if domain is not None:
        domain = _served(settings, domain)

    async def work() -> None:
        async with aclosing(_pages(settings, domain, contains, after, limit)) as found:
            if run.json:
                await _print_json(found)
            elif as_csv:
                await _print_csv(found)
            else:
                async for account in found:
                    print(account.jid)

    asyncio.run(work())


def import_csv(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Lines `jid,password`, as CSV; - is standard input.")
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Give accounts that exist already the password of the file.")
    ] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Create many accounts. Those that exist already are skipped, so it can be run again after an interruption."""
    from xmppd.cli import importing  # here, because the other commands need no bars and no processes

    run = Run.of(context, config, json)
    summary = importing.import_accounts(run.config(), file, update=update, quiet=run.json)
    run.answer(summary.as_json(), summary.as_text())
    if summary.failed:
        raise typer.Exit(1)


def _store_keys(
    run: Run,
    jid: Jid,
    password: str | None,
    from_stdin: bool,
    store: Callable[[Accounts, Credentials], Awaitable[None]],
    *,
    create: bool = False,
) -> None:
    """``store`` the keys of the password that was given, or is asked for now. ``create`` as in ``open_accounts``."""
    settings = run.config()
    keys = make_credentials(read_password(password, from_stdin, jid), settings.auth.scram_iterations)
    with_accounts(settings, lambda accounts: store(accounts, keys), create=create)


def account_json(account: AccountRecord) -> dict[str, Any]:
    seen = account.last_seen
    return {
        "jid": str(account.jid),
        "created": stamp(account.created),
        "last_seen": {"at": stamp(seen.at), "status": seen.status} if seen else None,
    }


def _described(details: AccountDetails, admin: bool) -> str:
    account = details.account
    seen = account.last_seen
    lines = {
        "jid": account.jid,
        "created": stamp(account.created),
        "last seen": f"{stamp(seen.at)} {one_line(seen.status)}".rstrip() if seen else "never",
        "admin": "yes" if admin else "no",
        "contacts": details.contacts,
        "offline messages": details.offline_messages,
        "history is kept": _kept(details.retention_days),
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


def _served(settings: Config, text: str) -> str:
    served = ", ".join(str(domain) for domain in settings.domains)
    try:
        domain = Jid.parse(text)
    except JidError as err:
        raise typer.BadParameter(f"{err}; the domains of this server: {served}") from err
    if domain not in settings.domains:
        raise typer.BadParameter(f"{text!r} is no domain of this server; its domains: {served}")
    return domain.domain


async def _pages(
    settings: Config, domain: str | None, contains: str, after: Jid | None, limit: int
) -> AsyncGenerator[AccountRecord, None]:
    async with open_accounts(settings) as accounts:
        left = limit or sys.maxsize
        while left > 0:
            size = min(PAGE, left)
            page = await accounts.list(domain=domain, contains=contains, after=after, limit=size)
            for account in page:
                yield account
            if len(page) < size:
                return
            after = page[-1].jid
            left -= size


async def _print_json(found: AsyncIterator[AccountRecord]) -> None:
    """One array, written as it comes: there may be millions."""
    before = "["
    async for account in found:
        sys.stdout.write(before + to_json(account_json(account)))
        before = ",\n"
    print("[]" if before == "[" else "]")


async def _print_csv(found: AsyncIterator[AccountRecord]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("jid", "created", "last_seen"))
    async for account in found:
        seen = stamp(account.last_seen.at) if account.last_seen else ""
        writer.writerow((account.jid, stamp(account.created), seen))
