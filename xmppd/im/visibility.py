"""Who may see whose presence (RFC 6121#4.3.2); other things that tell whether somebody is there follow it."""

from __future__ import annotations

from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterStore


async def may_see_presence(viewer: Jid, owner: int, rosters: RosterStore) -> bool:
    """Whether the account ``owner`` lets ``viewer`` (bare or full) see its presence: subscription from or both."""
    roster = await rosters.load(owner)
    item = roster.items.get(viewer.bare)
    return item is not None and item.sees_us
