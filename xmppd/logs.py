"""Log records as single lines: ``time level logger message key=value ...``, or the same as a JSON object.

What comes from outside goes into fields, ``log.info("login failed", extra=fields(jid=jid))``, never into the message.
Whatever it holds, it stays in its place: control characters and quotes are escaped (DESIGN I10). Bodies and secrets are
not logged at all.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Mapping
from typing import Final

from xmppd.clock import stamp

_BARE: Final = re.compile(r"[\w.:/@+\-\[\]]+", re.ASCII).fullmatch
_LONGEST: Final = 1_000  # characters of one value; a traceback may be ten times as long

# asyncio adds attributes to records too, so that fields have a place of their own in a record.
_FIELDS: Final = "xmppd_fields"


def fields(**values: object) -> Mapping[str, object]:
    """For ``extra=``: what the record is about, by name. Only ``str(value)`` of each is kept."""
    return {_FIELDS: {name: str(value) for name, value in values.items() if value is not None}}


class TextFormatter(logging.Formatter):
    """``2026-07-01T12:00:00.250Z info xmppd.server message key=value key="other value"``."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [stamp(record.created), record.levelname.lower(), record.name, one_line(record.getMessage())]
        parts += [f"{name}={_value(value)}" for name, value in _record_fields(record).items()]
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """The same as an object with ``time``, ``level``, ``logger``, ``message`` and one member for each field."""

    def format(self, record: logging.LogRecord) -> str:
        known = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(_record_fields(record) | known)


def one_line(text: str) -> str:
    """``text`` with everything escaped that could end a line or move the cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()


def _record_fields(record: logging.LogRecord) -> dict[str, str]:
    found: Mapping[str, str] = getattr(record, _FIELDS, {})
    result = {name: value[:_LONGEST] for name, value in found.items()}
    if record.exc_info and record.exc_info[0] is not None:
        result["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-10 * _LONGEST :]
    return result


def _value(text: str) -> str:
    if _BARE(text):
        return text
    return '"' + one_line(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
