"""What VENs can report, what is wanted of them all, and what was asked of each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Literal, get_args

import attrs
from sqlalchemy import (
    ColumnElement,
    Delete,
    Integer,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from ..model.config import WantedReport
from .audience import GROUP, PROGRAM, among, parameter
from .database import Txn
from .paging import Cursor, page
from .prepared import Prepared
from .tables import capabilities, data_points, readings, report_requests, traits, vens, wishes

State = Literal["requested", "accepted", "refused", "done", "cancelling", "cancelled", "dropped", "superseded"]
STATES: tuple[State, ...] = get_args(State)
OPEN = ("requested", "accepted", "cancelling")
"""The states of a request that is not over."""
_MOST_VERSIONS = 5
"""So many versions of what a VEN can report are kept that nothing needs."""


@attrs.frozen
class Capability:
    """One oadrRegisterReport of a VEN."""

    id: int
    ven_id: str
    received_at: datetime
    document: bytes


@attrs.frozen
class DataPoint:
    """One data point of a capability; periods in seconds.

    ``report_name`` is without METADATA_, ``item_base`` the kind of unit (powerReal), ``unit`` and ``scale`` its
    itemUnits (W) and siScaleCode (k), ``resource_ids`` what it measures.
    """

    report_specifier_id: str
    r_id: str
    report_name: str | None
    report_type: str
    reading_type: str
    item_base: str | None
    unit: str | None
    scale: str | None
    market_context: str | None
    min_period: float | None
    max_period: float | None
    on_change: bool | None
    resource_ids: tuple[str, ...]


@attrs.frozen
class Offer:
    """A report that a VEN can make."""

    ven_id: str
    capability_id: int
    report_specifier_id: str


@attrs.frozen(kw_only=True)
class ReportRequest:
    """One report that was asked of a VEN; ``granularity`` and ``report_back`` in seconds.

    State: requested, accepted, refused, cancelling (it was told to stop), cancelled, done, superseded, or
    dropped: the VEN does not list it as pending any more.  ``wish_id`` is the standing wish that it serves,
    ``fills`` the request in whose readings it is to fill a gap.
    ``gaps_until`` is up to when gaps were looked for, ``look_at`` when to look again.
    """

    report_request_id: str
    ven_id: str
    capability_id: int | None
    report_specifier_id: str
    report_name: str | None
    one_shot: bool
    wish_id: str | None = None
    fills: str | None = None
    granularity: float = 0.0
    report_back: float = 0.0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    gaps_until: datetime | None = None
    look_at: datetime | None = None
    document: bytes
    state: str = "requested"
    created_at: datetime
    changed_at: datetime
    response_code: str | None = None
    response_description: str | None = None


_CAPABILITY = select(*(capabilities.c[field.name] for field in attrs.fields(Capability)))
_POINT = select(*(data_points.c[field.name] for field in attrs.fields(DataPoint)))
_REQUEST = select(*(report_requests.c[field.name] for field in attrs.fields(ReportRequest)))
_NAMED = Prepared(
    _REQUEST.where(
        report_requests.c.ven_id == bindparam("of"),
        among(report_requests.c.report_request_id, bindparam("ids", type_=String)),
    )
)
_ADD = insert(report_requests)
_OFFER = insert(capabilities).returning(capabilities.c.id)
_CURRENT = _CAPABILITY.where(capabilities.c.ven_id == bindparam("ven_id")).order_by(capabilities.c.id.desc()).limit(1)
_ITS_OWN = report_requests.c.ven_id == bindparam("of")
_ALL = _REQUEST.where(_ITS_OWN).order_by(report_requests.c.created_at)
_IN_STATES = _ALL.where(report_requests.c.state.in_(bindparam("states", expanding=True)))
_WISHES = select(wishes.c.wish_id, wishes.c.document).order_by(wishes.c.created_at, wishes.c.wish_id)
_WISHED = select(
    *(report_requests.c[name] for name in ("ven_id", "report_specifier_id", "wish_id", "report_request_id", "state"))
).where(report_requests.c.wish_id.is_not(None), among(report_requests.c.ven_id, bindparam("ven_ids", type_=String)))
_CHANGE = update(report_requests).where(
    _ITS_OWN,
    among(report_requests.c.report_request_id, bindparam("ids", type_=String)),
    report_requests.c.state.in_(bindparam("from_states", expanding=True)),
)
_SAMPLED = and_(report_requests.c.granularity > 0, report_requests.c.one_shot.is_(False))
_ACCEPT = _CHANGE.values(
    {
        name: case((_SAMPLED, func.coalesce(report_requests.c[name], report_requests.c.starts_at)), else_=None)
        for name in ("gaps_until", "look_at")
    }
)
_UNANSWERED = and_(
    report_requests.c.state == "requested", report_requests.c.wish_id.is_(None), report_requests.c.fills.is_(None)
)
_SUPERSEDE = update(report_requests).where(
    _ITS_OWN,
    report_requests.c.state.in_(OPEN),
    ~_UNANSWERED,
    ~among(report_requests.c.report_request_id, bindparam("but", type_=String)),
)
_WISH_ANEW = update(report_requests).where(_ITS_OWN, report_requests.c.wish_id.is_not(None)).values(wish_id=None)
_FIELDS = [field.name for field in attrs.fields(ReportRequest)]


# --- what a VEN offers ------------------------------------------------------------------------------------


def add_capability(txn: Txn, ven_id: str, document: bytes, now: datetime) -> int:
    """A new version of what a VEN can report; its id."""
    return txn.execute(_OFFER, {"ven_id": ven_id, "received_at": now, "document": document}).scalar_one()


def current_capability(txn: Txn, ven_id: str) -> Capability | None:
    """What a VEN last said it can report."""
    row = txn.execute(_CURRENT, {"ven_id": ven_id}).first()
    return Capability(*row) if row else None


_DESCRIBE = f"""
INSERT OR IGNORE INTO data_points (capability_id, {", ".join(field.name for field in attrs.fields(DataPoint))})
VALUES ({", ".join("?" * (len(attrs.fields(DataPoint)) + 1))})
"""


def describe(txn: Txn, capability_id: int, points: Iterable[DataPoint]) -> None:
    """Note the data points of a capability; of two with one name the first counts."""
    rows = [
        (capability_id, *attrs.astuple(point, recurse=False)[:-1], json.dumps(point.resource_ids)) for point in points
    ]
    if rows:
        txn.exec_driver_sql(_DESCRIBE, rows)


def _points(rows: Iterable[Any]) -> list[DataPoint]:
    return [DataPoint(*(*row[:-1], tuple(json.loads(row[-1])))) for row in rows]


def points_of(txn: Txn, capability_id: int) -> list[DataPoint]:
    """The data points of a capability, by their names."""
    query = _POINT.where(data_points.c.capability_id == capability_id)
    return _points(txn.execute(query.order_by(data_points.c.report_specifier_id, data_points.c.r_id)))


def current_version(txn: Txn, ven_id: str) -> int | None:
    """The id of what a VEN last said it can report."""
    return txn.execute(select(func.max(capabilities.c.id)).where(capabilities.c.ven_id == ven_id)).scalar()


def points_named(txn: Txn, ven_id: str, report_name: str) -> list[DataPoint]:
    """The data points that a VEN offers now under a report name."""
    version = select(func.max(capabilities.c.id)).where(capabilities.c.ven_id == ven_id).scalar_subquery()
    query = _POINT.where(data_points.c.capability_id == version, data_points.c.report_name == report_name)
    return _points(txn.execute(query))


# --- what is wanted of all --------------------------------------------------------------------------------


def put_wish(txn: Txn, wish_id: str, wanted: str, now: datetime) -> None:
    """A standing wish, as JSON."""
    txn.execute(insert(wishes).values(wish_id=wish_id, document=wanted, created_at=now))


def wishes_put(txn: Txn) -> dict[str, str]:
    """The standing wishes that were put: JSON by wish_id, the oldest first."""
    return {wish_id: wanted for wish_id, wanted in txn.execute(_WISHES)}


def drop_wish(txn: Txn, wish_id: str) -> None:
    """Forget a standing wish."""
    txn.execute(delete(wishes).where(wishes.c.wish_id == wish_id))


def _has(kind: str, value: str) -> ColumnElement[bool]:
    """Whether the VEN has this trait."""
    return (
        select(traits.c.ven_id)
        .where(traits.c.ven_id == vens.c.ven_id, traits.c.kind == kind, traits.c.value == value)
        .exists()
    )


def _fits(wanted: WantedReport) -> list[ColumnElement[bool]]:
    """What a data point and its VEN must be for a wish."""
    point = data_points.c
    conditions = [
        point[name] == value
        for name in ("report_name", "reading_type", "report_type", "item_base", "r_id")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.resource_id is not None:  # in a JSON list, where quotes stand around each of them alone
        conditions.append(func.instr(point.resource_ids, json.dumps(wanted.resource_id)) > 0)
    if wanted.group_id is not None:
        conditions.append(_has(GROUP, wanted.group_id))
    if wanted.market_context is not None:
        silent = and_(point.market_context.is_(None), _has(PROGRAM, wanted.market_context))
        conditions.append(or_(point.market_context == wanted.market_context, silent))
    return conditions


_LATER = capabilities.alias()
_IS_CURRENT = (
    ~select(_LATER.c.id).where(_LATER.c.ven_id == capabilities.c.ven_id, _LATER.c.id > capabilities.c.id).exists()
)
_OFFERS = (
    select(capabilities.c.ven_id, capabilities.c.id, data_points.c.report_specifier_id)
    .join(data_points, data_points.c.capability_id == capabilities.c.id)
    .join(vens, vens.c.ven_id == capabilities.c.ven_id)
    .where(vens.c.registration_id.is_not(None), _IS_CURRENT)
    .distinct()
)


def offers(txn: Txn, wanted: WantedReport, ven_ids: Collection[str]) -> list[Offer]:
    """Who offers now what is wanted, of these VENs as far as they are registered."""
    query = _OFFERS.where(*_fits(wanted), among(capabilities.c.ven_id, ven_ids))
    return [Offer(*row) for row in txn.execute(query)]


def wanted_points(
    txn: Txn, wanted: WantedReport, capability_ids: Collection[int]
) -> dict[tuple[int, str], list[DataPoint]]:
    """The data points of offers that are wanted, by (capability_id, report_specifier_id)."""
    query = (
        _POINT.add_columns(data_points.c.capability_id)
        .join(capabilities, capabilities.c.id == data_points.c.capability_id)
        .join(vens, vens.c.ven_id == capabilities.c.ven_id)
        .where(among(data_points.c.capability_id, capability_ids), *_fits(wanted))
        .order_by(data_points.c.r_id)
    )
    found: dict[tuple[int, str], list[DataPoint]] = defaultdict(list)
    for *row, capability_id in txn.execute(query):
        found[capability_id, row[0]] += _points([row])
    return found


def wished(txn: Txn, ven_ids: Collection[str]) -> dict[tuple[str, str, str], list[tuple[str, str]]]:
    """What is asked of these VENs because of standing wishes.

    (report_request_id, state) each by (ven_id, report_specifier_id, wish_id).
    """
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for *key, id, state in txn.execute(_WISHED, {"ven_ids": parameter(ven_ids)}):
        found.setdefault(tuple(key), []).append((id, state))
    return found


def forget_wishes(txn: Txn, ids: Collection[str]) -> None:
    """These requests no longer serve a wish."""
    txn.execute(update(report_requests).where(among(report_requests.c.report_request_id, ids)).values(wish_id=None))


# --- what was asked ---------------------------------------------------------------------------------------


def _requests(rows: Iterable[Any]) -> list[ReportRequest]:
    return [ReportRequest(**dict(zip(_FIELDS, row, strict=True))) for row in rows]


def add_request(txn: Txn, request: ReportRequest) -> None:
    """A new request."""
    txn.execute(_ADD, attrs.asdict(request, recurse=False))


def requests_of(txn: Txn, ven_id: str, states: Iterable[str] | None = None) -> list[ReportRequest]:
    """A VEN's requests, in any or in these states, the oldest first."""
    if states is None:
        return _requests(txn.execute(_ALL, {"of": ven_id}))
    return _requests(txn.execute(_IN_STATES, {"of": ven_id, "states": list(states)}))


def states_of(txn: Txn, ven_id: str) -> list[tuple[str, str]]:
    """(report_request_id, state) of each of a VEN's requests."""
    query = select(report_requests.c.report_request_id, report_requests.c.state)
    query = query.where(report_requests.c.ven_id == ven_id).order_by(report_requests.c.report_request_id)
    return [(id, state) for id, state in txn.execute(query)]


def found_requests(
    txn: Txn, ven_id: str, cursor: Cursor | None, most: int, state: str | None = None
) -> list[ReportRequest]:
    """A page of a VEN's requests, in any or in this state, the newest first."""
    query = _REQUEST.where(report_requests.c.ven_id == ven_id)
    if state is not None:
        query = query.where(report_requests.c.state == state)
    key = [report_requests.c.created_at, report_requests.c.report_request_id]
    return _requests(txn.execute(page(query, key, cursor, most, newest=True)))


def requests_named(txn: Txn, ven_id: str, ids: Collection[str]) -> dict[str, ReportRequest]:
    """Those of a VEN's requests that have one of these IDs, by ID."""
    found = _requests(_NAMED(txn, of=ven_id, ids=parameter(ids)))
    return {request.report_request_id: request for request in found}


def get_request(txn: Txn, ven_id: str, report_request_id: str) -> ReportRequest | None:
    """A VEN's request of this ID."""
    return requests_named(txn, ven_id, [report_request_id]).get(report_request_id)


def change_requests(txn: Txn, ven_id: str, ids: Collection[str], from_states: Iterable[str], **values: Any) -> None:
    """Set columns of those of a VEN's requests that are in one of these states."""
    txn.execute(_CHANGE, {"of": ven_id, "ids": parameter(ids), "from_states": list(from_states), **values})


def stop_requests(txn: Txn, ids: Collection[str], now: datetime) -> None:
    """VENs are told to stop these requests, where they are not over."""
    its_own = among(report_requests.c.report_request_id, ids)
    stopped = update(report_requests).where(its_own, report_requests.c.state.in_(OPEN))
    txn.execute(stopped.values(state="cancelling", changed_at=now))


def accept_requests(
    txn: Txn, ven_id: str, ids: Collection[str], from_states: Iterable[str], now: datetime, **values: Any
) -> None:
    """A VEN has taken on what it was asked; from the start on, each periodic sample that does not come is missed."""
    becomes = {"state": "accepted", "changed_at": now, **values}
    txn.execute(_ACCEPT, {"of": ven_id, "ids": parameter(ids), "from_states": list(from_states), **becomes})


def supersede_requests(txn: Txn, ven_id: str, now: datetime, but: Collection[str] = ()) -> None:
    """Close what was asked of a VEN so far, because it said anew what it can report, or who it is.

    What an operator asks and the VEN did not answer yet stays, and so does what is named by ``but``; every wish
    may be asked of it again.
    """
    txn.execute(_SUPERSEDE, {"of": ven_id, "but": parameter(but), "state": "superseded", "changed_at": now})
    txn.execute(_WISH_ANEW, {"of": ven_id})


def forget(txn: Txn, ven_id: str, keep: int) -> None:
    """Drop a VEN's requests that are over, or were to fill a gap and are not answered, but for the last ``keep``.

    What brought readings stays, and what a wish is not to ask again.  Of what the VEN can report the versions go
    that nothing needs, but for the newest: data that are under way may still come.
    """
    txn.execute(_FORGET_REQUESTS, {"of": ven_id, "keep": keep})
    txn.execute(_FORGET_VERSIONS, {"of": ven_id})


def _forgetting() -> tuple[Delete, Delete]:
    """What drops requests, and then versions."""
    asked = report_requests.c
    brought = readings.c.report_request_id == asked.report_request_id
    has_readings = select(readings.c.ven_id).where(readings.c.ven_id == bindparam("of"), brought).exists()
    over = or_(asked.state.not_in(OPEN), and_(asked.state == "requested", asked.fills.is_not(None)))
    last = select(asked.report_request_id).where(_ITS_OWN).order_by(asked.created_at.desc())
    last = last.limit(bindparam("keep", type_=Integer))
    requests = delete(report_requests).where(
        _ITS_OWN, over, asked.wish_id.is_(None), asked.report_request_id.not_in(last), ~has_readings
    )
    needed = select(asked.capability_id).where(
        _ITS_OWN, asked.capability_id.is_not(None), or_(asked.state.in_(OPEN), has_readings)
    )
    of_the_ven = capabilities.c.ven_id == bindparam("of")
    newest = select(capabilities.c.id).where(of_the_ven).order_by(capabilities.c.id.desc()).limit(_MOST_VERSIONS)
    unneeded = and_(capabilities.c.id.not_in(newest), capabilities.c.id.not_in(needed))
    return requests, delete(capabilities).where(of_the_ven, unneeded)


_FORGET_REQUESTS, _FORGET_VERSIONS = _forgetting()


def to_look_at(txn: Txn, now: datetime, most: int) -> list[ReportRequest]:
    """The requests in whose readings it is time to look for gaps, the longest due first."""
    query = _REQUEST.where(report_requests.c.look_at <= now).order_by(report_requests.c.look_at)
    return _requests(txn.execute(query.limit(most)))


def filling(txn: Txn, report_request_id: str, since: datetime) -> bool:
    """Whether something that was asked after ``since`` to fill a gap of this request is still to come."""
    query = select(report_requests.c.report_request_id).where(
        report_requests.c.fills == report_request_id,
        report_requests.c.state.in_(OPEN),
        report_requests.c.created_at > since,
    )
    return txn.execute(query.limit(1)).first() is not None


def counts(txn: Txn) -> dict[str, int]:
    """How many report requests run, and how many were made to fill gaps."""
    row = txn.execute(
        select(
            func.count().filter(report_requests.c.state == "accepted"), func.count(report_requests.c.fills)
        ).select_from(report_requests)
    ).one()
    return {"report_requests": row[0], "report_gaps_asked": row[1]}
