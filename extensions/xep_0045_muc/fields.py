"""Fields of a data form that stand for one setting each: how it is shown, and what may be filled in (XEP-0004)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.xml.element import Element, text_element

Option = tuple[str, str]  # a value, and what people read
_VALIDATION: Final = "http://jabber.org/protocol/xdata-validate"
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*").fullmatch


def field(var: str, type: str, label: str, values: Iterable[str], options: Iterable[Option] = ()) -> Element:
    """A field that is to be filled in; ``values`` are what it is now."""
    children: list[Element | str] = [text_element("value", ns.DATA_FORMS, value) for value in values]
    for value, text in options:
        inner = text_element("value", ns.DATA_FORMS, value)
        children.append(Element("option", ns.DATA_FORMS, {"label": text}, [inner]))
    return Element("field", ns.DATA_FORMS, {"var": var, "type": type, "label": label}, children)


def not_so(var: str, allowed: str) -> StanzaError:
    """XEP-0045#createroom-reserved: what the service does not accept is ``not-acceptable``."""
    return StanzaError("not-acceptable", f"{var}: {allowed}")


@dataclass(frozen=True, slots=True)
class Field(ABC):
    """The field ``var`` sets ``setting`` of ``RoomConfig``."""

    TYPE: ClassVar[str]
    var: str
    setting: str
    label: str

    @abstractmethod
    def values(self, value: object) -> Sequence[str]:
        """``value`` as the form shows it."""

    @abstractmethod
    def read(self, values: Sequence[str]) -> object:
        """What was filled in, as the setting; ``not-acceptable`` where that cannot be."""

    def options(self) -> Sequence[Option]:
        return ()

    def xml(self, value: object) -> Element:
        return field(self.var, self.TYPE, self.label, self.values(value), self.options())

    def one(self, values: Sequence[str]) -> str:
        if len(values) > 1:
            raise not_so(self.var, "it has one value")
        return values[0] if values else ""


@dataclass(frozen=True, slots=True)
class Flag(Field):
    TYPE = "boolean"

    def values(self, value: object) -> Sequence[str]:
        return ("1" if value else "0",)

    def read(self, values: Sequence[str]) -> bool:
        text = self.one(values)
        if text not in ("0", "1", "false", "true"):
            raise not_so(self.var, f"it is 0 or 1, not {text!r}")
        return text in ("1", "true")


@dataclass(frozen=True, slots=True)
class Text(Field):
    """At most ``most`` characters; white space around it means nothing."""

    TYPE = "text-single"
    most: int

    def values(self, value: object) -> Sequence[str]:
        return (str(value),) if value else ()

    def read(self, values: Sequence[str]) -> str:
        # COMPAT: several lines are what clients send that show a description in a large field
        text = "\n".join(values).strip()
        if len(text) > self.most:
            raise not_so(self.var, f"it has at most {self.most} characters, not {len(text)}")
        return text


@dataclass(frozen=True, slots=True)
class Line(Text):
    def read(self, values: Sequence[str]) -> str:
        return " ".join(Text.read(self, values).split())


@dataclass(frozen=True, slots=True)
class Language(Text):
    def read(self, values: Sequence[str]) -> str:
        text = Text.read(self, values)
        if text and not _LANGUAGE(text):
            raise not_so(self.var, f"it is a language tag such as en or pt-BR, not {text!r}")
        return text


@dataclass(frozen=True, slots=True)
class Number(Field):
    """From 0 to ``most``."""

    TYPE = "text-single"
    most: int

    def values(self, value: object) -> Sequence[str]:
        return (str(value),)

    def read(self, values: Sequence[str]) -> int:
        return number(self.var, self.one(values), 0, self.most)


@dataclass(frozen=True, slots=True)
class Seconds(Number):
    """A number that says what it may be (XEP-0122)."""

    def xml(self, value: object) -> Element:
        shown = field(self.var, self.TYPE, self.label, self.values(value))
        bounds = Element("range", _VALIDATION, {"min": "0", "max": str(self.most)})
        shown.children.append(Element("validate", _VALIDATION, {"datatype": "xs:integer"}, [bounds]))
        return shown


@dataclass(frozen=True, slots=True)
class Choice(Field):
    TYPE = "list-single"
    choices: tuple[Option, ...]

    def options(self) -> Sequence[Option]:
        return self.choices

    def values(self, value: object) -> Sequence[str]:
        return (str(value),)

    def read(self, values: Sequence[str]) -> str:
        text = self.one(values)
        if text not in dict(self.choices):
            raise not_so(self.var, f"it is one of {', '.join(dict(self.choices))}, not {text!r}")
        return text


@dataclass(frozen=True, slots=True)
class Choices(Field):
    TYPE = "list-multi"
    choices: tuple[Option, ...]

    def options(self) -> Sequence[Option]:
        return self.choices

    def values(self, value: object) -> Sequence[str]:
        assert isinstance(value, tuple)
        return value

    def read(self, values: Sequence[str]) -> tuple[str, ...]:
        allowed = dict(self.choices)
        for text in values:
            if text and text not in allowed:
                raise not_so(self.var, f"its values are among {', '.join(allowed)}, not {text!r}")
        return tuple(choice for choice in allowed if choice in values)


def number(var: str, text: str, least: int, most: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise not_so(var, f"it is a number from {least} to {most}, not {text!r}")
    return int(text)
