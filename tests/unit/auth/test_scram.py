"""SCRAM: the examples of its RFCs, keys and decoys, and what a client's messages may look like."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from tests.unit.auth.parts import Client
from xmppd.auth.saslprep import PasswordError
from xmppd.auth.scram import ClientFirst, ScramServer, decoy_keys, derive_keys, make_credentials
from xmppd.errors import SaslError
from xmppd.storage.interfaces import ScramHash

BOUND = {"tls-server-end-point": b"hash"}


@pytest.mark.parametrize(
    ("hash", "salt", "client_nonce", "nonce", "proof", "signature"),
    [
        pytest.param(  # RFC 5802#5
            ScramHash.SHA1,
            "QSXCR+Q6sek8bf92",
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            id="RFC 5802",
        ),
        pytest.param(  # RFC 7677#3
            ScramHash.SHA256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            id="RFC 7677",
        ),
    ],
)
def test_the_example_of_the_rfc(
    hash: ScramHash, salt: str, client_nonce: str, nonce: str, proof: str, signature: str
) -> None:
    keys = derive_keys("pencil", hash, b64decode(salt), 4096)
    first = ClientFirst.parse(f"n,,n=user,r={client_nonce}".encode())
    assert first.username == "user"
    server = ScramServer(hash, first, keys, nonce, b"")
    assert server.challenge == f"r={client_nonce}{nonce},s={salt},i=4096".encode()
    assert server.finish(f"c=biws,r={client_nonce}{nonce},p={proof}".encode()) == f"v={signature}".encode()


def test_credentials_hold_keys_for_every_hash_each_with_its_own_salt() -> None:
    credentials = make_credentials("pencil", 5)
    assert set(credentials) == set(ScramHash)
    assert len({keys.salt for keys in credentials.values()}) == len(ScramHash)
    for hash, keys in credentials.items():
        assert keys == derive_keys("pencil", hash, keys.salt, 5)
    assert make_credentials("pencil", 5, b"salt") == make_credentials("pencil", 5, b"salt")


def test_credentials_are_not_made_of_what_can_be_no_password() -> None:
    with pytest.raises(PasswordError, match="control characters"):
        make_credentials("pen\tcil", 5)


def test_a_decoy_looks_like_keys_and_shows_the_same_each_time() -> None:
    for hash in ScramHash:
        real = derive_keys("pencil", hash, make_credentials("pencil", 5)[hash].salt, 5)
        decoy = decoy_keys(b"secret", "tybalt@capulet.example", hash, 5)
        assert [len(decoy.salt), len(decoy.stored_key), len(decoy.server_key), decoy.iterations] == [
            len(real.salt),
            len(real.stored_key),
            len(real.server_key),
            real.iterations,
        ]
        assert decoy.salt == decoy_keys(b"secret", "tybalt@capulet.example", hash, 5).salt


def test_decoys_differ_by_hash_address_and_server() -> None:
    salts = {
        decoy_keys(secret, f"{name}@capulet.example", hash, 5).salt
        for secret in (b"one", b"two")
        for name in ("tybalt", "paris")
        for hash in ScramHash
    }
    assert len(salts) == 2 * 2 * len(ScramHash)


def test_the_first_message_is_read() -> None:
    message = b"p=tls-server-end-point,a=j=2Cu=3Dl@x,n=j=2Cu=3D2Cl\xc3\xa9,r=a+/=!,x=more,y=a=b"
    first = ClientFirst.parse(message)
    assert (first.flag, first.binding) == ("p", "tls-server-end-point")
    assert (first.authzid, first.username) == ("j,u=l@x", "j,u=2Clé")
    assert first.nonce == b"a+/=!"
    assert first.header + first.bare == message
    assert first.header == b"p=tls-server-end-point,a=j=2Cu=3Dl@x,"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,n=user,r=abc",
        b",,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"N,,n=user,r=abc",
        b"p,,n=user,r=abc",
        b"p=,,n=user,r=abc",
        b"p=tls unique,,n=user,r=abc",
        b"F,n,,n=user,r=abc",  # RFC 5801#4: not for SASL
        b"n,a=,n=user,r=abc",
        b"n,b=x,n=user,r=abc",
        b"n,,r=abc,n=user",
        b"n,,m=ext,n=user,r=abc",
        b"n,,n=user,r=abc,m=ext",
        b"n,,n=user,r=abc,x=1,m=ext",
        b"n,,n=user,r=abc,",
        b"n,,n=user,r=abc,x",
        b"n,,n=user,r=abc,x=",
        b"n,,n=user,r=abc,1=x",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=a\xc3\xa9",
        b"n,,n=user,r=a\n",
        b"n,,n=user\0,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=user=,r=abc",
        b"n,,n=user=2,r=abc",
        b"n,,n=user=2c,r=abc",
        b"n,a=x=,n=user,r=abc",
        b"n,,n=\xff,r=abc",
        b" n,,n=user,r=abc",
        b"n,,n=user,r=abc\n",
    ],
)
def test_what_is_no_first_message_is_malformed(message: bytes) -> None:
    with pytest.raises(SaslError) as caught:
        ClientFirst.parse(message)
    assert caught.value.condition == "malformed-request"


@pytest.mark.parametrize(
    ("header", "plus", "available", "offered", "outcome"),
    [
        ("n,,", False, {}, False, b""),
        ("n,,", False, BOUND, True, b""),
        ("y,,", False, {}, False, b""),
        ("y,,", False, BOUND, False, b""),  # no -PLUS is switched on
        ("y,,", False, BOUND, True, "not-authorized"),  # RFC 5802#6: a downgrade
        ("p=tls-server-end-point,,", True, BOUND, True, b"hash"),
        ("p=tls-unique,,", True, BOUND, True, "malformed-request"),
        ("p=TLS-SERVER-END-POINT,,", True, BOUND, True, "malformed-request"),
        ("p=tls-server-end-point,,", False, BOUND, True, "malformed-request"),
        ("p=tls-server-end-point,,", False, {}, False, "malformed-request"),
        ("n,,", True, BOUND, True, "malformed-request"),
        ("y,,", True, BOUND, True, "malformed-request"),
    ],
)
def test_what_the_client_says_of_channel_binding(
    header: str, plus: bool, available: dict[str, bytes], offered: bool, outcome: bytes | str
) -> None:
    first = ClientFirst.parse(f"{header}n=user,r=abc".encode())
    if isinstance(outcome, bytes):
        assert first.check_binding(plus=plus, available=available, offered=offered) == outcome
    else:
        with pytest.raises(SaslError) as caught:
            first.check_binding(plus=plus, available=available, offered=offered)
        assert caught.value.condition == outcome


class Attempt:
    """A client with the right password and a server that waits for its final message."""

    def __init__(self, mechanism: str = "SCRAM-SHA-256") -> None:
        self.client = Client(mechanism, "user", "pencil")
        keys = derive_keys("pencil", ScramHash.SHA256, b"salt", 5)
        self.server = ScramServer(
            ScramHash.SHA256, ClientFirst.parse(self.client.first()), keys, "server", self.client.binding
        )

    def ends(self, message: bytes) -> str:
        with pytest.raises(SaslError) as caught:
            self.server.finish(message)
        return caught.value.condition


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_a_proof_is_answered_by_the_servers_own(mechanism: str) -> None:
    attempt = Attempt(mechanism)
    final = attempt.client.final(attempt.server.challenge)
    assert attempt.server.finish(final) == attempt.client.signature


def test_extensions_of_the_final_message_are_signed_and_ignored() -> None:
    attempt = Attempt()
    attempt.client.extensions = ",x=1,y=a=b"
    final = attempt.client.final(attempt.server.challenge)
    assert attempt.server.finish(final) == attempt.client.signature
    assert attempt.ends(final.replace(b"x=1", b"x=2")) == "not-authorized"


@pytest.mark.parametrize("nonce", ["rOprNGfwEbeRWgbNEkqO", "server", "rOprNGfwEbeRWgbNEkqOserve", "x"])
def test_a_proof_over_another_nonce_is_refused(nonce: str) -> None:
    attempt = Attempt()
    assert attempt.ends(attempt.client.final(attempt.server.challenge, nonce=nonce)) == "not-authorized"


def test_other_binding_data_is_refused() -> None:
    attempt = Attempt("SCRAM-SHA-256-PLUS")
    attempt.client.binding = b"the certificate of somebody in between"
    assert attempt.ends(attempt.client.final(attempt.server.challenge)) == "not-authorized"
    attempt.client.binding = b""
    assert attempt.ends(attempt.client.final(attempt.server.challenge)) == "not-authorized"


def test_a_header_other_than_the_first_messages_is_refused() -> None:
    """RFC 5802#5.1: c= repeats the header, so that nobody in between turns "p" or "y" into "n"."""
    attempt = Attempt()
    attempt.client.header = "y,,"
    assert attempt.ends(attempt.client.final(attempt.server.challenge)) == "not-authorized"


def test_a_proof_made_for_another_challenge_is_refused() -> None:
    old = Attempt()
    replayed = old.client.final(old.server.challenge)
    keys = derive_keys("pencil", ScramHash.SHA256, b"salt", 5)
    fresh = ScramServer(ScramHash.SHA256, ClientFirst.parse(old.client.first()), keys, "another", b"")
    with pytest.raises(SaslError) as caught:
        fresh.finish(replayed)
    assert caught.value.condition == "not-authorized"


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_proof_of_the_wrong_length_is_refused(size: int) -> None:
    attempt = Attempt()
    head = attempt.client.final(attempt.server.challenge).rpartition(b",p=")[0]
    condition = attempt.ends(head + b",p=" + b64encode(bytes(size)))
    assert condition == ("not-authorized" if size else "malformed-request")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws",
        b"c=biws,r=N",
        b"c=biws,r=N,p=",
        b"c=biws,r=N,p=*",
        b"c=biws,r=N,p=AAA",
        b"c=biws,r=N,p=====",
        b"c=biw,r=N,p=AAAA",
        b"c=,r=N,p=AAAA",
        b"r=N,c=biws,p=AAAA",
        b"c=biws,p=AAAA,r=N",
        b"c=biws,r=N,m=x,p=AAAA",
        b"c=biws,r=N,p=AAAA,",
        b"c=biws,r=N,p=AAAA\n",
        b"m=x,c=biws,r=N,p=AAAA",
    ],
)
def test_what_is_no_final_message_is_malformed(message: bytes) -> None:
    assert Attempt().ends(message) == "malformed-request"
