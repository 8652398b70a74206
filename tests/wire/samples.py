"""Messages made from the tables of the model: filled to the brim, or as hypothesis likes them.

Everything here walks the same rows that the codec is compiled from, so a new field is tested at once;
that the rows are the right ones is what the Alliance's schema says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import attrs
from hypothesis import strategies as st

from oadrvtn.model import values
from oadrvtn.model.schema import ANYTHING, FEED, ROW, Element, Row
from oadrvtn.model.values import Duration, SimpleType

GREEN_BUTTON = (
    '<atom:feed xmlns:atom="http://www.w3.org/2005/Atom">\n  '
    "<atom:id>urn:uuid:0071C5A7</atom:id><atom:title>Usage &amp; more</atom:title>"
    "<atom:updated>2026-01-01T00:00:00Z</atom:updated>"
    "<atom:entry><atom:id>urn:uuid:0071C5A8</atom:id><atom:title></atom:title>"
    "<atom:updated>2026-01-01T00:00:00Z</atom:updated><atom:content>"
    '<IntervalBlock xmlns="http://naesb.org/espi" xmlns:green="http://naesb.org/espi"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="green:IntervalBlock">'
    "<IntervalReading><value>7</value></IntervalReading></IntervalBlock>"
    "</atom:content></atom:entry></atom:feed>"
)
"""A feed that is valid, canonical, and names a prefix in a value only."""

_names = count()
_characters = st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cc", "Cs"])
_texts = st.text(st.sampled_from("&<>\"'\t\n\r ]") | _characters, max_size=6)
_floats = st.floats(width=32) | st.floats()

_MADE: dict[SimpleType, tuple[Any, st.SearchStrategy[Any]]] = {
    values.STRING: ("text", _texts),
    values.ANY_URI: ("http://program", st.sampled_from(["", "http://program:80/1?a=%20#b", "urn:a b", "é", "//"])),
    # Unique within a document, which is all that the schema asks beyond the letters.
    values.ID: (None, st.builds(lambda: f"_{next(_names)}")),
    values.RESPONSE_CODE: ("200", st.from_regex("[0-9]{3}", fullmatch=True, alphabet=st.characters(codec="ascii"))),
    values.UNSIGNED_INT: (1, st.integers(0, 2**32 - 1)),
    values.CONFIDENCE: (50, st.integers(0, 100)),
    values.FLOAT: (1.5, _floats),
    values.FLOATS: ((1.0, -2.5), st.lists(_floats, max_size=3).map(tuple)),
    values.DECIMAL: (Decimal("60.00"), st.decimals(-(10**20), 10**20, places=4)),
    values.BOOLEAN: (True, st.booleans()),
    values.INSTANT: (
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        st.datetimes().map(lambda t: t.replace(tzinfo=UTC, fold=0)),
    ),
    values.DURATION: (
        Duration("PT1H"),
        st.from_regex(
            r"[+-]?P([0-9]{1,3}Y)?([0-9]{1,4}M)?([0-9]{1,4}D)?T?([0-9]{1,4}H)?([0-9]{1,4}M)?([0-9]{1,9}S)?|[0-9]{1,4}W",
            fullmatch=True,
        ).map(Duration),
    ),
}
"""Simple type -> a value that will do, and a strategy for all of them; enumerations speak for themselves."""


def _value(of: SimpleType) -> Any:
    if of is values.ID:
        return f"_{next(_names)}"
    if of is values.REPORT_NAME:
        return "TELEMETRY_USAGE"  # the first of the choices is an offer, which no data are named by
    return of.choices[0] if of.choices else _MADE[of][0]


def _values(of: SimpleType) -> st.SearchStrategy[Any]:
    if not of.choices:
        return _MADE[of][1]
    known = st.sampled_from(of.choices)
    try:
        return known | st.just(of.read("x-more than known"))
    except ValueError:
        return known


def full(cls: type[Element], pick: int = 0, many: int = 2) -> Any:
    """An instance with every field, ``many`` of what there may be many; ``pick`` chooses where classes may
    stand in for one another."""

    def fill(row: Row) -> Any:
        if isinstance(row.end, tuple):
            return full(row.end[pick % len(row.end)], pick, many)
        if row.end is FEED:
            return GREEN_BUTTON
        return _value(row.end) if isinstance(row.end, SimpleType) else full(row.end, pick, many)

    return _built(cls, lambda row, several, _: tuple(fill(row) for _ in range(many)) if several else fill(row))


def elements(cls: Any) -> st.SearchStrategy[Any]:
    """Instances of a class: fields there or not, few of many."""

    def one(row: Row) -> st.SearchStrategy[Any]:
        if isinstance(row.end, tuple):
            return st.one_of(*map(elements, row.end))
        if row.end is FEED:
            return st.just(GREEN_BUTTON)
        return _values(row.end) if isinstance(row.end, SimpleType) else elements(row.end)

    def some(row: Row, many: bool, least: int) -> st.SearchStrategy[Any]:
        if many:
            several = st.lists(st.deferred(lambda: one(row)), min_size=1, max_size=2).map(tuple)
            return several if least else st.just(()) | several
        return one(row) if least else st.none() | st.deferred(lambda: one(row))

    return _built(cls, some, lambda **fields: st.builds(cls, **fields))


def _built(cls: Any, fill: Callable[[Row, bool, int], Any], build: Callable[..., Any] | None = None) -> Any:
    fields = {}
    for field in attrs.fields(cls):
        row: Row = field.metadata[ROW]
        if field.init and row.end is not ANYTHING:
            many = any(step.many for step in row.path)
            fields[field.name] = fill(row, many, min(step.least for step in row.path))
    return (build or cls)(**fields)
