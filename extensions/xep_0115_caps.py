"""XEP-0115: Entity Capabilities, of the server: a hash of what it can do stands in its stream features, so that clients
need not ask each time. What clients say of themselves stands in their presence, which is passed on as it is.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from xmppd.extension import Extension, NoOptions, Setup
from xmppd.routing.disco import Disco, Entity, Info
from xmppd.sessions.offers import StreamInfo
from xmppd.xml.element import Element

NS: Final = "http://jabber.org/protocol/caps"
NODE: Final = "urn:x-xmppd"  # names the software, in front of the hash


def verification_string(info: Info) -> str:
    """The value of ``ver`` that stands for ``info``, by SHA-1 (XEP-0115#ver-gen)."""
    text = "".join(f"{part}<" for part in _parts(info))
    return b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _parts(info: Info) -> Iterator[str]:
    # XEP-0115#ver-gen: sorted as octets; the order of code points is that of their UTF-8
    for each in sorted(info.identities):
        yield f"{each.category}/{each.type}/{each.lang}/{each.name}"
    yield from sorted(info.features)
    for form in sorted(info.forms, key=lambda form: form.type):
        yield form.type
        for name, values in sorted(form.fields):
            yield name
            yield from sorted(values)


class Caps:
    """Hashes again when something was added to ``disco``."""

    def __init__(self, disco: Disco) -> None:
        self._disco = disco
        self._version = -1
        self._ver = ""

    def offer(self, stream: StreamInfo) -> Element | None:
        """The stream feature (XEP-0115#stream), for those who are logged in: a stranger cannot ask what it means."""
        if stream.user is None:
            return None
        return Element("c", NS, {"hash": "sha-1", "node": NODE, "ver": self._current()})

    def node(self, name: str) -> Info | None:
        """XEP-0115#discover: the answer must be one that the hash stands for, so older hashes are unknown."""
        return self._disco.info(Entity.SERVER) if name == f"{NODE}#{self._current()}" else None

    def _current(self) -> str:
        if self._version != self._disco.version:
            self._ver = verification_string(self._disco.info(Entity.SERVER))
            self._version = self._disco.version
        return self._ver


def setup(s: Setup, config: NoOptions) -> None:
    caps = Caps(s.core.disco)
    s.feature(NS)
    s.stream_feature(caps.offer)
    s.node(caps.node)


EXTENSION: Final = Extension(
    name="caps",
    xep="0115",
    version="1.6.0",
    summary="Clients learn at login what the server can do, and need not ask for what they know already.",
    config=NoOptions,
    setup=setup,
    requires=("disco",),
)
