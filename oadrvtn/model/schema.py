"""The words in which a message's table is written: the class is the table, its fields are the rows.

A field says where its value stands by a path of qualified names in the order of the schema, each with
its cardinality: ``?`` optional, ``*`` any number, ``+`` at least one, nothing exactly one.  Elements
that only wrap one other (``xcal:dtstart/xcal:date-time``) are steps of the path and no class.  The
order of the fields is the order of the elements (xs:sequence).  ``wire.codec`` compiles these tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import attrs

from .values import SCHEMA_VERSION, SimpleType

NAMESPACES = {
    "atom": "http://www.w3.org/2005/Atom",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "ei": "http://docs.oasis-open.org/ns/energyinterop/201110",
    "emix": "http://docs.oasis-open.org/ns/emix/2011/06",
    "gml": "http://www.opengis.net/gml/3.2",
    "oadr": "http://openadr.org/oadr-2.0b/2012/07",
    "power": "http://docs.oasis-open.org/ns/emix/2011/06/power",
    "pyld": "http://docs.oasis-open.org/ns/energyinterop/201110/payloads",
    "scale": "http://docs.oasis-open.org/ns/emix/2011/06/siscale",
    "strm": "urn:ietf:params:xml:ns:icalendar-2.0:stream",
    "xcal": "urn:ietf:params:xml:ns:icalendar-2.0",
}
"""Prefix -> namespace: the prefixes of the tables, and those that we write."""


@attrs.frozen
class Step:
    """One element on the way to a value: its prefixed name and its cardinality (0..1, 1, 0..n, 1..n)."""

    name: str
    least: int
    many: bool

    @classmethod
    def parse(cls, text: str) -> Step:
        name = text.rstrip("?*+")
        mark = text[len(name) :]
        return cls(name, 0 if mark in ("?", "*") else 1, mark in ("*", "+"))


@attrs.frozen
class Row:
    """What a field's metadata holds under ``ROW``: the path and what stands at its end.

    ``end`` is a SimpleType, the class of a child, a tuple of classes (a substitution group; the path
    then ends in the step that says its cardinality), ``ANYTHING`` or ``FEED``.
    """

    path: tuple[Step, ...]
    end: Any
    attribute: bool = False
    fixed: str | None = None


ROW = "oadrvtn.row"
ANYTHING = "anything"
"""An element that may hold whatever it likes (xs:anyType); nothing of it is kept."""
FEED = "feed"
"""An Atom feed (Green Button), kept untouched as a text of canonical XML."""


def _field(path: str, end: Any) -> Any:
    steps = tuple(map(Step.parse, path.split("/")))
    default: Any = attrs.NOTHING
    if any(step.least == 0 for step in steps):
        default = () if any(step.many for step in steps) else None
    return attrs.field(metadata={ROW: Row(steps, end)}, kw_only=True, default=default)


def element(path: str, of: SimpleType) -> Any:
    """A value of a simple type; many values are a tuple."""
    return _field(path, of)


def child(path: str, of: type) -> Any:
    """An element with a table of its own; many are a tuple."""
    return _field(path, of)


def one_of(group: str, *classes: type) -> Any:
    """Any one of the classes that may stand for the abstract ``group`` (substitution group)."""
    return _field(group, classes)


def attribute(name: str, of: SimpleType, default: Any = None) -> Any:
    """An optional attribute."""
    return attrs.field(metadata={ROW: Row((Step(name, 0, False),), of, attribute=True)}, kw_only=True, default=default)


def fixed(name: str, text: str) -> Any:
    """An element whose text the schema fixes; it may be empty on the wire and is always written."""
    row = Row((Step(name, 1, False),), None, fixed=text)
    return attrs.field(metadata={ROW: row}, init=False, default=text, repr=False)


def anything(name: str) -> Any:
    """A mandatory element whose content means nothing; written empty."""
    return attrs.field(metadata={ROW: Row((Step(name, 1, False),), ANYTHING)}, init=False, default=None, repr=False)


def feed(name: str) -> Any:
    """A foreign element that is carried through untouched."""
    return _field(name, FEED)


class Element:
    """What all tables share: values can be read as attributes and by name, ``x.ven_id`` and ``x["ven_id"]``."""

    __slots__ = ()
    tag: str
    """The prefixed name of the element."""
    inner: str | None = None
    """The only child of a message that merely wraps it, ``pyld:eiCreatedEvent`` for one."""

    if TYPE_CHECKING:  # attrs makes it of the table, where mypy cannot see which fields have a default
        __attrs_attrs__: ClassVar[Any]

        def __init__(self, **values: Any) -> None: ...

    def evolve(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return attrs.evolve(self, **changes)  # type: ignore[misc]  # every table is an attrs class

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None


class Message(Element):
    """One of the 23 messages that an oadrSignedObject may hold."""

    __slots__ = ()
    service: str | None
    """The service (end of the URL) on which the message is POSTed to a VTN; None: any."""
    schema_version: str | None
    """The version of the schema that the sender claims; written as 2.0b unless said otherwise."""

    @classmethod
    def name(cls) -> str:
        """The element's local name: ``oadrPoll``."""
        return cls.tag.partition(":")[2]


MESSAGES: dict[str, type[Message]] = {}
"""Local name -> class, of all messages."""

_T = TypeVar("_T")


def table(tag: str, inner: str | None = None) -> Callable[[type[_T]], type[_T]]:
    """Make a frozen class of the declarations and say which element it is."""

    def decorate(cls: type[_T]) -> type[_T]:
        cls.tag, cls.inner = tag, inner  # type: ignore[attr-defined]
        return attrs.frozen(cls)

    return decorate


def message(tag: str, service: str | None, inner: str | None = None) -> Callable[[type[_T]], type[_T]]:
    """Like ``table``, for a message, which also has its ``schema_version``."""

    def decorate(cls: type[_T]) -> type[_T]:
        cls.service = service  # type: ignore[attr-defined]
        cls.schema_version = attribute("ei:schemaVersion", SCHEMA_VERSION, "2.0b")  # type: ignore[attr-defined]
        cls.__annotations__["schema_version"] = "str | None"
        made = table(tag, inner)(cls)
        MESSAGES[tag.partition(":")[2]] = made  # type: ignore[assignment]
        return made

    return decorate
