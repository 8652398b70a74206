"""The data of reports: stored as it comes, shown in base units, and looked through for what is missing (7.5)."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID
from ..model.event import (
    OadrGBPayload,
    OadrPayloadResourceStatus,
    OadrReportPayload,
    PayloadFloat,
)
from ..model.party import EiResponse
from ..model.report import OadrReport, OadrReportRequest, OadrUpdatedReport, OadrUpdateReport
from ..model.values import shown
from ..storage import notes, readings, reports, vens
from ..storage.database import Txn
from ..storage.readings import Reading
from ..storage.reports import DataPoint, ReportRequest
from ..storage.tables import instant, microseconds
from ..storage.vens import Ven
from ..wire.codec import from_xml
from . import requests
from .changes import NOTHING, Changes

# --- what comes -----------------------------------------------------------------------------------------


def _rows(ven_id: str, report: OadrReport, now: int) -> Iterable[tuple[Any, ...]]:
    """The readings of a report as the table takes them.

    An interval without a start follows the last one of the same data point by its duration; the first, and
    one without duration, starts with the report, else when the report was created (rules 314 and 342).
    """
    first = report.dtstart or report.created_date_time
    request = report.report_request_id
    follows: dict[str, datetime] = {}
    for interval in report.intervals:
        duration, dtstart = interval.duration or None, interval.dtstart  # of no length is none
        for payload in interval.payloads:
            if isinstance(payload, OadrReportPayload):
                r_id = payload.r_id
            elif isinstance(payload, OadrGBPayload):
                r_id = ""
            else:
                raise InvalidData("oadrReport/intervals/interval: holds a signalPayload, which is for events")
            start = dtstart or (first if duration is None else follows.get(r_id, first))
            seconds = None
            if duration is not None:
                follows[r_id] = end = duration.after(start)
                seconds = (end - start).total_seconds()
            yield (ven_id, request, r_id, microseconds(start), seconds, *_value(payload), now)


def _finite(instance: object, attribute: object, value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: Any) -> str | None:
    """An element as JSON, with NaN and INF as null."""
    return value and json.dumps(attrs.asdict(value, value_serializer=_finite), separators=(",", ":"))


def _value(payload: OadrReportPayload | OadrGBPayload) -> tuple[Any, ...]:
    """Value, text, quality, confidence and accuracy.  NaN and INF are missing values; the rest counts."""
    if isinstance(payload, OadrGBPayload):
        return None, payload.feed, None, None, None
    quality, accuracy, inner = payload.data_quality, payload.accuracy, payload.payload
    if accuracy is not None and not math.isfinite(accuracy):
        accuracy = None
    if not isinstance(inner, PayloadFloat):
        return None, _json(inner), quality, payload.confidence, accuracy
    if math.isfinite(inner.value):
        return inner.value, None, quality, payload.confidence, accuracy
    return None, None, quality or "No Quality - No Value", payload.confidence, accuracy


def _states(message: OadrUpdateReport, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The states of resources as the table takes them, from all readings of a message and their rows."""
    if all(row[6] is None for row in rows):
        return []  # but numbers there is nothing
    payloads = (payload for report in message.reports for interval in report.intervals for payload in interval.payloads)
    return [
        _state(row, payload.payload)
        for row, payload in zip(rows, payloads, strict=True)
        if isinstance(payload, OadrReportPayload) and isinstance(payload.payload, OadrPayloadResourceStatus)
    ]


def _state(row: tuple[Any, ...], status: OadrPayloadResourceStatus) -> tuple[Any, ...]:
    ven_id, report_request_id, r_id, start, *_, received_at = row
    control = _json(status.load_control_state)
    return ven_id, r_id, report_request_id, start, status.online, status.manual_override, control, received_at


def _check_keys(rows: list[tuple[Any, ...]]) -> None:
    """Raise InvalidData where two readings of a message have one key."""
    keys = set[tuple[Any, ...]]()
    for row in rows:
        if row[:4] in keys:
            start = instant(row[3])
            raise InvalidData(f"oadrReport/intervals: two values of rID {shown(row[2])} start at {start}")
        keys.add(row[:4])


def update_report(
    txn: Txn, config: Config, ven: Ven, message: OadrUpdateReport, now: datetime
) -> tuple[OadrUpdatedReport, Changes]:
    """Store the data of reports that were asked for (rule 304), all of the message or nothing.

    A value that was there already is replaced and kept as its predecessor; two values for one key within
    one message are 454.
    """
    arrived = microseconds(now)
    rows: list[tuple[Any, ...]] = []
    named = {report.report_request_id for report in message.reports}
    known = reports.requests_named(txn, ven.ven_id, named)
    for report in message.reports:
        if report.report_request_id not in known:
            raise InvalidID(f"reportRequestID {shown(report.report_request_id)} was never issued to this VEN")
        try:
            rows += _rows(ven.ven_id, report, arrived)
        except OverflowError:
            raise InvalidData("oadrReport/intervals: reach beyond the calendar") from None
    if readings.add_readings(txn, rows) < len(rows):
        _check_keys(rows)
        readings.replace_readings(txn, rows)
    readings.store_states(txn, _states(message, rows))
    news = requests.arrived(txn, ven, known.values(), now)
    reply = OadrUpdatedReport(response=EiResponse.ok(message.request_id), ven_id=ven.ven_id)
    return reply, Changes.of(ven.ven_id) if news else NOTHING


# --- what is shown ----------------------------------------------------------------------------------------

_EXPONENTS = {
    "p": -12, "n": -9, "micro": -6, "m": -3, "c": -2, "d": -1, "none": 0, "k": 3, "M": 6, "G": 9, "T": 12,
}  # fmt: skip
"""The powers of ten of siScaleCode."""
_SAME = {"J/s": "W"}
"""Units of another name."""


def normalised(reading: Reading) -> tuple[float | None, str | None]:
    """A reading's value in its base unit: 1.5 of kW is (1500.0, "W"); a unit that METADATA does not give is None."""
    value = reading.value
    if value is not None and (exponent := _EXPONENTS.get(reading.scale or "none", 0)):
        scaled = float(Decimal(repr(value)).scaleb(exponent))  # by decimal places: 1.1 k is 1100 and not a bit more
        value = scaled if math.isfinite(scaled) else None
    return value, _SAME.get(reading.unit or "", reading.unit)


# --- what is missing --------------------------------------------------------------------------------------

_PERIOD = timedelta(minutes=10)
"""So often each request's readings are looked through."""
_PATIENCE = timedelta(hours=1)
"""So long what was asked to fill a gap may take before more is asked."""
_MOST_FILLED = 10_000
_LOOKS = 20
"""So many requests are looked at in one transaction."""


@attrs.frozen
class Gap:
    """Readings that a request should have brought and did not: ``missing`` samples in [start, end)."""

    report_request_id: str
    r_id: str
    start: datetime
    end: datetime
    missing: int


def _expected_until(request: ReportRequest, now: datetime) -> tuple[datetime, bool]:
    """Up to when samples should be here, and whether none will follow.

    Each comes at latest with the report after it, which may take a little.
    """
    ends = [request.ends_at] if request.ends_at else []
    if request.state != "accepted":
        ends.append(request.changed_at)
    due = now - timedelta(seconds=request.report_back + 2 * request.granularity)
    return min([due, *ends]), due >= min(ends, default=now)


def _gaps(txn: Txn, request: ReportRequest, since: datetime, until: datetime, most: int) -> list[Gap]:
    if until <= since:
        return []
    asked = from_xml(OadrReportRequest, request.document).report_specifier.specifier_payloads
    r_ids = [point.r_id for point in asked]
    request_id, granularity = request.report_request_id, request.granularity
    found = readings.holes(txn, request.ven_id, request_id, r_ids, granularity, since, until, most)
    return [
        Gap(request_id, r_id, start, end, max(1, round((end - start).total_seconds() / granularity)))
        for r_id, start, end in found
    ]


def gaps(
    txn: Txn,
    config: Config,
    ven_id: str,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
    most: int = 1000,
) -> list[Gap]:
    """What is missing of a VEN's periodic reports in [since, until), by their granularity; at most ``most``.

    What is too old to be kept is not missing.
    """
    found: list[Gap] = []
    for request in reports.requests_of(txn, ven_id):
        if request.starts_at and request.gaps_until:
            begin = max(request.starts_at, since or request.starts_at, _kept_since(config, now))
            end = min(_expected_until(request, now)[0], until or now)
            found += _gaps(txn, request, begin, end, most - len(found))
    return found


def fill_gaps(txn: Txn, config: Config, now: datetime) -> tuple[bool, Changes]:
    """Ask for missing readings as history, each gap once, of VENs that are there and offer it; whether more is due.

    A VEN that is offline is asked when it is back, for the whole time; one that has not brought what it was
    last asked for is not asked for more.
    """
    looked = reports.to_look_at(txn, now, _LOOKS)
    asked = frozenset(request.ven_id for request in looked if _fill(txn, config, request, now))
    return len(looked) == _LOOKS, Changes(asked)


def _fill(txn: Txn, config: Config, request: ReportRequest, now: datetime) -> bool:
    """Look through a request's readings where that was not done yet; whether anything was asked."""
    ven = vens.get(txn, request.ven_id)
    assert ven is not None and request.gaps_until is not None
    look: dict[str, Any] = {"look_at": now + _PERIOD}
    asked = []
    until, over = _expected_until(request, now)
    there = ven.registered and ven.online and (over or request.state == "accepted")
    if there and not reports.filling(txn, request.report_request_id, now - _PATIENCE):
        history = {point.r_id: point for point in reports.points_named(txn, ven.ven_id, "HISTORY_USAGE")}
        since = max(request.gaps_until, _kept_since(config, now))
        found = _gaps(txn, request, since, until, _MOST_FILLED) if history else []
        missing: dict[str, list[Gap]] = defaultdict(list)
        for gap in found:
            if point := history.get(gap.r_id):
                missing[point.report_specifier_id].append(gap)
        asked = [_history(txn, request, specifier, missing[specifier], history, now) for specifier in sorted(missing)]
        look = {"gaps_until": max(until, request.gaps_until), "look_at": None if over or not history else now + _PERIOD}
    reports.change_requests(txn, ven.ven_id, [request.report_request_id], [request.state], **look)
    if asked:
        requests.ask(txn, ven, asked, now)
        requests.forget(txn, ven.ven_id)
    return bool(asked)


def _history(
    txn: Txn,
    request: ReportRequest,
    report_specifier_id: str,
    missing: list[Gap],
    history: dict[str, DataPoint],
    now: datetime,
) -> OadrReportRequest:
    """A request for the time of these gaps, from the first to the last, and the data points that have them."""
    since, until = min(gap.start for gap in missing), max(gap.end for gap in missing)
    points = [history[r_id] for r_id in sorted({gap.r_id for gap in missing})]
    seconds = math.ceil((until - since).total_seconds())
    specifier = requests.specify(report_specifier_id, points, request.granularity, 0.0, since, seconds)
    capability_id = reports.current_version(txn, request.ven_id)
    return requests.make(
        txn, request.ven_id, specifier, now, capability_id, "HISTORY_USAGE", fills=request.report_request_id
    )


# --- what is old ------------------------------------------------------------------------------------------

_SWEEP = timedelta(hours=1)
"""So long after all VENs were looked at they are looked at again."""
_VENS, _ROWS = 1000, 2000
"""So many VENs are looked at, and so many readings dropped, in one transaction."""
_NOTE = "retention"


def _kept_since(config: Config, now: datetime) -> datetime:
    """What begins before this instant and came before it is not kept: a history that a VEN sends today is young."""
    kept = config.retention.readings
    return now - timedelta(seconds=kept) if kept else datetime.min.replace(tzinfo=UTC)


def forget(txn: Txn, config: Config, now: datetime) -> tuple[bool, Changes]:
    """Drop a slice of the readings and states that are too old to be kept; whether there may be more by now.

    The database knows up to which VEN that is done and when to begin again, so a restart does not begin anew.
    """
    due, ven_id = json.loads(notes.get(txn, _NOTE) or '[0, ""]')
    if not config.retention.readings or microseconds(now) < due:
        return False, NOTHING
    last = readings.drop_before(txn, _kept_since(config, now), ven_id, _VENS, _ROWS)
    notes.put(txn, _NOTE, json.dumps([microseconds(now + _SWEEP), ""] if last is None else [due, last]))
    return last is not None, NOTHING
