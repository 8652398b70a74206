"""The one engine that reads and writes messages, compiled from the tables of ``model``.

Reading is strict: what the schema refuses raises a Fault that knows its place.  Writing gives canonical
XML (inclusive C14N 1.0) by construction, and refuses values that could not be read back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

import attrs
from lxml import etree

from ..model.errors import InvalidData, Mistake, Unreadable
from ..model.schema import ANYTHING, FEED, NAMESPACES, ROW, Element, Row, Step
from ..model.values import WHITE, SimpleType, shown
from .columns import LEAST, Columns, Irregular
from .parser import parse

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_XSI_ALLOWED = frozenset(_XSI + name for name in ("type", "schemaLocation", "noNamespaceSchemaLocation"))

_T = TypeVar("_T", bound=Element)
Read = Callable[[etree._Element], Any]
"""Makes the value of an element; raises ValueError, or a Fault where it knows more of the place."""
Write = Callable[[Any, "Output"], None]
"""Appends the whole element of a value; raises likewise."""
Plan = Callable[[etree._Element, Columns], str]
"""Walks through an element that was read, and gives the expression for the value of one like it."""
Attributes = dict[str, tuple[str, SimpleType]]
"""lxml's form of an attribute's name -> the field's name and type."""


class Fault(ValueError):
    """A place in a document, from the inside out, and what is wrong there."""

    def __init__(self, reason: str, *path: str) -> None:
        super().__init__(reason)
        self.path = list(path)

    @property
    def mistake(self) -> Mistake:
        """The same, from the outside in."""
        return Mistake("/".join(reversed(self.path)), self.args[0])

    def __str__(self) -> str:
        return str(self.mistake)


def placed(error: ValueError, label: str) -> Fault:
    """The error as a Fault inside of ``label``."""
    fault = error if isinstance(error, Fault) else Fault(str(error))
    fault.path.append(label)
    return fault


class Output(list[str]):
    """Pieces of a document; ``foreign`` is set when a piece of it may not be canonical in its place."""

    foreign = False


def clark(name: str) -> str:
    """A prefixed name of the tables in lxml's form, ``{namespace}local``."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def local(name: str) -> str:
    """The local part of a prefixed name or of lxml's form of it; fit for a log, whatever a peer has made up."""
    found = name.rpartition("}")[2].rpartition(":")[2]
    if not found.isprintable():
        found = repr(found)[1:-1]
    return found if len(found) <= 60 else found[:57] + "..."


def _stranger(tag: str, known: Iterable[str]) -> str:
    """What is wrong with an element or attribute that is none of the ``known``."""
    for name in known:
        if local(name) == local(tag):
            found, wanted = (of.rpartition("}")[0].lstrip("{") for of in (tag, name))
            return f"is in {f'the namespace {shown(found)}' if found else 'no namespace'}, not in {wanted!r}"
    return "is not known here"


def _read_attributes(node: etree._Element, known: Attributes) -> dict[str, Any]:
    values = {}
    names: Any = node.keys()  # items() would take the square of their number
    for key in names:
        if key in known:
            name, of = known[key]
            try:
                values[name] = of.read(node.get(key, ""))
            except ValueError as error:
                raise Fault(str(error), "@" + local(key)) from None
        elif key not in _XSI_ALLOWED:
            raise Fault(_stranger(key, known), "@" + local(key))
    return values


def _escape(text: str) -> str:
    # "&" is by far the rarest, and must come first.
    if "&" in text:
        text = text.replace("&", "&amp;")
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")


_ATTRIBUTE = str.maketrans({"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"})


# --- what stands at the end of a path ---------------------------------------------------------------


def _irregular(node: etree._Element, columns: Columns) -> str:
    """The plan of what is no text."""
    raise Irregular


@attrs.frozen
class End:
    """How an element of one name is read and written, and which prefixes may occur in it."""

    read: Read
    write: Write
    prefixes: frozenset[str] = frozenset()
    plan: Plan = _irregular


def _end(name: str, row: Row) -> End:
    if row.fixed is not None:
        return _leaf(name, _fixed(row.fixed))
    if row.end is ANYTHING:
        return End(lambda node: None, lambda value, out: out.append(f"<{name}></{name}>"))
    if row.end is FEED:
        return End(_read_feed, _write_feed)
    if isinstance(row.end, SimpleType):
        return _leaf(name, row.end)
    return table_of(row.end).end(name)


def _leaf(name: str, of: SimpleType) -> End:
    read_text, write_text = of.read, of.write

    def read(node: etree._Element) -> Any:
        if len(node):
            raise Fault(f"holds the element {local(node[0].tag)} where a plain value is expected")
        if node.keys():
            _read_attributes(node, {})
        return read_text(node.text or "")

    def write(value: Any, out: Output) -> None:
        out.append(f"<{name}>{_escape(write_text(value))}</{name}>")

    return End(read, write, plan=lambda node, columns: columns.text(node.text, of))


def _fixed(text: str) -> SimpleType:
    """An element with this text alone; it may also be empty."""

    def accept(found: str) -> str:
        if found not in ("", text):
            raise ValueError(f"{shown(found)} is not the fixed value {text!r}")
        return text

    return SimpleType("fixed", accept, accept)


_MOST = 100
"""So many prefixes a feed may declare, and attributes an element of it have: canonicalising takes their square."""
_MOST_IN_VALUES = 20
"""So many of its prefixes may occur in values: each element takes their square."""
_VALUES = etree.XPath(".//text() | .//@*", smart_strings=False)
_IS_BRISTLY = etree.XPath(f"boolean(descendant-or-self::*[count(@*) > {_MOST}])")


def _read_feed(node: etree._Element) -> str:
    """The feed as canonical XML that stands by itself: with the declarations that it uses, no others.

    A prefix may be used inside a value only (``xsi:type="espi:..."``), so one that looks like it counts.
    """
    prefixes = set(node.nsmap) | {prefix for _, (prefix, _) in etree.iterwalk(node, events=("start-ns",))}
    if len(prefixes) > _MOST:
        raise Fault(f"declares more than {_MOST} prefixes")
    if _IS_BRISTLY(node):
        raise Fault(f"holds an element with more than {_MOST} attributes")
    values: Any = _VALUES(node)
    text = "\n".join(values)
    used = [prefix for prefix in prefixes if prefix and f"{prefix}:" in text]
    if len(used) > _MOST_IN_VALUES:
        raise Fault(f"uses more than {_MOST_IN_VALUES} prefixes in values")
    try:
        canonical = etree.tostring(
            node, method="c14n", exclusive=True, inclusive_ns_prefixes=["#default", *used], with_tail=False
        )
    except etree.C14NError:  # what the parser took: the one thing that Canonical XML excludes
        raise Fault("has a namespace that is no absolute URI") from None
    return canonical.decode()


def _write_feed(value: str, out: Output) -> None:
    try:
        node = parse(value.encode())
    except (Unreadable, AttributeError):
        raise ValueError(f"{shown(value)} is no XML") from None
    if node.tag != clark("atom:feed"):
        raise ValueError(f"{shown(value)} is no Atom feed")
    out.append(_read_feed(node))
    out.foreign = True


# --- sequences --------------------------------------------------------------------------------------


@attrs.frozen
class Place:
    """A step of a sequence: the field that it fills, and the elements that may stand there, by lxml's names."""

    field: str
    step: Step
    readers: dict[str, Read]

    @property
    def label(self) -> str:
        """What an error calls it."""
        names = [local(name) for name in self.readers]
        return " or ".join(names[:3]) + (" or ..." if len(names) > 3 else "")


SEQUENCES: dict[str, Sequence] = {}
"""lxml's name of an element with children -> its sequence (the last of them where a name has several)."""


class Sequence:
    """The attributes and children of an element, in order."""

    def __init__(self, name: str, places: tuple[Place, ...], attributes: Attributes | None = None) -> None:
        self.places = places
        self._attributes = attributes or {}
        self._unset = {field: None for field, _ in self._attributes.values()}
        self._by_tag = {
            tag: (number, place.field, place.step.many, read)
            for number, place in enumerate(places)
            for tag, read in place.readers.items()
        }
        self._mandatory = tuple((place.field, place) for place in places if place.step.least)
        self._many = tuple(place.field for place in places if place.step.many)
        self._plans = {
            tag: (place.field, place.step.many, plan)
            for place in places
            if isinstance(place, Slot)
            for tag, plan in place.plans.items()
        }
        SEQUENCES[clark(name)] = self

    def plan(self, node: etree._Element, columns: Columns) -> dict[str, str]:
        """Field -> expression, for an element like this one, which was read."""
        columns.white(node.text)
        one: dict[str, str] = {}
        many: dict[str, list[str]] = {}
        for child in node:
            field, is_many, plan = self._plans[child.tag]
            expression = plan(child, columns)
            columns.white(child.tail)
            if is_many:
                many.setdefault(field, []).append(expression)
            else:
                one[field] = expression
        return one | {field: f"({', '.join(all_of_it)},)" for field, all_of_it in many.items()}

    def read(self, node: etree._Element) -> dict[str, Any]:
        """Field -> value, of those that are there; raises a Fault for what the schema refuses."""
        values: dict[str, Any] = self._unset.copy()
        if node.keys():
            values.update(_read_attributes(node, self._attributes))
        if (text := node.text) and text.strip(WHITE):
            raise Fault(f"holds the text {shown(text)} where elements are expected")
        by_tag = self._by_tag
        last = -1
        for child in node:
            known = by_tag.get(child.tag)
            if known is None:
                raise Fault(_stranger(child.tag, by_tag), local(child.tag))
            number, field, many, read = known
            if number > last:
                last = number
                if many:
                    values[field] = []
            elif number < last or not many:
                raise Fault("stands too late" if number < last else "is one too many", local(child.tag))
            try:
                value = read(child)
                if (tail := child.tail) and tail.strip(WHITE):
                    raise Fault(f"is followed by the text {shown(tail)}")
            except ValueError as error:
                mark = f"[{len(values[field]) + 1}]" if many else ""
                raise placed(error, local(child.tag) + mark) from None
            if many:
                values[field].append(value)
            else:
                values[field] = value
        for field, place in self._mandatory:
            if field not in values:
                raise Fault(f"{place.label} is missing")
        for field in self._many:
            if field in values:
                values[field] = tuple(values[field])
        return values


# --- fields -----------------------------------------------------------------------------------------


@attrs.frozen
class Slot(Place):
    """The place of a field of a table: also how it is written, and its value where nothing stands."""

    absent: Any
    write: Write
    prefixes: frozenset[str]
    plans: dict[str, Plan]


def _slot(field: str, path: tuple[Step, ...], row: Row) -> Slot:
    step, rest = path[0], path[1:]
    absent: Any = () if step.many else None
    if isinstance(row.end, tuple) and not rest:
        ends = {cls.tag: table_of(cls).end(cls.tag) for cls in row.end}
        write = _by_class({cls: ends[cls.tag].write for cls in row.end})
    else:
        if rest:
            inner = _slot(field, rest, row)
            absent = absent if step.many else inner.absent
            end = _wrapper(step.name, inner)
        else:
            end = _end(step.name, row)
        ends, write = {step.name: end}, end.write
    return Slot(
        field,
        step,
        {clark(name): end.read for name, end in ends.items()},
        absent,
        _write_many(step, write) if step.many else _write_one(step, absent, write),
        _prefixes(ends).union(*(end.prefixes for end in ends.values())),
        {clark(name): end.plan for name, end in ends.items()},
    )


def _prefixes(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.partition(":")[0] for name in names)


def _wrapper(name: str, slot: Slot) -> End:
    """An element that only wraps what the slot holds."""
    sequence = Sequence(name, (slot,))
    opening, closing = f"<{name}>", f"</{name}>"

    def read(node: etree._Element) -> Any:
        if len(node) >= LEAST and slot.step.many:
            try:
                return _read_alike(slot, node)
            except ValueError:
                pass  # what is wrong, if anything is, has a place
        return sequence.read(node).get(slot.field, slot.absent)

    def write(value: Any, out: Output) -> None:
        out.append(opening)
        slot.write(value, out)
        out.append(closing)

    def plan(node: etree._Element, columns: Columns) -> str:
        return sequence.plan(node, columns).get(slot.field, repr(slot.absent))

    return End(read, write, slot.prefixes, plan)


def _read_alike(slot: Slot, node: etree._Element) -> tuple[Any, ...]:
    """The many elements that ``node`` wraps, if they are alike; raises ValueError."""
    first, last = node[0], node[-1]
    if node.keys() or first.tag not in slot.readers or [*map(_tag, first.iter())] != [*map(_tag, last.iter())]:
        raise Irregular
    slot.readers[first.tag](first)
    columns = Columns()
    expression = slot.plans[first.tag](first, columns)
    columns.white(first.tail)
    return columns.read(node, expression)


_tag = attrgetter("tag")


def _by_class(writers: dict[type, Write]) -> Write:
    def write(value: Any, out: Output) -> None:
        writer = writers.get(type(value))
        if writer is None:
            raise ValueError(f"{shown(value)} is none of {', '.join(cls.__name__ for cls in writers)}")
        writer(value, out)

    return write


def _write_many(step: Step, write: Write) -> Write:
    label = local(step.name)

    def write_many(values: Any, out: Output) -> None:
        if not isinstance(values, tuple):
            raise Fault(f"{shown(values)} is not a tuple", label)
        if len(values) < step.least:
            raise Fault(f"{label} is missing")
        for number, value in enumerate(values, 1):
            try:
                write(value, out)
            except ValueError as error:
                raise placed(error, f"{label}[{number}]") from None

    return write_many


def _write_one(step: Step, absent: Any, write: Write) -> Write:
    label, optional = local(step.name), not step.least

    def write_one(value: Any, out: Output) -> None:
        if optional and (value is None or value == absent):
            return
        try:
            write(value, out)
        except ValueError as error:
            raise placed(error, label) from None

    return write_one


# --- tables -----------------------------------------------------------------------------------------

_INNER = "inner"


class Table:
    """A class of the model, compiled."""

    def __init__(self, cls: type[Element]) -> None:
        rows: list[tuple[attrs.Attribute[Any], Row]] = [(field, field.metadata[ROW]) for field in attrs.fields(cls)]
        slots = tuple(_slot(field.name, row.path, row) for field, row in rows if not row.attribute)
        self._cls = cls
        self._writers = tuple((slot.field, slot.write) for slot in slots)
        self._attributes = [(field.name, row.path[0].name, row.end) for field, row in rows if row.attribute]
        # A value that the schema fixes is read and checked, but it is no argument of the class.
        self._no_arguments = tuple(field.name for field, _ in rows if not field.init)
        names = [cls.tag, *([cls.inner] if cls.inner else []), *(name for _, name, _ in self._attributes)]
        self.prefixes = _prefixes(names).union(*(slot.prefixes for slot in slots))
        places: tuple[Place, ...] = slots
        self._opening = self._closing = ""
        if cls.inner:
            self._opening, self._closing = f"<{cls.inner}>", f"</{cls.inner}>"
            inner = Sequence(cls.inner, slots)
            places = (Place(_INNER, Step.parse(cls.inner), {clark(cls.inner): inner.read}),)
        self._sequence = Sequence(cls.tag, places, {clark(name): (field, of) for field, name, of in self._attributes})

    def end(self, name: str) -> End:
        """The table as what an element of this name holds."""

        def write(value: Any, out: Output) -> None:
            if kept := _KEPT.get(id(value)):
                out.append(kept[1])
            else:
                self.write(value, out, name)

        return End(self.read, write, self.prefixes, self.plan)

    def plan(self, node: etree._Element, columns: Columns) -> str:
        """The expression for an instance of the class."""
        if self._opening or self._attributes:
            raise Irregular
        values = self._sequence.plan(node, columns)
        return columns.call(self._cls, {name: of for name, of in values.items() if name not in self._no_arguments})

    def read(self, node: etree._Element) -> Any:
        """The element as an instance of the class; raises Fault."""
        values = self._sequence.read(node)
        if self._opening:
            values |= values.pop(_INNER)
        for field in self._no_arguments:
            del values[field]
        return self._cls(**values)

    def write(self, value: Any, out: Output, name: str, declarations: str = "") -> None:
        """Append the value as an element of this name; raises ValueError."""
        if type(value) is not self._cls:
            raise ValueError(f"{shown(value)} is not of the class {self._cls.__name__}")
        attributes = self._write_attributes(value) if self._attributes else ""
        out.append(f"<{name}{declarations}{attributes}>{self._opening}")
        try:
            for field, write in self._writers:
                write(getattr(value, field), out)
        except ValueError as error:
            raise placed(error, local(self._cls.inner)) if self._cls.inner else error from None
        out.append(f"{self._closing}</{name}>")

    def _write_attributes(self, value: Any) -> str:
        written = ""
        for field, name, of in self._attributes:
            if (found := getattr(value, field)) is not None:
                try:
                    written += f' {name}="{of.write(found).translate(_ATTRIBUTE)}"'
                except ValueError as error:
                    raise Fault(str(error), "@" + local(name)) from None
        return written


_TABLES: dict[type[Element], Table] = {}


def table_of(cls: type[Element]) -> Table:
    """The compiled table of a class; made once."""
    if cls not in _TABLES:
        _TABLES[cls] = Table(cls)
    return _TABLES[cls]


_KEPT: OrderedDict[int, tuple[Element, str]] = OrderedDict()
_MOST_KEPT = 256
_LONGEST_KEPT = 64 * 1024


def keep(value: Element) -> None:
    """Write an element now, for the messages in which it will stand: this very object, not one that equals it.

    The last ``_MOST_KEPT`` are remembered, if they are not long.  What the schema refuses is left to those messages.
    """
    out = Output()
    try:
        table_of(type(value)).write(value, out, type(value).tag)
    except ValueError:
        return
    text = "".join(out)
    if not out.foreign and len(text) <= _LONGEST_KEPT:
        _KEPT[id(value)] = value, text
        if len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)


# --- documents --------------------------------------------------------------------------------------


def declarations(prefixes: Iterable[str]) -> str:
    """The namespace declarations for these prefixes, in canonical order."""
    return "".join(f' xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in sorted(prefixes))


def document(value: Element, opening: str = "", closing: str = "") -> bytes:
    """``opening``, the element and ``closing`` as a document in canonical form.

    Without an opening, the element declares its prefixes.  Raises InvalidData, with the place, for a
    value that the schema refuses.
    """
    table, name = table_of(type(value)), type(value).tag
    out = Output([opening])
    try:
        table.write(value, out, name, "" if opening else declarations(table.prefixes))
    except ValueError as error:
        raise InvalidData(str(placed(error, local(name)))) from None
    out.append(closing)
    data = "".join(out).encode()
    if not out.foreign:
        return data
    try:
        return etree.tostring(parse(data), method="c14n")
    except Unreadable as error:  # a feed that is too deep where it stands
        raise InvalidData(f"{local(name)}: {error}") from None


def to_xml(value: Element) -> bytes:
    """An element as a document of its own, in canonical form: how the storage keeps it.

    Raises InvalidData, with the place, for a value that the schema refuses.
    """
    return document(value)


def from_xml(cls: type[_T], data: bytes) -> _T:
    """The inverse of ``to_xml``, for what we wrote ourselves."""
    found: _T = table_of(cls).read(parse(data))
    return found
