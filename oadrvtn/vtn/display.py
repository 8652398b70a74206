"""What a VEN is shown of its events at a moment: status and values by the clock, targets as far as they concern it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from ..model.config import Config
from ..model.event import EiEventSignal, OadrDistributeEvent, OadrEvent, OadrRequestEvent
from ..model.party import EiResponse
from ..storage import events
from ..storage.database import Txn
from ..storage.events import Event, Line, Telling
from ..storage.vens import Ven
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
    return 0.0 if signal.signal_name == "SIMPLE" else None


def _shown(event: Event, line: Line, sight: Sight, now: datetime) -> OadrEvent:
    """An event as one VEN sees it at this moment."""
    made = document(event.document)
    status, since = ("cancelled", event.modified_at) if line.withdrawn else status_at(event, now)
    dtstart = made.active_period.properties.dtstart
    signals = tuple(
        signal.evolve(current_value=_now_value(signal, status, dtstart, now)) for signal in made.event_signals.signals
    )
    return OadrEvent(
        event=made.evolve(
            descriptor=made.descriptor.evolve(event_status=status, created_date_time=dated(since)),
            event_signals=made.event_signals.evolve(signals=signals),
            target=sight.of(made.target, line.withdrawn),
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
) -> Distribution:
    """All events that apply to a VEN at this moment, in protocol order (rules 15 and 61).

    ``answer_to`` is the requestID of an oadrRequestEvent: only its answer carries an eiResponse.
    """
    sight = Sight(txn, ven_id)
    applicable = events.applicable(txn, ven_id, now)
    shown = [(_shown(event, line, sight, now), line) for event, line in applicable if not line.removed]
    shown.sort(key=lambda pair: _order(pair[0]))
    # What a limit cuts off would be gone for good: then nothing can be told to be.
    gone = [line for _, line in applicable if line.removed] if limit is None else []
    message = OadrDistributeEvent(
        response=None if answer_to is None else EiResponse.ok(answer_to),
        request_id=answer_to or generate_id("req-"),
        vtn_id=config.vtn_id,
        events=tuple(event for event, _ in shown[:limit]),
    )
    return Distribution(
        message,
        tellings=frozenset(line.telling for line in (*(line for _, line in shown[:limit]), *gone)),
        open=any(line.wants != "nothing" for _, line in applicable),
    )


def request(txn: Txn, config: Config, ven: Ven, message: OadrRequestEvent, now: datetime) -> Distribution:
    """The answer to oadrRequestEvent: always an oadrDistributeEvent, even an empty one."""
    return distribute(txn, config, ven.ven_id, now, message.reply_limit, message.request_id)
