"""Readings behind the desk: what a VEN has measured, what is missing of it, and in what state its resources are."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any, Literal

import attrs
from twisted.web.iweb import IRequest

from ..model.config import Config
from ..model.values import write_instant
from ..storage import readings as stored
from ..storage.database import Txn
from ..storage.readings import Reading, Sample
from ..storage.tables import microseconds
from ..vtn import readings
from ..vtn.registration import current
from .desk import Desk, Key, Page, answer, cut, leads_on, listed, route
from .shapes import A_THOUSAND, TEN_THOUSAND, ByPoint, Limit, Period, many, page_of, shape, show, write_cursor


@attrs.frozen(kw_only=True)
class GapsQuery:
    """When something should have been measured; the first ``limit`` of what is missing."""

    since: datetime | None = None
    until: datetime | None = None
    limit: Limit = A_THOUSAND


@attrs.frozen(kw_only=True)
class HistoryQuery:
    """What started in [since, until), the newest ``limit`` of it before a ``cursor``."""

    since: datetime | None = None
    until: datetime | None = None
    r_id: str | None = None
    limit: Limit = TEN_THOUSAND
    cursor: ByPoint | None = None


@attrs.frozen(kw_only=True)
class ReadingsQuery(HistoryQuery):
    """Which readings, and how they are written; with a ``period`` by such: number, mean, least, most, sum, last."""

    period: Period | None = None
    format: Literal["json", "csv"] | None = None


_COLUMNS = [field.name for field in attrs.fields(Reading) if field.name != "ven_id"]
_BASE = ("base_value", "base_unit")
"""The columns of the value in its unit without a scale."""


_RESAMPLED = [field.name for field in attrs.fields(Sample)]


_NORMALISED = shape("NormalisedReading", Reading, without=("ven_id",), base_value=float | None, base_unit=str | None)
_READINGS = shape(
    "ReadingsPage", ven_id=str, truncated=bool, next=str | None, readings=many(_NORMALISED) | many(Sample)
)  # with a period samples


_HISTORY = page_of("states", stored.ResourceState, ven_id=str, truncated=bool)


def _readings(txn: Txn, ven_id: str, query: ReadingsQuery, as_csv: bool) -> tuple[str, Key | None]:
    """A page of a VEN's readings, written as JSON or CSV: there may be many, and threads have time for that.

    The JSON says whether there are older ones that the limit left out.  Raises InvalidID.
    """
    current(txn, ven_id)
    within = (query.since, query.until, query.r_id, query.limit + 1, query.cursor)
    rows: list[list[Any]]
    if query.period is None:
        read, last = cut(stored.readings_of(txn, ven_id, *within), query.limit, _key, backwards=True)
        columns = [*_COLUMNS, *_BASE]
        rows = [[*(_cell(getattr(one, name)) for name in _COLUMNS), *readings.normalised(one)] for one in read]
    else:
        samples = stored.resampled(txn, ven_id, query.period, *within)
        shown, last = cut(samples, query.limit, _sample_key, backwards=True)
        columns = _RESAMPLED
        rows = [[_cell(getattr(one, name)) for name in columns] for one in shown]
    if as_csv:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        return file.getvalue(), last
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    more = {"truncated": last is not None, "next": last and write_cursor(last)}
    return json.dumps({"ven_id": ven_id, **more, "readings": found}), last


def _key(reading: Reading) -> Key:
    return microseconds(reading.start), reading.r_id, reading.report_request_id


def _sample_key(sample: Sample) -> Key:
    return microseconds(sample.start), sample.r_id, sample.measure


def _gaps(txn: Txn, config: Config, ven_id: str, query: GapsQuery, now: datetime) -> dict[str, Any]:
    current(txn, ven_id)
    found = readings.gaps(txn, config, ven_id, query.since, query.until, now, query.limit)
    return {"ven_id": ven_id, "gaps": [show(gap) for gap in found]}


def _states(txn: Txn, ven_id: str) -> dict[str, Any]:
    current(txn, ven_id)
    return {"ven_id": ven_id, "states": [show(state) for state in stored.states(txn, ven_id)]}


def _history(txn: Txn, ven_id: str, query: HistoryQuery) -> Page:
    current(txn, ven_id)
    found = stored.status_history(txn, ven_id, query.since, query.until, query.r_id, query.limit + 1, query.cursor)
    rows, last = cut(
        found, query.limit, lambda one: (microseconds(one.start), one.r_id, one.report_request_id), backwards=True
    )
    return [show(state) for state in rows], last


def _cell(value: Any) -> Any:
    return write_instant(value) if isinstance(value, datetime) else value


@route("GET", "/vens/<id:ven_id>/readings", "read", _READINGS, also=("text/csv",))
async def list_readings(desk: Desk, request: IRequest, query: ReadingsQuery, ven_id: str) -> bytes:
    """A VEN's readings, as JSON or CSV."""
    accept = (request.getHeader(b"Accept") or b"").decode("latin-1")
    as_csv = query.format == "csv" if query.format else "text/csv" in accept
    written, last = await desk.read("readings", _readings, ven_id, query, as_csv)
    leads_on(request, last)
    if not as_csv:
        return answer(request, written)
    request.setHeader(b"Content-Type", b"text/csv; charset=utf-8; header=present")
    return written.encode()


@route("GET", "/vens/<id:ven_id>/gaps", "read", shape("Gaps", ven_id=str, gaps=many(readings.Gap)))
async def list_gaps(desk: Desk, request: IRequest, query: GapsQuery, ven_id: str) -> bytes:
    """What is missing of a VEN's reports."""
    return answer(request, await desk.read("gaps", _gaps, desk.vtn.config, ven_id, query, desk.vtn.now()))


@route("GET", "/vens/<id:ven_id>/states", "read", shape("States", ven_id=str, states=many(stored.ResourceState)))
async def list_states(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """In what state a VEN's resources are."""
    return answer(request, await desk.read("states", _states, ven_id))


@route("GET", "/vens/<id:ven_id>/states/history", "read", _HISTORY)
async def list_history(desk: Desk, request: IRequest, query: HistoryQuery, ven_id: str) -> bytes:
    """In what states a VEN's resources were."""
    page = await desk.read("state history", _history, ven_id, query)
    return listed(request, "states", page, ven_id=ven_id, truncated=page[1] is not None)
