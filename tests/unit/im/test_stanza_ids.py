"""Names of archive rows: unpredictable, and of no use in another archive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmppd.im.stanza_ids import StanzaIds

KEY = bytes(range(32))
NUMBERS = st.integers(min_value=1, max_value=2**63 - 1)


@given(NUMBERS, NUMBERS)
def test_a_name_leads_back_to_its_row(owner: int, id: int) -> None:
    ids = StanzaIds(KEY)
    assert StanzaIds(KEY).row(owner, ids.text(owner, id)) == id


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_name_is_worth_nothing_in_the_archive_of_somebody_else(owner: int, other: int, id: int) -> None:
    ids = StanzaIds(KEY)
    assert (ids.row(other, ids.text(owner, id)) is None) == (owner != other)


def test_a_name_needs_no_escaping_and_neighbours_share_nothing() -> None:
    # XEP-0359#security: nothing may be inferred from an id, e.g. the size of the archive.
    ids = StanzaIds(KEY)
    names = [ids.text(7, id) for id in range(1_790_000_000_000_000, 1_790_000_000_000_100)]
    for name in names:
        assert len(name) == 22
        assert name.replace("-", "").replace("_", "").isalnum()
        assert name.isascii()
    assert all(sum(a == b for a, b in zip(one, next_, strict=True)) < 12 for one, next_ in pairwise(names))
    assert StanzaIds(bytes(32)).text(7, 1) != ids.text(7, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "A" * 22,
        "A" * 21,
        "é" * 22,
        "\ud800" * 22,
        " " * 22,
        "=" * 22,
        "A" * 18 + "====",
        "1790000000000000",
    ],
)
def test_nonsense_names_no_row(text: str) -> None:
    assert StanzaIds(KEY).row(7, text) is None


def test_there_is_one_way_to_write_a_name() -> None:
    ids = StanzaIds(KEY)
    name = ids.text(7, 12)
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/":
        assert ids.row(7, name[:-1] + last) == (12 if last == name[-1] else None)


@given(st.text(max_size=30))
def test_any_text_is_judged_without_a_failure(text: str) -> None:
    assert StanzaIds(KEY).row(7, text) is None
