"""XMPP addresses (RFC 7622), prepared once and immutable.

Preparing is costly (PRECIS, IDNA), so it is done at the edge: ``Jid.parse`` goes through a bounded cache, and plain
ASCII, which is nearly all there is, takes a short way.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Final

import idna
from precis_i18n import get_profile

from xmppd.errors import StanzaError

_LOCALPART = get_profile("UsernameCaseMapped")
_RESOURCE = get_profile("OpaqueString")

_CACHED_LENGTH: Final = 128  # longer addresses are not cached: a stranger must not fill memory with them
MAX_PART: Final = 1023  # RFC 7622#3.1: octets in each of the three parts
_FORBIDDEN_LOCAL: Final = frozenset("\"&'/:<>@")  # RFC 7622#3.3.1

# The short way: what is below needs no PRECIS and no IDNA and is already in canonical form.
_ASCII_LOCAL: Final = re.compile(r"[a-z0-9!#$%()*+,\-.;=?\[\\\]^_`{|}~]{1,1023}").fullmatch
_ASCII_DOMAIN: Final = re.compile(
    # no hyphens in the third and fourth place: these are A-labels or reserved
    r"(?=.{1,253}\Z)(?:(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.(?!\Z)|\Z))+"
).fullmatch
_ASCII_RESOURCE: Final = re.compile(r"[!-~](?:[ -~]{0,1021}[!-~])?").fullmatch


class JidError(ValueError):
    """The text is no address; the message says which part is wrong and why."""


class Jid:
    """``local@domain/resource``; ``local`` and ``resource`` are None when absent.

    Equal addresses compare and hash equal. ``bare`` is the address without its resource, ``wire`` the escaped UTF-8
    of the address as it stands inside single quotes in XML.
    """

    __slots__ = ("_bare", "_hash", "_text", "domain", "local", "resource", "wire")

    local: str | None
    domain: str
    resource: str | None
    wire: bytes

    def __init__(self, local: str | None, domain: str, resource: str | None = None) -> None:
        """For parts that are prepared already. Text from outside goes through ``parse`` or ``of``."""
        self.local = local
        self.domain = domain
        self.resource = resource
        text = f"{local}@{domain}" if local is not None else domain
        if resource is not None:
            text = f"{text}/{resource}"
        self._text = text
        self._hash = hash(text)
        self._bare: Jid | None = None
        self.wire = escape_attribute(text).encode()

    @staticmethod
    def parse(text: str) -> Jid:
        """The address that ``text`` stands for; ``JidError`` when there is none."""
        return _parse(text) if len(text) <= _CACHED_LENGTH else _prepare(text)

    @staticmethod
    def of(text: str) -> Jid:
        """``parse`` for text out of a stanza: ``jid-malformed`` when it is no address (RFC 6120#8.3.3.8)."""
        try:
            return Jid.parse(text)
        except JidError as err:
            raise StanzaError("jid-malformed", str(err)) from err

    @property
    def bare(self) -> Jid:
        if self.resource is None:
            return self
        bare = self._bare
        if bare is None:
            make = _make if len(self._text) <= _CACHED_LENGTH else Jid
            bare = self._bare = make(self.local, self.domain)
        return bare

    def with_resource(self, resource: str) -> Jid:
        """The same account under ``resource``, which is prepared here; ``JidError`` when it cannot be."""
        return Jid(self.local, self.domain, prepare_resource(resource))

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Jid({self._text!r})"

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Jid) and self._text == other._text)

    def __lt__(self, other: Jid) -> bool:
        return self._text < other._text

    def __reduce__(self) -> tuple[type[Jid], tuple[str | None, str, str | None]]:
        return Jid, (self.local, self.domain, self.resource)


_NO_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_PLAIN: Final = re.compile(r"[ !#-%(-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*").fullmatch
_ESCAPES: Final = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "'": "&apos;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


def only_xml(text: str) -> str:
    """``text`` with U+FFFD for each character that XML cannot hold (XML 1.0#2.2)."""
    return _NO_XML.sub("\ufffd", text)


def escape_attribute(text: str) -> str:
    """``text`` as it may stand between single quotes in XML, quotes not included; see ``only_xml``."""
    if _PLAIN(text):
        return text
    return only_xml(text).translate(_ESCAPES)


@lru_cache(maxsize=65536)
def _make(local: str | None, domain: str) -> Jid:
    return Jid(local, domain)


def _prepare(text: str) -> Jid:
    # RFC 7622#3.1: the resource is what follows the first slash, the localpart what precedes the first at-sign
    # before it.
    address, slash, resource = text.partition("/")
    before, at, after = address.partition("@")
    local, domain = (before, after) if at else (None, address)
    return Jid(
        prepare_local(local) if local is not None else None,
        prepare_domain(domain),
        prepare_resource(resource) if slash else None,
    )


_parse = lru_cache(maxsize=65536)(_prepare)


def prepare_local(text: str) -> str:
    """``text`` as a localpart (RFC 7622#3.3); ``JidError`` when it is none."""
    if _ASCII_LOCAL(text):
        return text
    local = _enforce(_LOCALPART, "localpart", text)
    if wrong := _FORBIDDEN_LOCAL.intersection(local):
        raise JidError(f"a localpart may not hold {' '.join(sorted(wrong))}")
    return local


def prepare_resource(text: str) -> str:
    """``text`` as a resourcepart (RFC 7622#3.4); ``JidError`` when it is none."""
    return text if _ASCII_RESOURCE(text) else _enforce(_RESOURCE, "resource", text)


def _enforce(profile: Any, part: str, text: str) -> str:
    if 0 < len(text) <= MAX_PART:  # looked at first, for preparing costs 2 to 6 µs a character
        try:
            prepared: str = profile.enforce(text)
        except ValueError as err:
            raise JidError(f"{text!r} is no {part}: {err}") from err
        if 0 < len(prepared.encode()) <= MAX_PART:
            return prepared
    raise JidError(f"a {part} has 1 to {MAX_PART} bytes")


def prepare_domain(text: str) -> str:
    """``text`` as a domainpart, in the form that is compared: U-labels (RFC 7622#3.2). ``JidError`` when it is none."""
    if _ASCII_DOMAIN(text):
        return text
    if not 0 < len(text) <= MAX_PART:
        raise JidError(f"a domain has 1 to {MAX_PART} bytes")
    if text[0] == "[" and text[-1] == "]" and "%" not in text:  # RFC 6874 zones mean nothing to others
        try:
            return f"[{IPv6Address(text[1:-1]).compressed}]"
        except AddressValueError as err:
            raise JidError(f"{text!r} is no IPv6 address") from err
    try:
        # RFC 7622#3.2: the root dot is no part of the address; it is looked for behind the mapping of RFC 5895
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False).removesuffix(".")
        if mapped.endswith("."):
            raise JidError(f"{text!r} is no domain: it has an empty label")
        return idna.decode(idna.encode(mapped))
    except UnicodeError as err:  # an IDNAError is one
        raise JidError(f"{text!r} is no domain: {err}") from err
