"""Which extensions there are: those that come with the server, and those that other packages bring."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from xmppd.config import Config
from xmppd.config.decode import fields
from xmppd.config.load import Extensions
from xmppd.config.sample import ExtensionSection
from xmppd.errors import ConfigError
from xmppd.extension import Extension
from xmppd.extensions.table import EXTENSIONS
from xmppd.routing.pipeline import Registration
from xmppd.storage.open import open_stores

_GROUP: Final = "xmppd.extensions"


def known() -> tuple[Extension[Any], ...]:
    """Every extension; ``ConfigError`` where two have one name, or a package brings something that cannot be used."""
    found = {extension.name: extension for extension in EXTENSIONS}
    for entry in entry_points(group=_GROUP):
        try:
            extension = entry.load()
        except (ImportError, AttributeError, SyntaxError) as err:
            raise ConfigError(
                f"the extension {entry.name} = {entry.value} cannot be loaded: {type(err).__name__}: {err}; "
                "mend or uninstall its package"
            ) from err
        if not isinstance(extension, Extension):
            raise ConfigError(
                f"the entry point {entry.name} = {entry.value} is no extension; uninstall its package"
            )
        if missing := [name for name, field in fields(extension.config).items() if field.required]:
            raise ConfigError(
                f"the extension {entry.name} = {entry.value} has no default for its option {missing[0]}; "
                "mend or uninstall its package"
            )
        if extension.name in found:
            raise ConfigError(
                f"the extension {extension.name} of {entry.value} is there already; uninstall its package"
            )
        found[extension.name] = extension
    return tuple(found.values())


def options() -> Extensions:
    """The Struct of each extension's options by the extension's name."""
    return {extension.name: extension.config for extension in known()}


def sections() -> list[ExtensionSection]:
    """What each extension has in the configuration file."""
    return [
        ExtensionSection(each.name, f"{_reference(each)}{each.summary}", each.enabled, each.config)
        for each in known()
    ]


def _reference(extension: Extension[Any]) -> str:
    return f"XEP-{extension.xep}: " if extension.xep else ""


async def registrations(config: Config) -> Sequence[Registration]:
    """Who acts at which stage under ``config``: a node is built for it, on a storage in memory, and thrown away."""
    from xmppd.node import build  # here, because the other commands start faster without it

    stores = await open_stores("sqlite::memory:", config.data_dir)
    try:
        node = await build(config, stores, known())
        await node.aclose()
        return node.core.pipeline.registrations
    finally:
        await stores.close()
