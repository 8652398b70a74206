"""Events behind the desk: made, changed, ended, and shown with what every VEN was told and said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..model.errors import InvalidID, OutOfSequence, VtnError
from ..model.values import shown
from ..storage import events as stored
from ..storage.database import Txn
from ..storage.events import Event
from ..vtn import events, opts
from ..vtn.changes import Changes
from ..vtn.display import status_at
from ..vtn.specs import EventSpec, spec_of
from .desk import Desk, Problem, Rehearsal, answer, created, raw_body, route, then
from .shapes import A_THOUSAND, NO, Flag, Limit, Nothing, in_its_words, show

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


@attrs.frozen(kw_only=True)
class EventsQuery:
    """Which events: those that are still sent, or ``all``; the last ``limit`` of them by their start."""

    all: Flag = NO
    limit: Limit = A_THOUSAND


def _if_match(request: IRequest) -> int | None:
    """The modification number that If-Match asks for; the ETag of an event is its modification number."""
    text = (request.getHeader(b"If-Match") or b"*").decode("latin-1").strip()
    if text == "*":
        return None
    if not (found := re.fullmatch('"([0-9]{1,10})"', text)):
        raise Problem(400, f'If-Match: {shown(text)} is not a modification number in quotes, such as "0"')
    return int(found[1])


# --- what is shown ------------------------------------------------------------------------------------


def _row(txn: Txn, event: Event, now: datetime) -> dict[str, Any]:
    """An event: what the operator said, what the VTN made of it, and how many VENs stand where.

    ``answers`` counts the VENs by what they opted, else by how far the event came with them.
    """
    status, _ = status_at(event, now)
    answers: Counter[str] = Counter()
    for state, opt_type, count in stored.tally(txn, event.event_id):
        answers[state if state == "refused" else opt_type or state] += count
    return {
        **show(spec_of(event)),
        "modification_number": event.modification_number,
        "status": status,
        "source": event.source,
        "created_at": show(event.created_at),
        "modified_at": show(event.modified_at),
        "ends_at": show(event.ends_at),
        "gone_at": show(event.gone_at),
        "deleted_at": show(event.deleted_at),
        "answers": dict(answers),
    }


def _list(txn: Txn, query: EventsQuery, now: datetime) -> list[dict[str, Any]]:
    return [_row(txn, event, now) for event in stored.listed(txn, now, query.all)[-query.limit :]]


def _whole(txn: Txn, event_id: str, now: datetime) -> dict[str, Any]:
    """All about an event: the ledger of all its versions, the VENs' answers, and what they said by oadrCreateOpt."""
    found = stored.get(txn, event_id)
    if found is None:
        raise InvalidID(f"event_id: {event_id!r} is not known")
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


def _etag(row: dict[str, Any]) -> bytes:
    return f'"{row["modification_number"]}"'.encode()


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/events")
async def list_events(desk: Desk, request: IRequest) -> bytes:
    """The events that are still sent, or with ?all=1 all."""
    query = desk.query(request, EventsQuery)
    return answer(request, {"events": await desk.fresh("list events", _list, query, desk.vtn.now())})


@route("POST", "/events")
async def create_event(desk: Desk, request: IRequest) -> bytes:
    """A new event; what only convention forbids is accepted with ?force=1."""
    raw = raw_body(request)
    spec = desk.reader.event(raw)
    wish = desk.query(request, EventWish)
    try:
        row = await desk.write(wish, then(_create, _seen(wish)), spec, wish.force)
    except VtnError as error:
        raise in_its_words(raw, error) from None
    request.setHeader(b"ETag", _etag(row))
    return created(request, wish, row, "events", row["event_id"])


def _create(txn: Txn, spec: EventSpec, force: bool, now: datetime) -> tuple[Event, Changes]:
    return events.create(txn, spec, "operator", now, force)


@route("GET", "/events/<id:event_id>")
async def show_event(desk: Desk, request: IRequest, event_id: str) -> bytes:
    """All about an event, with every VEN's answer."""
    desk.query(request, Nothing)
    row = await desk.fresh("show event", _whole, event_id, desk.vtn.now())
    request.setHeader(b"ETag", _etag(row))
    return answer(request, row)


@route("PATCH", "/events/<id:event_id>")
async def modify_event(desk: Desk, request: IRequest, event_id: str) -> bytes:
    """Other values for some fields of an event."""
    raw = raw_body(request)
    changes, number = desk.reader.event_changes(raw)
    try:
        return await _locked(desk, request, _modify, number, event_id, changes)
    except VtnError as error:
        raise in_its_words(raw, error) from None


def _modify(
    txn: Txn, event_id: str, changes: dict[str, Any], number: int | None, force: bool, now: datetime
) -> tuple[Event, Changes]:
    return events.modify(txn, event_id, changes, number, now, force)


@route("POST", "/events/<id:event_id>/cancel")
async def cancel_event(desk: Desk, request: IRequest, event_id: str) -> bytes:
    """The end of an event for everybody: it is shown as cancelled."""
    wish = desk.body(request, Cancellation)
    return await _locked(desk, request, _cancel, wish.modification_number, event_id, wish.reason)


def _cancel(
    txn: Txn, event_id: str, reason: str | None, number: int | None, force: bool, now: datetime
) -> tuple[Event, Changes]:
    return events.cancel(txn, event_id, number, reason, now)


@route("DELETE", "/events/<id:event_id>")
async def delete_event(desk: Desk, request: IRequest, event_id: str) -> bytes:
    """The end of an event for everybody: it is not shown any more, which VENs take for its cancellation."""
    return await _locked(desk, request, _delete, None, event_id)


def _delete(txn: Txn, event_id: str, number: int | None, force: bool, now: datetime) -> tuple[Event, Changes]:
    return events.delete(txn, event_id, number, now)


async def _locked(
    desk: Desk, request: IRequest, rule: Callable[..., Any], number: int | None, *arguments: Any
) -> bytes:
    """Write, if the event is still at the modification number that the body or If-Match tells."""
    match = _if_match(request)
    wish = desk.query(request, EventWish)
    try:
        row = await desk.write(
            wish, then(rule, _seen(wish)), *arguments, number if match is None else match, wish.force
        )
    except OutOfSequence as error:
        if match is None:
            raise
        raise Problem(412, error.description) from None
    request.setHeader(b"ETag", _etag(row))
    return answer(request, row)
