"""XEP-0313, XEP-0059: a long history is read in pages, forwards and backwards, from any message on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.history import JULIET, NURSE, ROMEO, archive, ask, chat, query, refused, said
from xmppd.storage.archive import Kind


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    """It gives four messages where nothing is said, and six at most."""
    async with Harness(
        "capulet.lit", "montague.lit", toml="[extensions.mam]\npage = 4\nmax_page = 6\n"
    ) as harness:
        yield harness


async def test_pages_follow_one_another(server: Harness, juliet: Client) -> None:
    # XEP-0313#query-paging
    names = await archive(server, JULIET, *said(*map(str, range(8))))
    shown = await ask(juliet)
    assert shown.bodies == ["0", "1", "2", "3"]
    assert shown.set == {"first": names[0], "last": names[3]}
    assert not shown.complete
    assert (await ask(juliet, "<max>100</max>")).bodies == ["0", "1", "2", "3", "4", "5"]
    shown = await ask(juliet, f"<max>3</max><after>{names[3]}</after>")
    assert (shown.bodies, shown.complete) == (["4", "5", "6"], False)
    shown = await ask(juliet, f"<max>3</max><after>{names[4]}</after>")
    assert (shown.bodies, shown.complete) == (["5", "6", "7"], True)
    shown = await ask(juliet, f"<after>{names[7]}</after>")
    assert (shown.bodies, shown.complete, shown.set) == ([], True, {})


async def test_pages_backwards_are_in_order_too(server: Harness, juliet: Client) -> None:
    # XEP-0059#last, XEP-0059#backwards
    names = await archive(server, JULIET, *said(*map(str, range(6))))
    shown = await ask(juliet, "<max>2</max><before/>")
    assert (shown.bodies, shown.complete) == (["4", "5"], False)
    assert shown.set == {"first": names[4], "last": names[5]}
    shown = await ask(juliet, f"<max>2</max><before>{names[4]}</before>")
    assert (shown.bodies, shown.complete) == (["2", "3"], False)
    shown = await ask(juliet, f"<max>2</max><before>{names[2]}</before>")
    assert (shown.bodies, shown.complete) == (["0", "1"], True)
    shown = await ask(juliet, f"<max>2</max><before>{names[0]}</before>")
    assert (shown.bodies, shown.complete, shown.set) == ([], True, {})


async def test_a_page_between_two_ids_is_the_last_one(server: Harness, juliet: Client) -> None:
    """RSM leaves open what both mean."""
    names = await archive(server, JULIET, *said(*map(str, range(6))))
    rsm = f"<max>2</max><after>{names[0]}</after><before>{names[4]}</before>"
    assert (await ask(juliet, rsm)).bodies == ["2", "3"]


async def test_a_flipped_page_has_the_same_messages_in_reverse(server: Harness, juliet: Client) -> None:
    # XEP-0313#query-paging-flip
    names = await archive(server, JULIET, *said("0", "1", "2", "3"))
    shown = await ask(juliet, "<max>2</max>", "<flip-page/>")
    assert (shown.bodies, shown.set) == (["1", "0"], {"first": names[0], "last": names[1]})
    shown = await ask(juliet, "<max>2</max><before/>", "<flip-page/>")
    assert (shown.bodies, shown.set) == (["3", "2"], {"first": names[2], "last": names[3]})


async def test_a_page_of_a_conversation_ends_where_that_does(server: Harness, juliet: Client) -> None:
    names = await archive(
        server, JULIET, *said("0", "1"), chat(NURSE, JULIET, "2"), *said("3"), chat(NURSE, JULIET, "4")
    )
    shown = await ask(juliet, "<max>3</max>", with_=ROMEO)
    assert (shown.bodies, shown.complete) == (["0", "1", "3"], True)
    shown = await ask(
        juliet, f"<max>2</max><after>{names[2]}</after>", with_=ROMEO
    )  # a message of another one
    assert (shown.bodies, shown.complete) == (["3"], True)
    shown = await ask(
        juliet, f"<max>2</max><before>{names[2]}</before>", with_=ROMEO, start="2026-09-21T14:13:21Z"
    )
    assert (shown.bodies, shown.complete) == (["1"], True)


async def test_how_many_there_are_is_told_who_asks_for_no_more(server: Harness, juliet: Client) -> None:
    # XEP-0059#count: of all pages
    names = await archive(server, JULIET, *said("0", "1"), chat(NURSE, JULIET, "2"), *said("3"))
    shown = await ask(juliet, "<max>0</max>")
    assert (shown.results, shown.set, shown.complete) == ([], {"count": "4"}, False)
    assert (await ask(juliet, "<max>0</max>", with_=ROMEO)).set == {"count": "3"}
    assert (await ask(juliet, "<max>0</max>", with_=ROMEO, after_id=names[0])).set == {"count": "2"}
    assert (await ask(juliet, f"<max>0</max><after>{names[2]}</after>")).set == {"count": "4"}
    assert (await ask(juliet, "<max>0</max>", with_=f"{ROMEO}/orchard")).set == {}
    assert (await ask(juliet, "<max>1</max>")).set.keys() == {"first", "last"}


async def test_single_messages_are_fetched_by_id(server: Harness, juliet: Client) -> None:
    names = await archive(server, JULIET, *said("0", "1", "2", "3", "4", "5", "6"))
    shown = await ask(juliet, ids=[names[4], names[2], names[4]])
    assert shown.bodies == ["2", "4"]
    assert shown.complete
    shown = await ask(juliet, "<max>2</max>", ids=[names[0], names[2], names[5]])
    assert (shown.bodies, shown.complete) == (["0", "2"], False)
    assert (await ask(juliet, f"<after>{names[2]}</after>", ids=[names[0], names[2], names[5]])).bodies == [
        "5"
    ]
    assert (await ask(juliet, "<max>1</max><before/>", ids=[names[0], names[5]])).bodies == ["5"]
    assert (await ask(juliet, with_=NURSE, ids=names[:2])).bodies == []
    await refused(juliet, query(ids=names), "modify", "policy-violation", "a query names at most 6 ids")


# Beside a message that is not there


@pytest.mark.parametrize("max", ["", "<max>0</max>"])
@pytest.mark.parametrize("field", ["before", "after"])
async def test_a_page_beside_an_id_that_is_not_there_is_not_found(
    server: Harness, juliet: Client, field: str, max: str
) -> None:
    # XEP-0313#query-paging-request
    await archive(server, JULIET, *said("0", "1"))
    gone = server.node.core.stanza_ids.text(await server.account(JULIET), 12)
    for absent in ("nonsense", gone):
        await refused(juliet, query(f"{max}<{field}>{absent}</{field}>"), "cancel", "item-not-found")


async def test_a_client_asks_for_what_came_behind_a_message_that_is_no_history(
    server: Harness, juliet: Client
) -> None:
    """It was delivered with an id like all others, and may be forgotten by now."""
    hidden = Kind.OWED | Kind.HIDDEN
    [first] = await archive(server, JULIET, *said("hidden"), kind=hidden)
    await archive(server, JULIET, *said("0"))
    [middle] = await archive(server, JULIET, *said("hidden"), kind=hidden)
    forgotten = server.node.core.stanza_ids.text(
        await server.account(JULIET), int(server.clock.now() * 1e6) - 9
    )
    await archive(server, JULIET, *said("1"))
    [last] = await archive(server, JULIET, *said("hidden"), kind=hidden)
    assert (await ask(juliet, f"<after>{first}</after>")).bodies == ["0", "1"]
    for name in (middle, forgotten):
        assert (await ask(juliet, f"<after>{name}</after>")).bodies == ["1"]
        assert (await ask(juliet, f"<before>{name}</before>")).bodies == ["0"]
        assert (await ask(juliet, after_id=name)).bodies == ["1"]
        await refused(juliet, query(ids=[name]), "cancel", "item-not-found")
    assert (await ask(juliet, f"<after>{last}</after>")).bodies == []
    # Before and behind this one there may have been others that were erased.
    erased = server.node.core.stanza_ids.text(await server.account(JULIET), 12)
    await refused(juliet, query(f"<after>{erased}</after>"), "cancel", "item-not-found")


async def test_an_id_that_an_older_backup_does_not_have_is_not_found(server: Harness, juliet: Client) -> None:
    await archive(server, JULIET, *said("0"))
    lost = server.node.core.stanza_ids.text(await server.account(JULIET), int(server.clock.now() * 1e6) + 1)
    await refused(juliet, query(f"<after>{lost}</after>"), "cancel", "item-not-found")
