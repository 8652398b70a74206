"""Readings behind the desk: what a VEN has measured, what is missing of it, and in what state its resources are."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any, Literal

import attrs
from twisted.web.iweb import IRequest

from ..model.values import write_instant
from ..storage import readings as stored
from ..storage.database import Txn
from ..storage.readings import Reading
from ..vtn import readings
from ..vtn.registration import current
from .desk import Desk, answer, route
from .shapes import A_THOUSAND, TEN_THOUSAND, Limit, Nothing, show


@attrs.frozen(kw_only=True)
class GapsQuery:
    """When something should have been measured; the first ``limit`` of what is missing."""

    since: datetime | None = None
    until: datetime | None = None
    limit: Limit = A_THOUSAND


@attrs.frozen(kw_only=True)
class HistoryQuery:
    """What started in [since, until), the newest ``limit`` of it."""

    since: datetime | None = None
    until: datetime | None = None
    r_id: str | None = None
    limit: Limit = TEN_THOUSAND


@attrs.frozen(kw_only=True)
class ReadingsQuery(HistoryQuery):
    """Which readings, and how they are written."""

    format: Literal["json", "csv"] | None = None


_COLUMNS = [field.name for field in attrs.fields(Reading) if field.name != "ven_id"]
_BASE = ("base_value", "base_unit")
"""The columns of the value in its unit without a scale."""


def _readings(txn: Txn, ven_id: str, query: ReadingsQuery, as_csv: bool) -> str:
    """A VEN's readings by their start, written as JSON or CSV: there may be many, and threads have time for that.

    The JSON says whether there are older ones that the limit left out.  Raises InvalidID.
    """
    current(txn, ven_id)
    found = stored.readings_of(txn, ven_id, query.since, query.until, query.r_id, query.limit + 1)
    truncated = len(found) > query.limit
    columns = [*_COLUMNS, *_BASE]
    rows = [
        [*(_cell(getattr(reading, name)) for name in _COLUMNS), *readings.normalised(reading)]
        for reading in found[truncated:]
    ]
    if as_csv:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        return file.getvalue()
    shown = [dict(zip(columns, row, strict=True)) for row in rows]
    return json.dumps({"ven_id": ven_id, "truncated": truncated, "readings": shown})


def _gaps(txn: Txn, ven_id: str, query: GapsQuery, now: datetime) -> dict[str, Any]:
    current(txn, ven_id)
    found = readings.gaps(txn, ven_id, query.since, query.until, now, query.limit)
    return {"ven_id": ven_id, "gaps": [show(gap) for gap in found]}


def _states(txn: Txn, ven_id: str) -> dict[str, Any]:
    current(txn, ven_id)
    return {"ven_id": ven_id, "states": [show(state) for state in stored.states(txn, ven_id)]}


def _history(txn: Txn, ven_id: str, query: HistoryQuery) -> dict[str, Any]:
    current(txn, ven_id)
    found = stored.status_history(txn, ven_id, query.since, query.until, query.r_id, query.limit + 1)
    truncated = len(found) > query.limit
    return {"ven_id": ven_id, "truncated": truncated, "states": [show(state) for state in found[truncated:]]}


def _cell(value: Any) -> Any:
    return write_instant(value) if isinstance(value, datetime) else value


@route("GET", "/vens/<id:ven_id>/readings")
async def list_readings(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """A VEN's readings, as JSON or CSV."""
    query = desk.query(request, ReadingsQuery)
    accept = (request.getHeader(b"Accept") or b"").decode("latin-1")
    as_csv = query.format == "csv" if query.format else "text/csv" in accept
    written = await desk.read("readings", _readings, ven_id, query, as_csv)
    if not as_csv:
        return answer(request, written)
    request.setHeader(b"Content-Type", b"text/csv; charset=utf-8; header=present")
    return written.encode()


@route("GET", "/vens/<id:ven_id>/gaps")
async def list_gaps(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """What is missing of a VEN's reports."""
    query = desk.query(request, GapsQuery)
    return answer(request, await desk.read("gaps", _gaps, ven_id, query, desk.vtn.now()))


@route("GET", "/vens/<id:ven_id>/states")
async def list_states(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """In what state a VEN's resources are."""
    desk.query(request, Nothing)
    return answer(request, await desk.read("states", _states, ven_id))


@route("GET", "/vens/<id:ven_id>/states/history")
async def list_history(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """In what states a VEN's resources were."""
    query = desk.query(request, HistoryQuery)
    return answer(request, await desk.read("state history", _history, ven_id, query))
