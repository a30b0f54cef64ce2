"""Every extension that comes with the server, in the order in which they are documented."""

from __future__ import annotations

from typing import Any, Final

from xmppd.extension import Extension

EXTENSIONS: Final[tuple[Extension[Any], ...]] = ()
