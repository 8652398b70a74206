"""Events, and the ledger of what each VEN was told of them and answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import attrs
from sqlalchemy import (
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from .audience import GROUP, among, parameter
from .database import Txn
from .paging import Cursor, page
from .prepared import Prepared
from .tables import FOREVER, answers, events, ledger, microseconds, traits, vens

Telling = tuple[str, int, datetime]
"""One telling of one version of an event to a VEN: (event_id, modification_number, queued_at)."""

DELIVERIES = 2
"""So many clean sendings, a lease apart, are enough where no answer is due."""
MOST_ANSWERS = 100
"""So many answers of a VEN to an event are kept, the last."""
MOST_OFFERS = 10
"""After so many a VEN that does not take note that an event is gone is left alone."""


@attrs.frozen(cache_hash=True)
class Event:
    """An event.  It ends at ``ends_at`` and is sent until ``gone_at`` (end, tolerance and recovery); None: open-ended.

    ``document`` is its eiEvent, ``source`` who made it, such as "operator".
    """

    event_id: str
    modification_number: int
    cancelled: bool
    for_everyone: bool
    market_context: str
    dtstart: datetime
    ends_at: datetime | None
    gone_at: datetime | None
    deleted_at: datetime | None
    response_required: str
    document: bytes
    source: str
    created_at: datetime
    modified_at: datetime


@attrs.frozen
class Line:
    """A line of the ledger: one VEN, one version of one event.

    State: queued, offered, acknowledged (sent often enough where no answer is due), opted, refused,
    superseded, given_up, or withheld: not told, because the VEN has another event then.  ``wants`` is what is
    still open: "answer", "delivery" or "nothing".  ``withdrawn``: the event does not concern the VEN any more;
    it is shown as cancelled or, ``removed``, not at all.  Offers and deliveries count from ``queued_at`` on.
    ``deadline`` is when an answer is due, where the event itself says so, or a withheld line is looked at again.
    """

    ven_id: str
    event_id: str
    modification_number: int
    state: str
    wants: str
    withdrawn: bool
    removed: bool
    deadline: datetime | None
    unanswered_at: datetime | None
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

    @property
    def telling(self) -> Telling:
        """What its offers and deliveries are counted by."""
        return self.event_id, self.modification_number, self.queued_at

    @property
    def told(self) -> bool:
        """Whether the VEN may hold the event: it was told, and not that it is over for it."""
        return not self.withdrawn or self.wants != "nothing"


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
_CONCERNED = or_(ledger.c.withdrawn.is_(False), ledger.c.state == "withheld")
_HERE = or_(events.c.gone_at.is_(None), events.c.gone_at > bindparam("now"))
_SHOWN = ledger.c.shown_until > bindparam("now")
_BY_ID = _EVENT.where(events.c.event_id == bindparam("event_id"))
_OF_THESE = among(ledger.c.ven_id, bindparam("ven_ids", type_=String))
_APPLICABLE = Prepared(
    _LINE.join(events, _CURRENT).where(
        _OF_THESE,
        _SHOWN,
        # What is cancelled, for all or for this VEN, is shown until that has arrived.
        or_(and_(events.c.cancelled.is_(False), ledger.c.withdrawn.is_(False)), ledger.c.wants != "nothing"),
    )
)
_WANTS = ledger.c.wants != literal_column("'nothing'")  # by ix_ledger_open; with a parameter it is planned each time
_WANTING = Prepared(
    select(ledger.c.ven_id)
    .distinct()
    .join(events, _CURRENT)
    .join(vens, vens.c.ven_id == ledger.c.ven_id)
    .where(_OF_THESE, _WANTS, vens.c.report_only.is_(False), _HERE)
)
_THESE = Prepared(_EVENT.where(among(events.c.event_id, bindparam("event_ids", type_=String))))
_RUNNING = and_(events.c.cancelled.is_(False), events.c.deleted_at.is_(None), _HERE)
_ALL_RUNNING = _EVENT.where(_RUNNING).order_by(events.c.dtstart, events.c.event_id)
_TOLD_OF_RUNNING = _LINE.join(events, _CURRENT).where(_RUNNING, _OF_THESE, _SHOWN)


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


_AT = {
    "cancelled": events.c.cancelled.is_(True),
    "completed": events.c.ends_at <= bindparam("now"),
    "active": events.c.dtstart <= bindparam("now"),
    "near": events.c.dtstart > bindparam("now"),
    "far": events.c.dtstart > bindparam("now"),
}
"""What the columns of an event say of those that have a status; which of them have it, its document says."""


def found(
    txn: Txn,
    now: datetime,
    cursor: Cursor | None = None,
    *,
    all_of_them: bool = False,
    status: str | None = None,
    market_context: str | None = None,
    ven_id: str | None = None,
    group_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Event]:
    """The events before a cursor, the last by their start first: those that are still sent and not deleted, or all.

    Those of a VEN or of a group concern it, or one in it; those from ``since`` until before ``until`` overlap
    that time.  Of those of a ``status`` some may have another one.
    """
    query = _EVENT
    if not all_of_them:
        query = query.where(_HERE, events.c.deleted_at.is_(None))
    if status is not None:
        query = query.where(_AT[status])
    if market_context is not None:
        query = query.where(events.c.market_context == market_context)
    if since is not None:
        query = query.where(or_(events.c.ends_at.is_(None), events.c.ends_at > since))
    if until is not None:
        query = query.where(events.c.dtstart < until)
    if ven_id is not None:
        query = query.where(_concerns().where(ledger.c.ven_id == ven_id).exists())
    if group_id is not None:
        member = and_(traits.c.ven_id == ledger.c.ven_id, traits.c.kind == GROUP, traits.c.value == group_id)
        query = query.where(_concerns().join(traits, member).exists())
    query = page(query, [events.c.dtstart, events.c.event_id], cursor, 0, newest=True).limit(None)
    return (Event(*row) for row in txn.execute(query, {"now": now}))


def _concerns() -> Select[Any]:
    """The VENs that an event concerns."""
    return select(ledger.c.ven_id).select_from(ledger).where(_CURRENT, _CONCERNED).correlate(events)


def running(txn: Txn, now: datetime) -> list[Event]:
    """The events that are still sent and neither cancelled nor deleted, by their start."""
    return [Event(*row) for row in txn.execute(_ALL_RUNNING, {"now": now})]


def overlapping(txn: Txn, event: Event, now: datetime) -> list[tuple[str, str, datetime | None]]:
    """Who holds another event of the same market context at the time of this one: (ven_id, event_id, ends_at) each."""
    begins_before = [] if event.ends_at is None else [events.c.dtstart < event.ends_at]
    query = (
        select(ledger.c.ven_id, events.c.event_id, events.c.ends_at)
        .join(ledger, _CURRENT)
        .where(
            events.c.market_context == event.market_context,
            events.c.event_id != event.event_id,
            *begins_before,
            or_(events.c.ends_at.is_(None), events.c.ends_at > max(event.dtstart, now)),
            _RUNNING,
            ledger.c.withdrawn.is_(False),
        )
    )
    return [tuple(row) for row in txn.execute(query, {"now": now})]


def applicable(txn: Txn, ven_ids: Collection[str], now: datetime) -> dict[str, list[tuple[Event, Line]]]:
    """The events that VENs are to be shown at this moment, or to learn that they are ``removed``, with their lines.

    By venID; who has none is missing.
    """
    lines: dict[str, list[Line]] = {}
    if ven_ids:
        for row in _APPLICABLE(txn, ven_ids=parameter(ven_ids), now=now):
            lines.setdefault(row[0], []).append(Line(*row))
    event_ids = {line.event_id for of_one in lines.values() for line in of_one}
    rows = _THESE(txn, event_ids=parameter(event_ids)) if event_ids else ()
    found = {event.event_id: event for event in (Event(*row) for row in rows)}
    return {ven_id: [(found[line.event_id], line) for line in of_one] for ven_id, of_one in lines.items()}


def wanted(txn: Txn, ven_ids: Collection[str], now: datetime) -> dict[str, list[tuple[Event, Line]]]:
    """What ``applicable`` tells, of those of these VENs with which something is still open about one of the events.

    Who takes part in reports only is not among them.
    """
    wanting = _WANTING(txn, ven_ids=parameter(ven_ids), now=now) if ven_ids else ()
    return applicable(txn, [ven_id for (ven_id,) in wanting], now)


# --- ledger -----------------------------------------------------------------------------------------


def _later(moment: Any) -> Any:
    """When a line is told anew: at a moment, but never at the same as before; tellings are told apart by it."""
    return func.max(type_coerce(moment, Integer), type_coerce(ledger.c.queued_at, Integer) + 1)


_TOLD_ANEW = upsert(ledger)
_TOLD_ANEW = _TOLD_ANEW.on_conflict_do_update(
    index_elements=["ven_id", "event_id", "modification_number"],
    set_={
        **{column.name: _TOLD_ANEW.excluded[column.name] for column in ledger.columns if not column.primary_key},
        "queued_at": _later(_TOLD_ANEW.excluded.queued_at),
    },
)
_SET_ASIDE = upsert(ledger)
_SET_ASIDE = _SET_ASIDE.on_conflict_do_update(
    index_elements=["ven_id", "event_id", "modification_number"],
    set_={"state": _SET_ASIDE.excluded.state, "deadline": _SET_ASIDE.excluded.deadline},
)


def shown_until(event: Event) -> datetime:
    """What lines of an event have there."""
    return event.gone_at or FOREVER


def write_lines(txn: Txn, lines: Iterable[dict[str, Any]]) -> None:
    """Lines of the ledger's columns: new ones, or such as are told from the start again."""
    rows = list(lines)
    if rows:
        txn.execute(_TOLD_ANEW, rows)


def withhold(txn: Txn, lines: Iterable[dict[str, Any]]) -> None:
    """Lines that are not told, for now; a removal that is open stays so."""
    rows = list(lines)
    if rows:
        txn.execute(_SET_ASIDE, rows)


def withhold_no_longer(txn: Txn, event: Event, ven_ids: Collection[str]) -> None:
    """VENs from which an event was withheld are not meant any more; a removal that is open goes on."""
    as_it_was = case((ledger.c.wants == "nothing", "superseded"), (ledger.c.offers > 0, "offered"), else_="queued")
    its_line = and_(
        ledger.c.event_id == event.event_id,
        ledger.c.modification_number == event.modification_number,
        among(ledger.c.ven_id, ven_ids),
    )
    txn.execute(update(ledger).where(its_line).values(state=as_it_was, deadline=None))


def remove_lines(txn: Txn, event: Event, ven_ids: Collection[str], now: datetime) -> None:
    """Have these VENs learn that an event is gone for them, by an oadrDistributeEvent without it.

    What they opted stays in the ledger.
    """
    txn.execute(
        update(ledger)
        .where(
            ledger.c.event_id == event.event_id,
            ledger.c.modification_number == event.modification_number,
            among(ledger.c.ven_id, ven_ids),
        )
        .values(
            state="queued", wants="delivery", withdrawn=True, removed=True, deadline=None, unanswered_at=None,
            shown_until=shown_until(event), queued_at=_later(microseconds(now)), offers=0, deliveries=0,
        )
    )  # fmt: skip


def ask_again(txn: Txn, event: Event, wants: str, now: datetime) -> None:
    """Ask for answers that were not due before, or no longer: ``wants`` is "answer" or "delivery"."""
    open_before = ("queued", "offered", "acknowledged") if wants == "answer" else ("queued", "offered")
    txn.execute(
        update(ledger)
        .where(
            ledger.c.event_id == event.event_id,
            ledger.c.modification_number == event.modification_number,
            ledger.c.removed.is_(False),
            or_(ledger.c.withdrawn.is_(False), ledger.c.wants != "nothing"),
            ledger.c.state.in_(open_before),
        )
        .values(
            state="queued", wants=wants, queued_at=_later(microseconds(now)), offers=0, deliveries=0, unanswered_at=None
        )
    )


def line(txn: Txn, ven_id: str, event_id: str, modification_number: int) -> Line | None:
    """One line."""
    query = _LINE.where(
        ledger.c.ven_id == ven_id,
        ledger.c.event_id == event_id,
        ledger.c.modification_number == modification_number,
    )
    row = txn.execute(query).first()
    return Line(*row) if row else None


def current_lines(txn: Txn, event_id: str) -> list[Line]:
    """The ledger of an event's present version."""
    return [Line(*row) for row in txn.execute(_LINE.join(events, _CURRENT).where(ledger.c.event_id == event_id))]


def lines_of(txn: Txn, ven_ids: Collection[str], now: datetime) -> list[Line]:
    """What these VENs were told of the present versions of running events."""
    return [Line(*row) for row in txn.execute(_TOLD_OF_RUNNING, {"now": now, "ven_ids": parameter(ven_ids)})]


def withheld_from(txn: Txn, now: datetime, market_context: str | None = None) -> set[str]:
    """The VENs from which running events are withheld: of a market context, or such as may be told by now."""
    query = select(ledger.c.ven_id).join(events, _CURRENT).where(ledger.c.state == "withheld", _RUNNING)
    if market_context is None:
        query = query.where(ledger.c.deadline <= now)
    else:
        query = query.where(events.c.market_context == market_context)
    return set(txn.execute(query, {"now": now}).scalars())


def forget_withheld(txn: Txn, now: datetime) -> None:
    """Look no more at what was withheld and may be told by now, nor at what is past or has another version."""
    due = and_(ledger.c.state == "withheld", ledger.c.deadline <= now)
    txn.execute(update(ledger).where(due).values(deadline=None))


def lines_of_event(txn: Txn, event_id: str) -> list[Line]:
    """The ledger of an event, by VEN and version."""
    query = _LINE.where(ledger.c.event_id == event_id)
    return [Line(*row) for row in txn.execute(query.order_by(ledger.c.ven_id, ledger.c.modification_number))]


def lines_of_ven(txn: Txn, ven_id: str, most: int) -> list[Line]:
    """The ledger of a VEN, the newest lines first."""
    query = _LINE.where(ledger.c.ven_id == ven_id)
    newest = query.order_by(ledger.c.queued_at.desc(), ledger.c.event_id, ledger.c.modification_number)
    return [Line(*row) for row in txn.execute(newest.limit(most))]


@attrs.frozen
class Tally:
    """So many VENs stand so with the present version of an event; of these so many are in each of the other states.

    ``unanswered`` are those whose answer is due, or was given up; ``overdue`` those that should have given it.
    """

    event_id: str
    state: str
    opt_type: str | None
    count: int
    offered: int
    answered: int
    unanswered: int
    overdue: int


_OPEN = ledger.c.wants == "answer"
_TALLY = (
    select(
        ledger.c.event_id,
        ledger.c.state,
        ledger.c.opt_type,
        func.count(),
        func.count().filter(or_(ledger.c.offers > 0, ledger.c.answered_at.is_not(None))),
        func.count(ledger.c.answered_at),
        func.count().filter(or_(_OPEN, ledger.c.state == "given_up")),
        func.count().filter(_OPEN, ledger.c.unanswered_at.is_not(None)),
    )
    .join(events, _CURRENT)
    .where(_CONCERNED)
    .group_by(ledger.c.event_id, ledger.c.state, ledger.c.opt_type)
)


def tallies(txn: Txn, event_ids: Collection[str]) -> list[Tally]:
    """How many VENs stand where with the present versions of events; without those that they concern no longer."""
    return [Tally(*row) for row in txn.execute(_TALLY.where(among(ledger.c.event_id, event_ids)))]


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


def supersede(txn: Txn, event: Event) -> None:
    """Close the lines of an event's present version, because a new one comes or it is shown no more."""
    its_lines = and_(ledger.c.event_id == event.event_id, ledger.c.modification_number == event.modification_number)
    state = case((ledger.c.wants == "nothing", ledger.c.state), else_="superseded")
    txn.execute(update(ledger).where(its_lines).values(state=state, wants="nothing", shown_until=None))


_SHOW_AGAIN = (
    update(ledger)
    .where(ledger.c.ven_id == bindparam("of"), ledger.c.wants != "answer")
    .where(_SHOWN, ledger.c.withdrawn.is_(False))
    .where(select(events.c.event_id).where(_CURRENT, events.c.cancelled.is_(False)).exists())
    .values(wants="delivery", deliveries=0)
)


def show_again(txn: Txn, ven_id: str, now: datetime) -> None:
    """Make a VEN that registers anew be shown its events again; what it opted stays."""
    txn.execute(_SHOW_AGAIN, {"of": ven_id, "now": now})


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
        ledger.c.queued_at == bindparam("queued"),  # what was told before counts no more
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
    """Add what was sent: ``{"ven", "epoch", "event", "modification", "queued", "count", "clean", "at"}`` each.

    ``clean`` counts the deliveries: sendings a lease apart whose response was written whole.
    """
    if offers:
        txn.execute(_OFFERED, offers)


_LOST = and_(
    ledger.c.wants != "nothing",
    or_(
        and_(ledger.c.removed.is_(True), ledger.c.offers >= MOST_OFFERS),
        select(events.c.event_id)
        .where(events.c.event_id == ledger.c.event_id, events.c.gone_at <= bindparam("now"))
        .exists(),
    ),
)


def give_up(txn: Txn, now: datetime) -> list[tuple[str, str]]:
    """Close the lines of events that are past and still lack an answer or a delivery: (ven_id, event_id) each.

    Also removals that were offered often enough.
    """
    found = txn.execute(select(ledger.c.ven_id, ledger.c.event_id).where(_LOST), {"now": now}).all()
    if found:
        state = case((ledger.c.state.in_(("queued", "offered")), "given_up"), else_=ledger.c.state)
        txn.execute(update(ledger).where(_LOST).values(state=state, wants="nothing"), {"now": now})
    return [(ven_id, event_id) for ven_id, event_id in found]


_UNNOTED = and_(
    ledger.c.wants == "answer",
    ledger.c.unanswered_at.is_(None),
    ledger.c.ven_id.not_in(select(vens.c.ven_id).where(vens.c.report_only.is_(True))),  # is not asked
)


def note_unanswered(txn: Txn, answer_within: timedelta, now: datetime) -> list[tuple[str, str]]:
    """Note that answers are overdue: (ven_id, event_id) each, once.

    They are due at their deadline; where there is none, ``answer_within`` after they were asked for.
    """
    in_general = and_(ledger.c.deadline.is_(None), ledger.c.queued_at <= now - answer_within)
    noted = update(ledger).values(unanswered_at=now).returning(ledger.c.ven_id, ledger.c.event_id)
    found = [
        row for overdue in (ledger.c.deadline <= now, in_general) for row in txn.execute(noted.where(_UNNOTED, overdue))
    ]
    return [(ven_id, event_id) for ven_id, event_id in found]


# --- answers ----------------------------------------------------------------------------------------


def record_answer(txn: Txn, ven_id: str, event_id: str, answer: Answer) -> bool:
    """Keep what a VEN said of an event, if it says something new; whether it does."""
    last = last_answer(txn, ven_id, event_id)
    if last and attrs.evolve(last, received_at=answer.received_at) == answer:
        return False
    txn.execute(insert(answers).values(event_id=event_id, **attrs.asdict(answer)))
    its_own = and_(answers.c.ven_id == ven_id, answers.c.event_id == event_id)
    newest = select(answers.c.id).where(its_own).order_by(answers.c.id.desc()).limit(MOST_ANSWERS)
    txn.execute(delete(answers).where(its_own, answers.c.id.not_in(newest)))
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
    """How many events there are and are still sent, and how many answers to them are overdue."""
    here = and_(_HERE, events.c.deleted_at.is_(None))
    row = txn.execute(select(func.count(), func.count().filter(here)).select_from(events), {"now": now}).one()
    overdue = _COUNT_OPEN.where(ledger.c.wants == "answer", ledger.c.unanswered_at.is_not(None))
    late = txn.execute(overdue).scalar_one()
    return {"events": row[0], "events_current": row[1], "answers_overdue": late}


_COUNT_OPEN = select(func.count()).select_from(ledger).where(_WANTS)


def count_open(txn: Txn) -> int:
    """How many lines of the ledger wait for an answer or a delivery."""
    return txn.execute(_COUNT_OPEN).scalar_one()
