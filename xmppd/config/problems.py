"""What can be wrong with a configuration, as values: the command line prints them as text or as JSON."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from xmppd.errors import ConfigError

# What may be one in a URL, also in one that is not well formed: up to the last @, and in the query.
_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*:)\S*(?=@)|([?&](?:ssl)?password=)[^&\s]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. ``key`` is the dotted TOML path, "" for the whole file; ``value`` what stands there, as TOML."""

    key: str
    what: str
    value: str = ""
    allowed: str = ""
    suggestion: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.key} = {self.value}" if self.key and self.value else self.key
        text = f"{text}: {self.what}" if text else self.what
        if self.suggestion:
            text += f"; did you mean {self.suggestion}?"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.remedy:
            text += f"; {self.remedy}"
        return text


class BadConfig(ConfigError):
    """The configuration in ``file`` is wrong; ``problems`` and the text name every mistake."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{file}: {problem}" for problem in self.problems))


def show(value: object) -> str:
    """A value as it stands in TOML, shortened, without the password of a URL."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = quoted(_PASSWORD.sub(r"\1\2***", value))
    elif isinstance(value, list):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{name} = {show(item)}" for name, item in value.items()) + "}"
    else:
        text = str(value)
    return text if len(text) <= 100 else text[:97] + "..."


def quoted(text: str) -> str:
    """``text`` as a TOML string on one line."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else _escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def near_miss(text: str, known: Iterable[str]) -> str:
    """The one of ``known`` that was probably meant, or ""."""
    folded = {name.casefold().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(text.casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""
