"""What the API shows: functions of one transaction that gather what the database knows, as JSON has it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import datetime
from typing import Any

import attrs

from ..model.errors import InvalidID
from ..model.event import ItemBase
from ..model.report import OadrRegisterReport, OadrReport
from ..model.values import write_instant
from ..security import fingerprint
from ..storage import events, opts, outbox, reports, vens
from ..storage.database import Txn
from ..storage.events import Event
from ..storage.reports import Reading
from ..storage.vens import Candidate, Ven
from ..vtn.events import spec_of, status_at
from ..vtn.registration import current
from ..wire.codec import from_xml
from .shapes import EventsQuery, ReadingsQuery, show

_RECENT = 50
"""So many entries and lines of a VEN are shown, the newest."""


def counts(txn: Txn, now: datetime) -> dict[str, int]:
    """How many there are of everything."""
    return vens.counts(txn) | events.counts(txn, now) | reports.counts(txn)


def gauges(txn: Txn, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    """How many there are of everything, and how often each bend was needed."""
    return counts(txn, now), vens.bend_counts(txn)


# --- VENs ---------------------------------------------------------------------------------------------


def ven_row(ven: Ven) -> dict[str, Any]:
    """A VEN's own record."""
    return {**show(ven), "registered": ven.registered}


def ven_list(txn: Txn) -> list[dict[str, Any]]:
    """All VENs by their IDs."""
    return [ven_row(ven) for ven in vens.listed(txn)]


def ven(txn: Txn, ven_id: str) -> dict[str, Any]:
    """All about a VEN, but for its readings.  Raises InvalidID."""
    capability = reports.current_capability(txn, ven_id)
    requests = reports.requests_of(txn, ven_id, ("requested", "accepted", "refused", "done", "cancelled"))
    return {
        **ven_row(current(txn, ven_id)),
        "fingerprints": [_fingerprint(known) for known in vens.fingerprints(txn, ven_id)],
        "bends": vens.bends_of(txn, ven_id),
        "outbox": [_without_document(entry) for entry in outbox.history(txn, ven_id, _RECENT)],
        "ledger": [show(line) for line in events.lines_of_ven(txn, ven_id, _RECENT)],
        "capabilities": capability and _capability(capability),
        "report_requests": [_without_document(request) for request in requests],
        "opts": [_without_document(opt) for opt in opts.of_ven(txn, ven_id)],
    }


def candidates(txn: Txn) -> list[dict[str, Any]]:
    """The certificates that wait for approval, the last heard first."""
    return [_candidate(candidate) for candidate in vens.list_candidates(txn)]


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        **_fingerprint(candidate.full),
        "subject": candidate.subject,
        "ven_id": candidate.ven_id,
        "ven_name": candidate.ven_name,
        "first_seen": show(candidate.first_seen),
        "last_seen": show(candidate.last_seen),
    }


def _fingerprint(known: bytes) -> dict[str, str | None]:
    whole = fingerprint.show(known) if len(known) == fingerprint.FULL else None
    return {"fingerprint": fingerprint.show(fingerprint.short(known)), "sha256": whole}


def _without_document(row: Any) -> dict[str, Any]:
    return {
        field.name: show(getattr(row, field.name))
        for field in attrs.fields(type(row))
        if field.name not in ("document", "ven_id")
    }


def _capability(capability: reports.Capability) -> dict[str, Any]:
    offer = from_xml(OadrRegisterReport, capability.document)
    return {"received_at": show(capability.received_at), "reports": [_offered(report) for report in offer.reports]}


def _offered(report: OadrReport) -> dict[str, Any]:
    return {
        "report_specifier_id": report.report_specifier_id,
        "report_name": (report.report_name or "").removeprefix("METADATA_") or None,
        "data_points": [
            {
                "r_id": point.r_id,
                "report_type": point.report_type,
                "reading_type": point.reading_type,
                "unit": _unit(point.item_base),
                "resource_ids": list(point.data_source.resource_ids) if point.data_source else [],
                "min_period": show(point.sampling_rate and point.sampling_rate.min_period),
                "max_period": show(point.sampling_rate and point.sampling_rate.max_period),
            }
            for point in report.descriptions
        ],
    }


def _unit(item_base: ItemBase | None) -> str | None:
    """A unit with its scale, ``kW``."""
    scale, unit = (getattr(item_base, name, None) for name in ("si_scale_code", "item_units"))
    return f"{'' if scale in (None, 'none') else scale}{unit}" if unit else None


# --- events -------------------------------------------------------------------------------------------


def event_row(txn: Txn, event: Event, now: datetime) -> dict[str, Any]:
    """An event: what the operator said, what the VTN made of it, and how many VENs stand where.

    ``answers`` counts the VENs by what they opted, else by how far the event came with them.
    """
    status, _ = status_at(event, now)
    answers: Counter[str] = Counter()
    for state, opt_type, count in events.tally(txn, event.event_id):
        answers[state if state == "refused" else opt_type or state] += count
    return {
        **show(spec_of(event)),
        "modification_number": event.modification_number,
        "status": status,
        "source": event.source,
        "created_at": show(event.created_at),
        "modified_at": show(event.modified_at),
        "gone_at": show(event.gone_at),
        "answers": dict(answers),
    }


def event_list(txn: Txn, query: EventsQuery, now: datetime) -> list[dict[str, Any]]:
    """Events by their start."""
    return [event_row(txn, event, now) for event in events.listed(txn, now, query.all)[-query.limit :]]


def event(txn: Txn, event_id: str, now: datetime) -> dict[str, Any]:
    """All about an event: with the ledger of all its versions, and the history of the VENs' answers.

    Raises InvalidID.
    """
    found = events.get(txn, event_id)
    if found is None:
        raise InvalidID(f"event_id: {event_id!r} is not known")
    return {
        **event_row(txn, found, now),
        "ledger": [show(line) for line in events.lines_of_event(txn, event_id)],
        "history": [show(answer) for answer in events.answers_to(txn, event_id)],
    }


# --- readings -----------------------------------------------------------------------------------------

_COLUMNS = [field.name for field in attrs.fields(Reading) if field.name != "ven_id"]


def readings(txn: Txn, ven_id: str, query: ReadingsQuery, as_csv: bool) -> str:
    """A VEN's readings by their start, written as JSON or CSV: there may be many, and threads have time for that.

    The JSON says whether there are older ones that the limit left out.  Raises InvalidID.
    """
    current(txn, ven_id)
    found = reports.readings_of(txn, ven_id, query.since, query.until, query.r_id, query.limit + 1)
    truncated = len(found) > query.limit
    rows = [[_cell(getattr(reading, name)) for name in _COLUMNS] for reading in found[truncated:]]
    if as_csv:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *rows])
        return file.getvalue()
    readings = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return json.dumps({"ven_id": ven_id, "truncated": truncated, "readings": readings})


def _cell(value: Any) -> Any:
    return write_instant(value) if isinstance(value, datetime) else value
