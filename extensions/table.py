"""Every extension that comes with the server, in the order in which they are documented."""

from __future__ import annotations

from typing import Any, Final

from xmppd.extension import Extension
from xmppd.extensions import (
    xep_0030_disco,
    xep_0092_version,
    xep_0199_ping,
    xep_0202_time,
)

EXTENSIONS: Final[tuple[Extension[Any], ...]] = (
    xep_0030_disco.EXTENSION,
    xep_0092_version.EXTENSION,
    xep_0199_ping.EXTENSION,
    xep_0202_time.EXTENSION,
)
