"""The shapes that values of the configuration have: what is allowed and what is wrong, in words for people.

msgspec checks the values; its own words name types of Python and JSON, which no file in TOML has.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from xmppd.config.problems import near_miss, show


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a value; ``suggestion`` is the one that was probably meant, or ""."""

    what: str
    suggestion: str = ""


def peel(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type without ``Annotated`` and ``| None``, and the marks that stood in ``Annotated``."""
    marks: tuple[Any, ...] = ()
    if get_origin(annotation) is Annotated:
        annotation, *rest = get_args(annotation)
        marks = tuple(rest)
    inner = _choices_of_types(annotation)
    if len(inner) == 1:
        bare, more = peel(inner[0])
        return bare, marks + more
    return annotation, marks


def meta_of(marks: Iterable[Any]) -> Meta:
    """The bounds among ``marks``; none where there are none."""
    return next((mark for mark in marks if isinstance(mark, Meta)), Meta())


def least_of(meta: Meta) -> float:
    """What a value that is not 0 is at least (``values.bound``)."""
    return float((meta.extra or {}).get("least", 0))


# What is allowed


def allowed(of: Any, meta: Meta) -> str:
    """Completes "allowed: ...": the type ``of``, which is peeled, and its bounds."""
    if of is bool:
        return "true or false"
    if of in (int, float):
        return _range("a whole number" if of is int else "a number", meta)
    if of is str:
        return "text in quotes" + _lengths(meta, "characters")
    if get_origin(of) is Literal:
        return ", ".join(show(choice) for choice in get_args(of))
    if get_origin(of) in (tuple, list, frozenset, set):
        return f"a list of {_allowed_inside(of)}" + _lengths(meta, "entries")
    if _is_table(of):
        return "a table of names and values"
    if several := _choices_of_types(of):
        return " or ".join(_allowed(part) for part in several)
    return getattr(of, "__name__", str(of))


def _allowed(annotation: Any) -> str:
    of, marks = peel(annotation)
    return allowed(of, meta_of(marks))


def _allowed_inside(of: Any) -> str:
    return ", ".join(_allowed(part) for part in get_args(of) if part is not ...)


def _range(noun: str, meta: Meta) -> str:
    low = meta.ge if meta.ge is not None else meta.gt
    high = meta.le if meta.le is not None else meta.lt
    if (meta.extra or {}).get("off"):
        noun = f"0 (off) or {noun}"
        low = least_of(meta) or (1 if "whole" in noun else None)
    if low is not None:
        noun += f" from {_n(low)}" if high is not None else f", at least {_n(low)}"
    return (
        noun + (f" to {_n(high)}" if low is not None else f" up to {_n(high)}") if high is not None else noun
    )


def _n(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _lengths(meta: Meta, noun: str) -> str:
    parts = []
    if meta.min_length:
        parts.append(f", at least {meta.min_length}" if meta.min_length > 1 else ", not empty")
    if meta.max_length is not None:
        parts.append(f", at most {meta.max_length} {noun}")
    if meta.pattern is not None:
        parts.append(f", matching {meta.pattern}")
    return "".join(parts)


# What is wrong


def wrong(annotation: Any, value: object) -> Wrong | None:
    """Why ``value``, out of a TOML file, is no ``annotation``; None where it is one."""
    try:
        msgspec.convert(value, annotation, strict=True)
    except msgspec.ValidationError:
        of, marks = peel(annotation)
        return _wrong(of, meta_of(marks), value)
    return None


def _wrong(of: Any, meta: Meta, value: object) -> Wrong:
    if get_origin(of) is Literal and isinstance(value, str):
        return Wrong(f"{show(value)} is unknown", near_miss(value, [str(choice) for choice in get_args(of)]))
    if get_origin(of) in (tuple, list, frozenset, set):
        if not isinstance(value, list):
            return Wrong("it is no list")
        return next(_inside(_entries(of, value)), None) or _wrong_length(meta, len(value), "the list")
    if _is_table(of):
        if not isinstance(value, dict):
            return Wrong("it is no table")
        return _wrong_table(of, value) or _wrong_length(meta, len(value), "the table")
    if of in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return Wrong("it is no whole number" if of is int and isinstance(value, float) else "out of range")
    if of is str and isinstance(value, str):
        return _wrong_length(meta, len(value), "the text")
    return Wrong("wrong type")


def _wrong_length(meta: Meta, length: int, noun: str) -> Wrong:
    if meta.min_length is not None and length < meta.min_length:
        return Wrong(f"{noun} is too short" if length else f"{noun} is empty")
    if meta.max_length is not None and length > meta.max_length:
        return Wrong(f"{noun} is too long: {length}")
    return Wrong(f"{noun} has not the right form")


def _entries(of: Any, value: list[Any]) -> Iterator[tuple[str, Any, Any]]:
    kinds = get_args(of)
    same = kinds[-1] is ... or get_origin(of) is not tuple
    for number, item in enumerate(value, 1):
        if same or number <= len(kinds):
            yield f"entry {number}", kinds[0] if same else kinds[number - 1], item


def _wrong_table(of: Any, value: dict[str, Any]) -> Wrong | None:
    if isinstance(of, type) and issubclass(of, Struct):
        known = {info.encode_name: info for info in msgspec.structs.fields(of)}
        for name in value:
            if name not in known:
                return Wrong(f"{name} is an unknown key", near_miss(name, known))
        if missing := [name for name, info in known.items() if info.required and name not in value]:
            return Wrong(f"{missing[0]} is missing")
        return next(_inside((name, known[name].type, item) for name, item in value.items()), None)
    kinds = get_args(of)
    return next(_inside((name, kinds[1], item) for name, item in value.items()), None) if kinds else None


def _inside(parts: Iterable[tuple[str, Any, Any]]) -> Iterator[Wrong]:
    for name, annotation, item in parts:
        if (found := wrong(annotation, item)) is not None:
            yield replace(found, what=f"{name}: {found.what}")


def _is_table(of: Any) -> bool:
    return of is dict or get_origin(of) is dict or (isinstance(of, type) and issubclass(of, Struct))


def _choices_of_types(of: Any) -> list[Any]:
    """The types of a union without None; empty where it is none."""
    if get_origin(of) not in (Union, types.UnionType):
        return []
    return [part for part in get_args(of) if part is not type(None)]
