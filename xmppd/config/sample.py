"""The commented sample file, made from the settings themselves; `xmppd init` writes it with some filled in."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from msgspec import Struct

from xmppd.config.decode import Field, fields
from xmppd.config.model import Config
from xmppd.config.problems import quoted

_WIDTH = 100

Values = Mapping[str, object]
"""What is set, by dotted key; everything else stands in the file as a comment with its default."""


@dataclass(frozen=True, slots=True)
class ExtensionSection:
    """What stands under ``[extensions.NAME]``: a sentence, whether it is on by default, its options."""

    name: str
    summary: str
    enabled: bool
    options: type[Struct]


def sample(values: Values, extensions: Iterable[ExtensionSection]) -> str:
    """A whole ``xmppd.toml``, every setting with its sentence and what is allowed."""
    keys = fields(Config)
    del keys["extensions"]
    lines = [
        "# Settings of xmppd. What is commented out is the default. Relative paths start at this folder."
    ]
    lines += _keys({name: field for name, field in keys.items() if not field.section}, "", values)
    for name, field in keys.items():
        if field.section:
            lines += ["", *_comment(_first_line(field.section)), f"[{name}]"]
            lines += _keys(fields(field.section), f"{name}.", values)
    for section in extensions:
        lines += ["", *_comment(section.summary), f"[extensions.{section.name}]"]
        lines.append(f"# enabled = {toml(section.enabled)}")
        lines += _keys(fields(section.options), f"extensions.{section.name}.", values)
    return "\n".join(lines) + "\n"


def toml(value: object) -> str:
    """``value`` as it stands in TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}"
        case float():
            return str(value)
        case list() | tuple() | frozenset():
            return "[" + ", ".join(toml(item) for item in value) + "]"
        case _:
            return quoted(str(value))


def _keys(keys: Mapping[str, Field], prefix: str, values: Values) -> Iterator[str]:
    for name, field in keys.items():
        if field.section:
            continue  # a table inside a table: none of ours has one, and an extension documents its own
        yield ""
        yield from _comment(f"{field.description} Allowed: {field.allowed}.".strip())
        if (value := values.get(prefix + name)) is not None:
            yield f"{name} = {toml(value)}"
        else:
            yield f"# {name} = {'' if field.default is None else toml(field.default)}".rstrip()


def _first_line(section: type[Struct]) -> str:
    return (section.__doc__ or "").strip().partition("\n")[0]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
