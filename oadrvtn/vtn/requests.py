"""What is asked of a VEN, and taken back: report requests, by operators and by standing wishes (7.3, 7.6)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import attrs

from ..model.errors import InvalidData, InvalidID, Mistake, NotAllowed
from ..model.event import Properties
from ..model.report import (
    OadrCancelReport,
    OadrCreateReport,
    OadrReportRequest,
    ReportSpecifier,
    SpecifierPayload,
)
from ..model.values import Duration, shown
from ..storage import outbox, reports, vens
from ..storage.database import Txn
from ..storage.reports import OPEN, DataPoint, ReportRequest
from ..storage.vens import Ven
from ..wire.codec import from_xml, to_xml
from .changes import Changes, dated, generate_id
from .outbox import put

METADATA = "METADATA"
"""The reportSpecifierID under which a VEN is asked to offer its reports again (rule 306)."""
UNSTARTED = ("requested", "refused", "dropped")
"""The states of a request that end with its first data: they say more than what the VEN answered."""
MOST_REQUESTS = 20
"""So many requests go into one message."""
KEPT = 100
"""So many of a VEN's requests, and of the messages that were queued for it, are remembered when they are over."""
_MOST_CANCELS = 3
"""So often a VEN is told to stop a report that it lists all the same."""
_MOST_ALLOWED = 50


@attrs.frozen(kw_only=True)
class RequestSpec:
    """What an operator wants of a VEN once, or from now on; periods in seconds, no ``r_ids`` mean all.

    A ``report_back_duration`` of zero asks for one report: the present values, or those of a window from
    ``dtstart`` on (a ``duration`` of zero: all that there is).  Otherwise a report comes each
    report_back_duration, from ``dtstart`` or now on, for ``duration`` or (zero or None) until it is cancelled,
    with a sample each ``granularity`` (zero: on change).
    """

    report_specifier_id: str
    r_ids: tuple[str, ...] = ()
    granularity: float = 0.0
    report_back_duration: float = 0.0
    dtstart: datetime | None = None
    duration: float | None = None


# --- asking and taking back -----------------------------------------------------------------------------


def fitting(granularity: float, points: Iterable[DataPoint]) -> float:
    """A granularity, kept within what all the points can be sampled at (7.9); zero, on change, stays."""
    for point in points:
        if granularity and point.min_period is not None:
            granularity = max(min(granularity, point.max_period or granularity), point.min_period)
    return granularity


def specify(
    report_specifier_id: str,
    points: Iterable[DataPoint],
    granularity: float,
    report_back_duration: float,
    dtstart: datetime | None,
    duration: float = 0.0,
) -> ReportSpecifier:
    """What a request says; without ``dtstart`` it has no interval, with a ``duration`` of zero an endless one."""
    return ReportSpecifier(
        report_specifier_id=report_specifier_id,
        granularity=Duration.of(granularity),
        report_back_duration=Duration.of(report_back_duration),
        report_interval=None if dtstart is None else Properties(dtstart=dtstart, duration=Duration.of(duration)),
        # METADATA has no data points, but the schema wants one.
        specifier_payloads=tuple(SpecifierPayload(r_id=point.r_id, reading_type=point.reading_type) for point in points)
        or (SpecifierPayload(r_id="", reading_type="x-notApplicable"),),
    )


def make(
    txn: Txn,
    ven_id: str,
    specifier: ReportSpecifier,
    now: datetime,
    capability_id: int | None,
    report_name: str | None,
    wish_id: str | None = None,
    fills: str | None = None,
    report_request_id: str | None = None,
) -> OadrReportRequest:
    """A new request, under an ID of its own unless it is told one."""
    request = OadrReportRequest(
        report_request_id=report_request_id or generate_id("report-"), report_specifier=specifier
    )
    window = specifier.report_interval
    reports.add_request(
        txn,
        ReportRequest(
            report_request_id=request.report_request_id,
            ven_id=ven_id,
            capability_id=capability_id,
            report_specifier_id=specifier.report_specifier_id,
            report_name=report_name,
            one_shot=not specifier.report_back_duration,
            wish_id=wish_id,
            fills=fills,
            granularity=specifier.granularity.fixed.total_seconds(),
            report_back=specifier.report_back_duration.fixed.total_seconds(),
            starts_at=window.dtstart if window else None,
            ends_at=window.duration.after(window.dtstart) if window and window.duration else None,
            document=to_xml(request),
            created_at=now,
            changed_at=now,
        ),
    )
    return request


def ask(txn: Txn, ven: Ven, requests: Sequence[OadrReportRequest], now: datetime, offers: int = 0) -> None:
    """Queue one oadrCreateReport; ``offers`` is how often these requests went out already."""
    request_id = generate_id("req-")
    message = OadrCreateReport(request_id=request_id, report_requests=tuple(requests), ven_id=ven.ven_id)
    reference = " ".join(request.report_request_id for request in requests)
    put(txn, ven, "create_report", message, now, request_id=request_id, reference=reference, offers=offers)


def ask_again(txn: Txn, ven: Ven, now: datetime) -> None:
    """Queue once more what an operator asked of a VEN that registers again, and it never answered."""
    waiting = reports.requests_of(txn, ven.ven_id, ["requested"])
    unanswered = [from_xml(OadrReportRequest, request.document) for request in waiting]
    for first in range(0, len(unanswered), MOST_REQUESTS):
        ask(txn, ven, unanswered[first : first + MOST_REQUESTS], now)


def withdraw(txn: Txn, stops: Mapping[Ven, Iterable[str]], now: datetime, report_to_follow: bool = False) -> None:
    """Queue an oadrCancelReport for each VEN; what else is queued about these requests alone is superseded by it."""
    moot: list[int] = []
    stopped: list[str] = []
    for ven, named in stops.items():
        ids = tuple(dict.fromkeys(named))
        stopped += ids
        moot += (
            entry.id
            for entry in outbox.pending(txn, ven.ven_id)
            if entry.kind in ("create_report", "cancel_report") and entry.references.issubset(ids)
        )
        request_id = generate_id("req-")
        message = OadrCancelReport(
            request_id=request_id, report_request_ids=ids, report_to_follow=report_to_follow, ven_id=ven.ven_id
        )
        put(txn, ven, "cancel_report", message, now, request_id=request_id, reference=" ".join(ids))
    outbox.close(txn, moot, "superseded", now)
    reports.stop_requests(txn, stopped, now)


def withdraw_again(txn: Txn, ven: Ven, ids: Iterable[str], now: datetime) -> bool:
    """The same for requests that a VEN goes on with although they are over, unless it was told often enough.

    Whether anything was queued.
    """
    told = Counter(" ".join(outbox.references(txn, ven.ven_id, "cancel_report")).split())
    waiting = {
        id for entry in outbox.pending(txn, ven.ven_id) if entry.kind == "cancel_report" for id in entry.references
    }
    again = [id for id in ids if id not in waiting and told[id] < _MOST_CANCELS]
    if again:
        withdraw(txn, {ven: again}, now)
    return bool(again)


def has_ended(request: ReportRequest, now: datetime) -> bool:
    """Whether a request was for a time, which is over."""
    return request.ends_at is not None and request.ends_at <= now


def arrived(txn: Txn, ven: Ven, answered: Iterable[ReportRequest], now: datetime, guessed: bool = False) -> bool:
    """What came for these requests is evidence that the VEN has them; whether that changes what waits for it.

    What is sent once is done, and so is what was for a time that is over; it has stopped where it was the last one
    of a report that is to stop.  Where it is ``guessed`` that it came for these, it says nothing of what else is
    asked in the same message.
    """
    becomes: dict[str, list[str]] = defaultdict(list)
    told_again = False
    for request in answered:
        over = "cancelled" if request.state == "cancelling" else "done"
        last = request.one_shot or has_ended(request, now)
        if request.state in (*UNSTARTED, *OPEN) and (last or request.state in UNSTARTED):
            becomes[over if last else "accepted"].append(request.report_request_id)
        elif request.state == "cancelling":
            told_again |= withdraw_again(txn, ven, [request.report_request_id], now)
    for state, found in becomes.items():
        if state == "accepted":
            reports.accept_requests(txn, ven.ven_id, found, UNSTARTED, now)
        else:
            reports.change_requests(txn, ven.ven_id, found, (*UNSTARTED, *OPEN), state=state, changed_at=now)
    if not becomes:
        return told_again
    ids = frozenset[str]().union(*becomes.values())
    asked = (entry for entry in outbox.pending(txn, ven.ven_id) if entry.kind == "create_report")
    told = [e.id for e in asked if (e.references <= ids if guessed else not e.references.isdisjoint(ids))]
    outbox.close(txn, told, "done", now)
    return True


def forget(txn: Txn, ven_id: str) -> None:
    """Bound what is remembered of a VEN, also of one that registers, or says anew what it offers, all the time."""
    outbox.forget(txn, ven_id, KEPT)
    reports.forget(txn, ven_id, KEPT)


# --- what operators want --------------------------------------------------------------------------------


def current(txn: Txn, ven_id: str) -> Ven:
    """The VEN as it is within this transaction; raises InvalidID."""
    ven = vens.get(txn, ven_id)
    if ven is None:
        raise InvalidID(f"venID {shown(ven_id)} is not known")
    return ven


def registered(txn: Txn, ven_id: str) -> Ven:
    """A VEN that something can be asked of; raises InvalidID and NotAllowed."""
    ven = current(txn, ven_id)
    if not ven.registered:
        raise NotAllowed(f"VEN {ven_id!r} is not registered")
    return ven


def request(txn: Txn, ven_id: str, specs: Sequence[RequestSpec], now: datetime) -> tuple[list[ReportRequest], Changes]:
    """Ask a VEN for reports, all in one oadrCreateReport.

    Raises InvalidData for what it does not offer, InvalidID and NotAllowed for a VEN that is not registered.
    """
    ven = registered(txn, ven_id)
    capability = reports.current_capability(txn, ven_id)
    points = reports.points_of(txn, capability.id) if capability else []
    offered: dict[str, dict[str, DataPoint]] = {}
    for point in points:
        offered.setdefault(point.report_specifier_id, {})[point.r_id] = point
    mistakes = [
        attrs.evolve(mistake, place=f"requests[{index}].{mistake.place}")
        for index, spec in enumerate(specs)
        for mistake in _mistakes(spec, offered, now)
    ]
    if not 1 <= len(specs) <= MOST_REQUESTS:
        mistakes.append(Mistake("requests", f"are {len(specs)}; one message holds 1 to {MOST_REQUESTS}"))
    if mistakes:
        raise InvalidData.of(mistakes)
    made = [_make(txn, ven_id, spec, offered, capability.id if capability else None, now) for spec in specs]
    ask(txn, ven, made, now)
    known = reports.requests_named(txn, ven_id, [request.report_request_id for request in made])
    return [known[request.report_request_id] for request in made], Changes.of(ven_id)


def _make(
    txn: Txn,
    ven_id: str,
    spec: RequestSpec,
    offered: Mapping[str, Mapping[str, DataPoint]],
    capability_id: int | None,
    now: datetime,
) -> OadrReportRequest:
    points = offered.get(spec.report_specifier_id, {})
    chosen = [points[r_id] for r_id in spec.r_ids or points]
    windowed = spec.report_back_duration or spec.dtstart or spec.duration is not None
    specifier = specify(
        spec.report_specifier_id, chosen, spec.granularity, spec.report_back_duration,
        (spec.dtstart or dated(now)) if windowed else None, spec.duration or 0.0,
    )  # fmt: skip
    return make(txn, ven_id, specifier, now, capability_id, chosen[0].report_name if chosen else None)


def _mistakes(spec: RequestSpec, offered: Mapping[str, Mapping[str, DataPoint]], now: datetime) -> Iterator[Mistake]:
    """What is wrong with a wish, by the places in it."""
    periods = {name: getattr(spec, name) or 0.0 for name in ("granularity", "report_back_duration", "duration")}
    for name, seconds in periods.items():
        if seconds < 0 or seconds % 1:
            yield Mistake(name, f"{seconds:g} is not a whole number of seconds from zero on")
    yield from _untimely(spec, now)
    if spec.report_specifier_id == METADATA:
        if spec.r_ids:
            yield Mistake("r_ids", "METADATA is asked for as a whole")
        if spec.granularity:
            yield Mistake("granularity", "METADATA has none", ("0",))
        return
    points = offered.get(spec.report_specifier_id)
    if points is None:
        known = (*offered, METADATA)[:_MOST_ALLOWED]
        yield Mistake("report_specifier_id", f"{spec.report_specifier_id!r} is not what this VEN offers", known)
        return
    named = set[str]()
    for index, r_id in enumerate(spec.r_ids):
        if r_id not in points:
            known = tuple(points)[:_MOST_ALLOWED]
            yield Mistake(f"r_ids[{index}]", f"{r_id!r} is no data point of this report", known)
        elif r_id in named:
            yield Mistake(f"r_ids[{index}]", f"{r_id!r} stands here twice")
        named.add(r_id)
    if spec.report_back_duration > 0:
        yield from _too_fine(spec, [points[r_id] for r_id in spec.r_ids or points if r_id in points])


def _untimely(spec: RequestSpec, now: datetime) -> Iterator[Mistake]:
    if spec.report_back_duration > 0 and spec.granularity > spec.report_back_duration:
        yield Mistake("granularity", "is longer than report_back_duration: some reports would be empty")
    if not spec.duration:
        return
    try:
        end = Duration.of(spec.duration).after(spec.dtstart or now)
    except (ValueError, OverflowError):
        yield Mistake("duration", "reaches beyond the calendar")
        return
    if spec.report_back_duration > 0 and end <= now:
        yield Mistake("duration", "the window is over, and VENs need not report on it each report_back_duration")
    if not spec.report_back_duration and spec.dtstart is None:
        yield Mistake("dtstart", "is missing: where does the window begin")


def _too_fine(spec: RequestSpec, points: Iterable[DataPoint]) -> Iterator[Mistake]:
    """Whether the points can be sampled as wanted (7.9); the first that cannot is named."""
    for point in points:
        if not spec.granularity:
            if point.report_name != "TELEMETRY_STATUS" and not point.on_change:
                yield Mistake("granularity", f"zero means on change, which {point.r_id!r} does not offer")
                return
        elif fitting(spec.granularity, [point]) != spec.granularity:
            limits = f"{point.min_period:g} to {point.max_period:g} s"
            yield Mistake("granularity", f"{point.r_id!r} can be sampled each {limits}", (limits,))
            return


def cancel(
    txn: Txn, ven_id: str, report_request_ids: Sequence[str], report_to_follow: bool, now: datetime
) -> tuple[list[ReportRequest], Changes]:
    """Have a VEN stop reports, after a last one each if ``report_to_follow`` says so.

    Raises InvalidID for a request that it was never asked, NotAllowed for one that is over.
    """
    ven = registered(txn, ven_id)
    known = reports.requests_named(txn, ven_id, report_request_ids)
    places = {f"report_request_ids[{index}]": id for index, id in enumerate(report_request_ids)}
    if not places:
        raise InvalidData.at("report_request_ids", "is empty")
    unknown = [Mistake(place, f"{id!r} was never asked of this VEN") for place, id in places.items() if id not in known]
    if unknown:
        raise InvalidID.of(unknown)
    over = [
        Mistake(place, f"{id!r} is {known[id].state}") for place, id in places.items() if known[id].state not in OPEN
    ]
    if over:
        raise NotAllowed.of(over)
    withdraw(txn, {ven: report_request_ids}, now, report_to_follow)
    again = reports.requests_named(txn, ven_id, report_request_ids)
    return [again[id] for id in known], Changes.of(ven_id)
