"""Log lines: one per record, whatever is in it (DESIGN I10)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmppd.cli.logs import configure
from xmppd.config import Log
from xmppd.logs import JsonFormatter, TextFormatter, fields

HOSTILE = 'x"\n2026-01-01T00:00:00.000Z error forged: \x1b[31m\u2028\u202e\ud800 = \\'


def record(
    message: str, /, *arguments: object, error: BaseException | None = None, **about: object
) -> logging.LogRecord:
    logger = logging.getLogger("xmppd.test")
    made = logger.makeRecord(
        logger.name,
        logging.WARNING,
        __file__,
        1,
        message,
        arguments,
        (type(error), error, error.__traceback__) if error else None,
        extra=fields(**about),
    )
    made.created = 1_790_000_000.25
    return made


def test_text() -> None:
    line = TextFormatter().format(
        record("login failed for %s", "juliet", jid="juliet@c.lit", reason="bad password", n=3)
    )
    assert line == (
        "2026-09-21T14:13:20.250Z warning xmppd.test login failed for juliet "
        'jid=juliet@c.lit reason="bad password" n=3'
    )


def test_json() -> None:
    told = json.loads(JsonFormatter().format(record("login failed", jid="juliet@c.lit", nothing=None)))
    assert told == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "warning",
        "logger": "xmppd.test",
        "message": "login failed",
        "jid": "juliet@c.lit",
    }


def test_a_field_cannot_replace_what_the_record_says_of_itself() -> None:
    assert json.loads(JsonFormatter().format(record("real", message="forged")))["message"] == "real"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@given(text=st.text() | st.just(HOSTILE))
def test_nothing_breaks_out_of_its_line(formatter: logging.Formatter, text: str) -> None:
    line = formatter.format(record("told %s", text, error=ValueError(text), value=text))
    assert line.isprintable()
    line.encode()
    if isinstance(formatter, TextFormatter):
        assert line.startswith("2026-09-21T14:13:20.250Z warning xmppd.test told ")


def test_quotes_inside_a_value_are_escaped() -> None:
    assert TextFormatter().format(record("m", v='a" b="c')).endswith(r'm v="a\" b=\"c"')


@pytest.mark.parametrize("make", [TextFormatter, JsonFormatter])
def test_a_traceback_stays_on_the_line(make: Callable[[], logging.Formatter]) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as err:
        line = make().format(record("failed", error=err))
    assert "\n" not in line
    assert "test_logs.py" in line
    assert r"ValueError: first\nsecond" in line


def test_long_values_are_cut() -> None:
    assert len(TextFormatter().format(record("m", v="x" * 10_000))) < 1_200


def test_configure_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    try:
        configure(Log(level="warning", format="json"))
        logging.getLogger("xmppd.test").info("too little")
        logging.getLogger("xmppd.test").warning("enough", extra=fields(a=1))
        configure(Log(level="info"))
        logging.getLogger("xmppd.test").info("now text")
    finally:
        root.handlers[:], level, logging.raiseExceptions = before
        root.setLevel(level)
        logging.captureWarnings(False)
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first)["a"] == "1"
    assert second.endswith("info xmppd.test now text")
    assert sys.stderr
