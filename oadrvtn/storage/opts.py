"""Opts that VENs made by oadrCreateOpt."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from .database import Txn
from .tables import opts


@attrs.frozen
class Opt:
    """An opt; ``document`` is its oadrCreateOpt.  ``whole_ven``: it is not limited to resources or device classes."""

    ven_id: str
    opt_id: str
    event_id: str | None
    opt_type: str
    whole_ven: bool
    document: bytes
    received_at: datetime
    cancelled_at: datetime | None = None


_OPT = select(*(opts.c[field.name] for field in attrs.fields(Opt)))


def put(txn: Txn, opt: Opt) -> None:
    """Keep an opt; one of the same optID is revised by it."""
    values: dict[str, Any] = attrs.asdict(opt, recurse=False)
    statement = upsert(opts).values(**values)
    txn.execute(statement.on_conflict_do_update(index_elements=["ven_id", "opt_id"], set_=values))


def get(txn: Txn, ven_id: str, opt_id: str) -> Opt | None:
    """A VEN's opt of this ID, cancelled or not."""
    row = txn.execute(_OPT.where(opts.c.ven_id == ven_id, opts.c.opt_id == opt_id)).first()
    return Opt(*row) if row else None


def cancel(txn: Txn, ven_id: str, opt_id: str, now: datetime) -> None:
    """End an opt."""
    txn.execute(update(opts).where(opts.c.ven_id == ven_id, opts.c.opt_id == opt_id).values(cancelled_at=now))


def on_event(txn: Txn, ven_id: str, event_id: str) -> list[Opt]:
    """A VEN's opts on an event that stand, the newest last."""
    query = _OPT.where(opts.c.ven_id == ven_id, opts.c.event_id == event_id, opts.c.cancelled_at.is_(None))
    return [Opt(*row) for row in txn.execute(query.order_by(opts.c.received_at, opts.c.id))]


def of_ven(txn: Txn, ven_id: str) -> list[Opt]:
    """A VEN's opts that stand."""
    query = _OPT.where(opts.c.ven_id == ven_id, opts.c.cancelled_at.is_(None))
    return [Opt(*row) for row in txn.execute(query.order_by(opts.c.received_at, opts.c.id))]
