"""What setup.cfg cannot say: with XMPPD_COMPILE=1 the way of a message is compiled by mypyc.

The program is the same: each module is there as Python too, and is what runs where nothing was compiled. A C compiler
and Python's headers are needed. docs/how-to/compile.md says what it is worth.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from setuptools import setup

# What runs for each message, delivery or presence, by how much it takes (`make bench`); whatever else an extension
# does stays Python, and need not follow mypyc's rules: docs/architecture.md, "Compiled".
COMPILED = (
    "xmppd/im/archivable.py",
    "xmppd/im/archiver.py",
    "xmppd/im/delivery.py",
    "xmppd/im/forgeries.py",
    "xmppd/im/inbound.py",
    "xmppd/im/mailbox.py",
    "xmppd/im/messages.py",
    "xmppd/im/resends.py",
    "xmppd/im/stanza_ids.py",
    "xmppd/im/takers.py",
    "xmppd/jid.py",
    "xmppd/net/transport.py",
    "xmppd/routing/pipeline.py",
    "xmppd/routing/router.py",
    "xmppd/routing/ticket.py",
    "xmppd/sessions/account.py",
    "xmppd/sessions/accounts.py",
    "xmppd/sessions/c2s.py",
    "xmppd/sessions/cache.py",
    "xmppd/sessions/fairness.py",
    "xmppd/sessions/nonzas.py",
    "xmppd/sessions/session.py",
    "xmppd/stanza.py",
    "xmppd/storage/packing.py",
    "xmppd/storage/postgres/batch.py",
    "xmppd/stream/bound.py",
    "xmppd/stream/management.py",
    "xmppd/xml/element.py",
    "xmppd/xml/parser.py",
)


def compiled() -> dict[str, Any]:
    """What `setup` is told besides setup.cfg."""
    wish = os.environ.get("XMPPD_COMPILE", "")
    if wish in ("", "0"):
        return {}
    if wish != "1":
        sys.exit(f"XMPPD_COMPILE={wish}: it is 1 to compile, 0 or empty not to")
    wanted = {"setup_requires": ["mypy>=1.14"]}
    if "editable_wheel" in sys.argv:
        sys.exit("XMPPD_COMPILE=1 with pip install -e: what is changed later would not be what runs")
    if "bdist_wheel" not in sys.argv:
        return wanted  # pip asks what there is, and what is needed to build it
    from mypyc.build import mypycify

    # Of the checks only those that concern the code to be made: what it imports need not be installed here.
    checks = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    places = ["--explicit-package-bases", "--namespace-packages"]
    modules = mypycify([*checks, *places, *COMPILED], opt_level="2", multi_file=True)
    return {**wanted, "ext_modules": modules}


setup(**compiled())
