"""What a VEN is shown of its events at a moment: status and values by the clock, targets as far as they concern it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import attrs

from ..model.event import EiEventSignal, EiTarget, OadrDistributeEvent, OadrEvent
from ..model.party import EiResponse
from ..storage import events
from ..storage.database import Txn
from ..storage.events import Event, Line, Telling
from ..wire.codec import keep
from .audience import Sight
from .changes import dated, generate_id
from .specs import document, turns, value_of


@attrs.frozen
class Distribution:
    """An oadrDistributeEvent, and what a VEN learns from it: which versions, and which events are gone.

    ``open``: whether an answer to any of it, or its delivery, is waited for.
    """

    message: OadrDistributeEvent
    tellings: frozenset[Telling]
    open: bool


def status_at(event: Event, now: datetime) -> tuple[str, datetime]:
    """The status of an event at a moment, and since when its content is what it is (rule 13)."""
    if event.cancelled:
        return "cancelled", event.modified_at
    status, since = "far", event.modified_at
    for moment, name in turns(document(event.document).active_period.properties):
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
                return value_of(interval)
    return 0.0 if signal.signal_name.upper() == "SIMPLE" else None  # the schema has it in both ways


@attrs.frozen
class Seen:
    """An event that a VEN is to be shown, or to learn that it is gone: its line, and the target as the VEN sees it.

    ``resources`` are those of the baseline that it sees.  ``lasting``: what it sees of both changes with the event
    alone, not with what is known of VENs.
    """

    event: Event
    line: Line
    target: EiTarget
    resources: tuple[str, ...]
    lasting: bool


def seen(txn: Txn, ven_id: str, applicable: Iterable[tuple[Event, Line]]) -> tuple[Seen, ...]:
    """What a VEN sees of its applicable events."""
    sight = Sight(txn, ven_id)
    found = []
    for event, line in applicable:
        made = document(event.document)
        baseline = made.event_signals.baseline
        resources = sight.resources(baseline.resource_ids) if baseline else ()
        lasting = (line.withdrawn or sight.is_plain(made.target)) and not (baseline and baseline.resource_ids)
        found.append(Seen(event, line, sight.of(made.target, line.withdrawn), resources, lasting))
    return tuple(found)


_EVER = datetime.min.replace(tzinfo=UTC)


@lru_cache(1024)
def _moments(xml: bytes) -> tuple[datetime, ...]:
    """When the clock changes what is shown of an event: its turns, and the ends of its intervals."""
    made = document(xml)
    period = made.active_period.properties
    found = {_EVER, *(moment for moment, _ in turns(period))}
    for signal in made.event_signals.signals:
        end = period.dtstart
        for interval in signal.intervals:
            end = interval.duration.after(end) if interval.duration else end
            found.add(end)
    return tuple(sorted(found))


@lru_cache(256)
def _shown_since(
    event: Event, withdrawn: bool, target: EiTarget, resources: tuple[str, ...], moment: datetime
) -> OadrEvent:
    """An event as it is shown from a moment of it on until the next; it is written once, for all who see it so."""
    made = _shown(event, withdrawn, target, resources, moment)
    keep(made)
    return made


def _shown(event: Event, withdrawn: bool, target: EiTarget, resources: tuple[str, ...], now: datetime) -> OadrEvent:
    """An event as a VEN sees it at this moment that sees so much of its target and its baseline."""
    made = document(event.document)
    status, since = ("cancelled", event.modified_at) if withdrawn else status_at(event, now)
    dtstart = made.active_period.properties.dtstart
    signals = tuple(
        signal.evolve(current_value=_now_value(signal, status, dtstart, now)) for signal in made.event_signals.signals
    )
    baseline = made.event_signals.baseline
    return OadrEvent(
        event=made.evolve(
            descriptor=made.descriptor.evolve(event_status=status, created_date_time=dated(since)),
            event_signals=made.event_signals.evolve(
                signals=signals, baseline=baseline and baseline.evolve(resource_ids=resources)
            ),
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
    applicable: Sequence[Seen], vtn_id: str, now: datetime, limit: int | None = None, answer_to: str | None = None
) -> Distribution:
    """Of the events that applied to a VEN a while ago all that do at this moment, in protocol order (rules 15 and 61).

    ``answer_to`` is the requestID of an oadrRequestEvent: only its answer carries an eiResponse.
    """
    here = [one for one in applicable if one.event.gone_at is None or one.event.gone_at > now]
    shown = []
    for one in here:
        if not one.line.removed:
            moments = _moments(one.event.document)
            since = moments[bisect_right(moments, now) - 1]
            shown.append((_shown_since(one.event, one.line.withdrawn, one.target, one.resources, since), one.line))
    if len(shown) > 1:
        shown.sort(key=lambda pair: _order(pair[0]))
    # What a limit cuts off would be gone for good: then nothing can be told to be.
    gone = [one.line for one in here if one.line.removed] if limit is None else []
    message = OadrDistributeEvent(
        response=None if answer_to is None else EiResponse.ok(answer_to),
        request_id=answer_to or generate_id("req-"),
        vtn_id=vtn_id,
        events=tuple(event for event, _ in shown[:limit]),
    )
    return Distribution(
        message,
        tellings=frozenset(line.telling for line in (*(line for _, line in shown[:limit]), *gone)),
        open=any(one.line.wants != "nothing" for one in here),
    )


def look(txn: Txn, ven_id: str, now: datetime) -> tuple[Seen, ...]:
    """What a VEN sees of the events that apply to it at this moment."""
    return seen(txn, ven_id, events.applicable(txn, [ven_id], now).get(ven_id, ()))
