"""Options of extensions may have any shape that msgspec knows; what is wrong with a value is told in words of TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from xmppd.config import BadConfig, parse
from xmppd.config.shapes import wrong

Word = Annotated[str, Meta(min_length=2, max_length=5)]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule."""

    word: Word
    times: Annotated[int, Meta(ge=1, le=9)] = 1


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of every shape."""

    words: Annotated[tuple[str, ...], Meta(min_length=1, max_length=2)] = ("spam",)
    name: Word = "abc"
    code: Annotated[str, Meta(pattern="^[a-z]+$")] = "x"
    pair: tuple[int, str] = (1, "a")
    colours: frozenset[Literal["red", "green"]] = frozenset()
    rules: list[Rule] = []
    names: dict[str, int] = {}
    either: int | bool = 1
    maybe: Annotated[int, Meta(ge=5)] | None = None
    fewest: int = 1
    most: int = 2

    def __post_init__(self) -> None:
        if self.fewest > self.most:
            raise ValueError(f"fewest is {self.fewest}, more than most, {self.most}")


WRONG = {
    'words = "spam"': 'words = "spam": it is no list; allowed: a list of text in quotes, not empty, at most 2 entries',
    "words = []": "words = []: the list is empty; allowed: a list of text in quotes, not empty",
    'words = ["a", 1]': 'words = ["a", 1]: entry 2: wrong type; allowed: a list of text in quotes',
    'words = ["a", "b", "c"]': "the list is too long: 3",
    "name = 5": "name = 5: wrong type; allowed: text in quotes, at least 2, at most 5 characters",
    'name = ""': 'name = "": the text is empty',
    'name = "a"': 'name = "a": the text is too short',
    'name = "abcdef"': 'name = "abcdef": the text is too long: 6',
    'code = "X1"': "the text has not the right form; allowed: text in quotes, matching ^[a-z]+$",
    "pair = [1]": "pair = [1]: the list has not the right form; allowed: a list of a whole number, text in quotes",
    "pair = [1, 2]": "pair = [1, 2]: entry 2: wrong type",
    'colours = ["grene"]': 'entry 1: "grene" is unknown; did you mean green?; allowed: a list of "red", "green"',
    "colours = [true]": "colours = [true]: entry 1: wrong type",
    "rules = 1": "rules = 1: it is no list; allowed: a list of a table of names and values",
    "rules = [1]": "rules = [1]: entry 1: it is no table",
    "rules = [{}]": "rules = [{}]: entry 1: word is missing",
    'rules = [{ wrod = "ab" }]': "entry 1: wrod is an unknown key; did you mean word?",
    'rules = [{ word = "ab" }, { word = "ab", times = 10 }]': "entry 2: times: out of range",
    "names = 1": "names = 1: it is no table; allowed: a table of names and values",
    "names = { a = 1.5 }": "names = {a = 1.5}: a: it is no whole number",
    'either = "x"': 'either = "x": wrong type; allowed: a whole number or true or false',
    "maybe = 4": "maybe = 4: out of range; allowed: a whole number, at least 5",
    "fewest = 3": "extensions.shapes: fewest is 3, more than most, 2",
}


def mistake(text: str) -> str:
    with pytest.raises(BadConfig) as caught:
        parse(f"domains = ['a.b']\n[extensions.shapes]\n{text}", Path("/srv"), {"shapes": Options})
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(("text", "expected"), WRONG.items())
def test_what_is_wrong_is_told_in_our_words(text: str, expected: str) -> None:
    said = mistake(text)
    assert said.startswith("xmppd.toml: extensions.shapes")
    assert expected in said


values = st.recursive(
    st.booleans() | st.integers(-2, 12) | st.floats(allow_nan=False) | st.text("abX1", max_size=7),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["word", "times", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
shapes = st.sampled_from([field.type for field in msgspec.structs.fields(Options)])


@given(shapes, values)
def test_whatever_is_wrong_has_words(shape: Any, value: object) -> None:
    found = wrong(shape, value)
    try:
        msgspec.convert(value, shape, strict=True)
        right = True
    except msgspec.ValidationError:
        right = False
    assert (found is None) is right
    assert found is None or found.what
