"""The reference is what the program says of itself."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter

from docs.generate import DOCS, REFERENCE, render
from docs.specifications import CORE, xeps
from xmppd.extensions.table import EXTENSIONS

DOAP = DOCS / "xmppd.doap"
XMPP = "{https://linkmauve.fr/ns/xmpp-doap#}"


def test_the_reference_is_up_to_date() -> None:
    files = {path: path.read_text(encoding="utf-8") for path in (*REFERENCE.iterdir(), DOAP)}
    assert files == render(), "run `make docs` and commit what it changes"


def test_every_specification_is_named_once() -> None:
    named = [xep.number for xep, _ in CORE] + [xep.number for each in EXTENSIONS for xep in xeps(each)]
    assert [number for number, times in Counter(named).items() if times > 1] == []
    # XEP-0453#extensions: xep and status are required
    listed = ElementTree.parse(DOAP).findall(f".//{XMPP}SupportedXep")
    addresses = [next(iter(each.findall(f"{XMPP}xep"))).attrib.popitem()[1] for each in listed]
    assert addresses == [f"https://xmpp.org/extensions/xep-{number}.html" for number in sorted(named)]
    assert {each.findtext(f"{XMPP}status") for each in listed} <= {"complete", "partial"}
