"""Rules of EiReport: what VENs offer, what the configuration wants of it, and the data that comes (8.3)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs

from ..model.config import Config, WantedReport
from ..model.errors import InvalidData, InvalidID, NotAllowed
from ..model.event import Interval, OadrGBPayload, OadrReportPayload, PayloadFloat, Properties, SignalPayload
from ..model.party import EiResponse, OadrResponse, says_yes
from ..model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrReportRequest,
    OadrUpdatedReport,
    OadrUpdateReport,
    ReportSpecifier,
    SpecifierPayload,
)
from ..model.values import Duration, shown
from ..storage import outbox, reports
from ..storage.database import Txn
from ..storage.reports import ReportRequest
from ..storage.tables import microseconds
from ..storage.vens import Ven
from ..wire.codec import to_xml
from .changes import NOTHING, Changes, generate_id
from .outbox import put, settle

_OPEN = ("requested", "accepted")
_UNSTARTED = ("requested", "refused")  # data says more than a refusal before it
_MOST_METADATA = 10
"""So many requests of a VEN for METADATA wait at a time: each is an entry that no other replaces."""


# --- what a VEN offers, and what is wanted of it --------------------------------------------------------


def _matches(wish: WantedReport, report: OadrReport, point: OadrReportDescription) -> bool:
    name = (report.report_name or "").removeprefix("METADATA_")
    unit = type(point.item_base).tag.partition(":")[2] if point.item_base else None
    asked = (
        (wish.report_name, name),
        (wish.reading_type, point.reading_type),
        (wish.report_type, point.report_type),
        (wish.item_base, unit),
        (wish.r_id, point.r_id),
    )
    return all(wanted is None or wanted == offered for wanted, offered in asked)


def _granularity(wish: WantedReport, points: Iterable[OadrReportDescription]) -> Duration:
    """The wish, kept within what all the points can be sampled at (7.9)."""
    seconds = wish.granularity
    for point in points:
        if point.sampling_rate and seconds:
            longest = point.sampling_rate.max_period.fixed.total_seconds()
            seconds = max(min(seconds, longest or seconds), point.sampling_rate.min_period.fixed.total_seconds())
    return Duration.of(seconds)


def _requests(config: Config, offer: OadrRegisterReport, now: datetime) -> list[tuple[OadrReport, OadrReportRequest]]:
    """What the configuration wants of an offer: one request for each wish and report that fit."""
    wanted = []
    for report in offer.reports:
        for wish in config.reports:
            points = [point for point in report.descriptions if _matches(wish, report, point)]
            if not points:
                continue
            once = not wish.report_back_duration
            specifier = ReportSpecifier(
                report_specifier_id=report.report_specifier_id,
                granularity=_granularity(wish, points),
                report_back_duration=Duration.of(wish.report_back_duration),
                # A duration of zero: endless, until it is cancelled.
                report_interval=None if once else Properties(dtstart=now, duration=Duration("PT0S")),
                specifier_payloads=tuple(
                    SpecifierPayload(r_id=point.r_id, reading_type=point.reading_type) for point in points
                ),
            )
            request_id = generate_id("report-")
            wanted.append((report, OadrReportRequest(report_request_id=request_id, report_specifier=specifier)))
    return wanted


def register_report(
    txn: Txn, config: Config, ven: Ven, message: OadrRegisterReport, now: datetime
) -> tuple[OadrRegisteredReport, Changes]:
    """Keep what a VEN can report, as a new version that replaces the last, and ask for what is wanted of it."""
    capability_id = reports.add_capability(txn, ven.ven_id, to_xml(message), now)
    outbox.supersede(txn, ven.ven_id, now, ["create_report"])
    reports.supersede_requests(txn, ven.ven_id, now)
    wanted = _requests(config, message, now)
    for report, request in wanted:
        reports.add_request(
            txn,
            ReportRequest(
                report_request_id=request.report_request_id,
                ven_id=ven.ven_id,
                capability_id=capability_id,
                report_specifier_id=report.report_specifier_id,
                report_name=(report.report_name or "").removeprefix("METADATA_") or None,
                one_shot=not request.report_specifier.report_back_duration,
                document=to_xml(request),
                state="requested",
                created_at=now,
                changed_at=now,
                response_code=None,
                response_description=None,
            ),
        )
        # It goes out within the reply, so it has been offered once; unanswered, a poll gets it next.
        request_id = generate_id("req-")
        polled = OadrCreateReport(request_id=request_id, report_requests=(request,), ven_id=ven.ven_id)
        put(
            txn, ven, "create_report", polled, now,
            request_id=request_id, reference=request.report_request_id, offers=1,
        )  # fmt: skip
    reply = OadrRegisteredReport(
        response=EiResponse.ok(message.request_id),
        report_requests=tuple(request for _, request in wanted),
        ven_id=ven.ven_id,
    )
    return reply, Changes.of(ven.ven_id)


def created_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCreatedReport, now: datetime
) -> tuple[OadrResponse, Changes]:
    """A VEN accepts what was asked, or refuses it with a code that is kept."""
    response = message.response
    good = says_yes(response.response_code)
    pending = frozenset(message.pending_reports if good else ())
    entries = settle(txn, ven, "create_report", response, now, pending)
    if not (
        good
        or entries
        or (response.request_id and outbox.issued(txn, ven.ven_id, "create_report", response.request_id))
    ):
        # One refusal for all that went out within oadrRegisteredReport.
        entries = [entry for entry in outbox.pending(txn, ven.ven_id) if entry.kind == "create_report"]
        outbox.close(
            txn, [e.id for e in entries], "refused", now, response.response_code, response.response_description
        )
    ids = {entry.reference or "" for entry in entries}
    ids |= pending & {request.report_request_id for request in reports.requests_of(txn, ven.ven_id, ["requested"])}
    reports.change_requests(
        txn, ven.ven_id, ids, ["requested"], state="accepted" if good else "refused", changed_at=now,
        response_code=response.response_code, response_description=response.response_description,
    )  # fmt: skip
    return OadrResponse(response=EiResponse.ok(response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)


# --- data -----------------------------------------------------------------------------------------------


def _starts(report: OadrReport) -> Iterable[tuple[datetime, Interval, OadrReportPayload | OadrGBPayload]]:
    """Each payload of a report with the start of its interval.

    An interval without a start follows the last one of the same data point by its duration; the first, and
    one without duration, starts with the report, else when the report was created (rules 314 and 342).
    """
    first = report.dtstart or report.created_date_time
    follows: dict[str, datetime] = {}
    for interval in report.intervals:
        for payload in interval.payloads:
            if isinstance(payload, SignalPayload):
                raise InvalidData("oadrReport/intervals/interval: holds a signalPayload, which is for events")
            r_id = _r_id(payload)
            start = interval.dtstart or (follows.get(r_id, first) if interval.duration else first)
            if interval.duration:
                follows[r_id] = interval.duration.after(start)
            yield start, interval, payload


def _r_id(payload: OadrReportPayload | OadrGBPayload) -> str:
    return payload.r_id if isinstance(payload, OadrReportPayload) else ""


def _finite(instance: object, attribute: object, value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(
    ven_id: str, report_request_id: str, start: datetime, interval: Interval,
    payload: OadrReportPayload | OadrGBPayload, now: int,
) -> tuple[Any, ...]:  # fmt: skip
    """A reading as the table takes it.  NaN and INF are missing values; the rest of the message counts."""
    value: float | None = None
    text: str | None = None
    quality = confidence = accuracy = None
    if isinstance(payload, OadrGBPayload):
        text = payload.feed
    else:
        quality, confidence, accuracy = payload.data_quality, payload.confidence, payload.accuracy
        if accuracy is not None and not math.isfinite(accuracy):
            accuracy = None
        if not isinstance(payload.payload, PayloadFloat):
            text = json.dumps(attrs.asdict(payload.payload, value_serializer=_finite), separators=(",", ":"))
        elif math.isfinite(payload.payload.value):
            value = payload.payload.value
        else:
            quality = quality or "No Quality - No Value"
    seconds = (interval.duration.after(start) - start).total_seconds() if interval.duration else None
    return (
        ven_id, report_request_id, _r_id(payload), microseconds(start), seconds, value, text,
        quality, confidence, accuracy, now,
    )  # fmt: skip


def update_report(
    txn: Txn, config: Config, ven: Ven, message: OadrUpdateReport, now: datetime
) -> tuple[OadrUpdatedReport, Changes]:
    """Store the data of reports that were asked for (rule 304), all of the message or nothing.

    A value that was there already is replaced and kept as its predecessor; two values for one key within
    one message are 454.  The first data for a request is evidence that it arrived.
    """
    arrived = microseconds(now)
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    requests: dict[str, ReportRequest | None] = {}
    for report in message.reports:
        if report.report_request_id not in requests:
            found = reports.get_request(txn, ven.ven_id, report.report_request_id)
            requests[report.report_request_id] = found
        if requests[report.report_request_id] is None:
            raise InvalidID(f"reportRequestID {shown(report.report_request_id)} was never issued to this VEN")
        try:
            for start, interval, payload in _starts(report):
                row = _row(ven.ven_id, report.report_request_id, start, interval, payload, arrived)
                if rows.setdefault(row[:4], row) is not row:
                    raise InvalidData(f"oadrReport/intervals: two values of rID {shown(row[2])} start at {start}")
        except OverflowError:
            raise InvalidData("oadrReport/intervals: reach beyond the calendar") from None
    reports.store_readings(txn, list(rows.values()))
    known = [request for request in requests.values() if request]
    started = [request.report_request_id for request in known if request.state in _UNSTARTED]
    finished = [request.report_request_id for request in known if request.one_shot and request.state in _OPEN]
    if started:
        reports.change_requests(txn, ven.ven_id, started, _UNSTARTED, state="accepted", changed_at=now)
        entries = outbox.referring(txn, ven.ven_id, "create_report", started)
        outbox.close(txn, [entry.id for entry in entries], "done", now)
    if finished:
        reports.change_requests(txn, ven.ven_id, finished, _OPEN, state="done", changed_at=now)
    reply = OadrUpdatedReport(response=EiResponse.ok(message.request_id), ven_id=ven.ven_id)
    return reply, Changes.of(ven.ven_id) if started else NOTHING


# --- the VTN as producer, and answers without effect ------------------------------------------------------


def registered_report(
    txn: Txn, config: Config, ven: Ven, message: OadrRegisteredReport, now: datetime
) -> tuple[OadrResponse | OadrCreatedReport, Changes]:
    """The VEN took note of what the VTN can report: nothing, so whatever it asks of it is unknown."""
    settle(txn, ven, "register_report", message.response, now)
    if message.report_requests:
        request_id = message.response.request_id
        try:
            reply = create_report_reply(ven, request_id, message.report_requests)
        except InvalidID as fault:  # told, not raised: that the VEN took note stays true
            response = EiResponse(
                response_code=fault.response_code, response_description=fault.description, request_id=request_id
            )
            reply = OadrCreatedReport(response=response, ven_id=ven.ven_id)
        return reply, Changes.of(ven.ven_id)
    return OadrResponse(response=EiResponse.ok(message.response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)


def create_report_reply(ven: Ven, request_id: str, requests: tuple[OadrReportRequest, ...]) -> OadrCreatedReport:
    """Accept requests for the VTN's METADATA (rule 306); raises InvalidID for any other report."""
    for request in requests:
        specifier = request.report_specifier.report_specifier_id
        if specifier != "METADATA":
            raise InvalidID(f"reportSpecifierID {shown(specifier)} is no report of this VTN")
    pending = tuple(request.report_request_id for request in requests)
    return OadrCreatedReport(response=EiResponse.ok(request_id), pending_reports=pending, ven_id=ven.ven_id)


def create_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCreateReport, now: datetime
) -> tuple[OadrCreatedReport, Changes]:
    """A VEN asks for reports of the VTN: its METADATA is sent again (rules 311 and 327), it has no other."""
    reply = create_report_reply(ven, message.request_id, message.report_requests)
    waiting, wanted = _metadata(txn, ven.ven_id), dict.fromkeys(reply.pending_reports)
    if len(waiting.keys() | wanted.keys()) > _MOST_METADATA:
        raise NotAllowed(f"oadrReportRequest: at most {_MOST_METADATA} for METADATA may wait for this VEN's polls")
    outbox.close(txn, [waiting[reference] for reference in waiting.keys() & wanted.keys()], "superseded", now)
    for reference in wanted:
        request_id = generate_id("req-")
        again = OadrRegisterReport(request_id=request_id, ven_id=ven.ven_id, report_request_id=reference)
        put(txn, ven, "register_report", again, now, request_id=request_id, reference=reference)
    return reply, Changes.of(ven.ven_id)


def _metadata(txn: Txn, ven_id: str) -> dict[str, int]:
    """The METADATA that a VEN asked for and does not have yet: reportRequestID -> id of the entry."""
    entries = [entry for entry in outbox.pending(txn, ven_id) if entry.kind == "register_report"]
    return {entry.reference: entry.id for entry in entries if entry.reference is not None}


def cancel_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCancelReport, now: datetime
) -> tuple[OadrCanceledReport, Changes]:
    """A VEN no longer wants METADATA that it asked for and that is still queued."""
    waiting, unwanted = _metadata(txn, ven.ven_id), set(message.report_request_ids)
    if unknown := unwanted - waiting.keys():
        raise InvalidID(f"reportRequestID {shown(min(unknown))} is no pending report of this VTN")
    outbox.close(txn, [waiting.pop(reference) for reference in unwanted], "superseded", now)
    reply = OadrCanceledReport(
        response=EiResponse.ok(message.request_id), pending_reports=tuple(waiting), ven_id=ven.ven_id
    )
    return reply, Changes.of(ven.ven_id)


def updated_report(
    txn: Txn, config: Config, ven: Ven, message: OadrUpdatedReport, now: datetime
) -> tuple[OadrResponse | OadrCanceledReport, Changes]:
    """A VEN has taken data of the VTN; a cancel that it carries is answered."""
    settle(txn, ven, "update_report", message.response, now)
    if message.cancel_report:
        return cancel_report(txn, config, ven, message.cancel_report, now)
    return OadrResponse(response=EiResponse.ok(message.response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)


def canceled_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCanceledReport, now: datetime
) -> tuple[OadrResponse, Changes]:
    """A VEN has stopped reports; what it does not list as pending is over, and so is what it does not know (452)."""
    response = message.response
    entries = settle(txn, ven, "cancel_report", response, now, good=(InvalidID.response_code,))
    if says_yes(response.response_code) or response.response_code == InvalidID.response_code:
        over = {entry.reference or "" for entry in entries} - set(message.pending_reports)
        reports.change_requests(txn, ven.ven_id, over, _OPEN, state="cancelled", changed_at=now)
    return OadrResponse(response=EiResponse.ok(message.response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)
