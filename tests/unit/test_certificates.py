"""Self-made certificates, and what is said of those that cannot be used."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from socket import socketpair

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xmppd import certificates
from xmppd.errors import ConfigError


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificates.write(certificate, key, ["chat.example", "bücher.example", "10.0.0.1", "[::1]"])
    return certificate, key


def test_names(pair: tuple[Path, Path]) -> None:
    read = certificates.read(*pair)
    assert read.names == {"chat.example", "xn--bcher-kva.example", "10.0.0.1", "::1", "localhost"}
    assert read.self_made
    for domain in ("chat.example", "bücher.example", "10.0.0.1", "[::1]", "localhost"):
        assert read.covers(domain)
    for domain in ("example", "a.chat.example", "other.example"):
        assert not read.covers(domain)


def test_a_wildcard_stands_for_one_label() -> None:
    wildcard = certificates.Certificate(frozenset({"*.chat.example"}), 0, 0, False)
    assert wildcard.covers("a.chat.example")
    assert not wildcard.covers("chat.example")
    assert not wildcard.covers("a.b.chat.example")


def test_it_is_valid_now_and_for_long(pair: tuple[Path, Path]) -> None:
    read = certificates.read(*pair)
    now = datetime.now(UTC).timestamp()
    assert read.not_before < now - 3000
    assert 824 < (read.not_after - now) / 86_400 < 826


def test_the_key_is_p_256_and_secret(pair: tuple[Path, Path]) -> None:
    key = serialization.load_pem_private_key(pair[1].read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert pair[1].stat().st_mode & 0o777 == 0o600
    assert pair[0].stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in pair[0].parent.iterdir()) == ["cert.pem", "key.pem"]


def test_it_has_what_strict_clients_ask_for(pair: tuple[Path, Path]) -> None:
    """Python 3.13 refuses a certificate without these, OpenSSL before 3.2 does not care."""
    extensions = x509.load_pem_x509_certificate(pair[0].read_bytes()).extensions
    ours = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuers = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuers.key_identifier == ours.digest
    assert extensions.get_extension_for_class(x509.BasicConstraints).critical
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature


@pytest.mark.parametrize("flags", [ssl.VerifyFlags.VERIFY_DEFAULT, ssl.VerifyFlags.VERIFY_X509_STRICT])
def test_a_client_that_trusts_it_accepts_it(pair: tuple[Path, Path], flags: ssl.VerifyFlags) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*pair)
    client = ssl.create_default_context(cafile=pair[0])
    client.verify_flags |= flags
    ours, theirs = socketpair()

    def serve() -> None:
        server.wrap_socket(ours, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(theirs, server_hostname="chat.example") as wrapped:
        assert wrapped.version() == "TLSv1.3"
    thread.join()


def test_key_and_certificate_may_share_a_file(pair: tuple[Path, Path], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair[0].read_bytes() + pair[1].read_bytes())
    assert certificates.read(both, both) == certificates.read(*pair)


def encrypted(key: Path) -> bytes:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def test_what_cannot_be_used_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = pair
    other = tmp_path / "other.pem"

    def said(*files: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            certificates.read(*files)
        assert caught.value.exit_status == 2
        return str(caught.value)

    assert said(other, key).startswith(f"{other}: there is no such file (tls.certificate); `xmppd init")
    assert said(certificate, other).startswith(f"{other}: there is no such file (tls.key)")
    assert said(tmp_path, key).startswith(f"{tmp_path}: it cannot be read (tls.certificate): Is a directory")
    assert said(key, key).startswith(f"{key}: tls.certificate holds no certificate as PEM")
    assert said(certificate, certificate).startswith(f"{certificate}: tls.key holds no private key as PEM")
    other.write_bytes(encrypted(key))
    assert said(certificate, other).startswith(f"{other}: tls.key has a passphrase; remove it")
    certificates.write(tmp_path / "c", other, ["chat.example"])
    assert said(certificate, other).startswith(f"{other}: tls.key is not the key of {certificate}")
