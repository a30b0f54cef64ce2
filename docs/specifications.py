"""Which specifications the server follows, as a page for people and as DOAP (XEP-0453) for the XSF's lists.

The core's own are named here; those of extensions come from their ``EXTENSION`` objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from xml.sax.saxutils import escape

from xmppd.extension import Extension, Xep
from xmppd.extensions.table import EXTENSIONS

CORE: Final[tuple[tuple[Xep, str], ...]] = (
    (Xep(number="0012", version="2.0"), "Contacts see when somebody was last there."),
    (Xep(number="0059", version="1.0"), "Long lists come page by page."),
    (Xep(number="0160", version="1.0.1"), "Messages for people who are away are kept until they come back."),
    (Xep(number="0203", version="2.0"), "What comes late says when it was sent."),
    (
        Xep(number="0256", version="1.1"),
        "Presence that the server tells for others says since when they are away.",
    ),
    (Xep(number="0297", version="1.0"), "What is shown of the history or copied is shown as it was sent."),
    (
        Xep(number="0333", version="1.0.0", status="partial"),
        "What one device has shown is read on all.",
    ),
    (Xep(number="0334", version="1.0.0"), "Senders say what must not be kept or copied."),
    (
        Xep(number="0359", version="0.7.0"),
        "A message has the same name on every device, and nobody else can give it one.",
    ),
    (Xep(number="0368", version="1.1.0"), "Clients may connect with TLS from the first byte."),
    (Xep(number="0440", version="1.0.0"), "Clients learn which channel bindings a login may use."),
)
RFCS: Final = (6120, 6121, 7590, 7622)


def extensions_page() -> Iterator[str]:
    """The lines of docs/reference/extensions.md."""
    yield "# Extensions"
    yield ""
    yield "Each is switched by `enabled` in its section `[extensions.NAME]`; its options are in"
    yield "[configuration.md](configuration.md)."
    yield ""
    yield "| extension | implements | default | what it does |"
    yield "|---|---|---|---|"
    for each in EXTENSIONS:
        name = f"[{each.name}](configuration.md#extensions{each.name})"
        implements = "<br>".join(f"{_link(xep)} {xep.version}{_part(xep)}" for xep in xeps(each))
        yield f"| {name} | {implements} | {'on' if each.enabled else 'off'} | {each.summary} |"
    yield ""
    yield "Always there:"
    yield ""
    yield "| implements | what it does |"
    yield "|---|---|"
    for xep, summary in CORE:
        yield f"| {_link(xep)} {xep.version}{_part(xep)} | {summary} |"


def _link(xep: Xep) -> str:
    return f"[XEP-{xep.number}]({_address(xep)})"


def _part(xep: Xep) -> str:
    return "" if xep.status == "complete" else f" ({xep.status})"


def _address(xep: Xep) -> str:
    return f"https://xmpp.org/extensions/xep-{xep.number}.html"


def xeps(extension: Extension[Any]) -> tuple[Xep, ...]:
    """What ``extension`` implements; nothing where it follows no XEP."""
    if not extension.xep:
        return extension.also
    return (Xep(number=extension.xep, version=extension.version, status=extension.status), *extension.also)


def doap() -> str:
    """docs/xmppd.doap."""
    notes = dict(CORE)
    for extension in EXTENSIONS:
        notes |= dict.fromkeys(xeps(extension), extension.summary)
    return _DOAP.format(
        rfcs="\n".join(
            f"    <implements rdf:resource='https://xmpp.org/rfcs/rfc{number}.html'/>" for number in RFCS
        ),
        xeps="\n".join(
            _XEP.format(
                address=_address(xep), status=xep.status, version=escape(xep.version), note=escape(notes[xep])
            )
            for xep in sorted(notes, key=lambda xep: xep.number)
        ),
    )


_DOAP: Final = """\
<?xml version='1.0' encoding='UTF-8'?>
<!-- Made by `make docs`; change the program instead. -->
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
         xmlns='http://usefulinc.com/ns/doap#'
         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>
  <Project xml:lang='en'>
    <name>xmppd</name>
    <shortdesc xml:lang='en'>An XMPP chat server: one process, on SQLite or PostgreSQL</shortdesc>
    <license rdf:resource='https://www.apache.org/licenses/LICENSE-2.0'/>
    <language>en</language>
    <programming-language>Python</programming-language>
    <os>Linux</os>
    <os>macOS</os>
    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>
{rfcs}
{xeps}
  </Project>
</rdf:RDF>
"""
_XEP: Final = """\
    <implements>
      <xmpp:SupportedXep>
        <xmpp:xep rdf:resource='{address}'/>
        <xmpp:status>{status}</xmpp:status>
        <xmpp:version>{version}</xmpp:version>
        <xmpp:note xml:lang='en'>{note}</xmpp:note>
      </xmpp:SupportedXep>
    </implements>"""
