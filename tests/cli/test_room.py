"""`xmppd room`, where no server runs and where one does: it is the same, and who is in the room sees it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.test_user import add, refused
from tests.cli.tool import ChatClient, ServerProcess, call, logged_in

JULIET, ROMEO, NURSE = "juliet@chat.example", "romeo@chat.example", "nurse@other.example"
ROOM = "verona@muc.chat.example"


@pytest.fixture
def people(site: Path) -> None:
    add(JULIET, ROMEO, NURSE)


def make(room: str = ROOM, *options: str) -> None:
    result = call("room", "create", room, "--owner", JULIET, *options)
    assert (result.status, result.out, result.err) == (0, f"created {room}\n", "")


def affiliations(room: str = ROOM) -> dict[str, str]:
    shown = call("room", "show", room, "--json").json
    return {entry["jid"]: entry["affiliation"] for entry in shown["affiliations"]}


@pytest.fixture(params=["alone", "server"])
def anyway(request: pytest.FixtureRequest, site: Path, people: None) -> Iterator[None]:
    """Without a server, and with one."""
    if request.param == "alone":
        yield
        return
    with ServerProcess("serve", cwd=site) as server:
        server.ready()
        yield


@pytest.mark.usefixtures("anyway")
def test_a_room_from_its_beginning_to_its_end() -> None:
    make(ROOM, "--member", ROMEO, "--name", "Fair Verona", "--members-only", "--hidden")
    shown = call("room", "show", ROOM)
    assert shown.status == 0
    assert {
        f"jid: {ROOM}",
        "name: Fair Verona",
        "persistent: yes",
        "members only: yes",
        "public: no",
        f"owner: {JULIET}",
        f"member: {ROMEO}",
    } <= set(shown.out.splitlines())
    assert call("user", "show", ROMEO, "--json").json["offline_messages"] == 1, "he is invited"

    done = call("room", "affiliate", ROOM, "admin", ROMEO, NURSE, "--reason", "of the house")
    assert (done.status, done.out) == (0, f"admin of {ROOM}: {ROMEO}, {NURSE}\n")
    assert affiliations() == {JULIET: "owner", NURSE: "admin", ROMEO: "admin"}
    assert call("room", "show", ROOM, "--json").json["affiliations"][1]["reason"] == "of the house"
    assert call("room", "affiliate", ROOM, "none", ROMEO, "--json").json == {
        "jid": ROOM,
        "affiliation": "none",
        "changed": [ROMEO],
    }
    assert affiliations() == {JULIET: "owner", NURSE: "admin"}

    assert call("room", "destroy", ROOM, "--yes", "--json").json == {"jid": ROOM, "destroyed": True}
    assert call("room", "list").out == ""
    make(ROOM)
    assert affiliations() == {JULIET: "owner"}, "it is another one"


@pytest.mark.usefixtures("anyway")
def test_what_cannot_be_is_refused_with_the_remedy() -> None:
    make()
    for command in (["show"], ["affiliate"], ["destroy", "--yes"]):
        who = ["member", ROMEO] if command == ["affiliate"] else []
        refused(call("room", *command, "mantua@muc.chat.example", *who), 1, "`xmppd room list` shows which")
        refused(call("room", *command, "verona@chat.example", *who), 1, "name@muc.other.example")
    refused(call("room", "create", ROOM, "--owner", JULIET), 1, f"{ROOM} is a room already")
    refused(call("room", "affiliate", ROOM, "none", JULIET), 1, "make somebody else one first")
    refused(call("room", "affiliate", ROOM, "outcast", JULIET), 1, "make somebody else one first")
    refused(
        call("room", "affiliate", ROOM, "member", "tybalt@chat.example"), 1, "`xmppd user add tybalt@chat"
    )
    refused(call("room", "affiliate", ROOM, "member", ROMEO, "--reason", "x" * 1001), 1, "it may have 1000")
    refused(
        call("room", "create", "mantua@muc.chat.example", "--owner", JULIET, "--name", "x" * 201),
        1,
        "at most 200 characters",
    )
    refused(call("room", "list", "--domain", "capulet.example"), 1, "muc.chat.example, muc.other.example")
    assert affiliations() == {JULIET: "owner"}


@pytest.mark.usefixtures("people")
def test_the_number_of_people_in_a_room_holds_here_too(site: Path) -> None:
    with (site / "xmppd.toml").open("a") as file:
        file.write("[extensions.muc]\npeople = 2\n")
    mantua = "mantua@muc.chat.example"
    refused(
        call("room", "create", mantua, "--owner", JULIET, "--member", ROMEO, "--member", NURSE),
        1,
        "a room holds 2 people",
    )
    assert call("room", "list").out == ""
    make()
    refused(call("room", "affiliate", ROOM, "member", ROMEO, NURSE), 1, "the room holds 2 people")
    assert affiliations() == {JULIET: "owner"}, "all or none"


@pytest.mark.usefixtures("people")
def test_wrong_usage(site: Path) -> None:
    make()
    refused(call("room", "destroy", ROOM), 2, "give --yes")
    refused(call("room", "affiliate", ROOM, "king", ROMEO), 2, "'king' is not one of")
    refused(call("room", "affiliate", ROOM, "member"), 2, "JID")
    refused(call("room", "create", ROOM), 2, "--owner")
    refused(call("room", "show", "verona"), 2, "name@domain")
    assert call("room", "list").out == f"{ROOM}\n"


def test_where_nothing_is_yet(site: Path) -> None:
    refused(call("room", "list"), 1, "no server has been started here yet")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("running", [False, True], ids=["alone", "server"])
def test_group_chat_that_is_switched_off(site: Path, running: bool) -> None:
    with (site / "xmppd.toml").open("a") as file:
        file.write("[extensions.muc]\nenabled = false\n")
    with serving(site) if running else nothing():
        refused(call("room", "list"), 1, "set enabled = true in [extensions.muc]")
        assert call("user", "list", "--contains", "romeo").out == f"{ROMEO}\n"


@pytest.mark.usefixtures("anyway")
def test_lists() -> None:
    rooms = [f"r{number}@muc.chat.example" for number in range(3)] + ["a@muc.other.example"]
    for room in reversed(rooms):
        make(room, "--name", f"Room of {room[:2]}")
    assert call("room", "list").out.split() == rooms
    assert call("room", "list", "--limit", 2).out.split() == rooms[:2]
    assert call("room", "list", "--after", rooms[1]).out.split() == rooms[2:]
    assert call("room", "list", "--after", rooms[2], "--limit", 1).out.split() == rooms[3:]
    for domain in ("other.example", "muc.other.example"):
        assert call("room", "list", "--domain", domain).out.split() == rooms[3:]
    assert call("room", "list", "--contains", "of r1").out.split() == [rooms[1]]
    assert call("room", "list", "--contains", "r", "--after", rooms[0], "--limit", 1).out.split() == [
        rooms[1]
    ]
    found = call("room", "list", "--json", "--contains", "zz")
    assert found.json == []
    found = call("room", "list", "--json", "--limit", 1)
    [line] = found.json
    assert line.pop("created").startswith("20")
    assert line == {"jid": rooms[0], "name": "Room of r0", "members": 1, "people": 0}
    assert len(call("room", "list", "--json").out.splitlines()) == 4, "a line for each"


@pytest.mark.usefixtures("people")
def test_pages_of_the_storage_are_put_together(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmppd.cli.room.PAGE", 2)
    monkeypatch.setattr("xmppd.extensions.xep_0045_muc.administering.PAGE", 1)
    rooms = [f"r{number}@muc.chat.example" for number in range(5)]
    for room in rooms:
        make(room)
    assert call("room", "list").out.split() == rooms
    assert call("room", "list", "--contains", "r3").out.split() == ["r3@muc.chat.example"]


@pytest.mark.usefixtures("people")
def test_who_is_in_the_room_sees_it(server: ServerProcess) -> None:
    address = server.address("c2s_tls")
    make(ROOM, "--member", ROMEO)
    with (
        logged_in(address, JULIET, "secret") as juliet,
        logged_in(address, ROMEO, "secret") as romeo,
        logged_in(address, NURSE, "secret") as nurse,
    ):
        for client, nick in ((juliet, "Juliet"), (romeo, "Romeo"), (nurse, "Nurse")):
            enter(client, nick)
        shown = call("room", "show", ROOM, "--json").json
        assert [(one["nick"], one["role"]) for one in shown["people"]] == [
            ("Juliet", "moderator"),
            ("Romeo", "participant"),
            ("Nurse", "participant"),
        ]
        assert shown["people"][1]["clients"][0].startswith(f"{ROMEO}/")
        assert call("room", "list", "--json").json[0]["people"] == 3

        assert call("room", "affiliate", ROOM, "admin", ROMEO).status == 0
        assert "affiliation='admin'" in romeo.ask("", "role='moderator'")
        assert call("room", "affiliate", ROOM, "outcast", NURSE, "--reason", "talks too much").status == 0
        banned = nurse.ask("", "</presence>")
        while "code='301'" not in banned:
            banned = nurse.ask("", "</presence>")
        assert "<reason>talks too much</reason>" in banned
        assert [one["nick"] for one in call("room", "show", ROOM, "--json").json["people"]] == [
            "Juliet",
            "Romeo",
        ]

        other = "mantua@muc.chat.example"
        assert call("room", "destroy", ROOM, "--yes", "--alternate", other, "--reason", "plague").status == 0
        gone = romeo.ask("", "</destroy>")
        assert f"jid='{other}'" in gone
        assert "<reason>plague</reason>" in gone
    assert call("room", "list").out == ""


def enter(client: ChatClient, nick: str) -> None:
    client.ask(
        f"<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>", "<subject"
    )


@contextmanager
def serving(site: Path) -> Iterator[None]:
    with ServerProcess("serve", cwd=site) as server:
        server.ready()
        yield


@contextmanager
def nothing() -> Iterator[None]:
    yield
