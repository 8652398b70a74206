"""Opts behind the desk: when VENs say that they are available, one by one and counted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..storage.database import Txn
from ..vtn import opts
from ..vtn.registration import current
from .desk import Desk, answer, route
from .shapes import many, shape, show


@attrs.frozen(kw_only=True)
class Window:
    """A time: from ``since``, or now, to before ``until``."""

    since: datetime | None = None
    until: datetime


@attrs.frozen(kw_only=True)
class AvailabilityQuery(Window):
    """Of whom: those that take part in a program, those of a group."""

    market_context: str | None = None
    group_id: str | None = None


_TIMELINE = shape("Timeline", ven_id=str, opts=many(opts.Period))
_AVAILABILITY = shape("AvailabilityInTime", opts.Availability, since=datetime, until=datetime)


def _timeline(txn: Txn, ven_id: str, since: datetime, until: datetime) -> dict[str, Any]:
    current(txn, ven_id)
    return {"ven_id": ven_id, "opts": [show(period) for period in opts.timeline(txn, ven_id, since, until)]}


@route("GET", "/vens/<id:ven_id>/opts", "read", _TIMELINE)
async def timeline(desk: Desk, request: IRequest, query: Window, ven_id: str) -> bytes:
    """A VEN's schedules within a time."""
    since = query.since or desk.vtn.now()
    return answer(request, await desk.read("timeline", _timeline, ven_id, since, query.until))


@route("GET", "/availability", "read", _AVAILABILITY)
async def availability(desk: Desk, request: IRequest, query: AvailabilityQuery) -> bytes:
    """How many VENs are available within a time."""
    since = query.since or desk.vtn.now()
    counts = await desk.read(
        "availability", opts.availability, since, query.until, query.market_context, query.group_id
    )
    return answer(request, {"since": show(since), "until": show(query.until), **show(counts)})
