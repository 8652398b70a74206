"""Rules of EiEvent: what operators make, what a VEN is shown of it at a moment, and what it answers (section 8.1)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import attrs

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID, NotAllowed, OutOfSequence, VtnError
from ..model.event import (
    EiActivePeriod,
    EiEvent,
    EiEventBaseline,
    EiEventSignal,
    EiEventSignals,
    EiTarget,
    EventDescriptor,
    EventResponse,
    Interval,
    ItemBase,
    OadrCreatedEvent,
    OadrDistributeEvent,
    OadrEvent,
    OadrRequestEvent,
    PayloadFloat,
    Properties,
    SignalPayload,
)
from ..model.party import EiResponse, OadrResponse, says_yes
from ..model.values import Duration, shown
from ..storage import events, opts, vens
from ..storage.database import Txn
from ..storage.events import Answer, Event, Line
from ..storage.vens import Ven
from ..wire.codec import from_xml, to_xml
from .changes import NOTHING, Changes, generate_id

_NO_TIME = Duration("PT0S")
_EVERYONE = EiTarget()
_OPEN_ENDED_GRACE = timedelta(days=1)


# --- what operators make ------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SignalSpec:
    """A signal as an operator says it: the value of each interval with its length."""

    signal_name: str = "SIMPLE"
    signal_type: str = "level"
    intervals: tuple[tuple[Duration, float], ...]
    signal_id: str | None = None
    item_base: ItemBase | None = None
    device_classes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class EventSpec:
    """An event as an operator says it; the VTN adds numbers, status and times.

    A ``duration`` of None is the sum of the first signal's intervals; zero is open-ended (rule 47).
    ``target.ven_ids`` says who gets it, none means every VEN; the other targets are passed on.
    """

    event_id: str | None = None
    market_context: str
    dtstart: datetime
    duration: Duration | None = None
    signals: tuple[SignalSpec, ...]
    target: EiTarget = _EVERYONE
    response_required: str = "always"
    priority: int = 0
    test_event: bool = False
    vtn_comment: str | None = None
    notification: Duration = _NO_TIME
    ramp_up: Duration | None = None
    recovery: Duration | None = None
    startafter: Duration | None = None
    baseline: EiEventBaseline | None = None
    modification_reason: str | None = None


def _signal(spec: SignalSpec, number: int) -> EiEventSignal:
    intervals = tuple(
        Interval(duration=length, uid=str(uid), payloads=(SignalPayload(payload=PayloadFloat(value=value)),))
        for uid, (length, value) in enumerate(spec.intervals)
    )
    return EiEventSignal(
        intervals=intervals,
        target=EiTarget(end_device_assets=spec.device_classes) if spec.device_classes else None,
        signal_name=spec.signal_name,
        signal_type=spec.signal_type,
        signal_id=spec.signal_id or f"signal-{number}",
        item_base=spec.item_base,
        current_value=None,
    )


def build(spec: EventSpec, event_id: str, modification_number: int, now: datetime) -> EiEvent:
    """The eiEvent of a spec, checked against the rules; raises InvalidData that names the field.

    Rules: 1 (UTC), 2 (uids from 0), 8 (interval durations add up), 9 (SIMPLE is 0 to 3), 105 (notification),
    116 (SIMPLE is a level).
    """
    try:
        event = _build(spec, event_id, modification_number, now)
        _gone_at(event.active_period.properties)
        _turns(event.active_period.properties)
    except OverflowError:
        raise InvalidData("duration: the event reaches beyond the calendar") from None
    to_xml(event)  # raises, with the place, for what the schema refuses
    return event


def _build(spec: EventSpec, event_id: str, modification_number: int, now: datetime) -> EiEvent:
    if not spec.signals:
        raise InvalidData("signals: an event has at least one signal")
    ends = {}
    for number, signal in enumerate(spec.signals):
        place = f"signals[{number}]"
        if not signal.intervals:
            raise InvalidData(f"{place}.intervals: a signal has at least one interval")
        ends[place] = spec.dtstart
        for length, value in signal.intervals:
            ends[place], began = length.after(ends[place]), ends[place]
            if ends[place] < began:
                raise InvalidData(f"{place}.intervals: {length} is negative")
            if signal.signal_name == "SIMPLE" and value not in (0, 1, 2, 3):
                raise InvalidData(f"{place}.intervals: {value:g} is no level of SIMPLE: 0, 1, 2 or 3 (rule 9)")
        if signal.signal_name == "SIMPLE" and signal.signal_type != "level":
            raise InvalidData(f"{place}.signal_type: SIMPLE is a level (rule 116)")
    duration = Duration.of(ends["signals[0]"] - spec.dtstart) if spec.duration is None else spec.duration
    end = duration.after(spec.dtstart)
    if end < spec.dtstart:
        raise InvalidData("duration: is negative")
    if "://" not in spec.market_context and not spec.market_context.startswith("urn:"):
        raise InvalidData(f"market_context: {spec.market_context!r} is not a URI")
    for place, last in ends.items():
        if last != end:
            raise InvalidData(f"{place}.intervals: end at {last}, the event ends at {end} (rule 8)")
    return EiEvent(
        descriptor=EventDescriptor(
            event_id=event_id,
            modification_number=modification_number,
            modification_date_time=now if modification_number else None,
            modification_reason=spec.modification_reason if modification_number else None,
            priority=spec.priority,
            market_context=spec.market_context,
            created_date_time=now,
            event_status="far",
            test_event="true" if spec.test_event else "false",
            vtn_comment=spec.vtn_comment,
        ),
        active_period=EiActivePeriod(
            properties=Properties(
                dtstart=spec.dtstart,
                duration=duration,
                startafter=spec.startafter,
                notification=spec.notification,
                ramp_up=spec.ramp_up,
                recovery=spec.recovery,
            )
        ),
        event_signals=EiEventSignals(
            signals=tuple(_signal(signal, number) for number, signal in enumerate(spec.signals)),
            baseline=spec.baseline,
        ),
        target=spec.target,
    )


@lru_cache(256)
def _document(xml: bytes) -> EiEvent:
    """An event is read once, however many VENs are shown it."""
    return from_xml(EiEvent, xml)


def spec_of(event: Event) -> EventSpec:
    """The inverse of ``build``, for showing an event and for changing it."""
    document = _document(event.document)
    period, descriptor = document.active_period.properties, document.descriptor
    signals = tuple(
        SignalSpec(
            signal_name=signal.signal_name,
            signal_type=signal.signal_type,
            intervals=tuple((i.duration or _NO_TIME, _value(i)) for i in signal.intervals),
            signal_id=signal.signal_id,
            item_base=signal.item_base,
            device_classes=signal.target.end_device_assets if signal.target else (),
        )
        for signal in document.event_signals.signals
    )
    return EventSpec(
        event_id=event.event_id,
        market_context=descriptor.market_context,
        dtstart=period.dtstart,
        duration=period.duration,
        signals=signals,
        target=document.target,
        response_required=event.response_required,
        priority=descriptor.priority or 0,
        test_event=(descriptor.test_event or "false") != "false",
        vtn_comment=descriptor.vtn_comment,
        notification=period.notification or _NO_TIME,
        ramp_up=period.ramp_up,
        recovery=period.recovery,
        startafter=period.startafter,
        baseline=document.event_signals.baseline,
        modification_reason=descriptor.modification_reason,
    )


def _value(interval: Interval) -> float:
    payload = interval.payloads[0]
    return payload.payload.value if isinstance(payload, SignalPayload) else 0.0  # type: ignore[union-attr]


def _stored(document: EiEvent, spec: EventSpec, source: str, created_at: datetime, now: datetime) -> Event:
    period = document.active_period.properties
    if spec.response_required not in ("always", "never"):
        raise InvalidData(f"response_required: {spec.response_required!r} is neither always nor never")
    gone_at = _gone_at(period)
    if gone_at is not None and gone_at <= now:
        raise InvalidData(f"dtstart: the event would have ended at {gone_at}")
    return Event(
        event_id=document.descriptor.event_id,
        modification_number=document.descriptor.modification_number,
        cancelled=False,
        for_everyone=not spec.target.ven_ids,
        market_context=spec.market_context,
        dtstart=spec.dtstart,
        gone_at=gone_at,
        response_required=spec.response_required,
        document=to_xml(document),
        source=source,
        created_at=created_at,
        modified_at=now,
    )


def new_line(ven_id: str, event: Event, now: datetime, withdrawn: bool = False) -> dict[str, Any]:
    """A line of the ledger for a version of an event that a VEN has not been told yet."""
    return {
        "ven_id": ven_id,
        "event_id": event.event_id,
        "modification_number": event.modification_number,
        "state": "queued",
        "wants": "answer" if event.response_required == "always" else "delivery",
        "withdrawn": withdrawn,
        "queued_at": now,
    }


def _audience(txn: Txn, spec: EventSpec) -> set[str]:
    for ven_id in spec.target.ven_ids:
        if vens.get(txn, ven_id) is None:
            raise InvalidData(f"target.ven_ids: {ven_id!r} is no VEN of this VTN")
    return set(spec.target.ven_ids or vens.registered_ids(txn))


def _told(txn: Txn, event: Event) -> set[str]:
    """The VENs that may hold an event: all with a line of its present version, but those that know it withdrawn."""
    return {
        line.ven_id
        for line in events.lines_of_event(txn, event.event_id)
        if line.modification_number == event.modification_number and not (line.withdrawn and line.wants == "nothing")
    }


def create(txn: Txn, spec: EventSpec, source: str, now: datetime) -> tuple[Event, Changes]:
    """Make an event and queue it for everybody whom it concerns; modification number 0 (rule 4)."""
    event_id = spec.event_id or generate_id("event-")
    if events.get(txn, event_id):
        raise NotAllowed(f"event_id: {event_id!r} exists")
    event = _stored(build(spec, event_id, 0, now), spec, source, now, now)
    audience = _audience(txn, spec)
    events.put(txn, event)
    events.write_lines(txn, (new_line(ven_id, event, now) for ven_id in sorted(audience)))
    return event, _concerning(spec, audience)


def _known(txn: Txn, event_id: str, modification_number: int | None) -> Event:
    event = events.get(txn, event_id)
    if event is None:
        raise InvalidID(f"event_id: {event_id!r} is not known")
    if modification_number is not None and modification_number != event.modification_number:
        raise OutOfSequence(f"modification_number: the event is at {event.modification_number}")
    if event.cancelled:
        raise NotAllowed(f"event_id: {event_id!r} is cancelled")
    return event


def modify(
    txn: Txn, event_id: str, changes: dict[str, Any], modification_number: int | None, now: datetime
) -> tuple[Event, Changes]:
    """Change fields of an event (names of EventSpec); the modification number goes up by one (rule 5).

    ``modification_number``, if given, must be the present one, else OutOfSequence.  A VEN that is no
    longer targeted is told that the event is cancelled.  No change at all changes nothing.
    """
    event = _known(txn, event_id, modification_number)
    before = attrs.evolve(spec_of(event), modification_reason=None)
    after = attrs.evolve(before, **changes)
    if after == before:
        return event, NOTHING
    if "duration" not in changes and "signals" in changes:
        after = attrs.evolve(after, duration=None)
    document = build(after, event_id, event.modification_number + 1, now)
    new = _stored(document, after, event.source, event.created_at, now)
    told = _told(txn, event)
    audience = _audience(txn, after)
    remain = audience if after.target.ven_ids else audience | told
    events.supersede(txn, event_id)
    events.change(txn, new)
    events.write_lines(
        txn, (new_line(ven_id, new, now, withdrawn=ven_id not in remain) for ven_id in sorted(told | audience))
    )
    return new, _concerning(after, told | audience)


def cancel(
    txn: Txn, event_id: str, modification_number: int | None, reason: str | None, now: datetime
) -> tuple[Event, Changes]:
    """Cancel an event for everybody; the modification number goes up by one (rule 5)."""
    event = _known(txn, event_id, modification_number)
    if event.gone_at is not None and event.gone_at <= now:
        raise NotAllowed(f"event_id: {event_id!r} is over")
    spec = attrs.evolve(spec_of(event), modification_reason=reason)
    document = build(spec, event_id, event.modification_number + 1, now)
    new = attrs.evolve(
        _stored(document, spec, event.source, event.created_at, now),
        cancelled=True,
        gone_at=event.gone_at or now + _OPEN_ENDED_GRACE,
    )
    told = _told(txn, event)
    events.supersede(txn, event_id)
    events.change(txn, new)
    events.write_lines(txn, (new_line(ven_id, new, now) for ven_id in sorted(told)))
    return new, _concerning(spec, told)


def _concerning(spec: EventSpec, ven_ids: set[str]) -> Changes:
    return Changes(vens=frozenset(ven_ids)) if spec.target.ven_ids else Changes(everyone=True)


# --- what a VEN is shown ------------------------------------------------------------------------------


def _later(length: Duration | None, moment: datetime) -> datetime:
    """``moment`` plus a length that may be missing; a negative one, before the moment, adds nothing."""
    return max(moment, length.after(moment)) if length else moment


def _end(period: Properties) -> datetime | None:
    """When the active period is over, for a VEN that was late by the whole tolerance; None: open-ended."""
    if not period.duration:
        return None
    return _later(period.startafter, period.duration.after(period.dtstart))


def _gone_at(period: Properties) -> datetime | None:
    end = _end(period)
    return _later(period.recovery, end) if end else None


def _turns(period: Properties) -> list[tuple[datetime, str]]:
    """When the clock changes the status of an event, and to what."""
    turns = [(period.dtstart, "active")]
    if period.ramp_up:
        before = Duration("-" + period.ramp_up.text.lstrip("+-"))  # with or without a sign: before the start
        turns.insert(0, (before.after(period.dtstart), "near"))
    if end := _end(period):
        turns.append((end, "completed"))
    return turns


def status_at(event: Event, now: datetime) -> tuple[str, datetime]:
    """The status of an event at a moment, and since when its content is what it is (rule 13)."""
    if event.cancelled:
        return "cancelled", event.modified_at
    status, since = "far", event.modified_at
    for moment, name in _turns(_document(event.document).active_period.properties):
        if moment <= now:
            status, since = name, max(moment, event.modified_at)
    return status, since


def _now_value(signal: EiEventSignal, status: str, dtstart: datetime, now: datetime) -> float | None:
    """The value of the interval that runs now; 0 for SIMPLE while the event is not active (rule 14)."""
    if status == "active":
        end = dtstart
        for interval in signal.intervals:
            end = interval.duration.after(end) if interval.duration else end
            if now < end or not interval.duration:
                return _value(interval)
    return 0.0 if signal.signal_name == "SIMPLE" else None


def _shown(event: Event, line: Line, now: datetime) -> OadrEvent:
    """An event as one VEN sees it at this moment: of the targets only its own venID."""
    document = _document(event.document)
    status, since = ("cancelled", event.modified_at) if line.withdrawn else status_at(event, now)
    target = document.target
    if target.ven_ids:
        target = target.evolve(ven_ids=(line.ven_id,))
    dtstart = document.active_period.properties.dtstart
    signals = tuple(
        signal.evolve(current_value=_now_value(signal, status, dtstart, now))
        for signal in document.event_signals.signals
    )
    return OadrEvent(
        event=document.evolve(
            descriptor=document.descriptor.evolve(event_status=status, created_date_time=since),
            event_signals=document.event_signals.evolve(signals=signals),
            target=target,
        ),
        response_required=event.response_required,
    )


def _order(shown: OadrEvent) -> tuple[Any, ...]:
    """Rule 15: the active first, by priority (0 is the lowest) and start; then by start; the completed last."""
    descriptor = shown.event.descriptor
    priority = descriptor.priority or 2**32
    dtstart = shown.event.active_period.properties.dtstart
    if descriptor.event_status == "active":
        return 0, priority, dtstart, descriptor.event_id
    return (2 if descriptor.event_status == "completed" else 1), dtstart, priority, descriptor.event_id


def distribute(
    txn: Txn, config: Config, ven_id: str, now: datetime, limit: int | None = None, answer_to: str | None = None
) -> OadrDistributeEvent:
    """All events that apply to a VEN at this moment, in protocol order (rules 15 and 61).

    ``answer_to`` is the requestID of an oadrRequestEvent: only its answer carries an eiResponse.
    """
    shown = sorted((_shown(event, line, now) for event, line in events.applicable(txn, ven_id, now)), key=_order)
    return OadrDistributeEvent(
        response=None if answer_to is None else EiResponse.ok(answer_to),
        request_id=answer_to or generate_id("req-"),
        vtn_id=config.vtn_id,
        events=tuple(shown if limit is None else shown[:limit]),
    )


def request(txn: Txn, config: Config, ven: Ven, message: OadrRequestEvent, now: datetime) -> OadrDistributeEvent:
    """The answer to oadrRequestEvent: always an oadrDistributeEvent, even an empty one."""
    return distribute(txn, config, ven.ven_id, now, message.reply_limit, message.request_id)


# --- what a VEN answers -------------------------------------------------------------------------------


def created_event(
    txn: Txn,
    config: Config,
    ven: Ven,
    message: OadrCreatedEvent,
    now: datetime,
    sent: Collection[object] = (),
) -> tuple[OadrResponse, Changes]:
    """Record a VEN's answers; each counts for itself, and the first fault gives the code of the reply.

    An unknown event is 452, a modification number other than the present one 450 (section 6.12); an
    opt by oadrCreateOpt outranks what is said here (rule 206).  ``sent`` holds the keys of what was sent
    and is not counted in the database yet.
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
    line = events.line(txn, ven_id, event_id, number)
    if event is None or (line is None and events.line(txn, ven_id, event_id, event.modification_number) is None):
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
    _answered(txn, line, answer, now)


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


def _refuse_all(txn: Txn, ven_id: str, response: EiResponse, now: datetime, sent: Collection[object]) -> None:
    """A VEN that refuses a whole oadrDistributeEvent has answered all that was sent and waited for an answer.

    What is not known to have been sent stays open: at worst, after a kill, it is sent and refused once more.
    """
    for _, line in events.applicable(txn, ven_id, now):
        if line.wants == "answer" and (line.offers or line.key in sent):
            events.change_line(
                txn, line, state="refused", wants="nothing", answered_at=now,
                response_code=response.response_code, response_description=response.response_description,
            )  # fmt: skip
