"""TOML tables to Structs: all mistakes are found at once, each with its key, its value and what is allowed."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from xmppd.config.problems import Problem, near_miss, show
from xmppd.config.values import Kind

S = TypeVar("S", bound=Struct)


class Field:
    """One key of a Struct: its bare type and what ``Annotated`` says about it."""

    def __init__(self, info: FieldInfo) -> None:
        self.name = info.encode_name
        self.annotation = info.type
        self.required = info.required
        self.default: Any = info.default_factory() if info.default_factory is not NODEFAULT else info.default
        self.type, marks = _peel(info.type)
        self.kind = next((mark for mark in marks if isinstance(mark, Kind)), None)
        self.meta = next((mark for mark in marks if isinstance(mark, msgspec.Meta)), msgspec.Meta())

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
        return self.kind.allowed if self.kind else _allowed(self.type, self.meta)

    def decode(self, value: object, base: Path) -> Any:
        """The typed value; ``ValueError`` with what is wrong."""
        if self.kind:
            return self.kind.parse(value, base)
        typed = msgspec.convert(value, self.annotation, strict=True)
        if typed and (least := _least(self.meta)) and cast(float, typed) < least:
            raise ValueError("out of range")
        return typed


def fields(struct: type[Struct]) -> dict[str, Field]:
    """The keys of ``struct`` in the order of their definition."""
    return {info.encode_name: Field(info) for info in msgspec.structs.fields(struct)}


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
        return struct(**values) if len(self.problems) == before else None

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
    if field.kind:
        return str(err), ""
    choices = [str(choice) for choice in _choices(field.type)]
    for item in value if isinstance(value, list) else [value]:
        if choices and isinstance(item, str) and item not in choices:
            return f"{show(item)} is unknown", near_miss(item, choices)
    if isinstance(value, int | float) and not isinstance(value, bool) and field.type in (int, float):
        wrong = field.type is int and isinstance(value, float)
        return ("it is no whole number" if wrong else "out of range"), ""
    return "wrong type" if not isinstance(value, list | dict | str) or field.type in (
        bool,
        int,
        float,
        str,
    ) else str(err), ""


def _choices(of: Any) -> tuple[Any, ...]:
    if get_origin(of) is Literal:
        return get_args(of)
    return tuple(choice for inner in get_args(of) for choice in _choices(inner))


def _peel(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type without ``Annotated`` and ``| None``, and the marks that stood in ``Annotated``."""
    marks: tuple[Any, ...] = ()
    if get_origin(annotation) is Annotated:
        annotation, *rest = get_args(annotation)
        marks = tuple(rest)
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        if len(inner) == 1:
            bare, more = _peel(inner[0])
            return bare, marks + more
    return annotation, marks


def _least(meta: msgspec.Meta) -> float:
    return float((meta.extra or {}).get("least", 0))


def _allowed(of: Any, meta: msgspec.Meta) -> str:
    if of is bool:
        return "true or false"
    if of in (int, float):
        return _range("a whole number" if of is int else "a number", meta)
    if of is str:
        return "text in quotes"
    if choices := get_args(of) if get_origin(of) is Literal else ():
        return ", ".join(f'"{choice}"' for choice in choices)
    if get_origin(of) in (tuple, list, frozenset, set):
        return f"a list of {_allowed(*_inner(of))}"
    if get_origin(of) is dict or of is dict:
        return "a table of names and values"
    return getattr(of, "__name__", str(of))


def _inner(of: Any) -> tuple[Any, msgspec.Meta]:
    bare, marks = _peel(get_args(of)[0])
    return bare, next((mark for mark in marks if isinstance(mark, msgspec.Meta)), msgspec.Meta())


def _range(noun: str, meta: msgspec.Meta) -> str:
    low = meta.ge if meta.ge is not None else meta.gt
    high = meta.le if meta.le is not None else meta.lt
    if (meta.extra or {}).get("off"):
        noun = f"0 (off) or {noun}"
        low = _least(meta) or (1 if "whole" in noun else None)
    if low is not None:
        noun += f" from {_n(low)}" if high is not None else f", at least {_n(low)}"
    return (
        noun + (f" to {_n(high)}" if low is not None else f" up to {_n(high)}") if high is not None else noun
    )


def _n(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
