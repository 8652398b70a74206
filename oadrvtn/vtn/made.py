"""What users' handlers make up for a VEN: looked at, and stored before it is sent, so that its answer finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import attrs

from ..model.config import Config
from ..model.errors import NotAllowed, VtnError
from ..model.event import EiEvent, EiTarget, OadrDistributeEvent, OadrEvent
from ..model.party import OadrCancelPartyRegistration, OadrRequestReregistration
from ..model.report import OadrCancelReport, OadrCreateReport, OadrRegisterReport, OadrReport, OadrUpdateReport
from ..model.values import shown
from ..storage import events as stored
from ..storage import reports, vens
from ..storage.database import Txn
from ..storage.vens import Ven
from . import events, provider, registration, requests
from .changes import NOTHING, Changes
from .specs import EVERYBODY, EventSpec, build, document, said

_EVENTS = (EventSpec, EiEvent, OadrEvent, OadrDistributeEvent)
_REPORTS = (OadrReport, OadrUpdateReport)
MAY_RETURN: dict[str, tuple[type, ...]] = {
    "on_request_event": _EVENTS,
    "on_request_report": _REPORTS,
    "on_poll": (
        *_EVENTS, *_REPORTS,
        OadrRegisterReport, OadrCreateReport, OadrCancelReport,
        OadrRequestReregistration, OadrCancelPartyRegistration,
    ),
}  # fmt: skip
"""What a handler may return, alone or in a list."""


def looked_at(handler: str, name: str, found: Any) -> tuple[Any, ...]:
    """What a handler has returned, piece by piece.  Raises TypeError for what ``name`` may not return."""
    if found is None:
        return ()
    pieces: list[Any] = []
    for one in found if isinstance(found, list | tuple) else (found,):
        if not isinstance(one, MAY_RETURN[name]):
            names = ", ".join(cls.__name__ for cls in MAY_RETURN[name])
            raise TypeError(f"{handler} returned {shown(repr(found))}, which is none of {names}")
        pieces += one.events if isinstance(one, OadrDistributeEvent) else (one,)
    if together := tuple(one for one in pieces if isinstance(one, OadrReport)):
        pieces = [one for one in pieces if not isinstance(one, OadrReport)]
        pieces.append(OadrUpdateReport(request_id="", reports=together))
    return tuple(pieces)


def store(
    txn: Txn, config: Config, ven: Ven, handler: str, pieces: Sequence[Any], now: datetime
) -> tuple[None, Changes]:
    """Store what ``looked_at`` gives: all of it or nothing; it goes out as what operators make does.

    Where the VEN's registration has ended meanwhile it is dropped.  Raises ValueError, for it is the handler's
    fault, where a rule or the schema refuses it.
    """
    present = vens.get(txn, ven.ven_id)
    if present is None or not present.registered or present.epoch != ven.epoch:
        return None, NOTHING
    made = []
    for piece in pieces:
        try:
            made.append(_STORED[type(piece)](txn, present, piece, now))
        except VtnError as error:
            raise ValueError(f"{handler} returned what is refused: {error.description}") from error
    return None, Changes(
        frozenset().union(*(changes.vens for changes in made)),
        any(changes.everyone for changes in made),
        tuple(hook for changes in made for hook in changes.hooks),
    )


def _event(txn: Txn, ven: Ven, made: EventSpec | EiEvent | OadrEvent, now: datetime) -> Changes:
    """A new event, for this VEN alone where it has no target; one that is known is changed, or stays as it is."""
    spec, cancelled = made, False
    if not isinstance(made, EventSpec):
        event, required = (made.event, made.response_required) if isinstance(made, OadrEvent) else (made, "always")
        spec, cancelled = said(event, required), event.descriptor.event_status == "cancelled"
    assert isinstance(spec, EventSpec)
    if spec.target == EVERYBODY:
        spec = attrs.evolve(spec, target=EiTarget(ven_ids=(ven.ven_id,)))
    known = stored.get(txn, spec.event_id) if spec.event_id else None
    if known is None and not spec.event_id and _runs(txn, ven, spec, now):
        return NOTHING
    if known is None:
        return NOTHING if cancelled else events.create(txn, spec, "handler", now)[1]
    if known.source != "handler":
        raise NotAllowed(f"event {shown(known.event_id)} is not a handler's")
    if stored.line(txn, ven.ven_id, known.event_id, known.modification_number) is None:
        raise NotAllowed(f"event {shown(known.event_id)} is for other VENs: one for several has them in its target")
    if known.cancelled or known.deleted_at:
        return NOTHING
    if cancelled:
        return events.cancel(txn, known.event_id, None, None, now)[1]
    fields = attrs.asdict(spec, recurse=False, filter=lambda field, _: field.name != "event_id")
    return events.modify(txn, known.event_id, fields, None, now)[1]


def _runs(txn: Txn, ven: Ven, spec: EventSpec, now: datetime) -> bool:
    """Whether the VEN has what a handler made up without an ID already: the same event, at the same time in part."""
    for event in stored.running(txn, now):
        if event.source == "handler" and event.market_context == spec.market_context:
            moved = build(attrs.evolve(spec, dtstart=event.dtstart), event.event_id, event.modification_number, now)
            overlap = event.ends_at is None or abs(spec.dtstart - event.dtstart) < event.ends_at - event.dtstart
            if overlap and events.same(moved, document(event.document)):
                return stored.line(txn, ven.ven_id, event.event_id, event.modification_number) is not None
    return False


def _create_report(txn: Txn, ven: Ven, message: OadrCreateReport, now: datetime) -> Changes:
    ids = [request.report_request_id for request in message.report_requests]
    known = reports.requests_named(txn, ven.ven_id, ids)
    made = [
        requests.make(
            txn, ven.ven_id, one.report_specifier, now, None, None, report_request_id=one.report_request_id
        )
        for one in message.report_requests
        if one.report_request_id not in known
    ]  # fmt: skip
    if made:
        requests.ask(txn, ven, made, now)
    return Changes.of(ven.ven_id)


def _cancel_report(txn: Txn, ven: Ven, message: OadrCancelReport, now: datetime) -> Changes:
    return requests.cancel(txn, ven.ven_id, message.report_request_ids, message.report_to_follow, now)[1]


_STORED: dict[type, Callable[..., Changes]] = {
    EventSpec: _event,
    EiEvent: _event,
    OadrEvent: _event,
    OadrUpdateReport: provider.supply,
    OadrRegisterReport: provider.offer,
    OadrCreateReport: _create_report,
    OadrCancelReport: _cancel_report,
    OadrRequestReregistration: lambda txn, ven, message, now: registration.request_reregistration(
        txn, ven.ven_id, now
    )[1],
    OadrCancelPartyRegistration: lambda txn, ven, message, now: registration.request_cancellation(
        txn, ven.ven_id, now
    )[1],
}  # fmt: skip
"""How each kind is stored: ``(txn, ven, piece, now) -> Changes``."""
