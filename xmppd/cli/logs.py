"""Sets up logging for a server: one handler on standard error."""

from __future__ import annotations

import logging
import sys

from xmppd.config import Log
from xmppd.logs import JsonFormatter, TextFormatter


def configure(settings: Log) -> None:
    """Write records as ``settings`` say. May be called again when they change."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk under the log must not spill tracebacks
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
