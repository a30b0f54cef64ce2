"""Addresses: what is one, in which form it is compared, and what it costs to find out."""

from __future__ import annotations

import pickle
import string
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xmppd import jid as module
from xmppd.errors import StanzaError
from xmppd.jid import Jid, JidError, prepare_domain, prepare_local, prepare_resource

ANY = st.text(st.characters(), max_size=12)
PARTS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Texts that are often an address, in no special form."""
    text = draw(
        st.sampled_from(["a.example", "Bücher.example", "xn--bcher-kva.example", "[::1]", "10.0.0.1"]) | ANY
    )
    if draw(st.booleans()):
        text = f"{draw(PARTS | ANY)}@{text}"
    return f"{text}/{draw(PARTS | ANY)}" if draw(st.booleans()) else text


# RFC 7622#3.5


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("juliet@example.com", ("juliet", "example.com", None)),
        ("juliet@example.com/foo", ("juliet", "example.com", "foo")),
        ("juliet@example.com/foo bar", ("juliet", "example.com", "foo bar")),
        ("juliet@example.com/foo@bar", ("juliet", "example.com", "foo@bar")),
        ("foo\\20bar@example.com", ("foo\\20bar", "example.com", None)),
        ("fussball@example.com", ("fussball", "example.com", None)),
        ("fußball@example.com", ("fußball", "example.com", None)),
        ("π@example.com", ("π", "example.com", None)),
        ("Σ@example.com/foo", ("σ", "example.com", "foo")),
        ("σ@example.com/foo", ("σ", "example.com", "foo")),
        ("ς@example.com/foo", ("ς", "example.com", "foo")),
        ("king@example.com/♚", ("king", "example.com", "♚")),
        ("example.com", (None, "example.com", None)),
        ("example.com/foobar", (None, "example.com", "foobar")),
        ("a.example.com/b@example.net", (None, "a.example.com", "b@example.net")),
    ],
)
def test_the_valid_examples_of_the_standard(text: str, parts: tuple[str | None, str, str | None]) -> None:
    jid = Jid.parse(text)
    assert (jid.local, jid.domain, jid.resource) == parts


@pytest.mark.parametrize(
    "text",
    [
        '"juliet"@example.com',  # quotation marks
        "foo bar@example.com",  # a space
        " juliet@example.com",
        "@example.com/",  # nothing in front of the at-sign, nothing behind the slash
        "@example.com",
        "juliet@example.com/",
        "henryⅣ@example.com",  # ROMAN NUMERAL FOUR has a compatibility mapping
        "♚@example.com",  # a symbol in a localpart
        "juliet@",
        "/foobar",
        "",
    ],
)
def test_the_invalid_examples_of_the_standard(text: str) -> None:
    with pytest.raises(JidError):
        Jid.parse(text)
    with pytest.raises(StanzaError) as caught:
        Jid.of(text)
    assert caught.value.condition == "jid-malformed"


@pytest.mark.parametrize("char", "\"&'/:<>@ \t\n\0\x7f\ud800")
def test_what_a_localpart_may_not_hold(char: str) -> None:
    with pytest.raises(JidError):
        prepare_local(f"a{char}b")


@pytest.mark.parametrize("char", "\t\n\0\x7f\ufffe\ud800\u200b")
def test_what_a_resource_may_not_hold(char: str) -> None:
    with pytest.raises(JidError):
        prepare_resource(f"a{char}b")


# Forms


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Juliet@Example.COM/Balcony", "juliet@example.com/Balcony"),
        ("juliet@example.com.", "juliet@example.com"),
        ("example。com。/x", "example.com/x"),
        ("juliet@xn--bcher-kva.example", "juliet@bücher.example"),
        ("juliet@XN--BCHER-KVA.example", "juliet@bücher.example"),
        ("juliet@Bücher.example", "juliet@bücher.example"),
        ("juliet@faß.example", "juliet@faß.example"),
        ("ｊuliet@ｅxample.com", "juliet@example.com"),  # full width
        ("juliet@e\u0301xample.com/e\u0301", "juliet@\u00e9xample.com/\u00e9"),  # composed
        ("juliet@example.com/a\u00a0b", "juliet@example.com/a b"),
        ("juliet@example.com/ a ", "juliet@example.com/ a "),
        ("juliet@example.com/a/b@c", "juliet@example.com/a/b@c"),
        ("juliet@10.0.0.1", "juliet@10.0.0.1"),
        ("juliet@[0:0::1]/x", "juliet@[::1]/x"),
        ("localhost", "localhost"),
    ],
)
def test_the_form_that_is_compared(text: str, form: str) -> None:
    assert str(Jid.parse(text)) == form
    assert Jid.parse(text) == Jid.parse(form)


@pytest.mark.parametrize(
    "domain",
    [
        "", ".", "a..", "..a", "a..b", "-a", "a-", "a.-b", "a_b", "a b", "a\n", "ab--cd.example", "xn--a", "xn--",
        "☃.net", "💩", "[::1", "[1]", "[fe80::1%eth0]", "[]", "a" * 64, ".".join(["a" * 63] * 4), "1א", "a@b", "a:5222",
    ],
)  # fmt: skip
def test_what_is_no_domain(domain: str) -> None:
    with pytest.raises(JidError):
        prepare_domain(domain)


@given(addresses())
def test_the_form_is_its_own_form(text: str) -> None:
    try:
        jid = Jid.parse(text)
    except JidError:
        assume(False)
        raise
    again = Jid.parse(str(jid))
    assert again == jid
    assert str(again) == str(jid)
    assert (again.local, again.domain, again.resource) == (jid.local, jid.domain, jid.resource)


@given(addresses() | st.text(st.sampled_from("a@/.[]:-x1 é\u0301ß。"), max_size=10))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        jid = Jid.parse(text)
    except JidError:
        return
    assert jid.domain


ASCII = st.text(st.characters(max_codepoint=127), min_size=1, max_size=10)
NEARLY = st.text(st.sampled_from("ab-.x1n"), min_size=1, max_size=9)
SHORTCUTS = {
    "_ASCII_LOCAL": prepare_local,
    "_ASCII_RESOURCE": prepare_resource,
    "_ASCII_DOMAIN": prepare_domain,
}


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@given(text=ASCII | NEARLY)
def test_the_short_way_and_the_long_way_agree(shortcut: str, text: str) -> None:
    prepare = SHORTCUTS[shortcut]
    assume(getattr(module, shortcut)(text))
    assert prepare(text) == text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, shortcut, lambda _: None)
        assert prepare(text) == text


def test_the_short_way_is_taken_by_what_people_use() -> None:
    for local in ("juliet", "o.hara_99+x", "\\20a"):
        assert module._ASCII_LOCAL(local)
    for domain in ("example.com", "conference.a-b.example", "10.0.0.1", "localhost", "a" * 63 + ".b"):
        assert module._ASCII_DOMAIN(domain)
    for resource in ("balcony", "Gajim.X1 (laptop)", "/"):
        assert module._ASCII_RESOURCE(resource)


# Length


@pytest.mark.parametrize("char", ["a", "ß", "語"])
def test_a_part_has_at_most_1023_bytes(char: str) -> None:
    fits = 1023 // len(char.encode())
    assert len(prepare_local(char * fits)) == fits
    assert len(prepare_resource(char * fits)) == fits
    for prepare in (prepare_local, prepare_resource):
        with pytest.raises(JidError, match="1023"):
            prepare(char * (fits + 1))


def test_the_length_counts_after_preparing() -> None:
    assert prepare_resource("e\u0301" * 511) == "é" * 511  # 1,533 bytes become 1,022
    assert len(prepare_domain("a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 61)) == 253
    with pytest.raises(JidError):
        prepare_domain("a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 62)


def test_a_huge_address_costs_little_and_is_not_repeated() -> None:
    began = time.process_time()
    for text in (
        "é" * 250_000 + "@a",
        "a@" + "é" * 250_000,
        "a@b/" + "é" * 250_000,
        "a." * 125_000,
        "é@" * 99_999,
    ):
        with pytest.raises(JidError) as caught:
            Jid.parse(text)
        assert len(str(caught.value)) < 4096
    assert time.process_time() - began < 0.5  # preparing one of them would take as long


def test_long_addresses_are_not_kept() -> None:
    module._parse.cache_clear()
    module._make.cache_clear()
    long = Jid.parse("a" * 1000 + "@example.com/x")
    assert long.bare.local == "a" * 1000
    assert long.bare is long.bare
    assert module._parse.cache_info().currsize == module._make.cache_info().currsize == 0
    short = Jid.parse("a@example.com/x")
    assert short is Jid.parse("a@example.com/x")
    assert short.bare is Jid.parse("a@example.com/y").bare
    assert module._parse.cache_info().maxsize == module._make.cache_info().maxsize == 65_536


# Values


def test_equality_and_hash_are_by_form() -> None:
    one, other = Jid.parse("Juliet@example.com/x"), Jid.parse("juliet@example.com/x")
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, one.bare}) == 2
    assert one != one.bare
    assert one != "juliet@example.com/x"
    assert one != Jid.parse("juliet@example.com/X")


def test_order_is_by_text() -> None:
    jids = [Jid.parse(text) for text in ("b@a", "a", "a@a/x", "a@a")]
    assert [str(jid) for jid in sorted(jids)] == ["a", "a@a", "a@a/x", "b@a"]


@given(addresses())
def test_pickle(text: str) -> None:
    try:
        jid = Jid.parse(text)
    except JidError:
        assume(False)
        raise
    again = pickle.loads(pickle.dumps(jid))
    assert again == jid
    assert hash(again) == hash(jid)
    assert again.wire == jid.wire


def test_bare_and_with_resource() -> None:
    full = Jid.parse("juliet@example.com/balcony")
    assert str(full.bare) == "juliet@example.com"
    assert full.bare.bare is full.bare
    assert full.bare.with_resource("e\u0301") == Jid.parse("juliet@example.com/é")
    assert Jid.parse("example.com/x").bare == Jid.parse("example.com")
    with pytest.raises(JidError):
        full.with_resource("")


def test_wire_is_escaped() -> None:
    assert Jid.parse("a@example.com/<&'\">").wire == b"a@example.com/&lt;&amp;&apos;&quot;&gt;"
    assert Jid.parse("é@example.com").wire == "é@example.com".encode()
    assert repr(Jid.parse("a@example.com")) == "Jid('a@example.com')"
