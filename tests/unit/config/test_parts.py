"""The embedded configuration, the commented sample, and what differs between two configurations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct
from msgspec.structs import replace

from xmppd.config import Address, Config, Limits, embedded, parse
from xmppd.config.changes import changed
from xmppd.config.decode import fields
from xmppd.config.problems import near_miss
from xmppd.config.sample import ExtensionSection, sample
from xmppd.config.values import parse_address
from xmppd.jid import Jid

BASE = Path("/srv/chat")


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a test."""

    size: Annotated[int, Meta(ge=1, description="How large.")] = 3


SECTION = ExtensionSection("test", "A test.", False, Options)


def test_the_embedded_configuration() -> None:
    config = embedded(BASE, {"test": Options})
    assert [str(domain) for domain in config.domains] == ["localhost"]
    assert config.data_dir == BASE / "data"
    assert config.admins == {Jid("admin", "localhost")}
    assert config.listen.c2s == (Address("127.0.0.1", 5222),)
    assert config.listen.c2s_tls == (Address("127.0.0.1", 5223),)
    assert config.listen.http == (Address("127.0.0.1", 5280),)
    assert config.tls.certificate == BASE / "data" / "cert.pem"
    assert config.tls.key == BASE / "data" / "key.pem"
    assert config.storage.url == "sqlite:///srv/chat/data/xmppd.db"
    assert config.extensions["test"].options == Options()


def test_the_sample_means_the_defaults() -> None:
    text = sample({"domains": ["example.org"]}, [SECTION])
    assert parse(text, BASE, {"test": Options}) == parse('domains = ["example.org"]', BASE, {"test": Options})


def test_what_is_commented_out_in_the_sample_is_what_holds() -> None:
    text = sample({"domains": ["example.org"]}, [SECTION])
    opened = re.sub(r"^# (\w+ = .+)$", r"\1", text, flags=re.MULTILINE)
    config = parse(opened, BASE, {"test": Options})
    plain = parse('domains = ["example.org"]', BASE, {"test": Options})
    assert changed(plain, config) == ["extensions.test.enabled"]  # said to be off, in so many words
    assert opened.count("\nstanza_bytes = 262_144\n") == 1


def test_every_setting_has_a_sentence_and_a_range_and_stands_in_the_sample() -> None:
    text = sample({}, [])
    for name, field in fields(Config).items():
        if name == "extensions":
            continue
        for key, inner in fields(field.section).items() if field.section else [(name, field)]:
            assert inner.description.endswith("."), key
            assert inner.allowed, key
            assert re.search(rf"^#? ?{key} =", text, re.MULTILINE), key


def test_every_limit_can_be_switched_off_and_its_default_is_allowed() -> None:
    for name, field in fields(Limits).items():
        field.decode(field.default, BASE)
        assert field.decode(0, BASE) == 0, name
        with pytest.raises(ValueError):
            field.decode(-1, BASE)


@pytest.mark.parametrize("text", ["127.0.0.1:5222", "[::1]:5222", "[::]:0", "localhost:65535"])
def test_addresses_print_as_they_are_written(text: str) -> None:
    assert str(parse_address(text)) == text


def test_near_misses() -> None:
    assert near_miss("Stanza-Bytes", ["stanza_bytes", "stanza_depth"]) == "stanza_bytes"
    assert near_miss("qqq", ["stanza_bytes"]) == ""


def test_changes_are_named_by_key() -> None:
    before = parse('domains = ["a.b"]', BASE, {"test": Options})
    after = parse(
        'domains = ["a.b", "c.d"]\n[limits]\nroster_items = 7\n[extensions.test]\nenabled = true\nsize = 9',
        BASE,
        {"test": Options},
    )
    assert changed(before, before) == []
    assert changed(before, after) == [
        "domains",
        "limits.roster_items",
        "extensions.test.enabled",
        "extensions.test.size",
    ]
    assert changed(before, replace(before, log=replace(before.log, level="debug"))) == ["log.level"]
