"""What a stanza from outside must not say in the server's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from xmppd import ns
from xmppd.jid import Jid, JidError
from xmppd.stanza import Stanza
from xmppd.xml.element import Element

S = TypeVar("S", bound=Stanza)

# By namespace: the element, and the attribute in which it says whose word it is.
_SPEAKERS: Final[Mapping[str, tuple[str, str]]] = {
    ns.DELAY: ("delay", "from"),
    ns.STANZA_ID: ("stanza-id", "by"),
}


def without_forgeries(stanza: S, is_ours: Callable[[Jid], bool]) -> S:
    """``stanza`` without what claims that an entity which ``is_ours`` has delayed it (XEP-0203#security) or given it an
    id (XEP-0359#rules). The same object where there is nothing of that kind.
    """
    for child in stanza.children:
        # The name too: nearly every message has an <origin-id/>.
        if type(child) is Element and child.ns in _SPEAKERS and _SPEAKERS[child.ns][0] == child.name:
            break
    else:
        return stanza
    honest = [child for child in stanza.children if not _is_forged(child, is_ours)]
    return stanza if len(honest) == len(stanza.children) else stanza.with_children(honest)


def _is_forged(child: Element | str, is_ours: Callable[[Jid], bool]) -> bool:
    if not isinstance(child, Element) or child.ns not in _SPEAKERS:
        return False
    name, speaker = _SPEAKERS[child.ns]
    if child.name != name:
        return False
    try:
        return is_ours(Jid.parse(child.attrs[speaker]))
    except (KeyError, JidError):
        return False
