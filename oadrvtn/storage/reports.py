"""What VENs can report, what was asked of them, and the readings that came."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import func, insert, select, update

from .database import Txn
from .tables import capabilities, readings, report_requests


@attrs.frozen
class Capability:
    """One oadrRegisterReport of a VEN."""

    id: int
    ven_id: str
    received_at: datetime
    document: bytes


@attrs.frozen
class ReportRequest:
    """One report that was asked of a VEN.  State: requested, accepted, refused, cancelled, done or superseded."""

    report_request_id: str
    ven_id: str
    capability_id: int | None
    report_specifier_id: str
    report_name: str | None
    one_shot: bool
    document: bytes
    state: str
    created_at: datetime
    changed_at: datetime
    response_code: str | None
    response_description: str | None


@attrs.frozen
class Reading:
    """One value of one data point; ``seconds`` is the length of its interval, ``previous_*`` what it replaced."""

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


_CAPABILITY = select(*(capabilities.c[field.name] for field in attrs.fields(Capability)))
_REQUEST = select(*(report_requests.c[field.name] for field in attrs.fields(ReportRequest)))


def add_capability(txn: Txn, ven_id: str, document: bytes, now: datetime) -> int:
    """A new version of what a VEN can report; its id."""
    statement = insert(capabilities).values(ven_id=ven_id, received_at=now, document=document)
    return txn.execute(statement.returning(capabilities.c.id)).scalar_one()


def current_capability(txn: Txn, ven_id: str) -> Capability | None:
    """What a VEN last said it can report."""
    query = _CAPABILITY.where(capabilities.c.ven_id == ven_id).order_by(capabilities.c.id.desc()).limit(1)
    row = txn.execute(query).first()
    return Capability(*row) if row else None


def add_request(txn: Txn, request: ReportRequest) -> None:
    """A new request."""
    txn.execute(insert(report_requests).values(**attrs.asdict(request, recurse=False)))


def requests_of(txn: Txn, ven_id: str, states: Iterable[str] | None = None) -> list[ReportRequest]:
    """A VEN's requests, in any or in these states, the oldest first."""
    query = _REQUEST.where(report_requests.c.ven_id == ven_id)
    if states is not None:
        query = query.where(report_requests.c.state.in_(list(states)))
    return [ReportRequest(*row) for row in txn.execute(query.order_by(report_requests.c.created_at))]


def get_request(txn: Txn, ven_id: str, report_request_id: str) -> ReportRequest | None:
    """A VEN's request of this ID."""
    query = _REQUEST.where(report_requests.c.ven_id == ven_id, report_requests.c.report_request_id == report_request_id)
    row = txn.execute(query).first()
    return ReportRequest(*row) if row else None


def change_requests(txn: Txn, ven_id: str, ids: Iterable[str], from_states: Iterable[str], **values: Any) -> None:
    """Set columns of those of a VEN's requests that are in one of these states."""
    txn.execute(
        update(report_requests)
        .where(
            report_requests.c.ven_id == ven_id,
            report_requests.c.report_request_id.in_(list(ids)),
            report_requests.c.state.in_(list(from_states)),
        )
        .values(**values)
    )


def supersede_requests(txn: Txn, ven_id: str, now: datetime) -> None:
    """Close what was asked of a VEN so far, because it said anew what it can report, or who it is."""
    txn.execute(
        update(report_requests)
        .where(report_requests.c.ven_id == ven_id, report_requests.c.state.in_(("requested", "accepted")))
        .values(state="superseded", changed_at=now)
    )


# --- readings: raw SQL with tuples, one executemany for a message -------------------------------------

_COLUMNS = [field.name for field in attrs.fields(Reading)]
# A report that a VEN repeats, because the answer was lost, does not push out what it had replaced.
_SAME = "readings.value IS excluded.value AND readings.payload IS excluded.payload"
_INSERT = f"""
INSERT INTO readings ({", ".join(_COLUMNS[:11])}) VALUES ({", ".join("?" * 11)})
ON CONFLICT (ven_id, report_request_id, r_id, start) DO UPDATE SET
  previous_value = CASE WHEN {_SAME} THEN readings.previous_value ELSE readings.value END,
  previous_payload = CASE WHEN {_SAME} THEN readings.previous_payload ELSE readings.payload END,
  previous_received_at = CASE WHEN {_SAME} THEN readings.previous_received_at ELSE readings.received_at END,
  seconds = excluded.seconds, value = excluded.value, payload = excluded.payload,
  data_quality = excluded.data_quality, confidence = excluded.confidence, accuracy = excluded.accuracy,
  received_at = excluded.received_at
"""


def store_readings(txn: Txn, rows: list[tuple[Any, ...]]) -> None:
    """Insert readings: tuples of the first eleven fields of Reading, instants in microseconds.

    One that is there already is overwritten and becomes the new one's predecessor.
    """
    if rows:
        txn.exec_driver_sql(_INSERT, rows)


def readings_of(
    txn: Txn,
    ven_id: str,
    since: datetime | None = None,
    until: datetime | None = None,
    r_id: str | None = None,
    most: int = 10_000,
) -> list[Reading]:
    """A VEN's readings that start in [since, until), by start; at most ``most``, the newest where there are more."""
    query = select(*(readings.c[name] for name in _COLUMNS)).where(readings.c.ven_id == ven_id)
    if since is not None:
        query = query.where(readings.c.start >= since)
    if until is not None:
        query = query.where(readings.c.start < until)
    if r_id is not None:
        query = query.where(readings.c.r_id == r_id)
    query = query.order_by(readings.c.start.desc(), readings.c.r_id.desc()).limit(most)
    return [Reading(*row) for row in txn.execute(query)][::-1]


def counts(txn: Txn) -> dict[str, int]:
    """How many readings and open report requests there are."""
    active = select(func.count()).select_from(report_requests).where(report_requests.c.state == "accepted")
    return {
        "readings": txn.execute(select(func.count()).select_from(readings)).scalar_one(),
        "report_requests": txn.execute(active).scalar_one(),
    }
