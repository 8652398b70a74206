"""Bends: what VENs in the field send against the schema, mended by named rewrites of the tree.

Each bend looks at the whole message and says whether it changed something.  They run only after the
strict codec found a fault, and the message is decoded once more; so a document that decodes without a
bend is valid, and each bend that a VEN needs is counted for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import cache

from lxml import etree

from ..model.values import WHITE, write_instant
from .codec import SEQUENCES, clark

Bends = Collection[str]
"""Names of bends that are allowed."""
Bend = Callable[[etree._Element], bool]
"""Rewrites a message's element where it must; says whether it did."""


def _insert_empty(name: str) -> Bend:
    """A bend that puts an empty element where a mandatory one of this name is missing."""
    tag = clark(name)

    @cache
    def parents() -> dict[str, frozenset[str]]:
        """The elements that must hold one -> what may stand before it there."""
        found = {}
        for parent, sequence in SEQUENCES.items():
            before: set[str] = set()
            for place in sequence.places:
                if tag in place.readers and place.step.least:
                    found[parent] = frozenset(before)
                before.update(place.readers)
        return found

    def bend(message: etree._Element) -> bool:
        bent = False
        for node in message.iter(*parents()):
            tags = [child.tag for child in node]
            if tag not in tags:
                before = parents()[node.tag]
                node.insert(sum(other in before for other in tags), node.makeelement(tag))
                bent = True
        return bent

    return bend


def _rewrite_text(names: tuple[str, ...], rewrite: Callable[[str], str | None]) -> Bend:
    """A bend that replaces the text of elements of these names where ``rewrite`` has a better one."""
    tags = tuple(map(clark, names))

    def bend(message: etree._Element) -> bool:
        bent = False
        for node in message.iter(*tags):
            text = node.text or ""
            if len(text) <= _LONGEST and not len(node) and (better := rewrite(text.strip(WHITE))):
                node.text = better
                bent = True
        return bent

    return bend


_LONGEST = 100
"""More characters than this are no time and no duration, and are not searched for one."""
_TIMES = ("xcal:date-time", "ei:createdDateTime", "ei:modificationDateTime")
_DURATIONS = ("xcal:duration", "xcal:startafter", "oadr:oadrMinPeriod", "oadr:oadrMaxPeriod")
_OFFSET = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?([+-]\d\d):?(\d\d)")
_WEEKS = re.compile(r"([+-]?)P(\d+)W")
_FRACTION = re.compile(r"([+-]?P.*?)(\d+)\.\d+S")


def _to_utc(text: str) -> str | None:
    found = _OFFSET.fullmatch(text)
    if not found:
        return None
    try:
        moment = datetime.fromisoformat(f"{found[1]}.{(found[2] or '0')[:6].ljust(6, '0')}{found[3]}:{found[4]}")
        return write_instant(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _weeks_to_days(text: str) -> str | None:
    found = _WEEKS.fullmatch(text)
    return f"{found[1]}P{int(found[2]) * 7}D" if found and len(found[2]) < 6 else None


def _without_fraction(text: str) -> str | None:
    found = _FRACTION.fullmatch(text)
    return f"{found[1]}{found[2]}S" if found else None


_MONEY = {
    clark("oadr:currency"): "currency",
    clark("oadr:currencyPerKWh"): "currencyPerKWh",
    clark("oadr:currencyPerKW"): "currencyPerKW",
    clark("oadr:currencyPerThm"): "currency",  # the schema has no word of its own for it
}


def _describe_money(message: etree._Element) -> bool:
    bent = False
    for node in message.iter(*_MONEY):
        for description in node.iterchildren(clark("oadr:itemDescription")):
            if not len(description) and not (description.text or "").strip(WHITE):
                description.text = _MONEY[node.tag]
                bent = True
    return bent


def _drop_empty_intervals(message: etree._Element) -> bool:
    bent = False
    for report in message.iter(clark("oadr:oadrReport")):
        for intervals in report.findall(clark("strm:intervals")):
            if not len(intervals) and not (intervals.text or "").strip(WHITE):
                report.remove(intervals)
                bent = True
    return bent


BENDS: dict[str, Bend] = {
    "missing_request_id": _insert_empty("pyld:requestID"),
    "missing_ven_id": _insert_empty("ei:venID"),
    "offset_time": _rewrite_text(_TIMES, _to_utc),
    "week_duration": _rewrite_text(_DURATIONS, _weeks_to_days),
    "fractional_duration": _rewrite_text(_DURATIONS, _without_fraction),
    "empty_currency_description": _describe_money,
    "empty_intervals": _drop_empty_intervals,
}
"""Name -> rewrite, in the order in which they run."""

ALL = frozenset(BENDS)


def apply(message: etree._Element, allowed: Bends) -> tuple[str, ...]:
    """Run the allowed bends on a message's element; the names of those that changed it."""
    return tuple(name for name, bend in BENDS.items() if name in allowed and bend(message))
