from __future__ import annotations

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from xmppd.auth.channel_binding import tls_server_end_point

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
Hash = (
    hashes.SHA224
    | hashes.SHA256
    | hashes.SHA384
    | hashes.SHA512
    | hashes.SHA3_224
    | hashes.SHA3_256
    | hashes.SHA3_384
    | hashes.SHA3_512
)


def certificate(key: Key, hash: Hash | None, pss: padding.PSS | None = None) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "capulet.example")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=90))
    )
    return builder.sign(key, hash, rsa_padding=pss).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("key", "hash", "name"),
    [
        (RSA, hashes.SHA256(), "sha256"),
        (RSA, hashes.SHA384(), "sha384"),
        (RSA, hashes.SHA512(), "sha512"),
        (EC, hashes.SHA256(), "sha256"),
        (EC, hashes.SHA384(), "sha384"),
        (EC, hashes.SHA3_256(), "sha3_256"),
    ],
)
def test_it_is_the_hash_that_signed_the_certificate(key: Key, hash: Hash, name: str) -> None:
    der = certificate(key, hash)
    assert tls_server_end_point(der) == hashlib.new(name, der).digest()


@pytest.mark.parametrize(
    ("sha256", "weak"),
    [
        ("2a864886f70d01010b", "2a864886f70d010105"),  # sha1WithRSAEncryption
        ("2a864886f70d01010b", "2a864886f70d010104"),  # md5WithRSAEncryption
    ],
)
def test_it_is_sha256_in_place_of_a_weak_hash(sha256: str, weak: str) -> None:
    """RFC 5929#4.1. Nobody signs such certificates any more, so the name of the algorithm is forged here."""
    der = certificate(RSA, hashes.SHA256()).replace(bytes.fromhex(sha256), bytes.fromhex(weak))
    assert tls_server_end_point(der) == hashlib.sha256(der).digest()


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()])
def test_it_is_not_defined_where_the_signature_has_no_hash(key: Key) -> None:
    assert tls_server_end_point(certificate(key, None)) is None


def test_it_is_not_defined_for_an_algorithm_that_nobody_knows() -> None:
    der = certificate(RSA, hashes.SHA256())
    unknown = der.replace(bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d01017b"))
    assert tls_server_end_point(unknown) is None


def test_rsassa_pss_is_bound_where_it_uses_one_hash() -> None:
    der = certificate(RSA, hashes.SHA384(), padding.PSS(padding.MGF1(hashes.SHA384()), 48))
    assert tls_server_end_point(der) == hashlib.sha384(der).digest()
    der = certificate(RSA, hashes.SHA256(), padding.PSS(padding.MGF1(hashes.SHA512()), 32))
    assert tls_server_end_point(der) is None


def test_what_is_no_certificate_is_an_error() -> None:
    with pytest.raises(ValueError):
        tls_server_end_point(b"no certificate")
