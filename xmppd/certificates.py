"""Certificates: making one for trying things out, and reading what the administrator gave."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import idna
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xmppd.errors import ConfigError

VALID_DAYS: Final = 825  # what Apple's systems accept at most
_REMEDY: Final = "`xmppd init DIR --domain DOMAIN` makes a self-made one"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate. ``names`` are DNS names (in ASCII) and IP addresses; times in seconds since the epoch."""

    names: frozenset[str]
    not_before: float
    not_after: float
    self_made: bool

    def covers(self, domain: str) -> bool:
        """Whether clients of ``domain`` accept it (RFC 6125#6.4): by name, or by a wildcard for the first label."""
        name = ascii_name(domain)
        _, _, parent = name.partition(".")
        return name in self.names or (bool(parent) and f"*.{parent}" in self.names)


def ascii_name(domain: str) -> str:
    """``domain`` (prepared) as it stands in a certificate and in the DNS: in ASCII, without brackets."""
    bare = domain.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare))
    except ValueError:
        return idna.encode(bare).decode().lower()


def make(domains: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """A self-made P-256 certificate for ``domains`` and localhost, valid from ``now`` on, and its key, both PEM."""
    names = list(dict.fromkeys([*map(ascii_name, domains), "localhost"]))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_signs_handshakes(), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        # Python 3.13 and others refuse a certificate without these two, even one that they were told to trust.
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # for clients whose clock is behind
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, hashes.SHA256())
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def write(certificate: Path, key: Path, domains: Iterable[str]) -> None:
    """Make a certificate for ``domains`` (prepared) and put it there, whatever was there. May raise ``OSError``."""
    pem, secret = make(domains, datetime.now(UTC))
    _put(key, secret, 0o600)
    _put(certificate, pem, 0o644)


def read(certificate: Path, key: Path) -> Certificate:
    """What the files hold, which may be one; ``ConfigError`` names the file and what is wrong: missing, no pair, ..."""
    pem = _bytes(certificate, "tls.certificate")
    try:
        leaf = x509.load_pem_x509_certificates(pem)[0]
    except ValueError as err:
        raise ConfigError(f"{certificate}: tls.certificate holds no certificate as PEM: {err}") from err
    try:
        private = serialization.load_pem_private_key(_bytes(key, "tls.key"), password=None)
    except TypeError as err:
        raise ConfigError(
            f"{key}: tls.key has a passphrase; remove it: openssl pkey -in KEY -out NEW_KEY"
        ) from err
    except (ValueError, UnsupportedAlgorithm) as err:
        raise ConfigError(f"{key}: tls.key holds no private key as PEM: {err}") from err
    if _public(private.public_key()) != _public(leaf.public_key()):
        raise ConfigError(
            f"{key}: tls.key is not the key of {certificate}: the file has to begin with the certificate of this key, "
            "intermediate ones behind it"
        )
    return Certificate(
        names=_names(leaf),
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        self_made=leaf.issuer == leaf.subject,
    )


def _names(leaf: x509.Certificate) -> frozenset[str]:
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    dns = (name.lower() for name in alternative.get_values_for_type(x509.DNSName))
    return frozenset(dns) | {str(address) for address in alternative.get_values_for_type(x509.IPAddress)}


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _signs_handshakes() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _public(key: object) -> bytes:
    der: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every kind of public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def _bytes(file: Path, setting: str) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as err:
        raise ConfigError(f"{file}: there is no such file ({setting}); {_REMEDY}") from err
    except OSError as err:
        raise ConfigError(
            f"{file}: it cannot be read ({setting}): {err.strerror}; the user who runs xmppd has to be able to"
        ) from err


def _put(path: Path, data: bytes, mode: int) -> None:
    """Write it whole or not at all, never readable by more than ``mode`` allows."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
