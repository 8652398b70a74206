"""Bends: what VENs in the field send against the schema, mended by named rewrites of the tree.

Each bend looks at the whole message and says whether it changed something.  They run only after the
strict codec found a fault, and the message is decoded once more; so a document that decodes without a
bend is valid, and each bend that a VEN needs is counted for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from lxml import etree

from ..model.values import write_instant
from .codec import SEQUENCES, clark

Bends = Collection[str]
"""Names of bends that are allowed."""


def _insert_empty(name: str) -> Callable[[etree._Element], bool]:
    """A bend that puts an empty element where a mandatory one of this name is missing."""
    tag = clark(name)

    def bend(message: etree._Element) -> bool:
        bent = False
        for node in message.iter():
            sequence = SEQUENCES.get(node.tag)
            if sequence is None or node.find(tag) is not None:
                continue
            position = next((i for i, slot in enumerate(sequence.slots) if tag in slot.names), None)
            if position is None or not sequence.slots[position].step.least:
                continue
            before = {other for slot in sequence.slots[:position] for other in slot.names}
            index = sum(1 for child in node if child.tag in before)
            node.insert(index, node.makeelement(tag))
            bent = True
        return bent

    return bend


def _rewrite_text(names: tuple[str, ...], rewrite: Callable[[str], str | None]) -> Callable[[etree._Element], bool]:
    """A bend that replaces the text of elements of these names where ``rewrite`` has a better one."""
    tags = tuple(map(clark, names))

    def bend(message: etree._Element) -> bool:
        bent = False
        for node in message.iter(*tags):
            better = None if len(node) else rewrite((node.text or "").strip())
            if better is not None:
                node.text = better
                bent = True
        return bent

    return bend


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


def _unit_of_money(message: etree._Element) -> bool:
    bent = False
    descriptions = {"currency": "currency", "currencyPerKWh": "currencyPerKWh", "currencyPerKW": "currencyPerKW"}
    for name, description in (*descriptions.items(), ("currencyPerThm", "currency")):
        for node in message.iter(clark(f"oadr:{name}")):
            found = node.find(clark("oadr:itemDescription"))
            if found is not None and not len(found) and not (found.text or "").strip():
                found.text = description
                bent = True
    return bent


BENDS: dict[str, Callable[[etree._Element], bool]] = {
    "missing_request_id": _insert_empty("pyld:requestID"),
    "missing_ven_id": _insert_empty("ei:venID"),
    "offset_time": _rewrite_text(_TIMES, _to_utc),
    "week_duration": _rewrite_text(_DURATIONS, _weeks_to_days),
    "fractional_duration": _rewrite_text(_DURATIONS, _without_fraction),
    "empty_currency_description": _unit_of_money,
}
"""Name -> rewrite, in the order in which they run."""

ALL: Bends = frozenset(BENDS)


def apply(message: etree._Element, allowed: Bends) -> tuple[str, ...]:
    """Run the allowed bends on a message's element; the names of those that changed it."""
    return tuple(name for name, bend in BENDS.items() if name in allowed and bend(message))
