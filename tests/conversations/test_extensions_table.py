"""The extensions as a whole: each can be switched on and off by itself, and a mistake in wiring does not start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.harness import Harness
from xmppd.errors import ConfigError
from xmppd.extension import Extension, NoOptions, Setup
from xmppd.extensions import xep_0030_disco, xep_0115_caps, xep_0199_ping
from xmppd.extensions.table import EXTENSIONS
from xmppd.node import Node
from xmppd.routing.disco import Entity, Form
from xmppd.routing.iq import At
from xmppd.sessions.offers import StreamInfo
from xmppd.xml.element import Element

BY_NAME = {extension.name: extension for extension in EXTENSIONS}
TO = {
    At.SERVER: "capulet.lit",
    At.OWN: "juliet@capulet.lit",
    At.ACCOUNT: "romeo@capulet.lit",
    At.NOBODY: "x@capulet.lit",
}
each = pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda extension: extension.name)


def with_required(extension: Extension[Any]) -> Iterator[Extension[Any]]:
    for name in extension.requires:
        yield from with_required(BY_NAME[name])
    yield extension


def without(extension: Extension[Any]) -> list[Extension[Any]]:
    """All that work without ``extension``."""
    return [other for other in EXTENSIONS if extension not in with_required(other)]


def switches(on: list[Extension[Any]]) -> str:
    return "\n".join(
        f"[extensions.{extension.name}]\nenabled = {str(extension in on).lower()}" for extension in EXTENSIONS
    )


def owners(node: Node) -> set[str]:
    """Who has registered anything that acts on stanzas."""
    acting = {registration.owner for registration in node.core.pipeline.registrations}
    return acting | {owner for _, _, _, owner in node.core.iqs.describe()}


def features(node: Node) -> set[str]:
    return {feature for entity in Entity for feature in node.core.disco.info(entity).features}


def test_names_and_specifications_are_unique() -> None:
    assert len(BY_NAME) == len(EXTENSIONS)
    numbers = [extension.xep for extension in EXTENSIONS if extension.xep]
    assert len(set(numbers)) == len(numbers)
    assert all(len(number) == 4 and number.isdigit() for number in numbers)


@each
def test_what_it_requires_exists(extension: Extension[Any]) -> None:
    assert BY_NAME.keys() >= set(extension.requires)


@each
async def test_it_starts_alone(extension: Extension[Any]) -> None:
    needed = list(with_required(extension))
    async with Harness("capulet.lit", toml=switches(needed)) as server:
        assert {setup.owner for setup in server.node.setups} == {other.name for other in needed}


async def test_all_start_together_and_say_what_they_registered() -> None:
    async with Harness("capulet.lit", toml=switches(list(EXTENSIONS))) as server:
        assert {setup.owner for setup in server.node.setups} == BY_NAME.keys()
        silent = [setup.owner for setup in server.node.setups if not setup.described]
        assert silent == ["contact"]  # has nothing to tell before it is configured


@each
async def test_it_is_off_when_it_is_disabled(extension: Extension[Any]) -> None:
    async with Harness("capulet.lit", toml=switches(list(EXTENSIONS))) as server:
        with_it = server.node
        announced = {
            feature
            for setup in with_it.setups
            if setup.owner == extension.name
            for line in setup.described
            if (feature := line.removeprefix("feature ")) != line
        }
        requests = [row for row in with_it.core.iqs.describe() if row[3] == extension.name]
        assert features(with_it) >= announced
    async with Harness("capulet.lit", toml=switches(without(extension))) as server:
        assert extension.name not in owners(server.node)
        assert not features(server.node) & announced
        await server.account("romeo@capulet.lit")
        juliet = await server.client("juliet@capulet.lit/balcony")
        for type, name, at, _ in requests:
            await juliet.send(f"<iq type='{type}' to='{TO[at]}' id='1'><{name.name} xmlns='{name.ns}'/></iq>")
            juliet.expect(
                f"<iq type='error' from='{TO[at]}' to='{juliet.jid}' id='1'><error type='cancel'>"
                "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )


async def test_what_needs_a_disabled_extension_does_not_start() -> None:
    with pytest.raises(ConfigError, match=r"extensions\.caps.*needs disco.*enabled = false"):
        async with Harness("capulet.lit", toml="[extensions.disco]\nenabled = false"):
            pass


async def test_a_circle_does_not_start() -> None:
    circle = replace(xep_0030_disco.EXTENSION, requires=("caps",))
    with pytest.raises(ConfigError, match=r"extensions\.disco.*needs caps"):
        async with Harness("capulet.lit", extensions=[circle, xep_0115_caps.EXTENSION]):
            pass


TAKEN: dict[str, Callable[[Setup], None]] = {
    "iq get <ping xmlns='urn:xmpp:ping'/> to the server": lambda s: xep_0199_ping.setup(s, NoOptions()),
    "<r xmlns='urn:x'/> on a stream": lambda s: s.nonza("r", "urn:x", lambda session, element: None),
    "an IQ with <q xmlns='urn:x'/> before login": lambda s: s.early_iq("q", "urn:x", answer_early),
    "the form urn:x of the server": lambda s: s.form(Form("urn:x", ())),
}


async def answer_early(info: StreamInfo, iq: Element) -> Element:
    return iq


@pytest.mark.parametrize(("what", "take"), TAKEN.items())
async def test_two_for_the_same_do_not_start(what: str, take: Callable[[Setup], None]) -> None:
    one, two = (
        Extension(name=name, xep="", version="", summary="", config=NoOptions, setup=lambda s, _: take(s))
        for name in ("one", "two")
    )
    told = f"two and one both handle {what}; switch one of them off, as with [extensions.two] enabled = false"
    with pytest.raises(ConfigError, match=re.escape(told)):
        async with Harness("capulet.lit", extensions=[one, two]):
            pass
    async with Harness("capulet.lit", extensions=[one, two], toml="[extensions.two]\nenabled = false"):
        pass
