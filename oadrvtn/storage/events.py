"""Events, and the ledger of what each VEN was told of them and answered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Integer, and_, bindparam, case, func, insert, or_, select, update

from .database import Txn
from .tables import answers, events, ledger, vens

DELIVERIES = 2
"""So many clean sendings, a lease apart, are enough where no answer is due."""


@attrs.frozen
class Event:
    """An event.  It is sent until ``gone_at`` (end, tolerance and recovery); None: open-ended.

    ``document`` is its eiEvent, ``source`` who made it, such as "operator".
    """

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
    """A line of the ledger: one VEN, one version of one event.

    State: queued, offered, acknowledged (sent often enough where no answer is due), opted, refused,
    superseded or given_up.  ``wants`` is what is still open: "answer", "delivery" or "nothing".
    """

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

    @property
    def key(self) -> tuple[str, int]:
        """(event_id, modification_number)."""
        return self.event_id, self.modification_number


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
    _LINE.join(events, _CURRENT)
    .join(vens, vens.c.ven_id == ledger.c.ven_id)
    .where(ledger.c.ven_id == bindparam("ven_id"), ledger.c.wants != "nothing", vens.c.report_only.is_(False), _HERE)
)
_MISSED = _EVENT.where(
    events.c.for_everyone.is_(True),
    events.c.cancelled.is_(False),
    _HERE,
    ~select(ledger.c.ven_id).where(_CURRENT, ledger.c.ven_id == bindparam("ven_id")).exists(),
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


def wanted(txn: Txn, ven_id: str, now: datetime) -> list[Line]:
    """What is still open between a VEN and its applicable events; nothing for one that takes part in reports only."""
    return [Line(*row) for row in txn.execute(_WANTED, {"ven_id": ven_id, "now": now})]


def missed(txn: Txn, ven_id: str, now: datetime) -> list[Event]:
    """The events for everyone, still sent and not cancelled, of which a VEN has no line: it was not registered."""
    return [Event(*row) for row in txn.execute(_MISSED, {"ven_id": ven_id, "now": now})]


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


def lines_of_ven(txn: Txn, ven_id: str, most: int) -> list[Line]:
    """The ledger of a VEN, the newest lines first."""
    query = _LINE.where(ledger.c.ven_id == ven_id)
    newest = query.order_by(ledger.c.queued_at.desc(), ledger.c.event_id, ledger.c.modification_number)
    return [Line(*row) for row in txn.execute(newest.limit(most))]


def tally(txn: Txn, event_id: str) -> list[tuple[str, str | None, int]]:
    """How many VENs stand where with the present version of an event: (state, opt_type, count) each.

    VENs that it no longer concerns are left out.
    """
    query = select(ledger.c.state, ledger.c.opt_type, func.count()).join(events, _CURRENT)
    query = query.where(ledger.c.event_id == event_id, ledger.c.withdrawn.is_(False))
    return [tuple(row) for row in txn.execute(query.group_by(ledger.c.state, ledger.c.opt_type))]


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


def show_again(txn: Txn, ven_id: str, now: datetime) -> None:
    """Make a VEN that registers anew be shown its events again; what it opted stays."""
    txn.execute(
        update(ledger)
        .where(ledger.c.ven_id == ven_id, ledger.c.wants != "answer")
        .where(
            select(events.c.event_id)
            .where(_CURRENT, events.c.cancelled.is_(False), ledger.c.withdrawn.is_(False), _HERE)
            .exists()
        )
        .values(wants="delivery", deliveries=0),
        {"now": now},
    )


# A delivery of an earlier epoch has reached a VEN that has forgotten it since.
_EPOCH = select(vens.c.epoch).where(vens.c.ven_id == bindparam("ven")).scalar_subquery()
_CLEAN = case((bindparam("epoch") == _EPOCH, bindparam("clean", type_=Integer)), else_=0)
_DELIVERED = and_(ledger.c.wants == "delivery", ledger.c.deliveries + _CLEAN >= DELIVERIES)
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
        deliveries=ledger.c.deliveries + _CLEAN,
        wants=case((_DELIVERED, "nothing"), else_=ledger.c.wants),
        state=case(
            (and_(_DELIVERED, or_(ledger.c.state == "queued", ledger.c.state == "offered")), "acknowledged"),
            (ledger.c.state == "queued", "offered"),
            else_=ledger.c.state,
        ),
    )
)


def count_offers(txn: Txn, offers: list[dict[str, Any]]) -> None:
    """Add what was sent: ``{"ven", "epoch", "event", "modification", "count", "clean", "at"}`` each.

    ``clean`` counts the deliveries: sendings a lease apart whose response was written whole.
    """
    if offers:
        txn.execute(_OFFERED, offers)


_LOST = and_(
    ledger.c.wants != "nothing",
    select(events.c.event_id)
    .where(events.c.event_id == ledger.c.event_id, events.c.gone_at <= bindparam("now"))
    .exists(),
)


def give_up(txn: Txn, now: datetime) -> list[tuple[str, str]]:
    """Close the lines of events that are past and still lack an answer: (ven_id, event_id) each."""
    found = txn.execute(select(ledger.c.ven_id, ledger.c.event_id).where(_LOST), {"now": now}).all()
    if found:
        state = case((ledger.c.state.in_(("queued", "offered")), "given_up"), else_=ledger.c.state)
        txn.execute(update(ledger).where(_LOST).values(state=state, wants="nothing"), {"now": now})
    return [(ven_id, event_id) for ven_id, event_id in found]


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
    row = txn.execute(select(func.count(), func.count().filter(here)).select_from(events)).one()
    return {"events": row[0], "events_current": row[1]}
