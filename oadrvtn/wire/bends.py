"""Bends: what VENs in the field send against the schema, mended by named rewrites of the tree.

Each bend looks at the whole message and says whether it changed something.  They run only after the
strict codec found a fault, and the message is decoded once more; so a document that decodes without a
bend is valid, and each bend that a VEN needs is counted for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import cache

from lxml import etree

from ..model.errors import InvalidData
from ..model.report import OadrRegisterReport, OadrUpdateReport
from ..model.schema import NAMESPACES
from ..model.values import WHITE, shown, write_instant
from .codec import SEQUENCES, clark, local

Bends = Collection[str]
"""Names of bends that are allowed."""
Bend = Callable[[etree._Element], bool]
"""Rewrites a message's element where it must; says whether it did."""


def _insert(name: str, content: str | Mapping[str, str] = "") -> Bend:
    """A bend that puts an element where a mandatory one of this name is missing; it holds a text, or elements."""
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

    def element(parent: etree._Element) -> etree._Element:
        made = parent.makeelement(tag)
        if isinstance(content, str):
            made.text = content
        else:
            for inner, text in content.items():
                etree.SubElement(made, clark(inner)).text = text
        return made

    def bend(message: etree._Element) -> bool:
        bent = False
        for node in message.iter(*parents()):
            tags = [child.tag for child in node]
            value = (node.text or "").strip(WHITE)  # power:voltage is a unit here and a number there
            if tag not in tags and not value:
                before = parents()[node.tag]
                node.insert(sum(other in before for other in tags), element(node))
                bent = True
        return bent

    return bend


def _rename(meant: Callable[[str], str]) -> Bend:
    """A bend for elements of OpenADR's namespaces, or of none, that are not known in their place.

    They get the name of the one that is known there by the local name that ``meant`` makes of theirs; no
    place knows two of the same local name.
    """

    @cache
    def names(parent: str) -> dict[str, str]:
        return {local(tag): tag for place in SEQUENCES[parent].places for tag in place.readers}

    def bend(message: etree._Element) -> bool:
        bent = False
        for node in message.iter():  # parents before their children
            known = names(node.tag) if node.tag in SEQUENCES else {}
            for child in node if known else ():
                namespace, _, name = child.tag.rpartition("}")
                if namespace in _OURS and known.get(name) != child.tag and (better := known.get(meant(name))):
                    child.tag = better
                    bent = True
        return bent

    return bend


_OURS = frozenset({"", *("{" + namespace for namespace in NAMESPACES.values())})


def _by_type(name: str) -> str:
    """``PowerRealType`` -> ``powerReal``; empty for what is no name of a type."""
    return name[0].lower() + name[1:-4] if name.endswith("Type") else ""


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


def _qualify_version(message: etree._Element) -> bool:
    version = message.get("schemaVersion")
    if version is None:
        return False
    del message.attrib["schemaVersion"]
    if clark("ei:schemaVersion") not in message.attrib:
        message.set(clark("ei:schemaVersion"), version)
    return True


_number_reports = _insert("ei:reportRequestID", "0")


def _number_metadata(message: etree._Element) -> bool:
    return message.tag == clark(OadrRegisterReport.tag) and _number_reports(message)


def _drop_empty_intervals(message: etree._Element) -> bool:
    bent = False
    for report in message.iter(clark("oadr:oadrReport")):
        for intervals in report.findall(clark("strm:intervals")):
            if not len(intervals) and not (intervals.text or "").strip(WHITE):
                report.remove(intervals)
                bent = True
    return bent


_STANDARD: dict[str, Bend] = {
    "missing_request_id": _insert("pyld:requestID"),
    "missing_ven_id": _insert("ei:venID"),
    "offset_time": _rewrite_text(_TIMES, _to_utc),
    "week_duration": _rewrite_text(_DURATIONS, _weeks_to_days),
    "fractional_duration": _rewrite_text(_DURATIONS, _without_fraction),
    "empty_currency_description": _describe_money,
    "empty_intervals": _drop_empty_intervals,
}
_NEIGHBOURS: dict[str, Bend] = {
    "unqualified_version": _qualify_version,
    "neighbour_namespace": _rename(lambda name: name),
    "type_name": _rename(_by_type),
    "missing_scale": _insert("scale:siScaleCode", "none"),
    "missing_power_attributes": _insert(
        "power:powerAttributes", {"power:hertz": "0", "power:voltage": "0", "power:ac": "true"}
    ),
    "missing_metadata_id": _number_metadata,
    "opt_type_none": _rewrite_text(("ei:optType",), {"none": "optOut"}.get),  # it promises nothing
}
BENDS = _NEIGHBOURS | _STANDARD
"""Name -> rewrite, in the order in which they run: elements get their names before they are looked for."""

BARE_ROOT = "bare_root"
"""The bend of a document whose root is the message itself, and whose sender wants bare answers; see ``envelope``."""
LATE_SIGNATURE = "late_signature"
"""The bend of a ds:Signature behind what it signs, or of the whole document; see ``envelope`` and whoever verifies."""
METADATA_NAME = "metadata_name"
"""The bend of data that comes under the name of its METADATA, which the schema does not mind; see ``unoffered``."""

NAMES = (BARE_ROOT, LATE_SIGNATURE, METADATA_NAME, *BENDS)
"""All bends."""

PROFILES: dict[str, frozenset[str]] = {
    "strict": frozenset(),
    "standard": frozenset(_STANDARD),
    "bare": frozenset({*_STANDARD, BARE_ROOT}),
    "enveloped": frozenset({*_STANDARD, LATE_SIGNATURE}),
    "neighbours": frozenset({*BENDS, METADATA_NAME}),
    "lenient": frozenset(NAMES),
}
"""Name of a leniency profile -> the bends that it allows."""

STANDARD = PROFILES["standard"]


def apply(message: etree._Element, allowed: Bends) -> tuple[str, ...]:
    """Run the allowed bends on a message's element; the names of those that changed it."""
    return tuple(name for name, bend in BENDS.items() if name in allowed and bend(message))


def unoffered(message: OadrUpdateReport, allowed: Bends) -> tuple[OadrUpdateReport, tuple[str, ...]]:
    """The data under its own name, and the bend that this took; raises InvalidData where that is not allowed."""
    names = [report.report_name or "" for report in message.reports]
    offers = [number for number, name in enumerate(names, 1) if name.startswith(_OFFER)]
    if not offers:
        return message, ()
    if METADATA_NAME not in allowed:
        place = f"{message.name()}/oadrReport[{offers[0]}]/reportName"
        raise InvalidData(f"{place}: {shown(names[offers[0] - 1])} names an offer, not its data")
    reports = tuple(
        report.evolve(report_name=report.report_name and report.report_name.removeprefix(_OFFER))
        for report in message.reports
    )
    return message.evolve(reports=reports), (METADATA_NAME,)


_OFFER = "METADATA_"
