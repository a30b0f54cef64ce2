"""What a negotiation asks its owner to do, one at a time; each names the method of ``Negotiation`` that answers it."""

from __future__ import annotations

from dataclasses import dataclass

from xmppd.errors import StreamError
from xmppd.xml.element import Element


@dataclass(frozen=True, slots=True)
class Opened:
    """The client opened a stream. Answer: ``offer``."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Answer: send what ``take_output`` holds, do the handshake, then ``secured``."""


@dataclass(frozen=True, slots=True)
class BeginSasl:
    """``initial`` is base64, None when absent. Answer: ``challenge``, ``succeeded`` or ``failed``."""

    mechanism: str
    initial: str | None


@dataclass(frozen=True, slots=True)
class ContinueSasl:
    """``response`` is base64. Answer: as for ``BeginSasl``."""

    response: str


@dataclass(frozen=True, slots=True)
class Bind:
    """The client wants ``resource``, or any when None. Answer: ``bound`` or ``refuse``."""

    id: str
    resource: str | None


@dataclass(frozen=True, slots=True)
class Resume:
    """The client wants to go on with the stream ``previd``, of which it has handled ``h`` stanzas (XEP-0198). Answer:
    ``resumed`` or ``not_resumed``.
    """

    previd: str
    h: int


@dataclass(frozen=True, slots=True)
class EarlyIq:
    """An IQ before login (XEP-0077). Answer: ``reply``."""

    element: Element


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over. With ``error``, it is our doing; everything to be said is in ``take_output`` either
    way.
    """

    error: StreamError | None


Request = Opened | StartTls | BeginSasl | ContinueSasl | Bind | Resume | EarlyIq | Ended
