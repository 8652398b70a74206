"""Rules of EiReport where the VTN reports: what it offers, what VENs ask of it, and the data it sends (7.11)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID, NotAllowed, VtnError
from ..model.event import Interval
from ..model.party import EiResponse, OadrResponse
from ..model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportRequest,
    OadrUpdatedReport,
    OadrUpdateReport,
)
from ..model.values import shown
from ..storage import notes, outbox, provided, vens
from ..storage.database import Txn
from ..storage.provided import Provided
from ..storage.vens import Ven
from ..wire.codec import from_xml, to_xml
from .changes import NOTHING, Changes, dated, generate_id
from .offers import METADATA, MOST_READINGS, Task, accept, described, next_task, readings
from .outbox import NOT_SENT, Sendings, next_vens, put, settle

MOST_REQUESTS = 50
"""So many requests of a VEN may be pending."""

_TOLD = "offers told up to"  # the note of how far the VENs are told of offers that have changed
_KEPT = 100  # requests of a VEN that are remembered, pending or over
_REMEMBERED = timedelta(minutes=10)  # so long an answer to an update that was replaced finds it
_AGAIN = timedelta(minutes=1)  # until the readings that could not be had are asked for once more


# --- what is offered ------------------------------------------------------------------------------------


def tell_offers(txn: Txn, config: Config, ven: Ven, now: datetime, report_request_id: str | None = None) -> None:
    """Queue the VTN's METADATA for a VEN (rule 301), maybe as the answer to its request (rules 311 and 327)."""
    request_id = generate_id("req-")
    message = OadrRegisterReport(
        request_id=request_id,
        reports=tuple(described(offer, now) for offer in config.offers),
        ven_id=ven.ven_id,
        report_request_id=report_request_id,
    )
    put(txn, ven, "register_report", message, now, request_id=request_id, reference=report_request_id)


def announce(txn: Txn, config: Config, now: datetime) -> tuple[bool, Changes]:
    """Begin to tell every registered VEN of offers that have changed; what is not offered any more ends."""
    always = datetime(1970, 1, 1, tzinfo=UTC)
    digest = hashlib.sha256(b"".join(to_xml(described(offer, always)) for offer in config.offers)).hexdigest()
    told = notes.get(txn, "offers")
    if told == digest or (told is None and not config.offers):
        return False, NOTHING
    notes.put(txn, "offers", digest)
    for request in provided.listed(txn, state="open"):
        if next_task(config, request, now) is None:
            _end(txn, request.ven_id, "superseded", [request.report_request_id], now)
    notes.put(txn, _TOLD, "")
    return tell_on(txn, config, now)


def tell_on(txn: Txn, config: Config, now: datetime) -> tuple[bool, Changes]:
    """Tell the next VENs of offers that have changed; whether there may be more (a duty)."""
    told = next_vens(txn, _TOLD)
    for ven in told:
        outbox.supersede(txn, ven.ven_id, now, ["register_report"])
        tell_offers(txn, config, ven, now)
    return bool(told), Changes.of(*(ven.ven_id for ven in told))


def registered_report(
    txn: Txn, config: Config, ven: Ven, message: OadrRegisteredReport, now: datetime, sent: Sendings = NOT_SENT
) -> tuple[OadrResponse | OadrCreatedReport, Changes]:
    """The VEN took note of what the VTN can report, and may ask for some of it."""
    settled = settle(txn, ven, "register_report", message.response, now, sent=sent)
    if message.report_requests:
        had = {entry.reference for entry in settled}  # who asks for METADATA by way of thanks for it has it
        wanted = [
            request
            for request in message.report_requests
            if request.report_request_id not in had or request.report_specifier.report_specifier_id != METADATA
        ]
        return _created(txn, config, ven, message.response.request_id, wanted, now)
    return OadrResponse(response=EiResponse.ok(message.response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)


# --- what VENs ask for ----------------------------------------------------------------------------------


def create_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCreateReport, now: datetime
) -> tuple[OadrCreatedReport, Changes]:
    """A VEN asks for reports of the VTN, or for its METADATA: all that it asks for in one message, or nothing."""
    return _created(txn, config, ven, message.request_id, message.report_requests, now)


def _created(
    txn: Txn, config: Config, ven: Ven, request_id: str, wanted: Iterable[OadrReportRequest], now: datetime
) -> tuple[OadrCreatedReport, Changes]:
    """The answer, which lists what is pending (rule 329) also where it refuses."""
    response = EiResponse.ok(request_id)
    try:
        _open(txn, config, ven, [accept(config, ven.ven_id, one, now) for one in wanted], now)
    except VtnError as fault:
        response = _refusal(fault, request_id)
    reply = OadrCreatedReport(response=response, pending_reports=_pending(txn, ven), ven_id=ven.ven_id)
    return reply, Changes.of(ven.ven_id)


def _refusal(fault: VtnError, request_id: str) -> EiResponse:
    return EiResponse(response_code=fault.response_code, response_description=fault.description, request_id=request_id)


def _pending(txn: Txn, ven: Ven) -> tuple[str, ...]:
    return tuple(request.report_request_id for request in provided.pending(txn, ven.ven_id))


def _open(txn: Txn, config: Config, ven: Ven, requests: Sequence[Provided], now: datetime) -> None:
    """Note new requests; METADATA and what needs no source is queued at once.  One that is repeated changes nothing."""
    pending = {request.report_request_id: request for request in provided.pending(txn, ven.ven_id)}
    wanted = {request.report_request_id: request for request in requests}
    if any(wanted[request.report_request_id] != request for request in requests):
        raise InvalidData("oadrReportRequest: two have the same reportRequestID")
    if len(pending.keys() | wanted.keys()) > MOST_REQUESTS:
        raise NotAllowed(f"oadrReportRequest: at most {MOST_REQUESTS} may be pending")
    for report_request_id, request in wanted.items():
        present = pending.get(report_request_id)
        if present and present.document == request.document:
            continue
        _close(txn, ven.ven_id, [report_request_id], now)
        provided.put(txn, request)
        task = next_task(config, request, now)
        if task and request.next_at and request.next_at <= now and not task.source:
            provided.advance(txn, [_deliver(txn, config, ven, task, readings(task, {}), now)])
    provided.forget(txn, ven.ven_id, _KEPT)
    provided.forget_entries(txn, [ven.ven_id], now - _REMEMBERED)


def cancel_report(
    txn: Txn, config: Config, ven: Ven, message: OadrCancelReport, now: datetime
) -> tuple[OadrCanceledReport, Changes]:
    """A VEN no longer wants reports, or only those that are due next; an ID that it never gave is 452."""
    known = {request.report_request_id: request for request in provided.listed(txn, ven.ven_id)}
    unwanted = dict.fromkeys(message.report_request_ids)
    response = EiResponse.ok(message.request_id)
    if unknown := unwanted.keys() - known.keys():
        fault = InvalidID(f"reportRequestID {shown(min(unknown))} is no report of this VTN")
        response = _refusal(fault, message.request_id)
    elif message.report_to_follow:
        for report_request_id in unwanted:
            if due_next := known[report_request_id].next_at:
                provided.change(txn, ven.ven_id, report_request_id, ends_at=due_next)
    else:
        _end(txn, ven.ven_id, "cancelled", unwanted, now)
    reply = OadrCanceledReport(response=response, pending_reports=_pending(txn, ven), ven_id=ven.ven_id)
    return reply, Changes.of(ven.ven_id)


def _end(txn: Txn, ven_id: str, state: str, ids: Collection[str], now: datetime) -> None:
    provided.end(txn, ven_id, state, ids)
    _close(txn, ven_id, ids, now)


def _close(txn: Txn, ven_id: str, ids: Collection[str], now: datetime) -> list[outbox.Entry]:
    """Take back what waits for a VEN of these requests; what that was."""
    entries = outbox.pending(txn, ven_id)
    waiting = [entry for entry in entries if entry.kind in provided.KINDS and entry.reference in ids]
    if waiting:
        outbox.close(txn, [entry.id for entry in waiting], "superseded", now)
    return waiting


def updated_report(
    txn: Txn, config: Config, ven: Ven, message: OadrUpdatedReport, now: datetime, sent: Sendings = NOT_SENT
) -> tuple[OadrResponse | OadrCanceledReport, Changes]:
    """A VEN has taken data of the VTN, or knows nothing of it (452), which ends it; a cancel that it carries counts."""
    settled = settle(txn, ven, "update_report", message.response, now, sent=sent)
    if message.response.response_code == InvalidID.response_code:
        provided.end(txn, ven.ven_id, "refused", [entry.reference for entry in settled if entry.reference is not None])
    if message.cancel_report:
        return cancel_report(txn, config, ven, message.cancel_report, now)
    return OadrResponse(response=EiResponse.ok(message.response.request_id), ven_id=ven.ven_id), Changes.of(ven.ven_id)


# --- what is due ----------------------------------------------------------------------------------------


def due(txn: Txn, config: Config, now: datetime, most: int) -> list[Task]:
    """The reports that are due now, for VENs that are online."""
    tasks = (next_task(config, request, now) for request in provided.due(txn, now, most))
    return [task for task in tasks if task]


def provide(
    txn: Txn, config: Config, made: Sequence[tuple[Task, tuple[Interval, ...] | None]], now: datetime
) -> tuple[None, Changes]:
    """Queue reports that are made; where the readings could not be had (None) they are due again soon."""
    steps = []
    for task, found in made:
        ven_id, report_request_id = task.request.ven_id, task.request.report_request_id
        ven = vens.get(txn, ven_id)
        if ven is None or provided.get(txn, ven_id, report_request_id) != task.request:
            continue  # cancelled meanwhile, or asked for anew
        if found is None:
            provided.change(txn, ven_id, report_request_id, next_at=now + _AGAIN)
            continue
        steps.append(_deliver(txn, config, ven, task, found, now))
    changed = frozenset(step["ven"] for step in steps)
    provided.advance(txn, steps)
    provided.forget_entries(txn, changed, now - _REMEMBERED)
    return None, Changes(changed)


def _deliver(
    txn: Txn, config: Config, ven: Ven, task: Task, found: tuple[Interval, ...], now: datetime
) -> dict[str, Any]:
    """Queue a report in the place of the one before that the VEN does not have yet, with the readings of both.

    Gives the step by which its request is to be advanced.
    """
    request = task.request
    if task.offer is None:
        _close(txn, ven.ven_id, [request.report_request_id], now)
        tell_offers(txn, config, ven, now, request.report_request_id)
    elif found or task.last:
        for entry in _close(txn, ven.ven_id, [request.report_request_id], now):
            found = from_xml(OadrUpdateReport, entry.document).reports[0].intervals + found
        found = found[-max(1, MOST_READINGS // len(task.r_ids)) :]
        report = OadrReport(
            dtstart=found[0].dtstart if found else task.since,
            intervals=found,
            report_request_id=request.report_request_id,
            report_specifier_id=task.offer.report_specifier_id,
            report_name=task.offer.report_name,
            created_date_time=dated(now),
        )
        _update(txn, ven, OadrUpdateReport(request_id="", reports=(report,)), now, request.report_request_id)
    next_at = task.until + timedelta(seconds=task.back)
    return {
        "ven": ven.ven_id,
        "request": request.report_request_id,
        "to_state": "complete" if task.last else "open",
        "to_since": task.until,
        "to_next": None if task.last else min(next_at, request.ends_at or next_at),
    }


def _update(txn: Txn, ven: Ven, message: OadrUpdateReport, now: datetime, report_request_id: str | None = None) -> None:
    request_id = message.request_id or generate_id("req-")
    message = message.evolve(request_id=request_id, ven_id=ven.ven_id)
    put(txn, ven, "update_report", message, now, request_id=request_id, reference=report_request_id)


def offer(txn: Txn, ven: Ven, message: OadrRegisterReport, now: datetime) -> Changes:
    """Queue what a user's handler says is offered in the place of what the VEN was to be told, once a requestID.

    Raises InvalidData for what the schema refuses.
    """
    if outbox.issued(txn, ven.ven_id, "register_report", message.request_id):
        return NOTHING
    outbox.supersede(txn, ven.ven_id, now, ["register_report"])
    told = message.evolve(ven_id=ven.ven_id)
    put(txn, ven, "register_report", told, now, request_id=told.request_id, reference=told.report_request_id)
    return Changes.of(ven.ven_id)


def supply(txn: Txn, ven: Ven, message: OadrUpdateReport, now: datetime) -> Changes:
    """Queue a report that a user's handler has for a VEN.  Raises InvalidData for one that the schema refuses."""
    _update(txn, ven, message, now)
    provided.forget_entries(txn, [ven.ven_id], now - _REMEMBERED)
    return Changes.of(ven.ven_id)
