"""A stream of bytes to stanzas (RFC 6120#11), over Expat, sans-IO.

Bytes go in, events come out: the stream header, complete top-level elements, the stream's end, or one ``StreamError``.
Any input gives one of these; nothing else is ever raised, and which ones does not depend on how the bytes are cut,
except that a bound may be noticed sooner or later, and so may one of several faults that stand side by side.

What a hostile peer can make this hold is bounded: the bytes of an unfinished stanza, those of an unfinished tag (which
Expat scans again with each piece that comes in), depth, attributes. Expat keeps every name that it has ever seen, so
it is replaced by a fresh one now and then. DTDs, comments, processing instructions and undeclared entities are refused
(RFC 6120#11.1).

Splicing. A stanza that is only passed on need not be written again: its children's bytes are copied behind a new start
tag. ``Element.source`` holds these bytes where that is safe: the stream header declared just ``jabber:client`` and
``stream`` and the stanza's own start tag declares no prefix, so the bytes mean the same on every other stream.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any, Final
from xml.parsers import expat

from xmppd import ns
from xmppd.errors import StreamError
from xmppd.jid import escape_attribute
from xmppd.xml.element import XML_LANG, Element, join_texts
from xmppd.xml.malformed import stream_error

_SEPARATOR: Final = " "
_XML_LANG_EXPAT: Final = f"{ns.XML}{_SEPARATOR}lang"

# RFC 6120#4.8.5: the header nearly every client sends, as far as declarations go.
STANDARD_HEADER: Final = (
    f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}' version='1.0'>".encode()
)
_STANDARD: Final = {None: ns.CLIENT, "stream": ns.STREAMS}

# Expat is replaced at the first boundary behind so many bytes: 9 µs, against 95 MB that 4 MiB of ever new names cost.
_EXPAT_BYTES: Final = 65_536
_PIECE: Final = (
    4096  # texts that are read in pieces are joined at once up to this length, and at the end beyond it
)


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """Bounds on what one stream may make the parser hold."""

    stanza_bytes: int = 262_144
    tag_bytes: int = 32_768
    depth: int = 64
    attributes: int = 128


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """The opening tag of a stream. ``standard``: it declared just the usual namespaces, so sources may be spliced."""

    name: str
    ns: str
    attrs: dict[str, str]
    default_ns: str | None
    standard: bool


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The peer closed its stream with ``</stream:stream>``."""


Event = Element | StreamHeader | StreamEnd | StreamError


class _StreamClosed(Exception):
    """Leaves Expat at the end of the stream: whatever follows is nobody's."""


class StreamParser:
    """Parses one stream. After a ``StreamEnd`` or a ``StreamError`` nothing more comes out."""

    __slots__ = (
        "_base", "_data", "_events", "_expat", "_fed", "_header", "_names", "_over", "_pieces", "_plain", "_prefixes",
        "_stack", "_stanza", "_start", "limits", "standard",
    )  # fmt: skip

    def __init__(self, limits: ParserLimits, *, primed: bool = False) -> None:
        """``primed``: behave as if the standard header had been read already."""
        self.limits = limits
        self.standard = primed
        self._events: list[Event] = []
        # The open stanza; when there is one, the stack holds its children and those of each open element inside it.
        self._stanza: Element | None = None
        self._stack: list[list[Element | str]] = []
        # Positions in what was given to Expat: its end, that of _data[0], and that of the open stanza.
        self._fed: int
        self._base: int
        self._start = 0
        # The source from the open stanza's or the unfinished tag's start on.
        self._data: bytes | bytearray = b""
        # Expat's name of each element as its name and namespace; the names of attributes that have no namespace.
        self._names: dict[str, tuple[str, str]] = {}
        self._plain: set[str] = set()
        # What the header declares, and what puts a fresh Expat behind it; empty before the header.
        self._prefixes: dict[str | None, str | None] = {}
        self._header = b""
        self._pieces = False  # whether a text of the open stanza is in more than one piece
        self._over = False
        if primed:
            self._header = STANDARD_HEADER
            self._renew()
        else:
            self._expat = self._new_expat()
            self._attach(self._on_root, self._on_namespace)

    def _new_expat(self) -> Any:
        parser = expat.ParserCreate("UTF-8", _SEPARATOR)
        parser.buffer_text = True
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # Expat 2.6 and later hold back a start tag that came in two reads until more bytes follow.
            parser.SetReparseDeferralEnabled(False)
        elif expat.version_info >= (2, 6, 0):
            raise RuntimeError(
                f"this Python ({expat.EXPAT_VERSION}) defers parsing and offers no way to turn that off; "
                "use Python 3.11.8, 3.12.2, 3.13 or newer"
            )
        # Whatever encoding it is told, Expat looks for UTF-16 at the very start; this mark settles it.
        parser.Parse(codecs.BOM_UTF8)
        self._fed = self._base = len(codecs.BOM_UTF8)
        return parser

    def _attach(self, on_start: Any, on_namespace: Any = None) -> None:
        parser = self._expat
        parser.StartElementHandler = on_start
        parser.EndElementHandler = self._on_end
        parser.CharacterDataHandler = self._on_text
        parser.StartNamespaceDeclHandler = on_namespace
        parser.XmlDeclHandler = self._on_declaration
        parser.StartDoctypeDeclHandler = self._on_doctype
        parser.CommentHandler = self._on_comment
        parser.ProcessingInstructionHandler = self._on_instruction
        parser.StartCdataSectionHandler = self._on_cdata

    def _detach(self) -> None:
        # Breaks the cycle between Expat and its handlers, so that memory is freed at once and not by the collector.
        parser = self._expat
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
        parser.StartNamespaceDeclHandler = parser.XmlDeclHandler = parser.StartDoctypeDeclHandler = None
        parser.CommentHandler = parser.ProcessingInstructionHandler = parser.StartCdataSectionHandler = None

    def close(self) -> None:
        """Free what the parser holds; nothing more comes out."""
        self._over = True
        self._data = b""
        self._stack.clear()
        self._detach()

    def _renew(self) -> None:
        """A fresh Expat, behind the same header."""
        self._expat = self._new_expat()
        self._expat.Parse(self._header)
        self._attach(self._on_start)
        self._fed = self._base = self._fed + len(self._header)
        self._names.clear()
        self._plain.clear()

    @property
    def idle(self) -> bool:
        """True between two stanzas with nothing half read: the parser may serve another stream."""
        return not self._data and not self._over and bool(self._header)

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes, in order. A ``StreamError`` or ``StreamEnd`` is always the last one."""
        if self._over:
            return []
        if not self._data:
            self._data = data
        elif isinstance(self._data, bytearray):
            self._data += data
        else:
            self._data = bytearray(self._data)
            self._data += data
        self._fed += len(data)
        parser = self._expat
        try:
            parser.Parse(data)
        except expat.ExpatError as err:
            self._finish(self._malformed(err.code))
        except StreamError as err:
            self._finish(err)
        except _StreamClosed:
            self._finish(StreamEnd())
        except ValueError:  # an Expat before 2.4.5 lets bytes through that are no UTF-8
            self._finish(StreamError("unsupported-encoding"))
        else:
            reached = parser.CurrentByteIndex
            if self._stack or reached != self._fed:
                self._trim(reached)
            else:
                self._data = b""
                self._base = reached
                if reached > _EXPAT_BYTES and self._header:
                    self._detach()
                    self._renew()
        events = self._events
        self._events = []
        return events

    def _finish(self, event: StreamError | StreamEnd) -> None:
        self.close()
        self._events.append(event)

    def _trim(self, reached: int) -> None:
        """Forget the bytes of finished stanzas; check the bounds on what is unfinished. ``reached``: its last tag."""
        keep = self._start if self._stack else reached
        if keep > self._base:
            self._data = self._data[keep - self._base :]
            self._base = keep
        limits = self.limits
        if self._fed - reached > limits.tag_bytes:
            self._finish(StreamError("policy-violation", f"a tag is larger than {limits.tag_bytes} bytes"))
        elif len(self._data) > limits.stanza_bytes:
            self._finish(_too_big(limits))

    # Expat's handlers. One that raises ends the parse.

    def _on_root(self, name: str, attrs: dict[str, str]) -> None:
        space, _, local = name.rpartition(_SEPARATOR)
        if len(attrs) > self.limits.attributes:
            raise _too_many(self.limits)
        declared = self._prefixes
        self.standard = declared == _STANDARD
        self._header = self._header_again()
        parser = self._expat
        parser.StartElementHandler = self._on_start
        parser.StartNamespaceDeclHandler = None
        default = declared.get(None)
        self._events.append(StreamHeader(local, space, self._attributes(attrs), default, self.standard))

    def _header_again(self) -> bytes:
        """The open tag of the stream without its attributes: its name and what it declares."""
        tag = _TAG_NAME.match(self._data, self._expat.CurrentByteIndex - self._base)
        assert tag is not None
        declarations = "".join(
            f" xmlns{':' if prefix else ''}{prefix or ''}='{escape_attribute(uri)}'"
            for prefix, uri in self._prefixes.items()
            if uri is not None
        )
        return b"%b%b>" % (tag[0], declarations.encode())

    def _on_start(self, name: str, attrs: dict[str, str]) -> None:
        try:
            local, space = self._names[name]
        except KeyError:
            space, _, local = name.rpartition(_SEPARATOR)
            if space == ns.CLIENT:
                space = ns.CLIENT  # the same object, so that comparing it later is comparing pointers
            self._names[name] = local, space
        if attrs:
            if len(attrs) > self.limits.attributes:
                raise _too_many(self.limits)
            plain = self._plain
            for key in attrs:
                if key not in plain:
                    attrs = self._attributes(attrs)
                    break
        children: list[Element | str] = []
        element = Element(local, space, attrs, children)
        stack = self._stack
        if stack:
            if len(stack) >= self.limits.depth:
                raise StreamError("policy-violation", f"elements are nested deeper than {self.limits.depth}")
            stack[-1].append(element)
        else:
            self._stanza = element
            self._start = self._expat.CurrentByteIndex
        stack.append(children)

    def _on_end(self, name: str) -> None:
        stack = self._stack
        if len(stack) > 1:
            del stack[-1]
            return
        if not stack:
            raise _StreamClosed
        del stack[-1]
        stanza = self._stanza
        assert stanza is not None
        self._stanza = None  # a shared parser may stand idle for long
        end = self._expat.CurrentByteIndex
        if end - self._start > self.limits.stanza_bytes:
            raise _too_big(self.limits)
        if self._pieces:
            join_texts(stanza)
            self._pieces = False
        if self.standard and stanza.ns == ns.CLIENT and stanza.children:
            self._keep_source(stanza, end)
        self._events.append(stanza)

    def _on_text(self, text: str) -> None:
        stack = self._stack
        if stack:
            children = stack[-1]
            if not children or not isinstance(children[-1], str):
                children.append(text)
            elif len(children[-1]) < _PIECE:
                children[-1] += text
            else:
                children.append(text)
                self._pieces = True
        elif text.strip(" \t\r\n"):
            # RFC 6120#4.9.3.1: between stanzas only whitespace may stand
            raise StreamError("bad-format", "text between stanzas")

    def _on_cdata(self) -> None:
        if not self._stack:
            # Not even an empty one: a parser in the middle of it would look idle.
            raise StreamError("bad-format", "text between stanzas")

    def _on_namespace(self, prefix: str | None, uri: str | None) -> None:
        self._prefixes[prefix] = uri

    def _on_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.upper() != "UTF-8":
            # RFC 6120#11.6
            raise StreamError("unsupported-encoding", f"{encoding} is not UTF-8")

    def _on_doctype(self, *_: object) -> None:
        raise StreamError("restricted-xml", "a document type declaration")

    def _on_comment(self, _: str) -> None:
        raise StreamError("restricted-xml", "a comment")

    def _on_instruction(self, *_: str) -> None:
        raise StreamError("restricted-xml", "a processing instruction")

    def _attributes(self, attrs: dict[str, str]) -> dict[str, str]:
        """Expat's ``"namespace name"`` keys as ours."""
        named: dict[str, str] = {}
        for key, value in attrs.items():
            if key == _XML_LANG_EXPAT:
                named[XML_LANG] = value
            elif _SEPARATOR in key:
                space, _, local = key.rpartition(_SEPARATOR)
                named[f"xml:{local}" if space == ns.XML else f"{{{space}}}{local}"] = value
            else:
                named[key] = value
                self._plain.add(key)
        return named

    def _keep_source(self, stanza: Element, end: int) -> None:
        """Keep the bytes of the children if they mean the same on another stream."""
        for value in stanza.attrs.values():
            if ">" in value:
                return  # the first ">" might stand inside an attribute
        data = self._data
        offset = self._start - self._base
        inner = data.find(b">", offset) + 1
        if data.find(b":", offset, inner) >= 0 and data.find(b"xmlns:", offset, inner) >= 0:
            return
        source = data[inner : end - self._base]
        stanza.source = source if isinstance(source, bytes) else bytes(source)

    def _malformed(self, code: int) -> StreamError:
        parser = self._expat
        try:
            parser.buffer_text = False  # hands out the text in front of the fault, which may be one itself
        except StreamError as earlier:
            return earlier
        return stream_error(code, self._data, parser.ErrorByteIndex - self._base)


_TAG_NAME: Final = re.compile(rb"<[^\s/>]+")


def _too_big(limits: ParserLimits) -> StreamError:
    return StreamError("policy-violation", f"a stanza is larger than {limits.stanza_bytes} bytes")


def _too_many(limits: ParserLimits) -> StreamError:
    return StreamError("policy-violation", f"an element has more than {limits.attributes} attributes")
