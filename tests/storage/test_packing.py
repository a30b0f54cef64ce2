"""What is packed comes back, whatever it is and whichever dictionary was used."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.corpus import Corpus
from xmppd.storage.packing import Packing, UnknownDictionary, own_dictionaries, train

OWN = own_dictionaries()
PACKING = Packing(OWN)
CHAT = list(Corpus(5, held_out=True).messages(300))


@given(st.binary(max_size=2_000) | st.text().map(str.encode))
def test_whatever_is_packed_comes_back(stanza: bytes) -> None:
    for packing in (PACKING, Packing({})):
        packed = packing.pack(stanza)
        assert packing.unpack(packed) == stanza
        assert len(packed) <= len(stanza) + 1


def test_chat_gets_small() -> None:
    packed = [PACKING.pack(stanza) for stanza in CHAT]
    assert [PACKING.unpack(row) for row in packed] == CHAT
    assert sum(map(len, packed)) < 0.45 * sum(map(len, CHAT))
    assert {row[0] for row in packed} == {PACKING.number} == {max(OWN)}


def test_nothing_can_be_learned_from_little() -> None:
    for samples in ([], [b""], [b"<message/>"] * 3):
        with pytest.raises(ValueError, match="no dictionary can be made"):
            train(samples)


def test_a_long_one() -> None:
    stanza = b"<message>" + b"x" * 10_000_000 + b"</message>"
    packed = PACKING.pack(stanza)
    assert len(packed) < 10_000
    assert PACKING.unpack(packed) == stanza


def test_random_bytes_are_kept_as_they_are() -> None:
    stanza = random.Random(1).randbytes(500)
    assert PACKING.pack(stanza) == b"\0" + stanza


def test_a_new_dictionary_leaves_old_rows_readable() -> None:
    packing = Packing(OWN)
    old = packing.pack(CHAT[0])
    packing.add({200: train(list(Corpus(6).messages(3_000)))})
    new = packing.pack(CHAT[0])
    assert (old[0], new[0]) == (max(OWN), 200)
    assert packing.unpack(old) == packing.unpack(new) == CHAT[0]
    packing.add(OWN)
    assert packing.number == 200
    with pytest.raises(UnknownDictionary, match="dictionary 200") as caught:
        PACKING.unpack(new)
    assert caught.value.number == 200


@pytest.mark.parametrize("number", [0, -1, 256])
def test_a_number_that_is_no_byte_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="number"):
        Packing({number: OWN[1]})


@pytest.mark.parametrize("content", [b"", b"x" * 1_000, OWN[1][:100]])
def test_a_damaged_dictionary_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="dictionary 7 is damaged"):
        Packing({7: content})
