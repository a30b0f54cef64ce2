"""TOML tables to Structs: all mistakes are found at once, each with its key, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from xmppd.config.problems import Problem, near_miss, show
from xmppd.config.shapes import allowed, least_of, meta_of, peel, wrong
from xmppd.config.values import Kind

S = TypeVar("S", bound=Struct)


class Field:
    """One key of a Struct: its bare type and what ``Annotated`` says about it."""

    def __init__(self, info: FieldInfo) -> None:
        self.name = info.encode_name
        self.annotation = info.type
        self.required = info.required
        self.default: Any = info.default_factory() if info.default_factory is not NODEFAULT else info.default
        self.type, marks = peel(info.type)
        self.kind = next((mark for mark in marks if isinstance(mark, Kind)), None)
        self.meta = meta_of(marks)

    @property
    def section(self) -> type[Struct] | None:
        """The Struct that a table of this name is decoded into; None for a plain value."""
        return self.type if isinstance(self.type, type) and issubclass(self.type, Struct) else None

    @property
    def description(self) -> str:
        return self.meta.description or ""

    @property
    def allowed(self) -> str:
        """Completes "allowed: ...": the type and the range."""
        return self.kind.allowed if self.kind else allowed(self.type, self.meta)

    def decode(self, value: object, base: Path) -> Any:
        """The typed value; ``ValueError`` with what is wrong."""
        if self.kind:
            return self.kind.parse(value, base)
        typed = msgspec.convert(value, self.annotation, strict=True)
        if typed and (least := least_of(self.meta)) and cast(float, typed) < least:
            raise ValueError("out of range")
        return typed


def fields(struct: type[Struct]) -> dict[str, Field]:
    """The keys of ``struct`` in the order of their definition."""
    return dict(_fields(struct))


@cache  # a class does not change, and to evaluate its annotations takes longer than to read a file
def _fields(struct: type[Struct]) -> tuple[tuple[str, Field], ...]:
    return tuple((info.encode_name, Field(info)) for info in msgspec.structs.fields(struct))


class Decoder:
    """Decodes the tables of one file; ``base`` is the folder that relative paths start at."""

    def __init__(self, base: Path) -> None:
        self.problems: list[Problem] = []
        self._base = base

    def table(
        self,
        struct: type[S],
        table: Mapping[str, object],
        path: str = "",
        *,
        elsewhere: Mapping[str, str] = MappingProxyType({}),
    ) -> S | None:
        """``struct`` filled from ``table``; None when there were problems. ``elsewhere``: the homes of other keys."""
        known = fields(struct)
        before = len(self.problems)
        values: dict[str, Any] = {}
        for name, value in table.items():
            key = _join(path, name)
            field = known.get(name)
            if field is None:
                self.unknown(key, known, belongs=elsewhere.get(name, ""))
            elif field.section is None:
                self._value(field, key, value, values)
            elif isinstance(value, dict):
                values[name] = self.table(field.section, value, key, elsewhere=elsewhere)
            else:
                self.problems.append(Problem(key, "it is no table", show(value), f"a section [{key}]"))
        for name, field in known.items():
            if field.required and name not in table:
                self.problems.append(Problem(_join(path, name), "it is missing", allowed=field.allowed))
        if len(self.problems) > before:
            return None
        try:
            return struct(**values)
        except ValueError as err:  # of its __post_init__, which looks at what has to fit together
            self.problems.append(Problem(path, str(err)))
            return None

    def unknown(
        self, key: str, known: Mapping[str, object], *, what: str = "unknown key", belongs: str = ""
    ) -> None:
        parent, _, name = key.rpartition(".")
        close = near_miss(name, known)
        suggestion = _join(parent, close) if close else belongs
        allowed = "" if suggestion else ", ".join(sorted(known))
        self.problems.append(Problem(key, what, suggestion=suggestion, allowed=allowed))

    def _value(self, field: Field, key: str, value: object, values: dict[str, Any]) -> None:
        try:
            values[field.name] = field.decode(value, self._base)
        except ValueError as err:  # msgspec.ValidationError is one
            what, suggestion = _explain(field, value, err)
            self.problems.append(Problem(key, what, show(value), field.allowed, suggestion))


def _explain(field: Field, value: object, err: ValueError) -> tuple[str, str]:
    """What is wrong in our words, and the value that was probably meant."""
    found = None if field.kind else wrong(field.annotation, value)
    return (found.what, found.suggestion) if found else (str(err), "")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
