"""SRV records: how clients find the server of a domain (RFC 6120#3.2, XEP-0368)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

from xmppd.certificates import ascii_name
from xmppd.cli.checks.finding import Finding, ok, warn
from xmppd.config import Address, Config

_SECONDS: Final = 3.0  # for each record


@dataclass(frozen=True, slots=True)
class Srv:
    """One target of a service; ``host`` "." says that the service is not offered (RFC 2782)."""

    host: str
    port: int


class Unreachable(Exception):
    """No name server answered."""


class Resolver(Protocol):
    async def srv(self, name: str) -> Sequence[Srv]:
        """The SRV records of ``name``; none where there are none. ``Unreachable`` where nobody can tell."""


class SystemResolver(Resolver):
    """Asks the name servers that this machine is set up with."""

    async def srv(self, name: str) -> Sequence[Srv]:
        import dns.asyncresolver  # here, because it takes a quarter of the start of every command

        try:
            answer = await dns.asyncresolver.resolve(name, "SRV", lifetime=_SECONDS, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError) as err:
            raise Unreachable(str(err)) from err
        return [Srv(record.target.to_text(omit_final_dot=True) or ".", record.port) for record in answer]


async def check_dns(config: Config, resolver: Resolver) -> list[Finding]:
    """The records of every domain that can have some, asked for at the same time."""
    domains = [ascii_name(domain.domain) for domain in config.domains]
    wanted = [
        ("_xmpp-client", config.listen.c2s),
        ("_xmpps-client", config.listen.c2s_tls),
        ("_xmpp-server", None),
    ]
    public = [name for name in domains if _is_public(name)]
    local = [ok(f"DNS of {name}", "a local name has no records") for name in domains if name not in public]
    found = await asyncio.gather(
        *(_check(f"{service}._tcp.{name}", ports, resolver) for name in public for service, ports in wanted)
    )
    return [*local, *found]


def _is_public(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return "." in name and not name.endswith((".localhost", ".local", ".test", ".invalid"))
    return False


async def _check(name: str, listening: tuple[Address, ...] | None, resolver: Resolver) -> Finding:
    subject = f"DNS {name}"
    try:
        records = [record for record in await resolver.srv(name) if record.host != "."]
    except Unreachable as err:
        return warn(subject, f"no name server answers here: {err}", "run it again where there is DNS")
    told = ", ".join(f"{record.host}:{record.port}" for record in records)
    if listening is None:
        # This version speaks with no other server.
        return ok(subject, told or "there is none, so other servers look for port 5269")
    if not records:
        return _missing(subject, name, listening)
    if not listening:
        return warn(
            subject, f"it names {told}, but the server does not listen for that", f"remove {name}, or listen"
        )
    ports = {address.port for address in listening}
    if not ports.intersection(record.port for record in records):
        remedy = "correct the record, or see that the port is forwarded"
        return warn(
            subject,
            f"it names {told}, but the server listens on {', '.join(map(str, sorted(ports)))}",
            remedy,
        )
    return ok(subject, told)


def _missing(subject: str, name: str, listening: tuple[Address, ...]) -> Finding:
    port = listening[0].port if listening else 0
    if not listening:
        return ok(subject, "there is none, and none is needed")
    remedy = f"add: {name}. 3600 IN SRV 5 0 {port} HOST.  (HOST: this machine's name)"
    if name.startswith("_xmpps-"):
        return warn(subject, "there is none, so clients do not find direct TLS", remedy)
    return warn(subject, "there is none, so clients look for port 5222 of the domain's own address", remedy)
