"""Market contexts (programs): every URI that VENs were said to take part in, or that an event names."""

from __future__ import annotations

from datetime import datetime

import attrs
from sqlalchemy import and_, func, literal, or_, select, union

from .audience import PROGRAM, among
from .database import Txn
from .paging import Cursor, page
from .tables import events, traits, vens


@attrs.frozen
class MarketContext:
    """A market context: how many VENs were said to take part in it, and how many events name it.

    ``takes_part`` are the registered VENs that an event of it without a target is sent to: those, and the ones of
    which nothing was said.  ``events_current`` are the events that are still sent.
    """

    market_context: str
    vens: int
    takes_part: int
    events: int
    events_current: int


_NAMED = union(
    select(traits.c.value.label("name")).where(traits.c.kind == PROGRAM), select(events.c.market_context)
).subquery()
_PLACES = and_(traits.c.ven_id == vens.c.ven_id, traits.c.kind == PROGRAM)
_HERE = and_(vens.c.registration_id.is_not(None), vens.c.report_only.is_(False))


def found(txn: Txn, now: datetime, cursor: Cursor | None, most: int, text: str | None = None) -> list[MarketContext]:
    """A page of market contexts by their URIs; ``text`` stands in them."""
    query = select(_NAMED.c.name)
    if text is not None:
        query = query.where(_NAMED.c.name.icontains(text, autoescape=True))
    return _counted(txn, now, list(txn.execute(page(query, [_NAMED.c.name], cursor, most)).scalars()))


def get(txn: Txn, now: datetime, market_context: str) -> MarketContext:
    """A market context, which need not be known: its counts are 0 then, but for the VENs that take part in all."""
    return _counted(txn, now, [market_context])[0]


def _counted(txn: Txn, now: datetime, names: list[str]) -> list[MarketContext]:
    said = (
        select(traits.c.value, func.count(traits.c.ven_id.distinct()), func.count(vens.c.ven_id.distinct()))
        .outerjoin_from(traits, vens, and_(vens.c.ven_id == traits.c.ven_id, _HERE))
        .where(traits.c.kind == PROGRAM, among(traits.c.value, names))
        .group_by(traits.c.value)
    )
    vens_of = {name: (count, here) for name, count, here in txn.execute(said)}
    current = and_(or_(events.c.gone_at.is_(None), events.c.gone_at > now), events.c.deleted_at.is_(None))
    named = (
        select(events.c.market_context, func.count(), func.count().filter(current))
        .where(among(events.c.market_context, names))
        .group_by(events.c.market_context)
    )
    events_of = {name: (count, here) for name, count, here in txn.execute(named)}
    silent = select(func.count()).where(_HERE, ~select(literal(1)).where(_PLACES).exists()).select_from(vens)
    everywhere = txn.execute(silent).scalar_one()
    counted = []
    for name in names:
        here, registered = vens_of.get(name, (0, 0))
        counted.append(MarketContext(name, here, registered + everywhere, *events_of.get(name, (0, 0))))
    return counted


def members(txn: Txn, market_context: str) -> list[str]:
    """The venIDs that were said to take part in a market context."""
    query = select(traits.c.ven_id).where(traits.c.kind == PROGRAM, traits.c.value == market_context)
    return list(txn.execute(query.order_by(traits.c.ven_id).distinct()).scalars())
