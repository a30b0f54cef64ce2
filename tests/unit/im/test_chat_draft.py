"""How rows become a chat list, against a model that knows the whole history and counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from xmppd.im.chat_draft import Draft
from xmppd.jid import Jid
from xmppd.storage.archive import Checkpoint, Conversation, Kind, Mark, peer_key

PEERS = [peer_key(Jid.parse(f"friend{number}@capulet.lit")) for number in range(3)]
JULIET, ROMEO, NURSE = PEERS

# what may happen, as (peer, Mark, Kind): a message, an answer, a receipt from them, one of ours; or it was taken back
events = st.lists(
    st.tuples(st.sampled_from(PEERS), st.sampled_from(range(4)), st.sampled_from([Kind.NONE, Kind.TOMBSTONE]))
)


@dataclass
class History:
    """The naive model: nothing is remembered but what happened."""

    rows: list[tuple[int, int, int]] = field(default_factory=list)

    def list(self) -> dict[int, tuple[int, int, int]]:
        """(last, message, unread) by peer."""
        found = {}
        for peer in PEERS:
            rows = [(id, marked & 3, kind) for id, marked, kind in self.rows if marked & ~3 == peer]
            messages = [id for id, mark, _ in rows if mark & Mark.UNREAD]
            if messages:
                answered = max((id for id, mark, _ in rows if mark == Mark.SENT | Mark.UNREAD), default=0)
                unread = sum(
                    id > answered for id, mark, kind in rows if mark == Mark.UNREAD and kind != Kind.TOMBSTONE
                )
                found[peer] = max(id for id, *_ in rows), max(messages), unread
        return found


def shown(draft: Draft) -> dict[int, tuple[int, int, int]]:
    return {line.peer: (line.last, line.message, line.unread) for line in draft}


@given(st.lists(events))
def test_folding_in_any_steps_gives_what_counting_gives(steps: list[list[tuple[int, int, int]]]) -> None:
    history = History()
    checkpoint = Checkpoint()
    for step in steps:
        draft = Draft(checkpoint)
        start = 10 * (len(history.rows) + 1)
        rows = [(id, peer | mark, kind) for id, (peer, mark, kind) in enumerate(step, start)]
        draft.fold(rows)
        history.rows += rows
        assert shown(draft) == history.list()
        assert draft.changes == len(rows)
        checkpoint = draft.checkpoint(limit=0)
        assert checkpoint.upto == (history.rows[-1][0] if history.rows else 0)


def test_the_newest_message_is_on_top_and_receipts_move_nothing() -> None:
    draft = Draft(Checkpoint())
    draft.fold(
        [
            (1, JULIET | Mark.UNREAD, 0),
            (2, ROMEO | Mark.UNREAD, 0),
            (3, JULIET | Mark.SENT, 0),
            (4, NURSE | Mark.SENT, 0),
        ]
    )
    assert draft.newest_first(0) == (
        Conversation(ROMEO, last=2, message=2, unread=1, read=1),
        Conversation(JULIET, last=3, message=1, unread=1, read=0),
    )


def test_of_too_many_the_oldest_that_are_read_fall_off() -> None:
    draft = Draft(Checkpoint())
    draft.fold(
        [
            (1, JULIET | Mark.UNREAD, 0),
            (2, ROMEO | Mark.UNREAD | Mark.SENT, 0),
            (3, NURSE | Mark.UNREAD | Mark.SENT, 0),
        ]
    )
    assert [line.peer for line in draft.newest_first(0)] == [NURSE, ROMEO, JULIET]
    assert [line.peer for line in draft.newest_first(3)] == [NURSE, ROMEO, JULIET]
    assert [line.peer for line in draft.newest_first(2)] == [NURSE, JULIET]
    assert [line.peer for line in draft.newest_first(1)] == [JULIET]
    assert [line.peer for line in draft.checkpoint(2).conversations] == [NURSE, JULIET]


def test_a_conversation_that_fell_off_comes_back_with_the_next_message() -> None:
    draft = Draft(Checkpoint(upto=7))
    draft.fold([(8, JULIET, 0), (9, JULIET | Mark.UNREAD, 0)])
    assert draft.get(JULIET) == Conversation(JULIET, last=9, message=9, unread=1, read=8)
