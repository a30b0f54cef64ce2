"""XEP-0077: In-Band Registration. ``account`` is for users, ``register`` makes users of strangers."""

from __future__ import annotations

from typing import Final

from xmppd.extensions.xep_0077_registration import account, register

ACCOUNT: Final = account.EXTENSION
REGISTER: Final = register.EXTENSION
