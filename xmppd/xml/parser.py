"""A stream of bytes to stanzas (RFC 6120#11), over Expat, sans-IO.

Bytes go in, events come out: the stream header, complete top-level elements, the stream's end, or one ``StreamError``
after which the parser takes nothing more. Any input gives one of these; nothing else is ever raised.

What a hostile peer can make this hold is bounded: the bytes of an unfinished stanza, those of an unfinished tag (so
that a peer that sends it byte by byte cannot make Expat scan it again and again), depth, attributes. DTDs, comments,
processing instructions and undeclared entities are refused (RFC 6120#11.1).

Splicing. A stanza that is only passed on need not be written again: its children's bytes are copied behind a new start
tag. ``Element.source`` holds these bytes where that is safe: the stream header declared just ``jabber:client`` and
``stream`` and the stanza's own start tag declares no prefix, so the bytes mean the same on every other stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from xml.parsers import expat

from xmppd import ns
from xmppd.errors import StreamError
from xmppd.xml.element import XML_LANG, Element

_SEPARATOR: Final = " "
_XML_LANG_EXPAT: Final = f"{ns.XML}{_SEPARATOR}lang"

# RFC 6120#4.8.5: the header nearly every client sends, as far as declarations go.
STANDARD_HEADER: Final = (
    f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}' version='1.0'>".encode()
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


class StreamParser:
    """Parses one stream. ``feed`` may be called until it returned a ``StreamEnd`` or a ``StreamError``."""

    __slots__ = (
        "_base", "_depth", "_events", "_expat", "_failed", "_prefixes", "_splice", "_stack", "_start",
        "data", "fed", "limits",
    )  # fmt: skip

    def __init__(self, limits: ParserLimits, *, primed: bool = False) -> None:
        """``primed``: behave as if the standard header had been read already."""
        self.limits = limits
        self._events: list[Event] = []
        self._stack: list[Element] = []
        self._depth = 0
        self.fed = 0  # bytes given to Expat
        self._base = 0  # the position of data[0] in what was given to Expat
        self._start = 0  # the position at which the current stanza starts
        self.data = b""  # source bytes from the current stanza's start on
        self._splice = False
        self._prefixes: dict[str | None, str] = {}
        self._failed = False
        self._expat = self._new_expat()
        if primed:
            self.feed(STANDARD_HEADER)

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
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.CharacterDataHandler = self._on_text
        parser.StartNamespaceDeclHandler = self._on_namespace
        parser.XmlDeclHandler = self._on_declaration
        parser.StartDoctypeDeclHandler = self._on_doctype
        parser.CommentHandler = self._on_comment
        parser.ProcessingInstructionHandler = self._on_instruction
        return parser

    @property
    def idle(self) -> bool:
        """True between two stanzas with nothing half read: the parser may serve another stream."""
        return self._depth == 1 and not self.data and not self._failed

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes, in order. A ``StreamError`` is always the last one."""
        parser = self._expat
        self.data = self.data + data if self.data else data
        self.fed += len(data)
        try:
            parser.Parse(data)
        except expat.ExpatError as err:
            self._fail(_stream_error(err))
        except StreamError as err:
            self._fail(err)
        except (ValueError, RecursionError):  # what pyexpat raises for bytes that are no UTF-8 in names
            self._fail(StreamError("not-well-formed"))
        else:
            self._trim(parser.CurrentByteIndex)
        events = self._events
        self._events = []
        return events

    def _fail(self, error: StreamError) -> None:
        self._failed = True
        self.data = b""
        self._events.append(error)
        self._release()

    def _release(self) -> None:
        """Break the cycle between Expat and its handlers, so that memory is freed at once and not by the collector."""
        parser = self._expat
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
        parser.StartNamespaceDeclHandler = parser.XmlDeclHandler = parser.StartDoctypeDeclHandler = None
        parser.CommentHandler = parser.ProcessingInstructionHandler = None

    close = _release

    def _trim(self, reached: int) -> None:
        """Forget the bytes of finished stanzas; check the bounds on what is unfinished."""
        fed, limits = self.fed, self.limits
        if self._depth <= 1:
            if reached == fed:
                self.data = b""
                self._base = fed
            else:
                self.data = self.data[reached - self._base :]
                self._base = reached
        if fed - reached > limits.tag_bytes:
            self._fail(StreamError("policy-violation", f"a tag is larger than {limits.tag_bytes} bytes"))
        elif len(self.data) > limits.stanza_bytes:
            self._fail(_too_big(limits))

    # Expat's handlers. One that raises ends the parse.

    def _on_start(self, name: str, attrs: dict[str, str]) -> None:
        space, _, local = name.rpartition(_SEPARATOR)
        depth = self._depth
        if depth == 0:
            self._open(space, local, attrs)
            return
        if attrs:
            if len(attrs) > self.limits.attributes:
                raise StreamError(
                    "policy-violation", f"an element has more than {self.limits.attributes} attributes"
                )
            for key in attrs:
                if _SEPARATOR in key:
                    attrs = _attributes(attrs)
                    break
        element = Element(local, space, attrs)
        if depth == 1:
            self._start = self._expat.CurrentByteIndex
        else:
            if depth > self.limits.depth:
                raise StreamError("policy-violation", f"elements are nested deeper than {self.limits.depth}")
            self._stack[-1].children.append(element)
        self._stack.append(element)
        self._depth = depth + 1

    def _on_end(self, name: str) -> None:
        depth = self._depth = self._depth - 1
        if depth > 1:
            self._stack.pop()
        elif depth == 1:
            element = self._stack.pop()
            end = self._expat.CurrentByteIndex
            if end - self._start > self.limits.stanza_bytes:
                raise _too_big(self.limits)
            if self._splice:
                self._keep_source(element, end)
            self._events.append(element)
        else:
            self._events.append(StreamEnd())

    def _on_text(self, text: str) -> None:
        if self._depth > 1:
            children = self._stack[-1].children
            if children and isinstance(children[-1], str):
                children[-1] += text
            else:
                children.append(text)
        elif text.strip(" \t\r\n"):
            # RFC 6120#4.9.3.1: between stanzas only whitespace may stand
            raise StreamError("bad-format", "text between stanzas")

    def _on_namespace(self, prefix: str | None, uri: str) -> None:
        if self._depth == 0:
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

    def _open(self, space: str, local: str, attrs: dict[str, str]) -> None:
        declared = self._prefixes
        standard = declared == {None: ns.CLIENT, "stream": ns.STREAMS}
        self._splice = standard
        self._depth = 1
        self._events.append(StreamHeader(local, space, _attributes(attrs), declared.get(None), standard))

    def _keep_source(self, element: Element, end: int) -> None:
        """Keep the bytes of the children if they mean the same on another stream."""
        if element.ns != ns.CLIENT or not element.children:
            return
        for value in element.attrs.values():
            if ">" in value:
                return  # the first ">" might stand inside an attribute
        source = self.data
        offset = self._start - self._base
        inner = source.find(b">", offset) + 1
        if source.find(b"xmlns:", offset, inner) < 0:
            element.source = source[inner : end - self._base]


def _attributes(attrs: dict[str, str]) -> dict[str, str]:
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
    return named


def _too_big(limits: ParserLimits) -> StreamError:
    return StreamError("policy-violation", f"a stanza is larger than {limits.stanza_bytes} bytes")


_CODES: Final = expat.errors.codes


def _stream_error(err: expat.ExpatError) -> StreamError:
    code = err.code
    if code == _CODES[expat.errors.XML_ERROR_UNDEFINED_ENTITY]:
        return StreamError("restricted-xml", "an entity that XML does not predefine")  # RFC 6120#11.1
    if code == _CODES[expat.errors.XML_ERROR_UNBOUND_PREFIX]:
        return StreamError("bad-namespace-prefix", "a prefix that is not declared")
    if code in (
        _CODES[expat.errors.XML_ERROR_UNKNOWN_ENCODING],
        _CODES[expat.errors.XML_ERROR_INCORRECT_ENCODING],
    ):
        return StreamError("unsupported-encoding", "streams are UTF-8")
    return StreamError("not-well-formed")
