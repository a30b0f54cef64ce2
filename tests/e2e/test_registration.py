"""Over real connections: an account is made, used and removed; and how long one may take to fill in the form."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, ServerProcess
from tests.support.wire import LoginFailed, Wire, Wires

OPEN = "[extensions.register]\nenabled = true\n"
LIMITS = {"handshake_seconds": 2, "registration_seconds": 4}
ASK = "<query xmlns='jabber:iq:register'/>"
FORM = "<query xmlns='jabber:iq:register'><username>bill</username><password>Calliope is a muse</password></query>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("open"), limits=LIMITS, toml=OPEN)
    with process.running():
        yield process


async def stranger(wires: Wires, server: ServerProcess) -> Wire:
    wire = wires.keep(await Wire.connect(server.c2s))
    features = await wire.open()
    assert [feature.name for feature in features.elements()] == ["starttls"]
    await wire.starttls(server.client_tls())
    features = await wire.open()
    assert features.child("register", "http://jabber.org/features/iq-register") is not None
    return wire


async def test_a_name_cannot_forge_the_log(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        wire = await stranger(wires, server)
        form = FORM.replace("bill", "iago")
        await wire.ask(form, type="set")
        await wire.authenticate("iago", "Calliope is a muse")
        await wire.open()
        await wire.bind("x address=192.0.2.1")
        await wire.ask(form, type="set", to=DOMAIN)
    line = await server.logged("password changed.*iago")
    assert f'user="iago@{DOMAIN}/x address=192.0.2.1" address=127.0.0.1' in line


async def test_an_account_is_made_used_changed_and_removed(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        wire = await stranger(wires, server)
        await wire.ask(ASK)
        await wire.ask(FORM, type="set", to=DOMAIN)
        # the same connection goes on to log in
        await wire.authenticate("bill", "Calliope is a muse")
        features = await wire.open()
        assert features.child("csi", "urn:xmpp:csi:0") is not None
        assert features.child("register", "http://jabber.org/features/iq-register") is None
        await wire.bind("globe")
        other = wires.keep(await Wire.login(server, "bill/home", password="Calliope is a muse"))
        await wire.ask(FORM.replace("Calliope", "Thalia"), type="set", to=DOMAIN)
        assert await other.error() == "reset"
        with pytest.raises(LoginFailed):
            await Wire.login(server, "bill", password="Calliope is a muse")
        other = wires.keep(await Wire.login(server, "bill/home", password="Thalia is a muse"))
        await wire.ask("<query xmlns='jabber:iq:register'><remove/></query>", type="set")
        assert await wire.error() == "not-authorized"
        assert await other.error() == "not-authorized"
        with pytest.raises(LoginFailed):
            await Wire.login(server, "bill", password="Thalia is a muse")


async def test_who_asked_for_the_form_has_time_but_not_for_ever(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        begun = time.monotonic()
        idle, slow = await stranger(wires, server), await stranger(wires, server)
        await slow.ask(ASK)
        assert await idle.error() == "connection-timeout"
        assert time.monotonic() - begun < 3.9
        await slow.ask(ASK)  # gives no more time than the first did
        assert await slow.error() == "connection-timeout"
        assert 3.9 < time.monotonic() - begun < 5.8


async def test_an_iq_of_a_stranger_ends_the_stream_where_registration_is_closed(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    with server.running():
        async with Wires(server) as wires:
            wire = wires.keep(await Wire.connect(server.c2s_tls, tls=server.client_tls()))
            features = await wire.open()
            assert features.child("register", "http://jabber.org/features/iq-register") is None
            await wire.send(f"<iq type='get' id='1'>{ASK}</iq>")
            assert await wire.error() == "not-authorized"


async def test_states_of_a_client_are_no_stanzas_but_understood(server: ServerProcess) -> None:
    """XEP-0352#indication, and RFC 6120#4.9.3.24 for what nobody understands."""
    async with Wires(server) as wires:
        wire = await stranger(wires, server)
        await wire.ask(FORM.replace("bill", "anne"), type="set")
        await wire.authenticate("anne", "Calliope is a muse")
        await wire.open()
        await wire.bind()
        await wire.send("<inactive xmlns='urn:xmpp:csi:0'/><active xmlns='urn:xmpp:csi:0'/>")
        await wire.ping()
        await wire.send("<hyperactive xmlns='urn:xmpp:csi:0'/>")
        assert await wire.error() == "unsupported-stanza-type"
