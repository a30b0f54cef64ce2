"""Stands in for aggregates that are not written yet for this engine."""

from __future__ import annotations

from typing import Any, Never

from xmppd.storage.interfaces import StorageUnavailable


class _Missing:
    def __getattr__(self, name: str) -> Never:
        raise StorageUnavailable(f"this version cannot do that with PostgreSQL ({name}): use SQLite")


def missing() -> Any:
    return _Missing()
