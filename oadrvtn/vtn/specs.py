"""Events as operators say them, and the eiEvent that is made of it and read back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

import attrs

from ..model.errors import InvalidData, Mistake
from ..model.event import (
    EiActivePeriod,
    EiEvent,
    EiEventBaseline,
    EiEventSignal,
    EiEventSignals,
    EiTarget,
    EventDescriptor,
    Interval,
    ItemBase,
    PayloadFloat,
    Properties,
    SignalPayload,
)
from ..model.schema import ROW, Element
from ..model.signals import unconventional
from ..model.values import (
    ANY_URI,
    RESPONSE_REQUIRED,
    SIGNAL_NAME,
    SIGNAL_TYPE,
    STRING,
    UNSIGNED_INT,
    Duration,
    SimpleType,
    shown,
)
from ..storage.events import Event
from ..wire.codec import from_xml, to_xml
from .changes import dated

EVERYBODY = EiTarget()
"""The target of an event that is for every VEN of its program."""
_NO_TIME = Duration("PT0S")
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
"""What begins with a scheme and goes on: the schema's anyURI takes nearly every text."""


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
    ``target`` says who gets it: whoever is, or has, any of what it names; nothing means every VEN.
    """

    event_id: str | None = None
    market_context: str
    dtstart: datetime
    duration: Duration | None = None
    signals: tuple[SignalSpec, ...]
    target: EiTarget = EVERYBODY
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


# --- what is wrong with a spec ------------------------------------------------------------------------


def _misfit(place: str, name: str, simple_type: SimpleType, value: object) -> Iterator[Mistake]:
    """What the schema says against a value, under the name that it has there."""
    try:
        simple_type.write(value)
    except ValueError as error:
        yield Mistake(place, f"{error} ({name})" if name else str(error), simple_type.choices)


def _misfits(place: str, part: Element) -> Iterator[Mistake]:
    """What the schema says against the texts, numbers and enumerations of an element, by their fields."""
    for field in attrs.fields(type(part)):
        row, value = field.metadata[ROW], getattr(part, field.name)
        many = any(step.many for step in row.path)
        for number, one in enumerate(value if many else () if value is None else (value,)):
            at = f"{place}.{field.name}[{number}]" if many else f"{place}.{field.name}"
            if isinstance(one, Element):
                yield from _misfits(at, one)
            elif isinstance(row.end, SimpleType):
                yield from _misfit(at, "", row.end, one)


def _sum(start: datetime, lengths: dict[str, Duration], mistakes: list[Mistake]) -> datetime | None:
    """When these lengths, by their places, are over one after the other; None where that cannot be."""
    end = start
    for place, length in lengths.items():
        try:
            began, end = end, length.after(end)
        except OverflowError:
            mistakes.append(Mistake(place, "reaches beyond the calendar"))
            return None
        if end < began:
            mistakes.append(Mistake(place, f"{length} is negative"))
            return None
    return end


def _lengths(place: str, lengths: Iterable[Duration]) -> dict[str, Duration]:
    return {f"{place}.intervals[{number}].duration": length for number, length in enumerate(lengths)}


def _mistakes_of_signal(signal: SignalSpec, place: str) -> Iterator[Mistake]:
    yield from _misfit(f"{place}.signal_name", "signalName", SIGNAL_NAME, signal.signal_name)
    yield from _misfit(f"{place}.signal_type", "signalType", SIGNAL_TYPE, signal.signal_type)
    yield from _misfit(f"{place}.signal_id", "", STRING, signal.signal_id or "")
    if signal.item_base:
        yield from _misfits(f"{place}.item_base", signal.item_base)
    if not signal.intervals:
        yield Mistake(f"{place}.intervals", "a signal has at least one interval")
    for number, (length, _) in enumerate(signal.intervals):
        if not length and len(signal.intervals) > 1:
            reason = "is zero, which means open-ended: then it is the signal's only interval (rule 47)"
            yield Mistake(f"{place}.intervals[{number}].duration", reason)
    if signal.signal_name.upper() != "SIMPLE":
        return
    if signal.signal_type != "level":
        yield Mistake(f"{place}.signal_type", "SIMPLE is a level (rule 116)", ("level",))
    for number, (_, value) in enumerate(signal.intervals):
        if value not in (0, 1, 2, 3):
            reason = f"{value:g} is no level of SIMPLE (rule 9)"
            yield Mistake(f"{place}.intervals[{number}].value", reason, ("0", "1", "2", "3"))


def _signal_id(signal: SignalSpec, number: int) -> str:
    return signal.signal_id or f"signal-{number}"


def _check(spec: EventSpec) -> Duration:
    """The length of the event; raises InvalidData with all that is wrong.

    Rules: 1 (UTC), 8 (interval durations add up), 9 (SIMPLE is 0 to 3), 116 (SIMPLE is a level).
    """
    mistakes: list[Mistake] = []
    texts = {
        "event_id": spec.event_id,
        "vtn_comment": spec.vtn_comment,
        "modification_reason": spec.modification_reason,
    }
    for place, text in texts.items():
        mistakes += _misfit(place, "", STRING, text or "")
    mistakes += _misfit("priority", "", UNSIGNED_INT, spec.priority)
    mistakes += _misfit("response_required", "", RESPONSE_REQUIRED, spec.response_required)
    mistakes += _misfit("market_context", "", ANY_URI, spec.market_context)
    if not URI.fullmatch(spec.market_context):
        mistakes.append(Mistake("market_context", f"{shown(spec.market_context)} is not a URI"))
    mistakes += _misfits("target", spec.target)
    if not spec.signals:
        mistakes.append(Mistake("signals", "an event has at least one signal"))
    ids = Counter(_signal_id(signal, number) for number, signal in enumerate(spec.signals))
    ends: dict[str, datetime | None] = {}
    for number, signal in enumerate(spec.signals):
        place = f"signals[{number}]"
        mistakes += _mistakes_of_signal(signal, place)
        if signal.signal_id and ids[signal.signal_id] > 1:
            mistakes.append(Mistake(f"{place}.signal_id", f"{shown(signal.signal_id)} is not the only one"))
        ends[place] = _sum(spec.dtstart, _lengths(place, (length for length, _ in signal.intervals)), mistakes)
    end = next(iter(ends.values()), None)
    if spec.duration is not None:
        end = _sum(spec.dtstart, {"duration": spec.duration}, mistakes)
    for place, last in ends.items():
        if end and last and last != end:
            mistakes.append(Mistake(f"{place}.intervals", f"end at {last}, the event ends at {end} (rule 8)"))
    if spec.baseline:
        mistakes += _misfits("baseline", spec.baseline)
        began, lengths = spec.baseline.dtstart, (interval.duration or _NO_TIME for interval in spec.baseline.intervals)
        last = _sum(began, _lengths("baseline", lengths), mistakes)
        over = _sum(began, {"baseline.duration": spec.baseline.duration}, mistakes)
        if over and last and last != over:
            mistakes.append(Mistake("baseline.intervals", f"end at {last}, the baseline ends at {over}"))
    if mistakes or end is None:
        raise InvalidData.of(mistakes)
    return Duration.of(end - spec.dtstart) if spec.duration is None else spec.duration


# --- there and back -----------------------------------------------------------------------------------


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
        signal_id=_signal_id(spec, number),
        item_base=spec.item_base,
        current_value=None,
    )


def build(spec: EventSpec, event_id: str, modification_number: int, now: datetime) -> EiEvent:
    """The eiEvent of a spec, checked against the rules; raises InvalidData that names all places.

    Uids count from 0 (rule 2), x-eiNotification is always there (rule 105).
    """
    duration = _check(spec)
    event = EiEvent(
        descriptor=EventDescriptor(
            event_id=event_id,
            modification_number=modification_number,
            modification_date_time=dated(now) if modification_number else None,
            modification_reason=spec.modification_reason if modification_number else None,
            priority=spec.priority,
            market_context=spec.market_context,
            created_date_time=dated(now),
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
    try:
        for moment in (gone_at, turns, deadline):
            moment(event.active_period.properties)
    except OverflowError:
        raise InvalidData.at("duration", "the event reaches beyond the calendar") from None
    to_xml(event)  # raises, with the place, for what the schema refuses
    return event


def check_conventions(document: EiEvent) -> None:
    """Raise InvalidData for signals that the schema allows and convention does not."""
    signals = enumerate(document.event_signals.signals)
    if found := [odd for number, signal in signals for odd in unconventional(signal, f"signals[{number}]")]:
        raise InvalidData.of([attrs.evolve(odd, reason=f"{odd.reason}; force accepts it") for odd in found])


@lru_cache(1024)
def document(xml: bytes) -> EiEvent:
    """An event is read once, however many VENs are shown it."""
    return from_xml(EiEvent, xml)


def spec_of(event: Event) -> EventSpec:
    """What was said of an event, for showing it and for changing it."""
    return said(document(event.document), event.response_required)


def said(made: EiEvent, response_required: str) -> EventSpec:
    """The inverse of ``build``."""
    period, descriptor = made.active_period.properties, made.descriptor
    signals = tuple(
        SignalSpec(
            signal_name=signal.signal_name,
            signal_type=signal.signal_type,
            intervals=tuple((interval.duration or _NO_TIME, value_of(interval)) for interval in signal.intervals),
            signal_id=signal.signal_id,
            item_base=signal.item_base,
            device_classes=signal.target.end_device_assets if signal.target else (),
        )
        for signal in made.event_signals.signals
    )
    return EventSpec(
        event_id=descriptor.event_id,
        market_context=descriptor.market_context,
        dtstart=period.dtstart,
        duration=period.duration,
        signals=signals,
        target=made.target,
        response_required=response_required,
        priority=descriptor.priority or 0,
        test_event=(descriptor.test_event or "false") != "false",
        vtn_comment=descriptor.vtn_comment,
        notification=period.notification or _NO_TIME,
        ramp_up=period.ramp_up,
        recovery=period.recovery,
        startafter=period.startafter,
        baseline=made.event_signals.baseline,
        modification_reason=descriptor.modification_reason,
    )


def value_of(interval: Interval) -> float:
    """The value of an interval of an event."""
    payload = interval.payloads[0]
    return payload.payload.value if isinstance(payload, SignalPayload) else 0.0  # type: ignore[union-attr]


# --- when ---------------------------------------------------------------------------------------------


def _later(length: Duration | None, moment: datetime) -> datetime:
    """``moment`` plus a length that may be missing; a negative one, before the moment, adds nothing."""
    return max(moment, length.after(moment)) if length else moment


def _before(length: Duration, moment: datetime) -> datetime:
    """``moment`` less a length, which may be written with a sign or without; weeks have none (``1W``)."""
    text = length.text.lstrip("+-")
    return Duration(f"-{text}").after(moment) if text.startswith("P") else moment - length.fixed


def ends_at(period: Properties) -> datetime | None:
    """When the active period is over; None: open-ended."""
    return period.duration.after(period.dtstart) if period.duration else None


def _end(period: Properties) -> datetime | None:
    """When the active period is over, for a VEN that was late by the whole tolerance; None: open-ended."""
    end = ends_at(period)
    return _later(period.startafter, end) if end else None


def gone_at(period: Properties) -> datetime | None:
    """When a VEN has left an event behind, and it is no longer sent; None: open-ended."""
    end = _end(period)
    return _later(period.recovery, end) if end else None


def turns(period: Properties) -> list[tuple[datetime, str]]:
    """When the clock changes the status of an event, and to what."""
    found = [(period.dtstart, "active")]
    if period.ramp_up:
        found.insert(0, (_before(period.ramp_up, period.dtstart), "near"))
    if end := _end(period):
        found.append((end, "completed"))
    return found


def deadline(period: Properties) -> datetime | None:
    """When a VEN should have an event at the latest, where it has a notification period."""
    return _before(period.notification, period.dtstart) if period.notification else None
