"""`xmppd room`: the rooms of a server, whether it runs or not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Any

import typer

from xmppd.cli.backend import open_rooms, with_rooms
from xmppd.cli.run import ConfigFile, Json, Run, confirm, group, to_json
from xmppd.clock import stamp
from xmppd.config import Config
from xmppd.jid import Jid, JidError
from xmppd.logs import one_line
from xmppd.rooms import PAGE, NewRoom, RoomDetails, RoomLine
from xmppd.storage.rooms import Affiliation


class Named(StrEnum):
    """An affiliation as XEP-0045 calls it."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    NONE = "none"
    OUTCAST = "outcast"


def _address(text: str) -> Jid:
    """``name@domain``; ``typer.BadParameter`` for anything else."""
    try:
        jid = Jid.parse(text)
    except JidError as err:
        raise typer.BadParameter(str(err)) from err
    if jid.local is None or jid.resource is not None:
        raise typer.BadParameter(f"{text!r} has to be name@domain")
    return jid


Room = Annotated[
    Jid,
    typer.Argument(metavar="ROOM", parser=_address, help="The room: name@muc.domain, as `room list` has it."),
]
Reason = Annotated[str, typer.Option(help="Told to those whom it concerns.")]


def build() -> typer.Typer:
    return group(
        "Rooms (group chat): list, show, create, destroy, affiliate.",
        {
            "list": list_rooms,
            "show": show,
            "create": create,
            "destroy": destroy,
            "affiliate": affiliate,
        },
    )


def list_rooms(
    context: typer.Context,
    domain: Annotated[
        str | None, typer.Option(help="Only rooms of this domain: chat.example or muc.chat.example.")
    ] = None,
    contains: Annotated[str, typer.Option(help="Only rooms whose address or name holds this text.")] = "",
    after: Annotated[
        Jid | None, typer.Option(metavar="ROOM", parser=_address, help="Begin behind this room.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 0,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """List rooms by domain and name, one address per line."""
    run = Run.of(context, config, json)
    settings = run.config()

    async def work() -> None:
        before = "["
        async with aclosing(_pages(settings, domain, contains, after, limit)) as found:
            async for line in found:
                if run.json:  # one array, written as it comes
                    sys.stdout.write(before + to_json(_line_json(line)))
                    before = ",\n"
                else:
                    print(line.jid)
        if run.json:
            print("[]" if before == "[" else "]")

    asyncio.run(work())


def show(context: typer.Context, room: Room, config: ConfigFile = None, json: Json = False) -> None:
    """Print what there is to know about a room: settings, lists, and who is in it."""
    run = Run.of(context, config, json)
    details = with_rooms(run.config(), lambda rooms: rooms.show(room))
    run.answer(_details_json(details), _described(details))


def create(
    context: typer.Context,
    room: Room,
    owner: Annotated[
        list[Jid],
        typer.Option(metavar="JID", parser=_address, help="Who owns it; can be given several times."),
    ],
    member: Annotated[
        list[Jid] | None,
        typer.Option(metavar="JID", parser=_address, help="A member; can be given several times."),
    ] = None,
    name: Annotated[str, typer.Option(help="What people see.")] = "",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    members_only: Annotated[
        bool, typer.Option("--members-only", help="Only owners, admins and members may enter.")
    ] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="Leave it out of the list of rooms.")] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Make a room that stays when nobody is in it. Its owners can change everything with their clients."""
    run = Run.of(context, config, json)
    made = NewRoom(
        jid=room,
        owners=owner,
        members=member or (),
        settings={
            "name": name,
            "description": description,
            "members_only": members_only,
            "public": not hidden,
        },
    )
    with_rooms(run.config(), lambda rooms: rooms.create(made))
    run.answer({"jid": str(room), "created": True}, f"created {room}")


def destroy(
    context: typer.Context,
    room: Room,
    reason: Reason = "",
    alternate: Annotated[
        Jid | None,
        typer.Option(metavar="ROOM", parser=_address, help="Where those who are in it can go instead."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Delete a room with its lists and its history; who is in it is told."""
    run = Run.of(context, config, json)
    settings = run.config()
    confirm(f"Destroy {room} with its lists and all that was said in it?", yes)
    with_rooms(settings, lambda rooms: rooms.destroy(room, reason=reason, alternate=alternate))
    run.answer({"jid": str(room), "destroyed": True}, f"destroyed {room}")


def affiliate(
    context: typer.Context,
    room: Room,
    affiliation: Annotated[Named, typer.Argument(metavar="AFFILIATION", help=f"One of {', '.join(Named)}.")],
    jids: Annotated[
        list[Jid], typer.Argument(metavar="JID...", parser=_address, help="Who: all of them, or none.")
    ],
    reason: Reason = "",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Make people owners, admins, members or outcasts of a room, or nothing (`none`). Who is in it is told."""
    run = Run.of(context, config, json)
    wanted = Affiliation[affiliation.name]
    with_rooms(run.config(), lambda rooms: rooms.affiliate(room, jids, wanted, reason=reason))
    people = [str(jid) for jid in jids]
    run.answer(
        {"jid": str(room), "affiliation": affiliation.value, "changed": people},
        f"{affiliation.value} of {room}: {', '.join(people)}",
    )


async def _pages(
    settings: Config, domain: str | None, contains: str, after: Jid | None, limit: int
) -> AsyncGenerator[RoomLine, None]:
    async with open_rooms(settings) as rooms:
        left = limit or sys.maxsize
        while left > 0:
            size = min(PAGE, left)
            page = await rooms.list(domain=domain, contains=contains, after=after, limit=size)
            for line in page:
                yield line
            if len(page) < size:
                return
            after = page[-1].jid
            left -= size


def _line_json(line: RoomLine) -> dict[str, Any]:
    return {
        "jid": str(line.jid),
        "name": line.name,
        "members": line.members,
        "people": line.people,
        "created": stamp(line.created),
    }


def _details_json(details: RoomDetails) -> dict[str, Any]:
    return {
        "jid": str(details.jid),
        "created": stamp(details.created),
        "subject": details.subject,
        "settings": dict(details.settings),
        "affiliations": [
            {
                "jid": str(entry.jid),
                "affiliation": entry.affiliation.name.lower(),
                "nick": entry.nick,
                "reason": entry.reason,
            }
            for entry in details.entries
        ],
        "people": [
            {"nick": one.nick, "role": one.role, "clients": [str(jid) for jid in one.clients]}
            for one in details.people
        ],
    }


def _described(details: RoomDetails) -> str:
    lines = [
        f"jid: {details.jid}",
        f"created: {stamp(details.created)}",
        f"subject: {one_line(details.subject)}",
        *(f"{name.replace('_', ' ')}: {_written(value)}" for name, value in details.settings.items()),
        *(
            f"{entry.affiliation.name.lower()}: {entry.jid}"
            + (f" ({one_line(entry.nick)})" if entry.nick else "")
            for entry in details.entries
        ),
        *(
            f"here: {one_line(one.nick)} ({one.role}), {', '.join(map(str, one.clients))}"
            for one in details.people
        ),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _written(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return one_line(str(value))
