"""The reports of this VTN that VENs asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import ScalarSelect, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from .database import Txn
from .outbox import OPEN
from .tables import outbox, provided, vens

KINDS = ("update_report", "register_report")
"""The kinds of entries by which a VEN gets what it asked for."""


@attrs.frozen
class Provided:
    """A request of a VEN, ``document`` as it came, under the ID that the VEN gave it.

    State: open; complete (the last report is made, but may wait in the outbox); cancelled; refused (the VEN
    knows it no longer); superseded (by a new registration, or because it is not offered any more).
    Readings up to ``since`` are reported; the next report is due at ``next_at`` (None: there is none), the
    last one at ``ends_at`` (None: it is endless).
    """

    ven_id: str
    report_request_id: str
    report_specifier_id: str
    document: bytes
    state: str
    created_at: datetime
    since: datetime
    next_at: datetime | None
    ends_at: datetime | None


_PROVIDED = select(*(provided.c[field.name] for field in attrs.fields(Provided)))
_KEY = and_(provided.c.ven_id == bindparam("ven"), provided.c.report_request_id == bindparam("request"))
_GET = _PROVIDED.where(_KEY)
_DUE = (
    _PROVIDED.join(vens, vens.c.ven_id == provided.c.ven_id)
    .where(provided.c.next_at <= bindparam("now"), vens.c.online)
    .order_by(provided.c.next_at)
    .limit(bindparam("most"))
)
_UNDELIVERED = (
    select(outbox.c.id)
    .where(
        outbox.c.ven_id == provided.c.ven_id,
        outbox.c.reference == provided.c.report_request_id,
        outbox.c.kind.in_(KINDS),
        outbox.c.state.in_(OPEN),
    )
    .exists()
)
_IS_PENDING = or_(provided.c.state == "open", and_(provided.c.state == "complete", _UNDELIVERED))
_PENDING = _PROVIDED.where(provided.c.ven_id == bindparam("ven"), _IS_PENDING).order_by(
    provided.c.created_at, provided.c.report_request_id
)

_END = update(provided).where(provided.c.ven_id == bindparam("ven"), _IS_PENDING)
_ADVANCE = (
    update(provided)
    .where(_KEY)
    .values(state=bindparam("to_state"), since=bindparam("to_since"), next_at=bindparam("to_next"))
)
_LAST: ScalarSelect[Any] = (
    select(provided.c.report_request_id)
    .where(provided.c.ven_id == bindparam("ven"))
    .order_by((provided.c.state == "open").desc(), provided.c.created_at.desc())
    .limit(bindparam("keep"))
    .scalar_subquery()
)
_FORGET = delete(provided).where(provided.c.ven_id == bindparam("ven"), provided.c.report_request_id.not_in(_LAST))
_FORGET_ENTRIES = delete(outbox).where(
    outbox.c.ven_id.in_(bindparam("vens", expanding=True)),
    or_(outbox.c.kind == "update_report", and_(outbox.c.kind == "register_report", outbox.c.reference.is_not(None))),
    outbox.c.state.not_in(OPEN),
    outbox.c.closed_at < bindparam("before"),
)


def get(txn: Txn, ven_id: str, report_request_id: str) -> Provided | None:
    """A VEN's request of this ID."""
    row = txn.execute(_GET, {"ven": ven_id, "request": report_request_id}).first()
    return Provided(*row) if row else None


def listed(txn: Txn, ven_id: str | None = None, state: str | None = None) -> list[Provided]:
    """The requests of a VEN or of all, in any or in this state, the oldest first."""
    query = _PROVIDED
    if ven_id is not None:
        query = query.where(provided.c.ven_id == ven_id)
    if state is not None:
        query = query.where(provided.c.state == state)
    return [Provided(*row) for row in txn.execute(query.order_by(provided.c.created_at))]


def pending(txn: Txn, ven_id: str) -> list[Provided]:
    """What a VEN asked for and does not have all of yet (rule 329), the oldest first."""
    return [Provided(*row) for row in txn.execute(_PENDING, {"ven": ven_id})]


def due(txn: Txn, now: datetime, most: int) -> list[Provided]:
    """Requests of VENs that are online of which a report is due, what waited longest first."""
    return [Provided(*row) for row in txn.execute(_DUE, {"now": now, "most": most})]


def put(txn: Txn, request: Provided) -> None:
    """A new request; one of this ID that was there is replaced."""
    statement = insert(provided).values(**attrs.asdict(request))
    keys = ("ven_id", "report_request_id")
    rest = {column.name: statement.excluded[column.name] for column in provided.c if column.name not in keys}
    txn.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest))


def change(txn: Txn, ven_id: str, report_request_id: str, **values: Any) -> None:
    """Set columns of a request."""
    txn.execute(update(provided).where(_KEY).values(**values), {"ven": ven_id, "request": report_request_id})


def end(txn: Txn, ven_id: str, state: str, ids: Iterable[str] | None = None) -> None:
    """End in this state what is pending of a VEN's requests, all of them or these, before their entries are closed."""
    statement = _END if ids is None else _END.where(provided.c.report_request_id.in_(list(ids)))
    txn.execute(statement, {"ven": ven_id, "state": state, "next_at": None})


def advance(txn: Txn, steps: list[dict[str, Any]]) -> None:
    """A report is made: ``{"ven", "request", "to_state", "to_since", "to_next"}`` each, for the columns."""
    if steps:
        txn.execute(_ADVANCE, steps)


def forget(txn: Txn, ven_id: str, keep: int) -> None:
    """Drop of a VEN's requests all that are over but the last, so that there are ``keep``."""
    txn.execute(_FORGET, {"ven": ven_id, "keep": keep})


def forget_entries(txn: Txn, ven_ids: Iterable[str], before: datetime) -> None:
    """Drop the entries of these VENs by which they got what they asked for, and which closed ``before``."""
    txn.execute(_FORGET_ENTRIES, {"vens": list(ven_ids), "before": before})


def counts(txn: Txn) -> dict[str, int]:
    """How many requests of VENs are open."""
    query = select(func.count()).select_from(provided).where(provided.c.state == "open")
    return {"provided_reports": txn.execute(query).scalar_one()}
