"""What is different between two configurations."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from xmppd.config.model import Config


def changed(before: Config, after: Config) -> list[str]:
    """The dotted keys whose values differ, in the order of the manual."""
    keys = list(_changed(before, after, ""))
    for name, settings in after.extensions.items():
        old = before.extensions.get(name)
        if old is not None and old.enabled != settings.enabled:
            keys.append(f"extensions.{name}.enabled")
        if old is not None:
            keys += _changed(old.options, settings.options, f"extensions.{name}.")
    return keys


def _changed(before: Struct, after: Struct, prefix: str) -> Iterator[str]:
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, Struct) and isinstance(new, Struct):
            yield from _changed(old, new, f"{prefix}{name}.")
        elif old != new and prefix + name != "extensions":
            yield prefix + name
