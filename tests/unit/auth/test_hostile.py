"""Whatever a client sends: a challenge, a success or a failure, and a success only for who knows the password."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.auth.parts import BOUND_TLS, TLS, Client, Server, challenge
from xmppd.auth.sasl import MECHANISMS, Success
from xmppd.auth.throttle import ThrottleConfig
from xmppd.errors import SaslError

mechanisms = st.sampled_from(MECHANISMS)
# Bytes that come close to a message: its pieces, in any order, with noise between them.
PIECES = [
    *(b"n,", b"y,", b"p=tls-server-end-point,", b"a=juliet@capulet.example", b",", b"n=juliet", b"n=nurse"),
    *(
        b"r=abc",
        b",r=",
        b"c=biws",
        b",p=",
        b",m=x",
        b"x=y",
        b"AAAA",
        b"=2C",
        b"=",
        b"\0",
        b"juliet",
        b"pencil2",
    ),
    *(b"\xff", b"\xc3\xa9", b"\xe2\x84\xab"),
]
scraps = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=12).map(b"".join)
messages = st.none() | st.binary(max_size=64) | scraps
# Anything but juliet's password, which is "pencil".
wrong = st.sampled_from(["", "Pencil", "pencil ", "penci", "pencil\u00e9"]) | st.text(
    st.characters(exclude_characters=",", exclude_categories=["Cs"]), max_size=8
).filter(lambda text: text != "pencil")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server(limits=ThrottleConfig(window_seconds=0))  # thousands of attempts, none of them throttled
    yield server
    server.passwords.close()


@given(mechanism=mechanisms, sent=st.lists(messages, min_size=1, max_size=4), bound=st.booleans())
async def test_any_bytes(server: Server, mechanism: str, sent: list[bytes | None], bound: bool) -> None:
    try:
        exchange = server.begin(mechanism, BOUND_TLS if bound else TLS)
        for message in sent:
            await challenge(exchange, message)  # and no success
    except SaslError:
        pass


@given(mechanism=mechanisms, name=st.sampled_from(["juliet", "nurse", "Juliet"]), password=wrong)
async def test_no_one_comes_in_without_the_password(
    server: Server, mechanism: str, name: str, password: str
) -> None:
    attempt = (
        server.plain(name, password) if mechanism == "PLAIN" else server.scram(name, password, mechanism)
    )
    with pytest.raises(SaslError):
        await attempt


@given(
    mechanism=st.sampled_from(MECHANISMS[:-1]),
    at=st.integers(0, 400),
    end=st.integers(0, 3),
    noise=st.binary(max_size=3),
    which=st.booleans(),
)
async def test_a_message_changed_on_the_way_lets_nobody_in(
    server: Server, mechanism: str, at: int, end: int, noise: bytes, which: bool
) -> None:
    """Somebody in between, who changes one of the two messages of a client that knows the password."""

    def change(message: bytes) -> bytes:
        place = at % len(message)
        return message[:place] + noise + message[place + end :]

    client = Client(mechanism, "juliet", "pencil")
    first = client.first()
    exchange = server.begin(mechanism)
    try:
        server_first = await challenge(exchange, change(first) if which else first)
        final = client.final(server_first) if server_first.startswith(b"r=" + client.nonce.encode()) else b""
        outcome = await exchange.step(final if which else change(final))
    except SaslError:
        return
    assert isinstance(outcome, Success)
    assert change(first if which else final) == (first if which else final)
