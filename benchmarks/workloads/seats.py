"""Rooms to measure in (XEP-0045): made and entered by scripts, before anything is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.accounts import DOMAIN
from benchmarks.client import Connection, Script
from benchmarks.errors import BenchmarkError
from benchmarks.login import Gate

_MUC: Final = "http://jabber.org/protocol/muc"
_CONFIGURED: Final = (
    f"<iq type='set' id='bench-made' to='%s'><query xmlns='{_MUC}#owner'>"
    "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
)
_PING: Final = b"<iq type='get' id='bench-quiet'><ping xmlns='urn:xmpp:ping'/></iq>"
_REFUSED: Final = b"</error>"


def room(number: int) -> str:
    """The address of a room."""
    return f"room{number:04d}@muc.{DOMAIN}"


def entering(room: str, nick: str) -> bytes:
    """The presence with which somebody enters."""
    return f"<presence to='{room}/{nick}'><x xmlns='{_MUC}'/></presence>".encode()


def make(gate: Gate, owners: Mapping[str, Connection]) -> None:
    """Make rooms by address, each with an owner who stays in it, under the nick `owner`."""
    made: dict[Connection, list[str]] = {}
    for address, owner in owners.items():
        made.setdefault(owner, []).append(address)
    gate.play_all(list(made), lambda connection: _make(connection, made[connection]))


def enter(gate: Gate, rooms: Mapping[Connection, Sequence[str]], nicks: Mapping[Connection, str]) -> None:
    """Let all enter their rooms, and wait until everybody has heard of everybody."""
    gate.play_all(list(rooms), lambda connection: _enter(connection, rooms[connection], nicks[connection]))
    settle(gate, list(nicks))


def settle(gate: Gate, connections: Sequence[Connection]) -> None:
    """Wait until the server has handled what `connections` sent, and they got what follows of it."""
    for _ in range(2):  # what the last of the first round caused is there with the second
        gate.play_all(connections, _quiet)
    gate.loop.run(0.1)


def _make(connection: Connection, rooms: Sequence[str]) -> Script:
    for address in rooms:
        yield from _in(connection, address, "owner")
        connection.write((_CONFIGURED % address).encode())  # XEP-0045#createroom-instant
        yield (b"bench-made",)


def _enter(connection: Connection, rooms: Sequence[str], nick: str) -> Script:
    for address in rooms:
        yield from _in(connection, address, nick)


def _in(connection: Connection, room: str, nick: str) -> Script:
    connection.write(entering(room, nick))
    answer = yield (b"<subject", _REFUSED)  # XEP-0045#order: with the subject, the way in is over
    if answer.endswith(_REFUSED):
        raise BenchmarkError(f"{nick} could not enter {room}: {answer[-500:]!r}")


def _quiet(connection: Connection) -> Script:
    connection.write(_PING)
    yield (b"bench-quiet",)
