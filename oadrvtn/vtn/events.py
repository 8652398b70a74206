"""Rules of EiEvent: what operators make of events, and what VENs answer to them (section 8.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID, NotAllowed, OutOfSequence, VtnError
from ..model.event import EiEvent, EventResponse, OadrCreatedEvent
from ..model.party import EiResponse, OadrResponse, says_yes
from ..model.values import shown
from ..storage import events, opts
from ..storage.database import Txn
from ..storage.events import Answer, Event, Line
from ..storage.vens import Ven
from ..wire.codec import to_xml
from .audience import check_target, concerned, free_at, make_room, new_lines, withheld_lines
from .changes import NOTHING, Changes, dated, generate_id
from .outbox import NOT_SENT, Sendings
from .specs import EVERYBODY, EventSpec, SignalSpec, build, check_conventions, document, ends_at, gone_at, spec_of

__all__ = ["EventSpec", "SignalSpec", "build", "spec_of"]

_OPEN_ENDED_GRACE = timedelta(days=1)
_VOLATILE = (
    "modification_number", "modification_date_time", "modification_reason", "created_date_time", "event_status",
)  # fmt: skip
"""What may differ in an event that has not changed (rule 5)."""
_WHEN_AND_WHOM = {
    "dtstart": "dtstart", "duration": "duration", "signals": "signals[0].intervals",
    "market_context": "market_context", "target": "target",
}  # fmt: skip
"""The fields by which an event may be over already or meet another, and their places."""


# --- what operators make ------------------------------------------------------------------------------


@attrs.frozen
class Told:
    """What a VEN is still to be told of an event.

    ``what``: "new", "modified", "cancelled", "removed" (implied cancel), "withheld" (not told: another event of
    the market context is in its way) or "unchanged".
    """

    ven_id: str
    what: str
    modification_number: int


def _stored(
    made: EiEvent, spec: EventSpec, source: str, created_at: datetime, now: datetime, cancelled: bool = False
) -> Event:
    period = made.active_period.properties
    return Event(
        event_id=made.descriptor.event_id,
        modification_number=made.descriptor.modification_number,
        cancelled=cancelled,
        for_everyone=spec.target == EVERYBODY,
        market_context=spec.market_context,
        dtstart=spec.dtstart,
        ends_at=ends_at(period),
        gone_at=gone_at(period),
        deleted_at=None,
        response_required=spec.response_required,
        document=to_xml(made),
        source=source,
        created_at=created_at,
        modified_at=now,
    )


def _check_time(event: Event, now: datetime, place: str = "dtstart") -> None:
    if event.ends_at is not None and event.ends_at <= now:
        raise InvalidData.at(place, f"the event would have ended at {event.ends_at}")


def _in_the_way(txn: Txn, event: Event, ven_ids: Collection[str], now: datetime) -> dict[str, list[tuple[str, Any]]]:
    """Who of these VENs has other events of the market context at that time: (event_id, ends_at) each."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for ven_id, event_id, end in events.overlapping(txn, event, now):
        if ven_id in ven_ids:
            found.setdefault(ven_id, []).append((event_id, end))
    return found


def _check_overlap(found: Mapping[str, list[tuple[str, Any]]], place: str = "dtstart") -> None:
    if found:
        ids = sorted({event_id for pairs in found.values() for event_id, _ in pairs})
        whom = ", ".join(sorted(found)[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        others = ", ".join(map(repr, ids[:3])) + (", ..." if len(ids) > 3 else "")
        raise NotAllowed.at(place, f"overlaps event {others} of the market context at {whom}")


def _concerning(event: Event, ven_ids: Collection[str], room: frozenset[str] = frozenset()) -> Changes:
    return Changes(everyone=True) if event.for_everyone else Changes(frozenset(ven_ids) | room)


def create(txn: Txn, spec: EventSpec, source: str, now: datetime, force: bool = False) -> tuple[Event, Changes]:
    """Make an event and queue it for everybody whom it concerns; modification number 0 (rule 4).

    Raises NotAllowed for an event_id that exists and where a VEN would have two events of a market context at
    a time, InvalidData with the places of all else.  ``force`` accepts signals that only convention forbids.
    """
    event_id = spec.event_id or generate_id("event-")
    made = build(spec, event_id, 0, now)
    if not force:
        check_conventions(made)
    if events.get(txn, event_id):
        raise NotAllowed.at("event_id", f"{shown(event_id)} exists")
    event = _stored(made, spec, source, now, now)
    _check_time(event, now)
    check_target(txn, spec.target)
    audience = concerned(txn, spec.target, spec.market_context)
    _check_overlap(_in_the_way(txn, event, audience, now))
    events.put(txn, event)
    events.write_lines(txn, new_lines(txn, event, sorted(audience), now))
    return event, _concerning(event, audience)


def _known(txn: Txn, event_id: str, modification_number: int | None) -> Event:
    event = events.get(txn, event_id)
    if event is None:
        raise InvalidID.at("event_id", f"{shown(event_id)} is not known")
    if modification_number is not None and modification_number != event.modification_number:
        raise OutOfSequence.at("modification_number", f"the event is at {event.modification_number}")
    if event.deleted_at:
        raise NotAllowed.at("event_id", f"{shown(event_id)} is deleted")
    return event


def _not_cancelled(event: Event) -> Event:
    if event.cancelled:
        raise NotAllowed.at("event_id", f"{shown(event.event_id)} is cancelled")
    return event


def modify(
    txn: Txn,
    event_id: str,
    changes: dict[str, Any],
    modification_number: int | None,
    now: datetime,
    force: bool = False,
) -> tuple[Event, Changes]:
    """Change fields of an event (names of EventSpec); the modification number goes up by one (rule 5).

    ``modification_number``, if given, must be the present one, else OutOfSequence.  A VEN that is no
    longer targeted is told that the event is cancelled.  Where nothing of the eiEvent changes the number
    stays, and nothing is told; ``response_required`` is no part of it.
    """
    event = _not_cancelled(_known(txn, event_id, modification_number))
    after = attrs.evolve(spec_of(event), **{"modification_reason": None, **changes})
    if "duration" not in changes and "signals" in changes:
        after = attrs.evolve(after, duration=None)
    made = build(after, event_id, event.modification_number + 1, now)
    if same(made, document(event.document)):
        return _answers_changed(txn, event, after.response_required, now)
    if "signals" in changes and not force:
        check_conventions(made)
    new = _stored(made, after, event.source, event.created_at, now)
    place = next((place for name, place in _WHEN_AND_WHOM.items() if name in changes), "dtstart")
    _check_time(new, now, place)
    if "target" in changes:
        check_target(txn, after.target)
    before = {line.ven_id: line for line in events.current_lines(txn, event_id)}
    told = {ven_id for ven_id, line in before.items() if line.told}
    held = {ven_id for ven_id, line in before.items() if not line.withdrawn}
    withheld = {ven_id for ven_id, line in before.items() if line.state == "withheld"}
    audience = concerned(txn, after.target, after.market_context, told)
    moved = any(getattr(new, name) != getattr(event, name) for name in ("market_context", "dtstart", "ends_at"))
    in_the_way = _in_the_way(txn, new, audience if moved else audience - held, now)
    _check_overlap({ven_id: found for ven_id, found in in_the_way.items() if ven_id not in withheld}, place)
    events.supersede(txn, event)
    events.change(txn, new)
    events.write_lines(txn, new_lines(txn, new, sorted(audience - in_the_way.keys()), now))
    for ven_id, found in in_the_way.items():
        again = free_at(end for _, end in found)
        events.withhold(txn, withheld_lines(txn, new, [ven_id], now, again, **_still_gone(before[ven_id])))
    _withdraw(txn, new, [before[ven_id] for ven_id in sorted(told - audience)], now)
    room = make_room(txn, (event.market_context, new.market_context), now)
    everyone = event.for_everyone or new.for_everyone
    return new, Changes(everyone=True) if everyone else Changes(frozenset(told | audience) | room)


def same(made: EiEvent, before: EiEvent) -> bool:
    """Whether an eiEvent says what another one says, but for what the VTN adds."""
    kept = {name: getattr(before.descriptor, name) for name in _VOLATILE}
    return to_xml(made.evolve(descriptor=made.descriptor.evolve(**kept))) == to_xml(before)


def _answers_changed(txn: Txn, event: Event, response_required: str, now: datetime) -> tuple[Event, Changes]:
    """Ask for answers that were not due, or no longer: the event itself stays what it is."""
    if response_required == event.response_required:
        return event, NOTHING
    event = attrs.evolve(event, response_required=response_required, modified_at=now)
    events.change(txn, event)
    events.ask_again(txn, event, "answer" if response_required == "always" else "delivery", now)
    return event, Changes(everyone=True)


def _still_gone(line: Line) -> dict[str, Any]:
    """What goes on for a VEN that is yet to learn that an event is gone, in the event's next version."""
    return {"removed": line.removed and line.told, "wants": line.wants if line.removed else "nothing"}


def _withdraw(txn: Txn, event: Event, before: list[Line], now: datetime) -> None:
    """Tell VENs that a version does not concern them: it is cancelled for them, or still gone."""
    gone = [line.ven_id for line in before if line.removed]
    events.write_lines(
        txn, new_lines(txn, event, gone, now, wants="delivery", withdrawn=True, removed=True, deadline=None)
    )
    cancelled = [line.ven_id for line in before if not line.removed]
    events.write_lines(txn, new_lines(txn, event, cancelled, now, withdrawn=True, deadline=None))


def _ended(event: Event, now: datetime) -> Event:
    """An event that is over before its time: it is still told of, for as long as it was to be sent."""
    return attrs.evolve(event, gone_at=event.gone_at or now + _OPEN_ENDED_GRACE)


def cancel(
    txn: Txn, event_id: str, modification_number: int | None, reason: str | None, now: datetime
) -> tuple[Event, Changes]:
    """Cancel an event for everybody; the modification number goes up by one (rule 5)."""
    event = _not_cancelled(_known(txn, event_id, modification_number))
    if event.gone_at is not None and event.gone_at <= now:
        raise NotAllowed.at("event_id", f"{shown(event_id)} is over")
    made = document(event.document)
    number = event.modification_number + 1
    descriptor = made.descriptor.evolve(
        modification_number=number,
        modification_date_time=dated(now),
        modification_reason=reason,
        created_date_time=dated(now),
    )
    made = made.evolve(descriptor=descriptor)
    new = attrs.evolve(
        _ended(event, now), modification_number=number, cancelled=True, document=to_xml(made), modified_at=now
    )
    told = [line for line in events.current_lines(txn, event_id) if line.told]
    events.supersede(txn, event)
    events.change(txn, new)
    events.write_lines(txn, new_lines(txn, new, [line.ven_id for line in told if not line.removed], now, deadline=None))
    _withdraw(txn, new, [line for line in told if line.removed], now)
    return new, _concerning(new, {line.ven_id for line in told}, make_room(txn, [new.market_context], now))


def delete(txn: Txn, event_id: str, modification_number: int | None, now: datetime) -> tuple[Event, Changes]:
    """Take an event off the list; whoever may hold it gets the implied cancel: it is missing (rule 61)."""
    event = _known(txn, event_id, modification_number)
    new = attrs.evolve(_ended(event, now), deleted_at=now)
    known = event.cancelled or (event.gone_at is not None and event.gone_at <= now)  # but to who was not told yet
    lines = events.current_lines(txn, event_id)
    told = {line.ven_id for line in lines if line.told and not (known and line.wants == "nothing")}
    events.supersede(txn, event)
    events.change(txn, new)
    events.remove_lines(txn, new, told, now)
    return new, _concerning(new, told, make_room(txn, [new.market_context], now))


def told(txn: Txn, event: Event) -> list[Told]:
    """What each VEN is still to be told of an event, by venID: after a rehearsed change, whom it would reach."""
    found: dict[str, Told] = {}
    for line in events.lines_of_event(txn, event.event_id):  # the present version comes last
        what = "modified" if line.ven_id in found or line.first_offered else "new"
        if line.state == "withheld":
            what = "withheld"
        elif line.wants == "nothing":
            what = "unchanged"
        elif line.removed:
            what = "removed"
        elif event.cancelled or line.withdrawn:
            what = "cancelled"
        if what == "unchanged" and line.modification_number == event.modification_number and line.withdrawn:
            found.pop(line.ven_id, None)  # it knows that the event is over
        else:
            found[line.ven_id] = Told(line.ven_id, what, line.modification_number)
    return [one for one in found.values() if one.modification_number == event.modification_number]


# --- by the clock -------------------------------------------------------------------------------------


def give_up(txn: Txn, config: Config, now: datetime) -> tuple[None, Changes]:
    """Give up what is past and was never answered or delivered."""
    lost = events.give_up(txn, now)
    changed = frozenset(ven_id for ven_id, _ in lost)
    return None, Changes(changed, hooks=tuple(("on_event_given_up", line) for line in lost))


def note_unanswered(txn: Txn, config: Config, now: datetime) -> tuple[None, Changes]:
    """Note that answers are overdue; the events go on being offered."""
    late = events.note_unanswered(txn, timedelta(seconds=config.events.answer_within), now)
    return None, Changes(hooks=tuple(("on_event_unanswered", line) for line in late))


# --- what a VEN answers -------------------------------------------------------------------------------


def created_event(
    txn: Txn,
    config: Config,
    ven: Ven,
    message: OadrCreatedEvent,
    now: datetime,
    sent: Sendings = NOT_SENT,
) -> tuple[OadrResponse, Changes]:
    """Record a VEN's answers; each counts for itself, and the first fault gives the code of the reply.

    An unknown event is 452, a modification number other than the present one 450 (section 6.12); an
    opt by oadrCreateOpt outranks what is said here (rule 206).
    """
    faults: list[VtnError] = []
    for answer in message.event_responses:
        try:
            _record(txn, ven.ven_id, answer, now)
        except VtnError as fault:
            faults.append(fault)
    if not message.event_responses and not says_yes(message.response.response_code):
        _refuse_all(txn, ven.ven_id, message.response, now, sent)
    code = faults[0].response_code if faults else "200"
    text = "; ".join(fault.description for fault in faults[:5]) or "OK"
    response = EiResponse(response_code=code, response_description=text, request_id=message.response.request_id)
    return OadrResponse(response=response, ven_id=ven.ven_id), Changes.of(ven.ven_id)


def _record(txn: Txn, ven_id: str, response: EventResponse, now: datetime) -> None:
    event_id = response.qualified_event_id.event_id
    number = response.qualified_event_id.modification_number
    event = events.get(txn, event_id)
    line = sent_line(txn, ven_id, event_id, number)
    if event is None or not (line or sent_line(txn, ven_id, event_id, event.modification_number)):
        raise InvalidID(f"eventID {shown(event_id)} was never sent to this VEN")
    answer = Answer(
        ven_id=ven_id,
        modification_number=number,
        opt_type=response.opt_type,
        response_code=response.response_code,
        response_description=response.response_description,
        received_at=now,
    )
    if line is not None:
        events.record_answer(txn, ven_id, event_id, answer)
    if line is None or number != event.modification_number:
        raise OutOfSequence(f"eventID {event_id!r} is at modificationNumber {event.modification_number}, not {number}")
    if not line.removed and line.state != "withheld":  # else it is gone for this VEN, whatever it says of it
        _answered(txn, line, answer, now)


def sent_line(txn: Txn, ven_id: str, event_id: str, modification_number: int) -> Line | None:
    """A line of the ledger that was not withheld all along."""
    line = events.line(txn, ven_id, event_id, modification_number)
    if line and line.state == "withheld" and not (line.removed or line.first_offered or line.answered_at):
        return None
    return line


def _answered(txn: Txn, line: Line, answer: Answer, now: datetime) -> None:
    events.change_line(
        txn,
        line,
        state="opted" if says_yes(answer.response_code) else "refused",
        wants="nothing",
        answered_at=now,
        response_code=answer.response_code,
        response_description=answer.response_description,
        opt_type=opt_type(txn, line.ven_id, line.event_id, answer),
    )


def opt_type(txn: Txn, ven_id: str, event_id: str, answer: Answer | None) -> str | None:
    """What a VEN opted: by its newest oadrCreateOpt on the whole event (rule 206), else by its last answer."""
    standing = [opt.opt_type for opt in opts.on_event(txn, ven_id, event_id) if opt.whole_ven]
    if standing:
        return standing[-1]
    return answer.opt_type if answer and says_yes(answer.response_code) else None


def _refuse_all(txn: Txn, ven_id: str, response: EiResponse, now: datetime, sent: Sendings) -> None:
    """A VEN that refuses a whole oadrDistributeEvent has answered all that was sent and waited for an answer.

    What is not known to have been sent stays open: at worst, after a kill, it is sent and refused once more.
    """
    for _, line in events.applicable(txn, [ven_id], now).get(ven_id, ()):
        if line.wants == "answer" and (line.offers or line.telling in sent):
            events.change_line(
                txn, line, state="refused", wants="nothing", answered_at=now,
                response_code=response.response_code, response_description=response.response_description,
            )  # fmt: skip
