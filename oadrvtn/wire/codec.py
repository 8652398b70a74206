"""The one engine that reads and writes messages, compiled from the tables of ``model``.

Reading is strict: what the schema refuses raises a Fault that knows its place.  Writing gives canonical
XML (inclusive C14N 1.0) by construction, and refuses values that could not be read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import attrs
from lxml import etree

from ..model.errors import InvalidData
from ..model.schema import ANYTHING, FEED, NAMESPACES, ROW, Element, Row, Step
from ..model.values import SimpleType, collapsed, shown
from .parser import parse

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_XSI_ALLOWED = frozenset(_XSI + name for name in ("type", "schemaLocation", "noNamespaceSchemaLocation"))

_T = TypeVar("_T", bound=Element)
Read = Callable[[etree._Element], Any]
Write = Callable[[Any, "Output"], None]


class Fault(ValueError):
    """A place in a document, from the inside out, and what is wrong there."""

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.path = list(path)

    def __str__(self) -> str:
        return f"{'/'.join(reversed(self.path))}: {self.args[0]}"


class Output(list[str]):
    """Pieces of a document; ``foreign`` is set when a piece of it may not be canonical in its place."""

    foreign = False


def clark(name: str) -> str:
    """A prefixed name of the tables in lxml's form, ``{namespace}local``."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def local(tag: str) -> str:
    """The local part of lxml's form of a name."""
    return tag.rpartition("}")[2]


def _check_attributes(node: etree._Element, known: dict[str, Any]) -> None:
    for key in node.keys():
        if key not in known and key not in _XSI_ALLOWED:
            raise Fault(f"the attribute {shown(key)} is not known here")


def _escape(text: str) -> str:
    if "&" in text:
        text = text.replace("&", "&amp;")
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")


def _escape_attribute(text: str) -> str:
    for character, reference in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;"), ("\t", "&#x9;"), ("\n", "&#xA;")):
        text = text.replace(character, reference)
    return text.replace("\r", "&#xD;")


# --- what stands at the end of a path ---------------------------------------------------------------


def _simple(of: SimpleType) -> tuple[Read, Write]:
    read_text, write_text = of.read, of.write

    def read(node: etree._Element) -> Any:
        if len(node):
            raise Fault(f"holds the element {local(node[0].tag)} where a plain value is expected")
        if node.keys():
            _check_attributes(node, {})
        return read_text(node.text or "")

    def write(value: Any, out: Output) -> None:
        out.append(_escape(write_text(value)))

    return read, write


def _fixed(text: str) -> tuple[Read, Write]:
    def accept(found: str) -> str:
        if found not in ("", text):
            raise ValueError(f"{shown(found)} is not the fixed value {text!r}")
        return text

    return _simple(SimpleType("fixed", accept, accept))


def _read_anything(node: etree._Element) -> None:
    nil = node.get(_XSI + "nil")
    if nil is not None and collapsed(nil) in ("true", "1") and (len(node) or node.text):
        raise Fault("is nil and yet has content")


def _write_anything(value: Any, out: Output) -> None:
    pass


def _read_feed(node: etree._Element) -> str:
    # Inclusive: a prefix that is used inside a value (xsi:type) keeps its declaration.
    return etree.tostring(node, method="c14n", with_tail=False).decode()


def _write_feed(value: str, out: Output) -> None:
    if parse(value.encode()).tag != clark("atom:feed"):
        raise Fault("is not an Atom feed")
    out.append(value)
    out.foreign = True


# --- sequences --------------------------------------------------------------------------------------


@attrs.frozen
class Slot:
    """One step of a sequence: the elements that may stand there and how each is read and written."""

    step: Step
    names: tuple[str, ...]
    readers: dict[str, Read]
    absent: Any
    write: Write

    @property
    def label(self) -> str:
        """What an error calls it."""
        return " or ".join(local(name) for name in self.names[:3]) + (" or ..." if len(self.names) > 3 else "")


def _wrapped(name: str, write: Write) -> Write:
    opening, closing = f"<{name}>", f"</{name}>"

    def wrapped(value: Any, out: Output) -> None:
        out.append(opening)
        write(value, out)
        out.append(closing)

    return wrapped


def _by_class(writers: dict[type, Write]) -> Write:
    def write(value: Any, out: Output) -> None:
        try:
            writer = writers[type(value)]
        except KeyError:
            raise Fault(f"{shown(value)} is none of {', '.join(cls.__name__ for cls in writers)}") from None
        writer(value, out)

    return write


def _counted(step: Step, absent: Any, write: Write) -> Write:
    """The writer of one value made into that of as many as the step may hold."""
    label = step.name.partition(":")[2]

    def write_many(values: Any, out: Output) -> None:
        if not isinstance(values, tuple):
            raise Fault(f"{shown(values)} is not a tuple", label)
        if len(values) < step.least:
            raise Fault(f"{label} is missing")
        number = 0
        try:
            for number, value in enumerate(values, 1):
                write(value, out)
        except ValueError as error:
            raise _placed(error, f"{label}[{number}]") from None

    def write_one(value: Any, out: Output) -> None:
        if step.least == 0 and (value is None or value == absent):
            return
        try:
            write(value, out)
        except ValueError as error:
            raise _placed(error, label) from None

    return write_many if step.many else write_one


def _placed(error: ValueError, label: str) -> Fault:
    fault = error if isinstance(error, Fault) else Fault(str(error))
    fault.path.append(label)
    return fault


def _slot(path: tuple[Step, ...], row: Row) -> Slot:
    step, rest = path[0], path[1:]
    if rest:
        inner = _slot(rest, row)
        sequence = Sequence(step.name, (inner,))
        absent = () if step.many or inner.absent == () else None
        read: Read = lambda node: sequence.read(node)[0]  # noqa: E731
        ends = {step.name: (read, _wrapped(step.name, inner.write))}
    else:
        absent = () if step.many else None
        if isinstance(row.end, tuple):
            tables = [table_of(cls) for cls in row.end]
            write = _by_class({table.cls: _wrapped(table.name, table.write) for table in tables})
            ends = {table.name: (table.read, write) for table in tables}
        else:
            read, write = _end(row)
            ends = {step.name: (read, _wrapped(step.name, write))}
    write = next(iter(ends.values()))[1]
    readers = {clark(name): end[0] for name, end in ends.items()}
    return Slot(step, tuple(readers), readers, absent, _counted(step, absent, write))


def _end(row: Row) -> tuple[Read, Write]:
    if row.fixed is not None:
        return _fixed(row.fixed)
    if row.end is ANYTHING:
        return _read_anything, _write_anything
    if row.end is FEED:
        return _read_feed, _write_feed
    if isinstance(row.end, SimpleType):
        return _simple(row.end)
    table = table_of(row.end)
    return table.read, table.write


SEQUENCES: dict[str, Sequence] = {}
"""lxml tag of an element with children -> its sequence (for names that stand for several: the last one)."""


class Sequence:
    """The children of an element, in order."""

    def __init__(self, name: str, slots: tuple[Slot, ...], attributes: dict[str, Any] | None = None) -> None:
        self.slots = slots
        self.attributes = attributes or {}
        SEQUENCES[clark(name)] = self

    def read(self, node: etree._Element) -> list[Any]:
        """The value of each slot; raises a Fault at the first place that the schema refuses."""
        if node.keys():
            _check_attributes(node, self.attributes)
        if node.text and node.text.strip(" \t\r\n"):
            raise Fault(f"holds the text {shown(node.text)} where elements are expected")
        children: Iterator[etree._Element] = iter(node)
        child = next(children, None)
        values = []
        for slot in self.slots:
            readers = slot.readers
            number = 0
            many: list[Any] = []
            value: Any = slot.absent
            try:
                while child is not None and (reader := readers.get(child.tag)):
                    number += 1
                    value = reader(child)
                    if child.tail and child.tail.strip(" \t\r\n"):
                        raise Fault(f"is followed by the text {shown(child.tail)}")
                    child = next(children, None)
                    if not slot.step.many:
                        break
                    many.append(value)
            except ValueError as error:
                mark = f"[{number}]" if slot.step.many else ""
                raise _placed(error, local(child.tag) + mark) from None  # type: ignore[union-attr]
            if number < slot.step.least:
                self._refuse(slot, child)
            values.append(tuple(many) if slot.step.many else value)
        if child is not None:
            self._refuse(None, child)
        return values

    def _refuse(self, slot: Slot | None, child: etree._Element | None) -> None:
        """Say what is wrong with ``child``, which stands where ``slot`` (None: the end) should."""
        wanted = f"{slot.label} is missing" if slot else ""
        if child is None:
            raise Fault(wanted)
        namesakes = [name for s in self.slots for name in s.names if local(name) == local(child.tag)]
        if not namesakes:
            raise Fault(f"is not known here{wanted and f', and {wanted}'}", local(child.tag))
        if child.tag not in namesakes:
            place = child.tag.partition("}")[0].lstrip("{") if child.tag.startswith("{") else ""
            raise Fault(f"is in the namespace {shown(place)}, not {namesakes[0].partition('}')[0][1:]!r}", local(child.tag))
        raise Fault(wanted or "stands once more, or too late", *([] if slot else [local(child.tag)]))


# --- tables -----------------------------------------------------------------------------------------


class Table:
    """A class of the model, compiled."""

    def __init__(self, cls: type[Element]) -> None:
        self.cls, self.name = cls, cls.tag
        fields = [(field, field.metadata[ROW]) for field in attrs.fields(cls)]
        rows = [(field, row) for field, row in fields if not row.attribute]
        self._attributes = {
            clark(row.path[0].name): (field.name, row.path[0].name, row.end) for field, row in fields if row.attribute
        }
        # A value that the schema fixes is read and checked, but it is no argument of the class.
        self._names = tuple(field.name if field.init else None for field, _ in rows)
        slots = tuple(_slot(row.path, row) for _, row in rows)
        self._writers = tuple((field.name, slot.write) for (field, _), slot in zip(rows, slots, strict=True))
        if cls.inner:
            self._sequence = Sequence(cls.inner, slots)
            inner = Slot(Step(cls.inner, 1, False), (clark(cls.inner),), {clark(cls.inner): self._sequence.read}, None, _write_anything)
            self._outer: Sequence | None = Sequence(cls.tag, (inner,), self._attributes)
        else:
            self._outer = None
            self._sequence = Sequence(cls.tag, slots, self._attributes)

    def read(self, node: etree._Element) -> Any:
        """The element as an instance of the class."""
        values = self._outer.read(node)[0] if self._outer else self._sequence.read(node)
        arguments = {name: value for name, value in zip(self._names, values, strict=True) if name}
        for key, (name, _, of) in self._attributes.items():
            text = node.get(key)
            try:
                arguments[name] = None if text is None else of.read(text)
            except ValueError as error:
                raise Fault(str(error), "@" + local(key)) from None
        return self.cls(**arguments)

    def write(self, value: Any, out: Output) -> None:
        """What stands between the element's tags; its attributes go into the tag before."""
        if type(value) is not self.cls:
            raise Fault(f"{shown(value)} is not of the class {self.cls.__name__}")
        if self._attributes:
            self._write_attributes(value, out)
        if self.cls.inner:
            out.append(f"<{self.cls.inner}>")
        for name, write in self._writers:
            write(getattr(value, name), out)
        if self.cls.inner:
            out.append(f"</{self.cls.inner}>")

    def _write_attributes(self, value: Any, out: Output) -> None:
        for name, qualified, of in self._attributes.values():
            if (found := getattr(value, name)) is not None:
                try:
                    text = _escape_attribute(of.write(found))
                except ValueError as error:
                    raise Fault(str(error), "@" + name) from None
                out[-1] = f'{out[-1][:-1]} {qualified}="{text}">'


@cache
def table_of(cls: type[Element]) -> Table:
    """The compiled table of a class; made once."""
    return Table(cls)


@cache
def prefixes_of(cls: type[Element]) -> frozenset[str]:
    """The prefixes that an element of this class may use, of whatever it holds."""
    found = {cls.tag.partition(":")[0]} | ({cls.inner.partition(":")[0]} if cls.inner else set())
    for field in attrs.fields(cls):
        row: Row = field.metadata[ROW]
        classes = row.end if isinstance(row.end, tuple) else (row.end,)
        if not isinstance(row.end, tuple):
            found.update(step.name.partition(":")[0] for step in row.path)
        for end in classes:
            if isinstance(end, type):
                found |= prefixes_of(end)
    return frozenset(found)


@cache
def declarations(prefixes: frozenset[str]) -> str:
    """The namespace declarations for these prefixes, in canonical order."""
    return "".join(f' xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in sorted(prefixes))


def read(cls: type[_T], node: etree._Element) -> _T:
    """``node`` as an element of ``cls``; raises Fault."""
    found: _T = table_of(cls).read(node)
    return found


def finish(out: Output) -> bytes:
    """The document of the pieces, canonical."""
    data = "".join(out).encode()
    return etree.tostring(parse(data), method="c14n") if out.foreign else data


def to_xml(value: Element) -> bytes:
    """An element as a document of its own, in canonical form: how the storage keeps it.

    Raises InvalidData, with the place, for a value that the schema refuses.
    """
    cls = type(value)
    out = Output([f"<{cls.tag}{declarations(prefixes_of(cls))}>"])
    try:
        table_of(cls).write(value, out)
    except ValueError as error:
        raise InvalidData(str(_placed(error, local(clark(cls.tag))))) from None
    out.append(f"</{cls.tag}>")
    return finish(out)


def from_xml(cls: type[_T], data: bytes) -> _T:
    """The inverse of ``to_xml``, for what we wrote ourselves."""
    return read(cls, parse(data))

