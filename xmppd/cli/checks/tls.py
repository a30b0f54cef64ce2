"""The certificate: a pair, for every domain, in time; its key: secret."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from xmppd import certificates
from xmppd.certificates import Certificate
from xmppd.cli.checks.finding import Finding, error, ok, warn
from xmppd.clock import stamp
from xmppd.config import Config
from xmppd.errors import ConfigError

WARN_DAYS: Final = 14
_DAY: Final = 86_400
_RENEW: Final = "renew it, then send the server a SIGHUP"


def check_tls(config: Config, now: float, *, made_at_start: bool) -> Iterator[Finding]:
    """``made_at_start``: a certificate that is not there yet is no mistake."""
    certificate, key = config.tls.certificate, config.tls.key
    if certificate is None or key is None:
        yield warn(
            "certificate",
            "none is configured, so passwords and messages travel in the clear",
            "set tls.certificate",
        )
        return
    if made_at_start and not certificate.exists():
        yield ok("certificate", "it is made when the server starts")
        return
    try:
        pair = certificates.read(certificate, key)
    except ConfigError as err:
        yield error("certificate", str(err), "")
        return
    yield _names(pair, config)
    yield _time(pair, now)
    yield _mode(key)


def _names(pair: Certificate, config: Config) -> Finding:
    missing = [domain.domain for domain in config.domains if not pair.covers(domain.domain)]
    names = ", ".join(sorted(pair.names)) or "nothing"
    if missing:
        remedy = f"get one whose subjectAltName holds {', '.join(map(certificates.ascii_name, missing))}"
        return error("certificate names", f"it is for {names}, not for {', '.join(missing)}", remedy)
    if pair.self_made:
        remedy = "for a public server get one that clients know, such as Let's Encrypt's"
        return warn(
            "certificate names", f"it is for {names}, but self-made: clients ask whether to trust it", remedy
        )
    return ok("certificate names", f"it is for {names}")


def _time(pair: Certificate, now: float) -> Finding:
    days = int((pair.not_after - now) / _DAY)
    if now < pair.not_before:
        return error(
            "certificate expiry",
            f"it is not valid before {stamp(pair.not_before)}",
            "check this machine's clock",
        )
    if now >= pair.not_after:
        return error("certificate expiry", f"it expired at {stamp(pair.not_after)}", _RENEW)
    if days < WARN_DAYS:
        return warn("certificate expiry", f"it expires in {days} days, at {stamp(pair.not_after)}", _RENEW)
    return ok("certificate expiry", f"it is valid for {days} more days, until {stamp(pair.not_after)}")


def _mode(key: Path) -> Finding:
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o007:
        return error(
            "private key",
            f"{key} has mode {mode:o}: every user of this machine may read it",
            f"chmod 600 {key}",
        )
    return ok("private key", f"it fits the certificate; its mode is {mode:o}")
