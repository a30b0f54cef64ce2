"""Identifiers that nobody can guess: stream ids, resources, salts (RFC 6120#4.7.3, RFC 6120#13.8)."""

from __future__ import annotations

import secrets
from typing import Protocol


class Ids(Protocol):
    def token(self) -> str:
        """A fresh unguessable identifier, at least 90 bits, made of URL-safe characters."""


class RandomIds:
    def token(self) -> str:
        return secrets.token_urlsafe(12)
