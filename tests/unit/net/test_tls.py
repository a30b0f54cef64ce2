"""Which TLS is spoken, and how certificates are read."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.unit.net.parts import DOMAIN
from xmppd import certificates
from xmppd.errors import ConfigError
from xmppd.net.tls import Certificates, load


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificates.write(certificate, key, [DOMAIN])
    return certificate, key


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """A handshake in memory; the client's end."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=DOMAIN)
    waiting = [theirs, ours]
    while waiting:
        end = waiting.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(end)
    return theirs


def client_for(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_handshake(version: ssl.TLSVersion, files: tuple[Path, Path]) -> None:
    server = load(*files)
    client = client_for(files[0])
    client.minimum_version = client.maximum_version = version
    client.set_alpn_protocols(["xmpp-client"])
    done = shake(server.context, client)
    assert done.getpeercert(binary_form=True) == server.certificate
    assert done.selected_alpn_protocol() == "xmpp-client"
    cipher = done.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
    assert done.compression() is None


@pytest.mark.parametrize(
    "ciphers",
    ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ADH-AES128-GCM-SHA256"],
)
def test_weak_ciphers_are_refused(ciphers: str, files: tuple[Path, Path]) -> None:
    """RFC 9325#4.2: forward secrecy and authenticated encryption, and a certificate."""
    client = client_for(files[0])
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(load(*files).context, client)


def test_old_versions_are_refused(files: tuple[Path, Path]) -> None:
    assert load(*files).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_another_protocol_in_alpn_is_served_all_the_same(files: tuple[Path, Path]) -> None:
    client = client_for(files[0])
    client.set_alpn_protocols(["http/1.1"])
    assert shake(load(*files).context, client).selected_alpn_protocol() is None


def test_certificate_and_key_in_one_file(files: tuple[Path, Path]) -> None:
    certificate, key = files
    whole = certificate.with_name("both.pem")
    whole.write_bytes(key.read_bytes() + certificate.read_bytes())
    shake(load(whole, None).context, client_for(certificate))


def test_the_first_of_a_chain_is_the_one_that_is_served(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    own = load(certificate, key).certificate
    certificates.write(tmp_path / "ca.pem", tmp_path / "ca.key", ["ca.example"])
    certificate.write_bytes(b"a comment\n" + certificate.read_bytes() + (tmp_path / "ca.pem").read_bytes())
    assert load(certificate, key).certificate == own


def test_files_that_are_not_there(files: tuple[Path, Path]) -> None:
    certificate, key = files
    key.unlink()
    with pytest.raises(ConfigError, match=f"{key}.*xmppd init"):
        load(certificate, key)
    certificate.unlink()
    with pytest.raises(ConfigError, match=f"{certificate}.*xmppd init"):
        load(certificate, key)


@pytest.mark.parametrize("broken", ["certificate", "key", "folder", "another key", "empty"])
def test_files_that_are_broken(broken: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    match broken:
        case "certificate":
            certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        case "key":
            key.write_text("no key")
        case "folder":
            key = tmp_path
        case "another key":
            certificates.write(tmp_path / "x.pem", key, [DOMAIN])
        case _:
            certificate.write_text("")
    with pytest.raises(ConfigError, match=r"\[tls\]") as caught:
        load(certificate, key)
    assert str(certificate) in str(caught.value)
    assert str(key) in str(caught.value)


def test_a_bad_file_leaves_the_old_certificate_in_force(files: tuple[Path, Path]) -> None:
    certificate, key = files
    held = Certificates(certificate, key)
    first = held.current
    certificate.write_text("broken")
    with pytest.raises(ConfigError):
        held.reload(certificate, key)
    assert held.current is first
    certificates.write(certificate, key, [DOMAIN])
    held.reload(certificate, key)
    assert held.current.certificate != first.certificate
    shake(held.current.context, client_for(certificate))
