"""Opts that VENs made by oadrCreateOpt: what they say of single events, and schedules with their periods."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

import attrs
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from .audience import among
from .database import Txn
from .tables import events, opt_periods, opts


@attrs.frozen
class Opt:
    """An opt; ``document`` is its oadrCreateOpt.  ``whole_ven``: it is not limited to resources or device classes."""

    ven_id: str
    opt_id: str
    event_id: str | None
    opt_type: str
    whole_ven: bool
    opt_reason: str | None
    market_context: str | None
    document: bytes
    received_at: datetime
    cancelled_at: datetime | None = None


@attrs.frozen
class Span:
    """A period of a schedule; without an end it is open-ended.  ``number`` grows from opt to opt."""

    ven_id: str
    number: int
    opt_type: str
    starts_at: datetime
    ends_at: datetime | None


_OPT = select(*(opts.c[field.name] for field in attrs.fields(Opt)))
_STANDS = opts.c.cancelled_at.is_(None)


def put(txn: Txn, opt: Opt, periods: Iterable[tuple[datetime, datetime | None]] = ()) -> None:
    """Keep an opt, with the periods of a schedule; one of the same optID is replaced by it."""
    txn.execute(delete(opts).where(opts.c.ven_id == opt.ven_id, opts.c.opt_id == opt.opt_id))
    key = txn.execute(insert(opts).values(**attrs.asdict(opt, recurse=False))).inserted_primary_key
    assert key
    rows = [
        {"opt": key[0], "number": number, "starts_at": starts_at, "ends_at": ends_at}
        for number, (starts_at, ends_at) in enumerate(periods)
    ]
    if rows:
        txn.execute(insert(opt_periods), rows)


def get(txn: Txn, ven_id: str, opt_id: str) -> Opt | None:
    """A VEN's opt of this ID, cancelled or not."""
    row = txn.execute(_OPT.where(opts.c.ven_id == ven_id, opts.c.opt_id == opt_id)).first()
    return Opt(*row) if row else None


def cancel(txn: Txn, ven_id: str, opt_id: str, now: datetime) -> None:
    """End an opt."""
    txn.execute(update(opts).where(opts.c.ven_id == ven_id, opts.c.opt_id == opt_id).values(cancelled_at=now))


def size(txn: Txn, ven_id: str) -> int:
    """How much of a VEN is kept: its opts on events and the periods of its schedules, cancelled or not."""
    query = select(func.count()).select_from(opts.outerjoin(opt_periods, opt_periods.c.opt == opts.c.id))
    return txn.execute(query.where(opts.c.ven_id == ven_id)).scalar_one()


def forget_past(txn: Txn, ven_id: str, now: datetime) -> None:
    """Forget the opts that a VEN has cancelled, those on events that are past, and schedules that are over."""
    to_come = or_(opt_periods.c.ends_at.is_(None), opt_periods.c.ends_at > now)
    over = ~select(opt_periods.c.opt).where(opt_periods.c.opt == opts.c.id, to_come).exists()
    gone = opts.c.event_id.in_(select(events.c.event_id).where(events.c.gone_at <= now))
    past = or_(~_STANDS, gone, and_(opts.c.event_id.is_(None), over))
    txn.execute(delete(opts).where(opts.c.ven_id == ven_id, past))


def on_event(txn: Txn, ven_id: str, event_id: str) -> list[Opt]:
    """A VEN's opts on an event that stand, the newest last."""
    query = _OPT.where(opts.c.ven_id == ven_id, opts.c.event_id == event_id, _STANDS)
    return [Opt(*row) for row in txn.execute(query.order_by(opts.c.id))]


def standing(txn: Txn, event_id: str, ven_ids: Collection[str]) -> dict[str, str]:
    """What these VENs as a whole opted on an event, by venID; who said nothing that stands is missing."""
    query = select(opts.c.ven_id, opts.c.opt_type).where(
        among(opts.c.ven_id, ven_ids), opts.c.event_id == event_id, opts.c.whole_ven.is_(True), _STANDS
    )
    return {ven_id: opt_type for ven_id, opt_type in txn.execute(query.order_by(opts.c.id))}  # the newest counts


def of_event(txn: Txn, event_id: str) -> list[Opt]:
    """All opts on an event that stand, by VEN, the newest last."""
    query = _OPT.where(opts.c.event_id == event_id, _STANDS)
    return [Opt(*row) for row in txn.execute(query.order_by(opts.c.ven_id, opts.c.id))]


def of_ven(txn: Txn, ven_id: str) -> list[Opt]:
    """A VEN's opts that stand, the newest last."""
    query = _OPT.where(opts.c.ven_id == ven_id, _STANDS)
    return [Opt(*row) for row in txn.execute(query.order_by(opts.c.id))]


# --- schedules --------------------------------------------------------------------------------------


def _touches(since: datetime, until: datetime) -> ColumnElement[bool]:
    """Periods that have something of the time from ``since`` to before ``until``."""
    return and_(opt_periods.c.starts_at < until, or_(opt_periods.c.ends_at.is_(None), opt_periods.c.ends_at > since))


def periods_of_ven(
    txn: Txn, ven_id: str, since: datetime, until: datetime
) -> list[tuple[Opt, datetime, datetime | None]]:
    """The periods of a VEN's schedules that stand and touch a time, by their start: opt, start and end each."""
    query = (
        _OPT.add_columns(opt_periods.c.starts_at, opt_periods.c.ends_at)
        .join(opt_periods, opt_periods.c.opt == opts.c.id)
        .where(opts.c.ven_id == ven_id, _STANDS, _touches(since, until))
        .order_by(opt_periods.c.starts_at, opts.c.id, opt_periods.c.number)
    )
    return [(Opt(*row[:-2]), row[-2], row[-1]) for row in txn.execute(query)]


def spans(txn: Txn, since: datetime, until: datetime, market_context: str | None) -> list[Span]:
    """What VENs as a whole said of a time, by VEN and start.

    With a market context, by the schedules that are for it or for all.
    """
    query = (
        select(opts.c.ven_id, opts.c.id, opts.c.opt_type, opt_periods.c.starts_at, opt_periods.c.ends_at)
        .join(opt_periods, opt_periods.c.opt == opts.c.id)
        .where(_STANDS, opts.c.whole_ven.is_(True), _touches(since, until))
        .order_by(opts.c.ven_id, opt_periods.c.starts_at)
    )
    if market_context is not None:
        query = query.where(or_(opts.c.market_context.is_(None), opts.c.market_context == market_context))
    return [Span(*row) for row in txn.execute(query)]
