"""Events, and the ledger of what each VEN was told of them and answered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import and_, bindparam, func, insert, or_, select, update

from .database import Txn
from .tables import answers, events, ledger


@attrs.frozen
class Event:
    """An event.  It is sent until ``gone_at`` (end, tolerance and recovery); None: open-ended."""

    event_id: str
    modification_number: int
    cancelled: bool
    for_everyone: bool
    market_context: str
    dtstart: datetime
    gone_at: datetime | None
    response_required: str
    document: bytes
    source: str
    created_at: datetime
    modified_at: datetime


@attrs.frozen
class Line:
    """A line of the ledger: one VEN, one version of one event."""

    ven_id: str
    event_id: str
    modification_number: int
    state: str
    wants: str
    withdrawn: bool
    queued_at: datetime
    offers: int
    deliveries: int
    first_offered: datetime | None
    last_offered: datetime | None
    answered_at: datetime | None
    opt_type: str | None
    response_code: str | None
    response_description: str | None


@attrs.frozen
class Answer:
    """What a VEN said of an event, once."""

    ven_id: str
    modification_number: int
    opt_type: str
    response_code: str
    response_description: str | None
    received_at: datetime


_EVENT = select(*(events.c[field.name] for field in attrs.fields(Event)))
_LINE = select(*(ledger.c[field.name] for field in attrs.fields(Line)))
_ANSWER = select(*(answers.c[field.name] for field in attrs.fields(Answer)))
_CURRENT = and_(ledger.c.event_id == events.c.event_id, ledger.c.modification_number == events.c.modification_number)
_HERE = or_(events.c.gone_at.is_(None), events.c.gone_at > bindparam("now"))
_BY_ID = _EVENT.where(events.c.event_id == bindparam("event_id"))
_APPLICABLE = (
    _EVENT.add_columns(*(ledger.c[field.name] for field in attrs.fields(Line)))
    .join(ledger, _CURRENT)
    .where(
        ledger.c.ven_id == bindparam("ven_id"),
        _HERE,
        # What is cancelled, for all or for this VEN, is shown until that has arrived.
        or_(and_(events.c.cancelled.is_(False), ledger.c.withdrawn.is_(False)), ledger.c.wants != "nothing"),
    )
)
_WANTED = (
    select(ledger.c.wants, ledger.c.deliveries, ledger.c.queued_at)
    .join(events, _CURRENT)
    .where(ledger.c.ven_id == bindparam("ven_id"), ledger.c.wants != "nothing", _HERE)
)


def get(txn: Txn, event_id: str) -> Event | None:
    """The event of this ID."""
    row = txn.execute(_BY_ID, {"event_id": event_id}).first()
    return Event(*row) if row else None


def put(txn: Txn, event: Event) -> None:
    """A new event."""
    txn.execute(insert(events).values(**attrs.asdict(event, recurse=False)))


def change(txn: Txn, event: Event) -> None:
    """A new version of an event."""
    values = attrs.asdict(event, recurse=False)
    txn.execute(update(events).where(events.c.event_id == values.pop("event_id")).values(**values))


def listed(txn: Txn, now: datetime, all_of_them: bool) -> list[Event]:
    """The events that are still sent, or all, by their start."""
    query = _EVENT if all_of_them else _EVENT.where(or_(events.c.gone_at.is_(None), events.c.gone_at > now))
    return [Event(*row) for row in txn.execute(query.order_by(events.c.dtstart, events.c.event_id))]


def applicable(txn: Txn, ven_id: str, now: datetime) -> list[tuple[Event, Line]]:
    """The events that a VEN is to be shown at this moment, with its lines."""
    width = len(attrs.fields(Event))
    rows = txn.execute(_APPLICABLE, {"ven_id": ven_id, "now": now})
    return [(Event(*row[:width]), Line(*row[width:])) for row in rows]


def wanted(txn: Txn, ven_id: str, now: datetime) -> list[tuple[str, int, datetime]]:
    """What is still open between a VEN and its applicable events: (wants, deliveries, queued_at) each."""
    return [tuple(row) for row in txn.execute(_WANTED, {"ven_id": ven_id, "now": now})]


def for_newcomer(txn: Txn, now: datetime) -> list[Event]:
    """The events for everyone that are still sent and not cancelled."""
    query = _EVENT.where(events.c.for_everyone.is_(True), events.c.cancelled.is_(False), _HERE)
    return [Event(*row) for row in txn.execute(query, {"now": now})]


# --- ledger -----------------------------------------------------------------------------------------


def write_lines(txn: Txn, lines: Iterable[dict[str, Any]]) -> None:
    """New lines, of the ledger's columns."""
    rows = list(lines)
    if rows:
        txn.execute(insert(ledger), rows)


def line(txn: Txn, ven_id: str, event_id: str, modification_number: int) -> Line | None:
    """One line."""
    query = _LINE.where(
        ledger.c.ven_id == ven_id,
        ledger.c.event_id == event_id,
        ledger.c.modification_number == modification_number,
    )
    row = txn.execute(query).first()
    return Line(*row) if row else None


def lines_of_event(txn: Txn, event_id: str) -> list[Line]:
    """The ledger of an event, by VEN and version."""
    query = _LINE.where(ledger.c.event_id == event_id)
    return [Line(*row) for row in txn.execute(query.order_by(ledger.c.ven_id, ledger.c.modification_number))]


def lines_of_ven(txn: Txn, ven_id: str) -> list[Line]:
    """The ledger of a VEN."""
    query = _LINE.where(ledger.c.ven_id == ven_id).order_by(ledger.c.event_id, ledger.c.modification_number)
    return [Line(*row) for row in txn.execute(query)]


def change_line(txn: Txn, line: Line, **values: Any) -> None:
    """Set columns of a line."""
    txn.execute(
        update(ledger)
        .where(
            ledger.c.ven_id == line.ven_id,
            ledger.c.event_id == line.event_id,
            ledger.c.modification_number == line.modification_number,
        )
        .values(**values)
    )


def supersede(txn: Txn, event_id: str) -> None:
    """Close what is open of an event's present version, because a new one comes."""
    open_lines = and_(ledger.c.event_id == event_id, ledger.c.wants != "nothing")
    txn.execute(update(ledger).where(open_lines).values(state="superseded", wants="nothing"))


def show_again(txn: Txn, ven_id: str) -> None:
    """Make a VEN that registers anew be shown its events again; what it opted stays."""
    txn.execute(
        update(ledger)
        .where(ledger.c.ven_id == ven_id, ledger.c.wants == "nothing", ledger.c.state.in_(("opted", "acknowledged")))
        .where(
            select(events.c.event_id)
            .where(_CURRENT, events.c.cancelled.is_(False), ledger.c.withdrawn.is_(False))
            .exists()
        )
        .values(wants="delivery", deliveries=0)
    )


_OFFERED = (
    update(ledger)
    .where(
        ledger.c.ven_id == bindparam("ven"),
        ledger.c.event_id == bindparam("event"),
        ledger.c.modification_number == bindparam("modification"),
    )
    .values(
        offers=ledger.c.offers + bindparam("count"),
        first_offered=func.coalesce(ledger.c.first_offered, bindparam("at")),
        last_offered=bindparam("at"),
        deliveries=ledger.c.deliveries + bindparam("clean"),
    )
)


def count_offers(txn: Txn, offers: list[dict[str, Any]]) -> None:
    """Add what was sent: ``{"ven", "event", "modification", "count", "clean", "at"}`` each.

    ``clean`` counts those whose response was written whole; two of them are enough where no answer is due.
    """
    if not offers:
        return
    txn.execute(_OFFERED, offers)
    for keys in ({k: offer[k] for k in ("ven", "event", "modification")} for offer in offers):
        here = and_(
            ledger.c.ven_id == keys["ven"],
            ledger.c.event_id == keys["event"],
            ledger.c.modification_number == keys["modification"],
        )
        txn.execute(update(ledger).where(here, ledger.c.state == "queued").values(state="offered"))
        told_twice = and_(here, ledger.c.wants == "delivery", ledger.c.deliveries >= 2)
        txn.execute(update(ledger).where(told_twice).values(wants="nothing"))
        txn.execute(update(ledger).where(told_twice, ledger.c.state == "offered").values(state="acknowledged"))


def give_up(txn: Txn, now: datetime) -> list[tuple[str, str]]:
    """Close the lines of events that are past and still lack an answer: (ven_id, event_id) each."""
    past = select(events.c.event_id).where(events.c.gone_at <= now)
    lost = and_(ledger.c.wants != "nothing", ledger.c.event_id.in_(past))
    query = select(ledger.c.ven_id, ledger.c.event_id).where(lost)
    found = [(ven_id, event_id) for ven_id, event_id in txn.execute(query)]
    if found:
        txn.execute(update(ledger).where(lost, ledger.c.state.in_(("queued", "offered"))).values(state="given_up"))
        txn.execute(update(ledger).where(lost).values(wants="nothing"))
    return found


# --- answers ----------------------------------------------------------------------------------------


def record_answer(txn: Txn, ven_id: str, event_id: str, answer: Answer) -> bool:
    """Keep what a VEN said of an event, if it says something new; whether it does."""
    last = last_answer(txn, ven_id, event_id)
    if last and attrs.evolve(last, received_at=answer.received_at) == answer:
        return False
    txn.execute(insert(answers).values(event_id=event_id, **attrs.asdict(answer)))
    return True


def last_answer(txn: Txn, ven_id: str, event_id: str) -> Answer | None:
    """What a VEN last said of an event."""
    query = _ANSWER.where(answers.c.ven_id == ven_id, answers.c.event_id == event_id)
    row = txn.execute(query.order_by(answers.c.id.desc()).limit(1)).first()
    return Answer(*row) if row else None


def answers_to(txn: Txn, event_id: str) -> list[Answer]:
    """All that was said of an event, in order."""
    return [Answer(*row) for row in txn.execute(_ANSWER.where(answers.c.event_id == event_id).order_by(answers.c.id))]


def counts(txn: Txn, now: datetime) -> dict[str, int]:
    """How many events there are, and are still sent."""
    here = or_(events.c.gone_at.is_(None), events.c.gone_at > now)
    row = txn.execute(select(func.count(), func.coalesce(func.sum(here), 0)).select_from(events)).one()
    return {"events": row[0], "events_current": int(row[1])}
