"""Writes docs/reference and docs/xmppd.doap from the program itself (`make docs`); tests/test_docs.py fails where they
differ.

`render()` gives each file's text by its path, without writing anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from docs.commands import commands_page
from docs.specifications import doap, extensions_page
from xmppd.cli.extensions import sections
from xmppd.config import Config
from xmppd.config.decode import Field, fields
from xmppd.config.sample import sample

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
HEAD = "<!-- Made by `make docs`; change the program instead. -->\n\n"


def configuration() -> str:
    """One table of keys for each table of the configuration file."""
    keys = fields(Config)
    del keys["extensions"]  # each brings its own table, see below
    lines = [
        "# Configuration",
        "",
        "`xmppd.toml`; relative paths start at its folder. Unknown keys are errors.",
        "",
    ]
    lines += table({name: field for name, field in keys.items() if not field.section})
    for name, field in keys.items():
        if field.section:
            lines += ["", f"## [{name}]", "", first_line(field.section), "", *table(fields(field.section))]
    for extension in sections():
        on = "on" if extension.enabled else "off"
        lines += [
            "",
            f"## [extensions.{extension.name}]",
            "",
            f"{extension.summary} `enabled`: {on} by default.",
        ]
        if options := fields(extension.options):
            lines += ["", *table(options)]
    return HEAD + "\n".join(lines) + "\n"


def table(keys: dict[str, Field]) -> Iterator[str]:
    yield "| key | allowed | default | what it does |"
    yield "|---|---|---|---|"
    for name, field in keys.items():
        default = "required" if field.required else written(field.default)
        cells = (f"`{name}`", field.allowed, default, field.description)
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def written(value: object) -> str:
    """A default as it would stand in the file; empty where there is none to write."""
    match value:
        case None:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{value:_}`"
        case tuple() | frozenset():
            return "`[" + ", ".join(f'"{item}"' for item in value) + "]`" if value else ""
        case _:
            return f'`"{value}"`'


def first_line(section: type[Struct]) -> str:
    return (section.__doc__ or "").strip().partition("\n")[0]


def render() -> dict[Path, str]:
    return {
        REFERENCE / "cli.md": HEAD + "\n".join(commands_page()) + "\n",
        REFERENCE / "configuration.md": configuration(),
        REFERENCE / "extensions.md": HEAD + "\n".join(extensions_page()) + "\n",
        REFERENCE / "xmppd.toml": sample({"domains": ["example.org"]}, sections()),
        DOCS / "xmppd.doap": doap(),
    }


def main() -> None:
    REFERENCE.mkdir(exist_ok=True)
    for path, text in render().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
