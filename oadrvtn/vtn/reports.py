"""Rules of EiReport where VENs report: what they offer, and what they say to what was asked of them (8.3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from ..model.config import Config
from ..model.errors import InvalidID
from ..model.party import EiResponse, OadrResponse, says_yes
from ..model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReportDescription,
)
from ..storage import outbox, reports, vens
from ..storage.database import Txn
from ..storage.reports import OPEN, DataPoint
from ..storage.vens import Ven
from ..wire.codec import from_xml, to_xml
from . import audience, requests, wishes
from .changes import Changes
from .outbox import NOT_SENT, Sendings, settle
from .requests import METADATA, UNSTARTED

_OVER = ("superseded", "cancelled")
FOREIGN = "foreign_pending_report"
"""Counted among a VEN's bends: it lists a pending report that it was never asked for (rule 329)."""


# --- what a VEN offers --------------------------------------------------------------------------------------


def _plain(message: OadrRegisterReport) -> OadrRegisterReport:
    """What is offered, without what is new in each message."""
    reports = (
        report.evolve(
            created_date_time=datetime.min.replace(tzinfo=UTC), report_request_id="", report_id=None, dtstart=None
        )
        for report in message.reports
    )
    return message.evolve(request_id="", report_request_id=None, ven_id=None, reports=tuple(reports))


def _points(message: OadrRegisterReport) -> Iterator[DataPoint]:
    for report in message.reports:
        for point in report.descriptions:
            rate, unit = point.sampling_rate, point.item_base
            yield DataPoint(
                report_specifier_id=report.report_specifier_id,
                r_id=point.r_id,
                report_name=(report.report_name or "").removeprefix("METADATA_") or None,
                report_type=point.report_type,
                reading_type=point.reading_type,
                item_base=type(unit).tag.partition(":")[2] if unit else None,
                unit=getattr(unit, "item_units", None),
                scale=getattr(unit, "si_scale_code", None),
                market_context=point.market_context or None,
                min_period=rate.min_period.fixed.total_seconds() if rate else None,
                max_period=rate.max_period.fixed.total_seconds() if rate else None,
                on_change=rate.on_change if rate else None,
                resource_ids=_resources(point),
            )


def _resources(point: OadrReportDescription) -> tuple[str, ...]:
    targets = (point.data_source, point.subject)
    return tuple(dict.fromkeys(name for target in targets if target for name in target.resource_ids if name.strip()))


def register_report(
    txn: Txn, config: Config, ven: Ven, message: OadrRegisterReport, now: datetime
) -> tuple[OadrRegisteredReport, Changes]:
    """Keep what a VEN can report, as a new version where it differs from the last, and ask for what is wanted.

    What ran is over then and is asked for anew, but for what an operator asks and is not answered yet, and for
    requests of METADATA; unless the VEN says the same as before, because it was asked for it (rule 327).
    """
    last = reports.current_capability(txn, ven.ven_id)
    same = last is not None and _plain(from_xml(OadrRegisterReport, last.document)) == _plain(message)
    version = last.id if last and same else reports.add_capability(txn, ven.ven_id, to_xml(message), now)
    points = list(_points(message))
    reports.describe(txn, version, points)
    resources = sorted({resource_id for point in points for resource_id in point.resource_ids})
    audience.set_traits(txn, ven.ven_id, {"resource_ids": resources}, now, source="metadata")
    asked = _asked(txn, ven, message, now)
    if not (asked and same):
        reports.supersede_requests(txn, ven.ven_id, now, but=asked)
        waiting = {request.report_request_id for request in reports.requests_of(txn, ven.ven_id, OPEN)}
        moot = (
            e for e in outbox.pending(txn, ven.ven_id) if e.kind == "create_report" and waiting.isdisjoint(e.references)
        )
        outbox.close(txn, [entry.id for entry in moot], "superseded", now)
    reply = OadrRegisteredReport(
        response=EiResponse.ok(message.request_id),
        report_requests=tuple(wishes.wanted_of(txn, config, ven, now)),
        ven_id=ven.ven_id,
    )
    requests.forget(txn, ven.ven_id)
    return reply, Changes.of(ven.ven_id)


def _asked(txn: Txn, ven: Ven, message: OadrRegisterReport, now: datetime) -> list[str]:
    """The requests because of which a VEN sends its METADATA; where it names none, they are all answered."""
    running = reports.requests_of(txn, ven.ven_id, UNSTARTED + OPEN)
    wanted = {request.report_request_id: request for request in running if request.report_specifier_id == METADATA}
    named = {message.report_request_id, *(report.report_request_id for report in message.reports)}
    answered = [wanted[name] for name in named if name in wanted]
    requests.arrived(txn, ven, answered or wanted.values(), now, guessed=not answered)
    return list(wanted)


# --- what a VEN says to requests ----------------------------------------------------------------------------


def created_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCreatedReport, now: datetime, sent: Sendings = NOT_SENT
) -> tuple[OadrResponse, Changes]:
    """A VEN accepts what was asked, or refuses it with a code that is kept."""
    response = message.response
    good = says_yes(response.response_code)
    pending = frozenset(message.pending_reports if good else ())
    entries = settle(txn, ven, "create_report", response, now, pending, sent=sent)
    asked = frozenset[str]().union(*(entry.references for entry in entries))
    said = {"response_code": response.response_code, "response_description": response.response_description}
    if good:
        reports.accept_requests(txn, ven.ven_id, asked, ["requested"], now, **said)
        _reconcile(txn, ven, pending, now, asked)
    else:
        reports.change_requests(txn, ven.ven_id, asked, ["requested"], state="refused", changed_at=now, **said)
    return OadrResponse(response=EiResponse.ok(response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)


def canceled_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCanceledReport, now: datetime, sent: Sendings = NOT_SENT
) -> tuple[OadrResponse, Changes]:
    """A VEN has stopped reports; what it does not list as pending is over, and so is what it does not know (452)."""
    response, pending = message.response, frozenset(message.pending_reports)
    good = says_yes(response.response_code)
    entries = settle(txn, ven, "cancel_report", response, now, good=(InvalidID.response_code,), sent=sent)
    told = frozenset[str]().union(*(entry.references for entry in entries))
    if good or response.response_code == InvalidID.response_code:
        reports.change_requests(txn, ven.ven_id, told - pending, OPEN, state="cancelled", changed_at=now)
    else:
        said = {"response_code": response.response_code, "response_description": response.response_description}
        reports.change_requests(txn, ven.ven_id, told, ["cancelling"], state="accepted", changed_at=now, **said)
    if good:
        last_ones = {id for entry in entries if _to_follow(entry) for id in entry.references & pending}
        reports.change_requests(txn, ven.ven_id, last_ones, ["cancelling"], one_shot=True)  # one more, and it is over
        requests.withdraw_again(txn, ven, (told & pending) - last_ones, now)
        _reconcile(txn, ven, pending, now)
    return OadrResponse(response=EiResponse.ok(response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)


def _to_follow(entry: outbox.Entry) -> bool:
    return from_xml(OadrCancelReport, entry.document).report_to_follow


def _reconcile(txn: Txn, ven: Ven, pending: frozenset[str], now: datetime, asked: frozenset[str] = frozenset()) -> None:
    """Make our view of a VEN's requests fit what it lists as pending (rule 329).

    ``asked`` is what it just took: where it lists none of that, it keeps no such list.  Nor need it list what
    is sent once.
    """
    listed = reports.requests_named(txn, ven.ven_id, pending)
    if foreign := len(pending) - len(listed):
        vens.count_bends(txn, [{"ven": ven.ven_id, "name": FOREIGN, "n": foreign, "at": now}])
    reports.accept_requests(txn, ven.ven_id, listed, UNSTARTED, now)
    requests.withdraw_again(txn, ven, [id for id, request in listed.items() if request.state in _OVER], now)
    running = reports.requests_of(txn, ven.ven_id, ["accepted", "cancelling"])
    periodic = {request.report_request_id for request in running if not request.one_shot}
    if asked & periodic and asked.isdisjoint(listed):
        return
    gone = periodic - pending
    over = {request.report_request_id for request in running if requests.has_ended(request, now)}
    reports.change_requests(txn, ven.ven_id, gone & over, ["accepted"], state="done", changed_at=now)
    reports.change_requests(
        txn, ven.ven_id, gone, ["accepted"], state="dropped", changed_at=now,
        response_description="the VEN does not list it among its pending reports any more",
    )  # fmt: skip
    reports.change_requests(txn, ven.ven_id, gone, ["cancelling"], state="cancelled", changed_at=now)
    told = (entry for entry in outbox.pending(txn, ven.ven_id) if entry.kind == "cancel_report")
    outbox.close(txn, [entry.id for entry in told if entry.references <= gone], "done", now)
