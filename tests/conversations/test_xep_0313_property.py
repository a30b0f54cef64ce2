"""Whatever an archive holds, paging through it shows each message once: in order, either way, in pages of any size."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.harness import Client, Harness
from tests.support.history import archive, ask
from xmppd.storage.archive import Kind

OWNER = "juliet@capulet.lit"
PEERS = ("romeo@montague.lit", "nurse@capulet.lit", OWNER)


@dataclass(frozen=True)
class Sent:
    """A message in Juliet's archive. ``pause``: so many seconds later than the one before."""

    peer: int
    resource: str
    outgoing: bool
    hidden: bool
    bytes: int
    pause: int

    def xml(self, body: str) -> str:
        peer, own = f"{PEERS[self.peer]}{self.resource}", f"{OWNER}/balcony"
        sender, to = (own, peer) if self.outgoing else (peer, own)
        return f"<message from='{sender}' to='{to}' type='chat'><body>{body}</body><x>{'x' * self.bytes}</x></message>"


SENT = st.builds(
    Sent,
    peer=st.integers(0, 2),
    resource=st.sampled_from(["", "/a", "/b"]),
    outgoing=st.booleans(),
    hidden=st.sampled_from([False, False, False, True]),
    bytes=st.sampled_from([0, 0, 0, 0, 200_000]),
    pause=st.integers(0, 2),
)


@given(
    history=st.lists(SENT, max_size=40),
    size=st.integers(1, 12),
    backwards=st.booleans(),
    flipped=st.booleans(),
    peer=st.sampled_from([None, *range(3)]),
    resource=st.sampled_from(["", "/a"]),
    cut=st.none() | st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_once_in_order(
    history: list[Sent],
    size: int,
    backwards: bool,
    flipped: bool,
    peer: int | None,
    resource: str,
    cut: tuple[int, int] | None,
) -> None:
    asyncio.run(_check(history, size, backwards, flipped, peer, resource, cut))


async def _check(
    history: list[Sent],
    size: int,
    backwards: bool,
    flipped: bool,
    peer: int | None,
    resource: str,
    cut: tuple[int, int] | None,
) -> None:
    async with Harness("capulet.lit", "montague.lit") as server:
        juliet = await server.client(f"{OWNER}/balcony")
        names: list[str] = []
        for number, sent in enumerate(history):
            kind = Kind.OWED | Kind.HIDDEN if sent.hidden else Kind.NONE
            names += await archive(server, OWNER, sent.xml(str(number)), kind=kind)
            server.clock.advance(sent.pause)
        fields: dict[str, str] = {}
        expected = [name for name, sent in zip(names, history, strict=True) if not sent.hidden]
        if peer is not None:
            fields["with_"] = f"{PEERS[peer]}{resource}"
            expected = [
                name
                for name, sent in zip(names, history, strict=True)
                if not sent.hidden and sent.peer == peer and resource in ("", sent.resource)
            ]
        if cut is not None and names:
            low, high = (min(end, len(names) - 1) for end in cut)
            fields |= {"after_id": names[low], "before_id": names[high]}
            between = set(names[low + 1 : high])
            expected = [name for name in expected if name in between]
        assert await _read(juliet, size, backwards, flipped, fields) == expected


async def _read(
    client: Client, size: int, backwards: bool, flipped: bool, fields: dict[str, str]
) -> list[str]:
    """The names of all messages, read page by page."""
    pages: list[list[str]] = []
    position = "<before/>" if backwards else ""
    while True:
        shown = await ask(client, f"<max>{size}</max>{position}", "<flip-page/>" if flipped else "", **fields)
        page = shown.names[::-1] if flipped else shown.names
        assert len(page) <= size
        assert shown.set == ({"first": page[0], "last": page[-1]} if page else {})
        pages.append(page)
        if shown.complete:
            break
        position = f"<before>{page[0]}</before>" if backwards else f"<after>{page[-1]}</after>"
    return [name for page in (reversed(pages) if backwards else pages) for name in page]
