"""The data of reports: readings, what is missing among them, and the states of resources."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from itertools import chain
from typing import Any

import attrs
from sqlalchemy import Integer, Join, Select, Table, and_, delete, func, select, type_coerce

from . import notes
from .database import Txn
from .paging import Cursor, page
from .prepared import driver
from .tables import data_points, instant, microseconds, readings, report_requests, resource_states

_BEGINNING, _END = -62_135_596_800_000_000, 253_402_300_799_000_000
"""The first second that has a date, and the last, in microseconds."""

# --- readings: raw SQL with tuples ----------------------------------------------------------------------


@attrs.frozen
class Reading:
    """One value of one data point; ``seconds`` is the length of its interval, ``previous_*`` what it replaced.

    ``unit`` and ``scale`` (siScaleCode) are those that the VEN's METADATA gives the data point.
    """

    ven_id: str
    report_request_id: str
    r_id: str
    start: datetime
    seconds: float | None
    value: float | None
    payload: str | None
    data_quality: str | None
    confidence: int | None
    accuracy: float | None
    received_at: datetime
    previous_value: float | None = None
    previous_payload: str | None = None
    previous_received_at: datetime | None = None
    unit: str | None = None
    scale: str | None = None


_COLUMNS = [field.name for field in attrs.fields(Reading)][:11]


def _with_point(table: Table) -> Join:
    """Each row of a table with its data point, as the VEN offered it when it was asked for."""
    return table.outerjoin(report_requests, report_requests.c.report_request_id == table.c.report_request_id).outerjoin(
        data_points,
        and_(
            data_points.c.capability_id == report_requests.c.capability_id,
            data_points.c.report_specifier_id == report_requests.c.report_specifier_id,
            data_points.c.r_id == table.c.r_id,
        ),
    )


_READING = select(
    *(readings.c[field.name] for field in attrs.fields(Reading)[:14]), data_points.c.unit, data_points.c.scale
).select_from(_with_point(readings))
_STATUS = select(
    readings.c.r_id, data_points.c.resource_ids, readings.c.report_request_id, readings.c.start,
    readings.c.received_at, readings.c.payload,
).select_from(_with_point(readings)).where(func.substr(readings.c.payload, 1, 1) == "{")  # fmt: skip
_ROW = f"({', '.join('?' * len(_COLUMNS))})"
_VALUES = f"INSERT INTO readings ({', '.join(_COLUMNS)}) VALUES {_ROW}"
_AT_ONCE = 50
"""So many rows go into one statement: row by row costs a quarter more, and a thread gives way at each."""
_INSERT = f"{_VALUES} ON CONFLICT DO NOTHING"
_INSERT_MANY = f"{_VALUES}{f', {_ROW}' * (_AT_ONCE - 1)} ON CONFLICT DO NOTHING"
# A report that a VEN repeats, because the answer was lost, does not push out what it had replaced.
_SAME = "readings.value IS excluded.value AND readings.payload IS excluded.payload"
_REPLACE = f"""{_VALUES}
ON CONFLICT (ven_id, report_request_id, r_id, start) DO UPDATE SET
  previous_value = CASE WHEN {_SAME} THEN readings.previous_value ELSE readings.value END,
  previous_payload = CASE WHEN {_SAME} THEN readings.previous_payload ELSE readings.payload END,
  previous_received_at = CASE WHEN {_SAME} THEN readings.previous_received_at ELSE readings.received_at END,
  seconds = excluded.seconds, value = excluded.value, payload = excluded.payload,
  data_quality = excluded.data_quality, confidence = excluded.confidence, accuracy = excluded.accuracy,
  received_at = excluded.received_at
"""


def add_readings(txn: Txn, rows: list[tuple[Any, ...]]) -> int:
    """Insert readings: tuples of the first eleven fields of Reading, instants in microseconds; how many are new.

    Those that are there already stay as they are, see ``replace_readings``.
    """
    whole = len(rows) - len(rows) % _AT_ONCE
    pieces = (rows[first : first + _AT_ONCE] for first in range(0, whole, _AT_ONCE))
    many = [tuple(chain.from_iterable(piece)) for piece in pieces]
    some = ((_INSERT_MANY, many), (_INSERT, rows[whole:]))
    new = sum(driver(txn).executemany(statement, values).rowcount for statement, values in some if values)
    _count(txn, _STORED, new)
    return new


def replace_readings(txn: Txn, rows: list[tuple[Any, ...]]) -> None:
    """Overwrite readings that are there already: each becomes its new one's predecessor, unless they are alike."""
    driver(txn).executemany(_REPLACE, rows)


def _within(
    query: Select[Any], ven_id: str, since: datetime | None, until: datetime | None, r_id: str | None
) -> Select[Any]:
    """Of the readings of ``query`` those of a VEN that start in [since, until)."""
    query = query.where(readings.c.ven_id == ven_id)
    if since is not None:
        query = query.where(readings.c.start >= since)
    if until is not None:
        query = query.where(readings.c.start < until)
    if r_id is not None:
        query = query.where(readings.c.r_id == r_id)
    return query


def _newest(txn: Txn, query: Select[Any], cursor: Cursor | None, most: int) -> list[Any]:
    """The last of the readings of ``query`` that are before a cursor, the oldest of them first."""
    key = (readings.c.start, readings.c.r_id, readings.c.report_request_id)
    return list(txn.execute(page(query, key, cursor, most - 1, newest=True)))[::-1]


def readings_of(
    txn: Txn,
    ven_id: str,
    since: datetime | None = None,
    until: datetime | None = None,
    r_id: str | None = None,
    most: int = 10_000,
    cursor: Cursor | None = None,
) -> list[Reading]:
    """A VEN's readings that start in [since, until), by start; at most ``most``, the newest before the cursor."""
    query = _within(_READING, ven_id, since, until, r_id)
    return [Reading(*row) for row in _newest(txn, query, cursor, most)]


@attrs.frozen
class Sample:
    """The readings of a data point that start in [start, start + period): their number, mean, least, most, sum, last.

    Those without a value do not count; the mean weighs each the same.
    """

    r_id: str
    start: datetime
    count: int
    mean: float | None
    min: float | None
    max: float | None
    sum: float | None
    last: float | None
    unit: str | None
    scale: str | None

    @property
    def measure(self) -> str:
        """Scale and unit in one text: what was measured in different units is never put together."""
        return f"{self.scale or ''} {self.unit or ''}"


# From the newest reading with a value back, period by period: where the last of so many periods begins that have any.
_WALK = """
WITH RECURSIVE walk (start, n) AS (
  SELECT (
    SELECT start FROM readings
    WHERE ven_id = :ven_id AND start < :until AND start >= :since AND value IS NOT NULL
      AND (:r_id IS NULL OR r_id = :r_id)
    ORDER BY start DESC LIMIT 1), 1
  UNION ALL SELECT (
    SELECT readings.start FROM readings
    WHERE ven_id = :ven_id AND readings.start < walk.start - (walk.start % :period + :period) % :period
      AND readings.start >= :since AND value IS NOT NULL AND (:r_id IS NULL OR r_id = :r_id)
    ORDER BY readings.start DESC LIMIT 1), n + 1
  FROM walk WHERE walk.start IS NOT NULL AND n < :periods
)
SELECT min(start) FROM walk
"""


def _begin(
    txn: Txn, ven_id: str, period: int, since: datetime | None, until: datetime | None, r_id: str | None, periods: int
) -> datetime | None:
    """Where the last ``periods`` that have readings begin, not before ``since``; what is older need not be read."""
    first = _BEGINNING if since is None else microseconds(since)
    asked = {
        "ven_id": ven_id,
        "period": period,
        "since": first,
        "until": _END if until is None else microseconds(until),
        "r_id": r_id,
        "periods": periods,
    }
    start = txn.exec_driver_sql(_WALK, asked).scalar()
    return since if start is None else instant(max(first, start - start % period))


def resampled(
    txn: Txn,
    ven_id: str,
    period: int,
    since: datetime | None = None,
    until: datetime | None = None,
    r_id: str | None = None,
    most: int = 10_000,
    cursor: Cursor | None = None,
) -> list[Sample]:
    """``readings_of`` by periods of so many microseconds, which count from 1970 on.

    Of what several requests have brought for a moment, the latest to arrive counts.
    """
    if cursor is not None:  # no more of the past than the page can be made of
        last = instant(max(0, min(int(cursor[0]) + period, _END)))
        until = last if until is None else min(until, last)
    since = _begin(txn, ven_id, period, since, until, r_id, most + 1)  # the cursor may be the last of its period
    start = type_coerce(readings.c.start, Integer)
    bucket = (start - (start % period + period) % period).label("bucket")
    latest = func.row_number().over(
        partition_by=[readings.c.r_id, readings.c.start], order_by=readings.c.received_at.desc()
    )
    inner: Select[Any] = select(
        readings.c.r_id, bucket, start.label("start"), readings.c.value, data_points.c.unit, data_points.c.scale,
        latest.label("nth"),
    ).select_from(_with_point(readings)).where(readings.c.value.is_not(None))  # fmt: skip
    each = _within(inner, ven_id, since, until, r_id).subquery()
    measure = (func.coalesce(each.c.scale, "") + " " + func.coalesce(each.c.unit, "")).label("measure")
    parts = [each.c.r_id, each.c.bucket, measure]
    lasts = func.first_value(each.c.value).over(partition_by=parts, order_by=each.c.start.desc()).label("last")
    values = select(*parts, each.c.value, each.c.unit, each.c.scale, lasts).where(each.c.nth == 1).subquery()
    value = values.c.value
    query = select(
        values.c.r_id, values.c.bucket, func.count(), func.avg(value), func.min(value), func.max(value),
        func.sum(value), func.max(values.c.last), func.max(values.c.unit), func.max(values.c.scale),
    ).group_by(values.c.bucket, values.c.r_id, values.c.measure)  # fmt: skip
    key = [values.c.bucket, values.c.r_id, values.c.measure]
    rows = list(txn.execute(page(query, key, cursor, most - 1, newest=True)))
    return [Sample(r_id, instant(bucket), *more) for r_id, bucket, *more in rows[::-1]]


# --- how many there are, and how long they stay -------------------------------------------------------

# Counted where they come and go: among many millions nobody counts them again for each look.
_STORED, _DROPPED = "readings", "readings_dropped"
_COUNT = """
INSERT INTO house (key, value) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER)
"""


def _count(txn: Txn, key: str, more: int) -> None:
    if more:
        driver(txn).execute(_COUNT, (key, str(more)))


def counts(txn: Txn) -> dict[str, int]:
    """How many readings there are, and how many were dropped because they were old."""
    return {key: int(notes.get(txn, key) or 0) for key in (_STORED, _DROPPED)}


def forget(txn: Txn, ven_id: str) -> None:
    """Drop all readings of a VEN."""
    _count(txn, _STORED, -txn.execute(delete(readings).where(readings.c.ven_id == ven_id)).rowcount)


# By the index of venID and start, so that readings need none of their age.
_WITH_OLD = """
SELECT ven_id, EXISTS (SELECT 1 FROM readings WHERE readings.ven_id = vens.ven_id AND start < ?)
FROM vens WHERE ven_id > ? ORDER BY ven_id LIMIT ?
"""
# Of a VEN whose history came of late only so many are looked at, the oldest: what is behind them goes once they do.
_MOST_LOOKED_AT = 20_000
_DROP = """
DELETE FROM readings WHERE (ven_id, report_request_id, r_id, start) IN (
  SELECT ven_id, report_request_id, r_id, start FROM (
    SELECT ven_id, report_request_id, r_id, start, received_at FROM readings
    WHERE ven_id = ? AND start < ? ORDER BY start LIMIT ?)
  WHERE received_at < ? LIMIT ?)
"""
_DROP_STATES = "DELETE FROM resource_states WHERE ven_id > ? AND ven_id <= ? AND received_at < ?"


def drop_before(txn: Txn, before: datetime, ven_id: str, most_vens: int, most: int) -> str | None:
    """Drop up to ``most`` readings that start before an instant and came before it, and states that came before it.

    The VENs behind ``ven_id`` are looked at, so many of them.  Returns the venID to go on behind; None once all VENs
    are through.
    """
    first = microseconds(before)
    some = txn.exec_driver_sql(_WITH_OLD, (first, ven_id, most_vens)).all()
    done, dropped = ven_id, 0
    for one, has_old in some:
        if has_old:
            dropped += txn.exec_driver_sql(_DROP, (one, first, _MOST_LOOKED_AT, first, most - dropped)).rowcount
        if dropped >= most:
            break
        done = one
    txn.exec_driver_sql(_DROP_STATES, (ven_id, done, first))
    _count(txn, _STORED, -dropped)
    _count(txn, _DROPPED, dropped)
    return done if dropped >= most or len(some) == most_vens else None


# --- what is missing ------------------------------------------------------------------------------------

# A reading covers its interval, or one granularity where that is longer; those that fill a gap count as well.
# Of what began long before ``begin`` the last reading of each data point is looked at.
# At ``end`` each data point gets a last one, so that what is missing before it is found, too.
_HOLES = """
WITH samples (r_id, start, until) AS (
  SELECT r_id, start, start + max(:granularity, CAST(coalesce(seconds, 0) * 1000000 AS INTEGER))
  FROM readings
  WHERE ven_id = :ven_id AND start >= :reach AND start < :end
    AND r_id IN (SELECT value FROM json_each(:r_ids))
    AND report_request_id IN (
      SELECT :report_request_id
      UNION SELECT report_request_id FROM report_requests WHERE fills = :report_request_id)
  UNION ALL
  SELECT r_id, start, start + CAST(coalesce(seconds, 0) * 1000000 AS INTEGER)
  FROM json_each(:r_ids) CROSS JOIN readings
    ON ven_id = :ven_id AND report_request_id = :report_request_id AND r_id = json_each.value AND start = (
      SELECT max(start) FROM readings
      WHERE ven_id = :ven_id AND report_request_id = :report_request_id AND r_id = json_each.value AND start < :reach)
  UNION ALL SELECT value, :end, :end FROM json_each(:r_ids)
), sweep AS (
  SELECT r_id, start, max(:begin, coalesce(max(until) OVER (
    PARTITION BY r_id ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) AS covered
  FROM samples
)
SELECT r_id, covered, start FROM sweep WHERE start - covered >= :granularity / 2 ORDER BY r_id, covered LIMIT :most
"""


def holes(
    txn: Txn,
    ven_id: str,
    report_request_id: str,
    r_ids: Collection[str],
    granularity: float,
    begin: datetime,
    end: datetime,
    most: int,
) -> list[tuple[str, datetime, datetime]]:
    """Where in [begin, end) a request lacks at least half a sample: (r_id, start, end), at most ``most`` of them.

    ``granularity`` is in seconds.  The readings that were asked for to fill its gaps are its own.
    """
    microsecond = int(granularity * 1_000_000)
    first = microseconds(begin)
    rows = txn.exec_driver_sql(
        _HOLES,
        {
            "ven_id": ven_id,
            "report_request_id": report_request_id,
            "r_ids": json.dumps(list(r_ids)),
            "granularity": microsecond,
            "begin": first,
            "end": microseconds(end),
            "reach": first - 10 * microsecond,
            "most": most,
        },
    )
    return [(r_id, instant(start), instant(until)) for r_id, start, until in rows]


# --- states of resources -------------------------------------------------------------------------------


@attrs.frozen
class ResourceState:
    """What a VEN said of a resource: whether it is online and overridden by hand, and its load control (rule 331).

    ``r_id`` is the data point that says so, ``resource_ids`` what it stands for by the VEN's METADATA.
    """

    r_id: str
    resource_ids: tuple[str, ...]
    report_request_id: str
    start: datetime
    received_at: datetime
    online: bool
    manual_override: bool
    load_control_state: dict[str, Any] | None


# What is older does not replace a newer state, unless that one was said to begin in the future.
_STATE = """
INSERT INTO resource_states
  (ven_id, r_id, report_request_id, start, online, manual_override, load_control_state, received_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (ven_id, r_id) DO UPDATE SET
  report_request_id = excluded.report_request_id, start = excluded.start, online = excluded.online,
  manual_override = excluded.manual_override, load_control_state = excluded.load_control_state,
  received_at = excluded.received_at
WHERE excluded.start >= resource_states.start OR resource_states.start > excluded.received_at
"""


def store_states(txn: Txn, rows: list[tuple[Any, ...]]) -> None:
    """Note what resources are said to be: the columns of the table in its order, instants in microseconds."""
    if rows:
        txn.exec_driver_sql(_STATE, rows)


_NOW = (
    select(
        resource_states.c.r_id, data_points.c.resource_ids, resource_states.c.report_request_id,
        resource_states.c.start, resource_states.c.received_at, resource_states.c.online,
        resource_states.c.manual_override, resource_states.c.load_control_state,
    )
    .select_from(_with_point(resource_states))
    .order_by(resource_states.c.r_id)
)  # fmt: skip


def states(txn: Txn, ven_id: str) -> list[ResourceState]:
    """The present states of a VEN's resources, by data point."""
    rows = txn.execute(_NOW.where(resource_states.c.ven_id == ven_id))
    return [
        ResourceState(*(r_id, _ids(ids), *more, json.loads(control or "null"))) for r_id, ids, *more, control in rows
    ]


def status_history(
    txn: Txn,
    ven_id: str,
    since: datetime | None = None,
    until: datetime | None = None,
    r_id: str | None = None,
    most: int = 10_000,
    cursor: Cursor | None = None,
) -> list[ResourceState]:
    """What a VEN said of its resources' states from ``since`` until before ``until``, like ``readings_of``."""
    rows = _newest(txn, _within(_STATUS, ven_id, since, until, r_id), cursor, most)
    return [ResourceState(r_id, _ids(ids), *more, **json.loads(payload)) for r_id, ids, *more, payload in rows]


def _ids(stored: str | None) -> tuple[str, ...]:
    return tuple(json.loads(stored)) if stored else ()
