"""What this VTN can report: its offers, how requests for them are met, and the readings of each report (7.3)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from ..model.config import Config, Offer
from ..model.errors import InvalidData, InvalidID, ReportNotSupported
from ..model.event import Interval, OadrPayloadResourceStatus, OadrReportPayload, PayloadFloat
from ..model.report import OadrReport, OadrReportDescription, OadrReportRequest, OadrSamplingRate, ReportSpecifier
from ..model.values import Duration, shown
from ..storage.provided import Provided
from ..wire.codec import from_xml, to_xml
from .changes import dated

METADATA = "METADATA"
"""The reportSpecifierID by which the offers themselves are asked for (rule 306)."""
MOST_READINGS = 5000
"""So many readings are in one oadrUpdateReport at most; the newest are."""

_LONGEST = 366 * 86400  # seconds between two reports
_ANY_READING = "x-notApplicable"  # a readingType that leaves it open (7.3)


def described(offer: Offer, now: datetime) -> OadrReport:
    """An offer as the METADATA tell it (rule 311); ``duration`` is how far back its readings reach."""
    points = [
        OadrReportDescription(
            r_id=point.r_id,
            report_type=point.report_type,
            item_base=point.item_base,
            reading_type=point.reading_type,
            sampling_rate=OadrSamplingRate(
                min_period=Duration.of(point.min_period),
                max_period=Duration.of(point.max_period),
                on_change=point.on_change,
            ),
        )
        for point in offer.data_points
    ]
    return OadrReport(
        duration=Duration.of(offer.duration),
        descriptions=tuple(points),
        report_request_id="0",
        report_specifier_id=offer.report_specifier_id,
        report_name=f"METADATA_{offer.report_name}",
        created_date_time=dated(now),
    )


# --- requests -------------------------------------------------------------------------------------------


def accept(config: Config, ven_id: str, request: OadrReportRequest, now: datetime) -> Provided:
    """A request as it is kept.  Raises InvalidID for what is not offered, ReportNotSupported for how it is wanted."""
    wanted = request.report_specifier
    offer = _offer(config, wanted.report_specifier_id)
    if offer is None and wanted.report_specifier_id != METADATA:
        raise InvalidID(f"reportSpecifierID {shown(wanted.report_specifier_id)} is no report of this VTN")
    try:
        if offer:
            _check(offer, wanted)
        since, next_at, ends_at = _times(offer, wanted, now)
    except OverflowError:
        raise InvalidData("reportSpecifier: reaches beyond the calendar") from None
    return Provided(
        ven_id=ven_id,
        report_request_id=request.report_request_id,
        report_specifier_id=wanted.report_specifier_id,
        document=to_xml(request),
        state="open",
        created_at=now,
        since=since,
        next_at=next_at,
        ends_at=ends_at,
    )


def _offer(config: Config, report_specifier_id: str) -> Offer | None:
    return next((offer for offer in config.offers if offer.report_specifier_id == report_specifier_id), None)


def _check(offer: Offer, wanted: ReportSpecifier) -> None:
    """Are these points offered, and can they be read like that?"""
    points = {point.r_id: point for point in offer.data_points}
    granularity = _seconds(wanted.granularity, datetime(2000, 1, 1, tzinfo=UTC))
    interval = wanted.report_interval
    single = not wanted.report_back_duration
    sampled = granularity and not (single and not (interval and interval.duration))  # else it means little (7.3)
    for payload in wanted.specifier_payloads:
        point = points.get(payload.r_id)
        if point is None:
            raise InvalidID(f"rID {shown(payload.r_id)} is not in {shown(offer.report_specifier_id)}")
        if payload.reading_type not in (point.reading_type, _ANY_READING):
            raise ReportNotSupported(f"readingType: that of {shown(point.r_id)} is {point.reading_type}")
        if not granularity and not single and not point.on_change:
            raise ReportNotSupported(f"granularity: {shown(point.r_id)} is not reported on change")
        if sampled and not point.min_period <= granularity <= point.max_period:
            least, most = Duration.of(point.min_period), Duration.of(point.max_period)
            raise ReportNotSupported(f"granularity: {shown(point.r_id)} is sampled each {least} to {most}")


def _seconds(duration: Duration, start: datetime) -> float:
    """The length of a duration from an instant.  Raises InvalidData for a negative one, OverflowError."""
    if (seconds := (duration.after(start) - start).total_seconds()) < 0:
        raise InvalidData(f"{duration} is negative")
    return seconds


def _times(offer: Offer | None, wanted: ReportSpecifier, now: datetime) -> tuple[datetime, datetime, datetime | None]:
    """From when on readings are wanted, when the first report is due and when the last one (None: endless).

    What begins and ends at one instant is about the present values.
    """
    interval, now = wanted.report_interval, now.replace(microsecond=0)
    start = interval.dtstart.replace(microsecond=0) if interval else now
    back, length = _seconds(wanted.report_back_duration, start), _seconds(interval.duration, start) if interval else 0
    end = start + timedelta(seconds=length) if length else None
    first = max(start, now)
    if back > _LONGEST:
        raise ReportNotSupported("reportBackDuration: is longer than a year")
    if back and end and end <= now:
        raise ReportNotSupported("reportInterval: is past")
    if offer is None:
        return first, first, end if back else first
    if back:
        since = start + max(0, (now - start).total_seconds() // back) * timedelta(seconds=back)
        due = since + timedelta(seconds=back)
        return since, min(due, end) if end else due, end
    kept = now - timedelta(seconds=offer.duration)
    if end:
        if end <= kept:
            raise ReportNotSupported(f"reportInterval: readings are kept for {Duration.of(offer.duration)}")
        return start, end, end
    if interval and start <= now and offer.report_name.startswith("HISTORY"):
        return kept, now, now  # all that there is (7.3)
    return first, first, first


# --- reports --------------------------------------------------------------------------------------------


@attrs.frozen
class Task:
    """A report that is due: readings that start in [since, until), where both are the same the present values.

    ``offer`` is None for the METADATA.  ``granularity`` (0: all readings that there are) and ``back``, the time
    between two reports (0: there is but one), are in seconds.
    """

    request: Provided
    offer: Offer | None
    r_ids: tuple[str, ...]
    since: datetime
    until: datetime
    granularity: float
    back: float

    @property
    def source(self) -> str:
        """What must be asked for the readings; empty where the configuration knows them."""
        return (self.offer and self.offer.source) or ""

    @property
    def last(self) -> bool:
        """Whether no other report follows."""
        return not self.back or (self.request.ends_at is not None and self.until >= self.request.ends_at)


def next_task(config: Config, request: Provided, now: datetime) -> Task | None:
    """The next report of a request; None where it is not offered any more."""
    wanted = from_xml(OadrReportRequest, request.document).report_specifier
    offer = _offer(config, wanted.report_specifier_id)
    r_ids = tuple(dict.fromkeys(payload.r_id for payload in wanted.specifier_payloads)) if offer else ()
    if wanted.report_specifier_id != METADATA and (
        offer is None or not {point.r_id for point in offer.data_points}.issuperset(r_ids)
    ):
        return None
    granularity, back = (_seconds(one, request.since) for one in (wanted.granularity, wanted.report_back_duration))
    since, ends_at = request.since, request.ends_at
    if since == ends_at:
        since = until = max(since, now.replace(microsecond=0))
    else:
        passed = (now - since).total_seconds() // back if back else 0
        until = ends_at if ends_at and ends_at <= now else since + timedelta(seconds=max(0, passed) * back)
        kept = timedelta(seconds=offer.duration if offer else 0)
        since = max(since, min(until - timedelta(seconds=back), now - kept))
    return Task(request, offer, r_ids, since, until, granularity, back)


def readings(task: Task, found: Mapping[str, Any]) -> tuple[Interval, ...]:
    """The intervals of a report, of what a source has found: a value for each rID, or a list of (start, value).

    A value alone, as a point of the configuration may have it, stands for the whole stretch.  A list is thinned
    to one reading in each granularity.  Raises TypeError or ValueError for what is no reading.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"{found!r} is no mapping of rIDs")
    if task.offer is None:
        return ()
    points = {point.r_id: point for point in task.offer.data_points}
    most = max(1, MOST_READINGS // len(task.r_ids))
    starts: dict[datetime, list[OadrReportPayload]] = defaultdict(list)
    for r_id in task.r_ids:
        value = found.get(r_id, points[r_id].value)
        series = _thinned(task, value) if isinstance(value, list | tuple) else [(at, value) for at in _grid(task, most)]
        for start, one in series[-most:]:
            if one is not None:
                payload = _payload(one, points[r_id].report_type)
                starts[start].append(OadrReportPayload(r_id=r_id, payload=payload))
    length = timedelta(seconds=task.granularity) if task.since < task.until else timedelta()
    return tuple(
        Interval(
            dtstart=start,
            duration=Duration.of(min(length, task.until - start)) if length else None,
            payloads=tuple(starts[start]),
        )
        for start in sorted(starts)
    )


def _grid(task: Task, most: int) -> list[datetime]:
    """The starts of a stretch's samples, the last of them if there are too many."""
    length = (task.until - task.since).total_seconds()
    count = max(1, math.ceil(length / task.granularity)) if task.granularity else 1
    return [task.since + n * timedelta(seconds=task.granularity) for n in range(max(0, count - most), count)]


def _thinned(task: Task, series: Sequence[Any]) -> list[tuple[datetime, Any]]:
    """The readings of the stretch, by time, the first in each granularity; of those for the present, the last."""
    known = sorted(((_instant(start), value) for start, value in series), key=lambda reading: reading[0])
    if task.since == task.until:
        return known[-1:]
    inside = [(start, value) for start, value in known if task.since <= start < task.until]
    if not task.granularity:
        return inside
    first: dict[float, tuple[datetime, Any]] = {}
    for start, value in inside:
        first.setdefault((start - task.since).total_seconds() // task.granularity, (start, value))
    return list(first.values())


def _instant(start: object) -> datetime:
    if not isinstance(start, datetime) or start.tzinfo is None:
        raise TypeError(f"{start!r} is no start of a reading: an aware datetime is")
    return start.astimezone(UTC)


def _payload(value: object, report_type: str) -> PayloadFloat | OadrPayloadResourceStatus:
    if isinstance(value, OadrPayloadResourceStatus):
        return value
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no reading: a number or an OadrPayloadResourceStatus is")
    if report_type == "x-resourceStatus":
        return OadrPayloadResourceStatus(online=bool(value), manual_override=False)
    return PayloadFloat(value=float(value))
