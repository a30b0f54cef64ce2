from __future__ import annotations

import pytest
from aiosasl.stringprep import saslprep
from hypothesis import given
from hypothesis import strategies as st

from xmppd.auth.saslprep import MAX_PASSWORD, PasswordError, prepare_password


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        # RFC 4013#3
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # and what people type
        (" two  words ", " two  words "),
        ("p\u00e4ss\u00a0wort", "p\u00e4ss wort"),
        ("pa\u0308ss", "p\u00e4ss"),
        ("\u0646\u0647\u0631", "\u0646\u0647\u0631"),
        ("a\u200bb", "a b"),
        ("\U0001f418 in the room", "\U0001f418 in the room"),
    ],
)
def test_a_password_is_prepared(text: str, prepared: str) -> None:
    assert prepare_password(text) == prepared.encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\u0007",  # RFC 4013#3
        "\u0627\u0031",  # RFC 4013#3
        "1\u0646",
        "pass\nword",
        "pass\u007f",
        "\u0080p\u00e4ss",
        "\u0646a\u0647",
        "\u00adp\ufffd",
        "\ue000",
        "\u00ad\u00ad",
        "\ud800",
        "x" * (MAX_PASSWORD + 1),
        "\u00e9" * (MAX_PASSWORD // 2 + 1),
    ],
)
def test_what_can_be_no_password_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(PasswordError) as caught:
        prepare_password(text)
    assert not text or text not in str(caught.value)


@given(st.text(max_size=20))
def test_any_text_is_prepared_or_refused(text: str) -> None:
    try:
        prepared = prepare_password(text)
    except PasswordError:
        return
    assert prepared


@given(st.text(max_size=20))
def test_clients_prepare_a_password_the_same_way(text: str) -> None:
    """aiosasl has SASLprep of its own; it drops U+200B, which we take for a space."""
    text = text.replace("\u200b", "")
    try:
        theirs: str | None = saslprep(text, allow_unassigned=True) or None
    except ValueError:
        theirs = None
    try:
        ours: str | None = prepare_password(text).decode()
    except PasswordError:
        ours = None
    assert ours == theirs
