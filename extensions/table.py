"""Every extension that comes with the server, in the order in which they are documented."""

from __future__ import annotations

from typing import Any, Final

from xmppd.extension import Extension
from xmppd.extensions import (
    xep_0030_disco,
    xep_0045_muc,
    xep_0049_private,
    xep_0054_vcard,
    xep_0077_registration,
    xep_0092_version,
    xep_0115_caps,
    xep_0128_0157_contact,
    xep_0191_blocking,
    xep_0198_stream_management,
    xep_0199_ping,
    xep_0202_time,
    xep_0280_carbons,
    xep_0313_mam,
    xep_0352_csi,
    xep_0424_retraction,
    xep_0430_inbox,
)

EXTENSIONS: Final[tuple[Extension[Any], ...]] = (
    xep_0030_disco.EXTENSION,
    xep_0045_muc.EXTENSION,
    xep_0049_private.EXTENSION,
    xep_0054_vcard.EXTENSION,
    xep_0077_registration.ACCOUNT,
    xep_0077_registration.REGISTER,
    xep_0092_version.EXTENSION,
    xep_0115_caps.EXTENSION,
    xep_0128_0157_contact.EXTENSION,
    xep_0191_blocking.EXTENSION,
    xep_0198_stream_management.EXTENSION,
    xep_0199_ping.EXTENSION,
    xep_0202_time.EXTENSION,
    xep_0280_carbons.EXTENSION,
    xep_0313_mam.EXTENSION,
    xep_0313_mam.PREFERENCES,
    xep_0352_csi.EXTENSION,
    xep_0424_retraction.EXTENSION,
    xep_0430_inbox.EXTENSION,
)
