"""Events behind the desk: made, changed, ended, and shown with what every VEN was told and said."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal

import attrs
from twisted.web.iweb import IRequest

from ..model.errors import InvalidData, InvalidID
from ..model.values import Duration
from ..storage import events as stored
from ..storage.database import Txn
from ..storage.events import Event, Tally
from ..storage.tables import microseconds
from ..vtn import events, opts
from ..vtn.changes import Changes
from ..vtn.display import status_at
from ..vtn.specs import EventSpec, SignalSpec, spec_of
from .desk import Desk, Given, Page, Rehearsal, answer, cut, listed, route
from .shapes import A_HUNDRED, NO, ByTime, EventChanges, Flag, PageSize, many, page_of, shape, show

# --- what is asked ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Cancellation:
    """The end of an event; ``modification_number``, if given, must be the present one."""

    modification_number: int | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True)
class EventWish(Rehearsal):
    """How an event is written: with ``force`` also what only convention forbids."""

    force: Flag = NO


Status = Literal["far", "near", "active", "completed", "cancelled"]


@attrs.frozen(kw_only=True)
class EventsQuery:
    """Which events: those that are still sent, or ``all``; the last ``limit`` of them before a ``cursor``.

    Those in a ``status``, of a market context, that concern a VEN or one of a group, that overlap [since, until).
    """

    all: Flag = NO
    status: Status | None = None
    market_context: str | None = None
    ven_id: str | None = None
    group_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByTime | None = None


# --- what is shown ------------------------------------------------------------------------------------


_COUNTS = ("count", "offered", "answered", "unanswered", "overdue")
_EVENT = shape(
    "Event", EventSpec,
    event_id=str, duration=Duration, modification_number=int, status=Status, source=str, created_at=datetime,
    modified_at=datetime, ends_at=datetime | None, gone_at=datetime | None, deleted_at=datetime | None,
    answers=dict[str, int],
    counts=shape("Counts", dict.fromkeys(("vens", *_COUNTS[1:], "in", "out"), int)),
)  # fmt: skip
_WRITTEN = shape("EventWritten", _EVENT, told=many(events.Told), maybe=("told",))
_ALL = shape("EventWithLedger", _EVENT, ledger=many(stored.Line), history=many(stored.Answer), opts=many(opts.EventOpt))


def _rows(txn: Txn, events: Sequence[Event], now: datetime) -> list[dict[str, Any]]:
    """Events: what the operator said, what the VTN made of it, and how many VENs stand where.

    ``answers`` counts the VENs by what they opted, else by how far the event came with them; ``counts`` how many
    it concerns, was offered to, have answered (in, out), have not though they are to, or should have.
    """
    tallies: dict[str, list[Tally]] = defaultdict(list)
    for tally in stored.tallies(txn, [event.event_id for event in events]):
        tallies[tally.event_id].append(tally)
    return [_event(event, tallies[event.event_id], now) for event in events]


def _event(event: Event, tallies: Collection[Tally], now: datetime) -> dict[str, Any]:
    answers: Counter[str] = Counter()
    for tally in tallies:
        answers[tally.state if tally.state == "refused" else tally.opt_type or tally.state] += tally.count
    counts = {name: sum(getattr(tally, name) for tally in tallies) for name in _COUNTS}
    return {
        **show(spec_of(event)),
        "modification_number": event.modification_number,
        "status": status_at(event, now)[0],
        "source": event.source,
        "created_at": show(event.created_at),
        "modified_at": show(event.modified_at),
        "ends_at": show(event.ends_at),
        "gone_at": show(event.gone_at),
        "deleted_at": show(event.deleted_at),
        "answers": dict(answers),
        "counts": {"vens": counts.pop("count"), **counts, "in": answers["optIn"], "out": answers["optOut"]},
    }


def _row(txn: Txn, event: Event, now: datetime) -> dict[str, Any]:
    return _rows(txn, [event], now)[0]


def _list(txn: Txn, query: EventsQuery, now: datetime) -> Page:
    asked = {"status": query.status, "market_context": query.market_context, "ven_id": query.ven_id}
    found = stored.found(
        txn, now, query.cursor, all_of_them=query.all, group_id=query.group_id, since=query.since, until=query.until,
        **asked,
    )  # fmt: skip
    fit = (event for event in found if query.status in (None, status_at(event, now)[0]))
    events = list(islice(fit, query.limit + 1))[::-1]
    page, last = cut(events, query.limit, lambda event: (microseconds(event.dtstart), event.event_id), backwards=True)
    return _rows(txn, page, now), last


def _known(txn: Txn, event_id: str) -> Event:
    """Raises InvalidID."""
    found = stored.get(txn, event_id)
    if found is None:
        raise InvalidID(f"event_id: {event_id!r} is not known")
    return found


def _whole(txn: Txn, event_id: str, now: datetime) -> dict[str, Any]:
    """All about an event: the ledger of all its versions, the VENs' answers, and what they said by oadrCreateOpt."""
    found = _known(txn, event_id)
    return {
        **_row(txn, found, now),
        "ledger": [show(line) for line in stored.lines_of_event(txn, event_id)],
        "history": [show(answer) for answer in stored.answers_to(txn, event_id)],
        "opts": [show(opt) for opt in opts.of_event(txn, event_id)],
    }


def _seen(wish: EventWish) -> Callable[[Txn, Event, datetime], dict[str, Any]]:
    """The view of what is written; of what is only tried, also which VENs would be told what."""

    def tried(txn: Txn, event: Event, now: datetime) -> dict[str, Any]:
        return {**_row(txn, event, now), "told": [show(told) for told in events.told(txn, event)]}

    return tried if wish.dry_run else _row


def _etag(row: dict[str, Any]) -> str:
    return _number(row["modification_number"])


def _number(modification_number: int) -> str:
    """The ETag of an event is its modification number."""
    return f'"{modification_number}"'


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/events", "read", page_of("events", _EVENT))
async def list_events(desk: Desk, request: IRequest, query: EventsQuery) -> bytes:
    """The events that are still sent, or with ?all=1 all."""
    return listed(request, "events", await desk.fresh("list events", _list, query, desk.vtn.now()))


@route("POST", "/events", "dispatch", _WRITTEN, 201)
async def create_event(desk: Desk, request: IRequest, query: EventWish, body: EventSpec) -> bytes:
    """A new event; what only convention forbids is accepted with ?force=1."""
    return await desk.do(
        request, query, _create, body, query.force,
        show=_seen(query), tag=lambda txn, row: _etag(row), where=lambda row: ("events", row["event_id"]),
    )  # fmt: skip


def _create(txn: Txn, spec: EventSpec, force: bool, now: datetime) -> tuple[Event, Changes]:
    return events.create(txn, spec, "operator", now, force)


@route("GET", "/events/<id:event_id>", "read", _ALL)
async def show_event(desk: Desk, request: IRequest, event_id: str) -> bytes:
    """All about an event, with every VEN's answer."""
    row = await desk.fresh("show event", _whole, event_id, desk.vtn.now())
    return answer(request, row, etag=_etag(row))


@route("PATCH", "/events/<id:event_id>", "dispatch", _WRITTEN)
async def modify_event(
    desk: Desk,
    request: IRequest,
    query: EventWish,
    body: Given[EventChanges],  # type: ignore[valid-type]
    event_id: str,
) -> bytes:
    """Other values for some fields of an event."""
    changes = dict(body)
    number = changes.pop("modification_number", None)
    return await _locked(desk, request, query, modify, number, event_id, changes)


def modify(
    txn: Txn, event_id: str, changes: dict[str, Any], number: int | None, force: bool, now: datetime
) -> tuple[Event, Changes]:
    """Change fields of EventChanges, a level or a duration also alone: as the rule of the VTN, it raises."""
    if "level" in changes:
        if "signals" in changes:
            raise InvalidData.at("level", "unknown field: the values stand in the signals")
        level = changes["level"]
        changes = {name: value for name, value in changes.items() if name != "level"}
        changes["signals"] = _at_level(spec_of(_known(txn, event_id)).signals, level)
    elif changes.get("duration") is not None and "signals" not in changes:
        changes["signals"] = _as_long(spec_of(_known(txn, event_id)).signals, changes["duration"])
    return events.modify(txn, event_id, changes, number, now, force)


def _at_level(signals: Sequence[SignalSpec], level: float) -> tuple[SignalSpec, ...]:
    """The signals with another value: of the only one, or of the one that is SIMPLE."""
    chosen = [signal for signal in signals if len(signals) == 1 or signal.signal_name == "SIMPLE"]
    if len(chosen) != 1:
        raise InvalidData.at("level", "which of the event's signals is meant? Give its signals")
    other = attrs.evolve(chosen[0], intervals=tuple((length, level) for length, _ in chosen[0].intervals))
    return tuple(other if signal is chosen[0] else signal for signal in signals)


def _as_long(signals: Sequence[SignalSpec], length: Duration) -> tuple[SignalSpec, ...]:
    """The signals with another length, as far as each has one interval: else it is not known which is meant."""
    if any(len(signal.intervals) > 1 for signal in signals):
        return tuple(signals)
    return tuple(attrs.evolve(signal, intervals=((length, signal.intervals[0][1]),)) for signal in signals)


@route("POST", "/events/<id:event_id>/cancel", "dispatch", _WRITTEN)
async def cancel_event(desk: Desk, request: IRequest, query: EventWish, body: Cancellation, event_id: str) -> bytes:
    """The end of an event for everybody: it is shown as cancelled."""
    return await _locked(desk, request, query, _cancel, body.modification_number, event_id, body.reason)


def _cancel(
    txn: Txn, event_id: str, reason: str | None, number: int | None, force: bool, now: datetime
) -> tuple[Event, Changes]:
    return events.cancel(txn, event_id, number, reason, now)


@route("DELETE", "/events/<id:event_id>", "dispatch", _WRITTEN)
async def delete_event(desk: Desk, request: IRequest, query: EventWish, event_id: str) -> bytes:
    """The end of an event for everybody: it is not shown any more, which VENs take for its cancellation."""
    return await _locked(desk, request, query, _delete, None, event_id)


def _delete(txn: Txn, event_id: str, number: int | None, force: bool, now: datetime) -> tuple[Event, Changes]:
    return events.delete(txn, event_id, number, now)


async def _locked(
    desk: Desk, request: IRequest, wish: EventWish, rule: Callable[..., Any], number: int | None, *arguments: Any
) -> bytes:
    """Write, if the event is still at the modification number that the body or If-Match tells."""
    event_id = arguments[0]
    return await desk.do(
        request, wish, rule, *arguments, number, wish.force,
        show=_seen(wish), present=lambda txn: _number(_known(txn, event_id).modification_number),
    )  # fmt: skip
