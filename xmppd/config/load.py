"""From a TOML file to a ``Config``: read, decode, look at what must fit together."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from xmppd.config.decode import Decoder, fields
from xmppd.config.model import Config, ExtensionSettings, Storage
from xmppd.config.problems import BadConfig, Problem, show
from xmppd.config.values import sqlite_url
from xmppd.errors import ConfigError

FILE_NAME: Final = "xmppd.toml"
_INIT: Final = "`xmppd init DIR --domain DOMAIN` writes a configuration with a certificate"

Extensions = Mapping[str, type[Struct]]


def load(file: Path, extensions: Extensions) -> Config:
    """The configuration in ``file``; ``ConfigError`` names every mistake in it.

    ``extensions`` holds, by name, the Struct of each extension's options.
    """
    try:
        text = file.read_bytes().decode()
    except FileNotFoundError as err:
        raise ConfigError(f"{file}: there is no such file; {_INIT}") from err
    except IsADirectoryError as err:
        raise ConfigError(
            f"{file}: this is a folder; name the file in it, such as {file / FILE_NAME}"
        ) from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"{file}: it is not UTF-8 (byte {err.start}); save it as UTF-8") from err
    except OSError as err:
        raise ConfigError(f"{file}: it cannot be read: {err.strerror}; check its owner and mode") from err
    return parse(text, file.absolute().parent, extensions, name=str(file))


def parse(text: str, base: Path, extensions: Extensions, *, name: str = FILE_NAME) -> Config:
    """The configuration that ``text`` holds, with relative paths under ``base``; ``name`` stands in messages."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise BadConfig(name, [Problem("", f"no valid TOML: {err}")]) from err
    decoder = Decoder(base)
    own = tables.pop("extensions", {})
    settings = _extensions(decoder, own, extensions)
    config = decoder.table(Config, tables, elsewhere=_homes())
    if config is not None:
        config = complete(config, base)
        decoder.problems += _conflicts(config)
    if config is None or decoder.problems:
        raise BadConfig(name, decoder.problems)
    return msgspec.structs.replace(config, extensions=settings)


def complete(config: Config, base: Path) -> Config:
    """``config`` with absolute paths and with the defaults that depend on other settings."""
    data_dir = Path(base, config.data_dir).absolute()
    storage = config.storage if config.storage.url else Storage(url=sqlite_url(data_dir / "xmppd.db"))
    tls = config.tls if config.tls.key else msgspec.structs.replace(config.tls, key=config.tls.certificate)
    return msgspec.structs.replace(config, data_dir=data_dir, storage=storage, tls=tls)


def _homes() -> dict[str, str]:
    """Where each key of a section belongs, for those that were written in the wrong one."""
    sections = {name: field.section for name, field in fields(Config).items()}
    homes = {key: f"{name}.{key}" for name, section in sections.items() if section for key in fields(section)}
    return homes | {name: name for name in sections}


def _extensions(decoder: Decoder, tables: object, extensions: Extensions) -> dict[str, ExtensionSettings]:
    settings = {name: ExtensionSettings(options=options()) for name, options in extensions.items()}
    if not isinstance(tables, dict):
        decoder.problems.append(
            Problem("extensions", "it is no table", show(tables), "sections [extensions.NAME]")
        )
        return settings
    for name, table in tables.items():
        key = f"extensions.{name}"
        if name not in extensions:
            decoder.unknown(key, extensions, what="unknown extension")
        elif not isinstance(table, dict):
            decoder.problems.append(Problem(key, "it is no table", show(table), f"a section [{key}]"))
        else:
            settings[name] = _extension(decoder, key, table, extensions[name])
    return settings


def _extension(decoder: Decoder, key: str, table: dict[str, Any], options: type[Struct]) -> ExtensionSettings:
    enabled = table.pop("enabled", None)
    if enabled is not None and not isinstance(enabled, bool):
        decoder.problems.append(Problem(f"{key}.enabled", "wrong type", show(enabled), "true or false"))
        enabled = None
    return ExtensionSettings(
        options=decoder.table(options, table, key, elsewhere={"enable": f"{key}.enabled"}) or options(),
        enabled=enabled,
    )


def _conflicts(config: Config) -> list[Problem]:
    """What is wrong although each value by itself is right."""
    problems = []
    listen, tls = config.listen, config.tls
    for address, times in Counter((*listen.c2s, *listen.c2s_tls, *listen.http)).items():
        if times > 1 and address.port:
            problems.append(
                Problem("listen", f'"{address}" is listed for two services', remedy="give each its own port")
            )
    if tls.certificate is None:
        remedy = f"set tls.certificate and tls.key; {_INIT}"
        if listen.c2s_tls:
            problems.append(Problem("listen.c2s_tls", "there is no certificate for it", remedy=remedy))
        if listen.c2s and tls.required:
            problems.append(
                Problem("listen.c2s", "tls.required is true, but there is no certificate", remedy=remedy)
            )
        if tls.key is not None:
            problems.append(
                Problem("tls.key", "there is no certificate for it", remedy="set tls.certificate")
            )
    for admin in sorted(config.admins):
        if admin.domain not in {domain.domain for domain in config.domains}:
            served = ", ".join(str(domain) for domain in config.domains)
            problems.append(
                Problem(
                    "admins",
                    f"{str(admin)!r} is on no domain of this server",
                    allowed=f"addresses on {served}",
                )
            )
    return problems
