"""`xmppd init`: a folder with everything a server needs to start."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from xmppd import certificates
from xmppd.cli.extensions import sections
from xmppd.cli.run import ConfigFile, Json, Run, alone
from xmppd.config import FILE_NAME
from xmppd.config.fallback import CERTIFICATE, KEY
from xmppd.config.sample import sample
from xmppd.errors import UserError
from xmppd.jid import Jid, JidError


def domain_address(text: str) -> Jid:
    """A domain; ``typer.BadParameter`` for anything else."""
    try:
        jid = Jid.parse(text)
    except JidError as err:
        raise typer.BadParameter(str(err)) from err
    if jid.local is not None or jid.resource is not None:
        raise typer.BadParameter(f"{text!r} is more than a domain")
    return jid


def build() -> typer.Typer:
    return alone("init", init)


def init(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to put it; made when it is not there.")
    ],
    domain: Annotated[
        list[Jid],
        typer.Option(
            "--domain",
            metavar="D",
            parser=domain_address,
            help="A domain to serve; may be repeated.",
        ),
    ],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Overwrite the configuration and the certificate.")
    ] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Write a configuration, a self-made certificate and a folder for data. Never touches data that is there."""
    run = Run.of(context, config, json)
    domains = list(dict.fromkeys(domain))
    file, certificate, key, data = (folder / name for name in (FILE_NAME, CERTIFICATE, KEY, "data"))
    there = [str(path) for path in (file, certificate, key) if path.exists()]
    if there and not yes:
        raise UserError(
            f"{', '.join(there)}: there already; --yes overwrites the configuration and the certificate"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data.mkdir(mode=0o700, exist_ok=True)
        certificates.write(certificate, key, [one.domain for one in domains])
        file.write_text(sample(_values(domains), sections()), encoding="utf-8")
    except OSError as err:
        raise UserError(f"{err.filename or folder} cannot be written: {err.strerror}") from err
    result = {
        "config": str(file.absolute()),
        "certificate": str(certificate.absolute()),
        "key": str(key.absolute()),
        "data_dir": str(data.absolute()),
        "domains": [str(one) for one in domains],
    }
    run.answer(result, _next_steps(file, domains[0]))


def _values(domains: list[Jid]) -> dict[str, object]:
    everywhere = "127.0.0.1" if all(domain.domain == "localhost" for domain in domains) else _any_address()
    return {
        "domains": [str(domain) for domain in domains],
        "data_dir": "data",
        "admins": [f"admin@{domains[0]}"],
        "listen.c2s": [f"{everywhere}:5222"],
        "listen.c2s_tls": [f"{everywhere}:5223"],
        "listen.http": ["127.0.0.1:5280"],
        "tls.certificate": CERTIFICATE,
        "tls.key": KEY,
    }


def _any_address() -> str:
    """Every address of this machine: [::] takes IPv4 too, where the system has IPv6 at all."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return "[::]"


def _next_steps(file: Path, domain: Jid) -> str:
    place = file if file.parent.name or file.is_absolute() else os.path.join(".", file)
    return (
        f"wrote {place}, with a self-made certificate for {domain}\n"
        f"next: xmppd user add admin@{domain} -c {place}\n"
        f"      xmppd check -c {place}\n"
        f"      xmppd serve -c {place}"
    )
