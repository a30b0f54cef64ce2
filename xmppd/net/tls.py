"""Server certificates: loaded from files, replaced without touching the connections that use the old one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from xmppd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ServerTls:
    """A context to accept TLS with, and the certificate (DER) that it serves."""

    context: ssl.SSLContext
    certificate: bytes


def load(certificate: Path, key: Path | None) -> ServerTls:
    """TLS 1.2 and 1.3 with the PEM chain in ``certificate``; ``key`` None: it is in the same file.

    ``ConfigError`` names the file and what is wrong with it.
    """
    key = key or certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 7590#3, RFC 9325#4.2: forward secrecy and authenticated encryption only
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!PSK")
    # RFC 7590#3.3: no compression. XMPP streams are long and clients hardly ever resume TLS, so tickets only
    # cost CPU and bytes.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    # XEP-0368#rules: a client that sends ALPN asks for xmpp-client; others are served all the same
    context.set_alpn_protocols(["xmpp-client"])
    try:
        context.load_cert_chain(certificate, key)
    except FileNotFoundError as err:
        missing = next((path for path in (certificate, key) if not path.exists()), certificate)
        raise ConfigError(
            f"[tls]: there is no file {missing}; `xmppd init` makes a certificate, "
            "or name yours in [tls] certificate and key"
        ) from err
    except ssl.SSLError as err:
        raise ConfigError(
            f"[tls]: {certificate} and {key} are not a PEM certificate chain and its private key ({err.reason or err})"
        ) from err
    except OSError as err:
        raise ConfigError(f"[tls]: {certificate} or {key} cannot be read: {err.strerror}") from err
    first = certificate.read_text().partition("-----END CERTIFICATE-----")
    pem = first[0][first[0].index("-----BEGIN CERTIFICATE-----") :] + first[1]
    return ServerTls(context, ssl.PEM_cert_to_DER_cert(pem))


class Certificates:
    """The certificate that new connections get. ``reload`` replaces it; a bad file leaves the old one in
    force.
    """

    def __init__(self, certificate: Path, key: Path | None) -> None:
        self.current = load(certificate, key)

    def reload(self, certificate: Path, key: Path | None) -> None:
        """Read these files, the old ones again or others; ``ConfigError`` where they are not usable."""
        self.current = load(certificate, key)
