"""Many elements of one shape, read by columns: the intervals of a report differ in their texts alone.

The first of them is read as any element is.  Where all the others are the same but for their texts, as the markup
between the texts tells, each text stands where its like stands in the first: it is read by the same type, and nothing
else has to be looked at.  Whatever is not like that is Irregular, and read one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from itertools import repeat
from typing import Any

from lxml import etree

from ..model.values import WHITE, SimpleType

LEAST = 8
"""So many elements are worth it."""
_TEXT = re.compile(">([^<]+)<")
_NAME = re.compile(r"<([^\s>]+)")
_NOT_PLAIN = (b"!", b"?", b"\r")
"""What begins a comment, CDATA or an instruction, or would be read as another line end.  Texts rarely hold them."""
_MOST_DECLARED = 50
"""So many namespaces may be declared around elements that are read by columns."""
_CLASSES: dict[str, type] = {}
"""The classes that occur in expressions, by their names there."""


_CAME: ContextVar[bytes] = ContextVar("the document that is decoded, as it came", default=b"")


class Irregular(ValueError):
    """Elements are not alike, or not fit for columns."""


class Came:
    """What is read meanwhile are elements of this document: their texts need not be made of them once more."""

    def __init__(self, document: bytes) -> None:
        self._document = document

    def __enter__(self) -> None:
        self._token = _CAME.set(self._document)

    def __exit__(self, *_: object) -> None:
        _CAME.reset(self._token)


def _as_it_came(node: etree._Element) -> str | None:
    """An element as it stands in the document that came, if that can be told without reading it.

    Its name stands nowhere else, it has no attributes, and it holds nothing but elements and texts.
    """
    document, name = _CAME.get(), str(node.tag).rpartition("}")[2].encode()
    if document.count(name) != 2:
        return None
    begin = document.rindex(b"<", 0, document.index(name))
    data = document[begin : document.rindex(name) + len(name) + 1]
    opening = data[: data.index(b">") + 1]
    whole = opening.endswith(name + b">") and data.endswith(b"</" + opening[1:])
    return data.decode() if whole and not any(mark in data for mark in _NOT_PLAIN) else None


class Columns:
    """The texts of an element in their order, each with what reads it, and the constants beside them.

    While the first element is walked through, ``text``, ``white``, ``constant`` and ``call`` give pieces of an
    expression that makes the value of such an element of the values of its texts.
    """

    def __init__(self) -> None:
        self._types: list[SimpleType | None] = []  # None: white space
        self._first: list[str] = []  # the texts of the first element
        self._constants: list[Any] = []

    def text(self, text: str | None, of: SimpleType) -> str:
        """The text of an element without children."""
        if not text:
            return self.constant(of.read(""))
        self._types.append(of)
        self._first.append(text)
        return f"t{len(self._types) - 1}"

    def white(self, text: str | None) -> None:
        """What may stand between elements."""
        if text:
            self._types.append(None)
            self._first.append(text)

    def constant(self, value: Any) -> str:
        """A value that does not stand in a text."""
        self._constants.append(value)
        return f"c{len(self._constants) - 1}"

    def call(self, cls: type, arguments: dict[str, str]) -> str:
        """An instance of a class."""
        name = f"{cls.__module__}.{cls.__qualname__}".replace(".", "_")
        _CLASSES[name] = cls
        return f"{name}({', '.join(f'{field}={value}' for field, value in arguments.items())})"

    def read(self, node: etree._Element, expression: str) -> tuple[Any, ...]:
        """The values of the children of an element, the first of which was walked through; raises ValueError."""
        count, texts = len(node), self._alike(node)
        arguments, values = [], []
        for number, of in enumerate(self._types):
            column = texts[number :: len(self._types)]
            distinct = set(column)
            if of is None:
                if any(text.strip(WHITE) for text in distinct):
                    raise Irregular
                continue
            arguments.append(f"t{number}")
            # What is the same in all is read once.
            values.append(of.read_all(column) if len(distinct) > 1 else repeat(of.read(column[0]), count))
        arguments += [f"c{number}" for number in range(len(self._constants))]
        values += [repeat(value, count) for value in self._constants]
        return tuple(map(_maker(", ".join(arguments), expression), *values))

    def _alike(self, node: etree._Element) -> list[str]:
        """The texts of all children, after it is known that their markup is that of the first."""
        data = _as_it_came(node)
        if data is None:
            if len(node.nsmap) > _MOST_DECLARED:
                raise Irregular  # to write it takes the square of that
            data = etree.tostring(node, encoding="unicode", with_tail=False)
        period, count, tail = len(self._types), len(node), bool(node[0].tail)
        if not period or "&" in data:
            raise Irregular
        pieces = _TEXT.split(data)
        marks, texts = pieces[::2], pieces[1::2]
        name = _NAME.match(marks[0])
        assert name
        # The markup from the beginning of a child to its first text, and that from its last text to its end.
        if node.text:
            _, opening, *marks = marks
            if texts.pop(0).strip(WHITE):
                raise Irregular
        else:
            opening = marks.pop(0).partition("><")[2]
        if len(texts) != count * period:
            raise Irregular
        between, end = marks[period - 1], f"/{name[1]}>"
        if not tail:
            end = between.removesuffix(opening) + end
        if not between.endswith(opening) or marks[-1] != end or marks[period:-1] != marks[: -1 - period]:
            raise Irregular
        # A ">" in an attribute shifts where a text seems to begin, in all of them alike.
        if texts[:period] != self._first:
            raise Irregular
        return texts


@lru_cache(64)
def _maker(arguments: str, expression: str) -> Callable[..., Any]:
    """A function of these arguments; the expression is made of our own names alone."""
    made: Callable[..., Any] = eval(f"lambda {arguments}: {expression}", _CLASSES)
    return made
