"""Logins that are bound to the certificate, and certificates that change while the server runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import ServerProcess
from tests.support.wire import LoginFailed, Wire, Wires

PLUS = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"]


@pytest.mark.parametrize("direct", [True, False], ids=["direct TLS", "STARTTLS"])
@pytest.mark.parametrize("mechanism", PLUS)
async def test_logins_are_bound_to_the_certificate(mechanism: str, direct: bool, town: ServerProcess) -> None:
    async with Wires(town) as wires:
        wire = await wires.login("juliet", mechanism=mechanism, direct_tls=direct)
        await wire.ping()


async def test_the_types_of_binding_are_advertised(town: ServerProcess) -> None:
    async with Wires(town) as wires:
        wire = await wires.connect(tls=True)
        features = await wire.open()
        bindings = features.child("sasl-channel-binding", "urn:xmpp:sasl-cb:0")  # XEP-0440
        assert bindings is not None
        assert [each.get("type") for each in bindings.elements()] == ["tls-server-end-point"]
        mechanisms = features.child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl")
        assert mechanisms is not None
        assert set(PLUS) <= {each.text() for each in mechanisms.elements()}


@pytest.mark.parametrize(
    "binding",
    [
        ("tls-server-end-point", bytes(32)),
        ("tls-server-end-point", b""),
        ("tls-exporter", bytes(32)),
        ("tls-unique", bytes(12)),
    ],
    ids=["wrong", "empty", "another type", "a type of TLS 1.2"],
)
async def test_a_wrong_binding_does_not_log_in(binding: tuple[str, bytes], town: ServerProcess) -> None:
    """This is what a man in the middle, with a certificate of his own, would bring about."""
    async with Wires(town) as wires:
        wire = await wires.stranger()
        with pytest.raises(LoginFailed):
            await wire.authenticate("juliet", mechanism="SCRAM-SHA-256-PLUS", binding=binding)
        await wire.authenticate("juliet", mechanism="SCRAM-SHA-256-PLUS")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"])
    with server.running():
        yield server


async def test_a_new_certificate_is_taken_over_on_sighup(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet = await wires.login("juliet", available=True)
        waiting = await wires.stranger()  # logs in after the reload, over the old certificate
        old = juliet.end_point
        server.new_certificate()
        server.signal(signal.SIGHUP)
        await server.logged("xmppd.serve reloaded")

        romeo = await wires.login("romeo", mechanism="SCRAM-SHA-256-PLUS", available=True)
        assert romeo.end_point != old
        await romeo.send(f"<message to='{juliet.jid}'><body>still there?</body></message>")
        await juliet.expect(
            f"<message from='{romeo.jid}' to='{juliet.jid}'><body>still there?</body></message>"
        )
        assert waiting.end_point == old
        await waiting.authenticate("juliet", mechanism="SCRAM-SHA-512-PLUS")
        fresh = await wires.stranger()
        with pytest.raises(LoginFailed):  # the binding of the certificate that was
            await fresh.authenticate(
                "juliet", mechanism="SCRAM-SHA-256-PLUS", binding=("tls-server-end-point", old)
            )


async def test_a_broken_certificate_leaves_the_old_one_in_force(server: ServerProcess) -> None:
    server.expected.append("not reloaded, everything stays as it was")
    trusted = server.client_tls()
    certificate, key = server.certificate, server.key
    good = certificate.read_bytes(), key.read_bytes()

    def another_key() -> None:
        server.new_certificate()
        certificate.write_bytes(good[0])

    empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    async with Wires(server) as wires:
        for damage in (
            lambda: certificate.write_text(empty),
            lambda: key.write_text("no key"),
            certificate.unlink,
            another_key,
        ):
            damage()
            before = len(server.lines)
            server.signal(signal.SIGHUP)
            line = await server.logged("not reloaded, everything stays as it was", after=before)
            assert str(certificate) in line or str(key) in line, "it names the file"
            wire = wires.keep(await Wire.connect(server.c2s_tls, tls=trusted))
            await wire.open()
            await wire.authenticate("juliet", mechanism="SCRAM-SHA-256-PLUS")
            certificate.write_bytes(good[0])
            key.write_bytes(good[1])
        server.signal(signal.SIGHUP)
        await server.logged("xmppd.serve reloaded")
