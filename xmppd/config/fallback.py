"""The configuration that holds where there is no file: a server on localhost to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from xmppd.config.load import Extensions, complete
from xmppd.config.model import Config, ExtensionSettings, Listen, Tls
from xmppd.config.values import Address
from xmppd.jid import Jid

ADMIN: Final = Jid("admin", "localhost")
CERTIFICATE: Final = "cert.pem"
KEY: Final = "key.pem"


def embedded(base: Path, extensions: Extensions) -> Config:
    """Domain localhost, everything in ``base/data``. The caller makes the certificate and the account ``ADMIN``."""
    data = base.absolute() / "data"
    config = Config(
        domains=(Jid(None, "localhost"),),
        data_dir=data,
        admins=frozenset({ADMIN}),
        listen=Listen(
            c2s=(Address("127.0.0.1", 5222),),
            c2s_tls=(Address("127.0.0.1", 5223),),
            http=(Address("127.0.0.1", 5280),),
        ),
        tls=Tls(certificate=data / CERTIFICATE, key=data / KEY),
        extensions={name: ExtensionSettings(options=options()) for name, options in extensions.items()},
    )
    return complete(config, base)
