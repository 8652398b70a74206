"""VENs behind the desk: who may come in, who waits, and all that is known of one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..model.config import Config
from ..model.errors import NotAllowed
from ..model.event import ItemBase
from ..model.report import OadrRegisterReport, OadrReport
from ..security import fingerprint
from ..storage import events, opts, outbox, reports, vens
from ..storage.database import Txn
from ..storage.vens import Candidate, Ven
from ..vtn import registration
from ..vtn.changes import Changes
from ..wire.codec import from_xml
from .desk import Desk, Problem, Rehearsal, answer, created, gone, route, then
from .groups import traits
from .reports import request_row
from .shapes import Fingerprint, Name, Nothing, Seconds, show, without_document

_RECENT = 50
"""So many entries, lines, and requests that are over are shown of a VEN, the newest."""


# --- what is asked ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class NewVen:
    """A VEN that is to be let in."""

    ven_id: Name
    name: str | None = None
    fingerprints: tuple[Fingerprint, ...]


@attrs.frozen(kw_only=True)
class VenChanges:
    """What is to be different with a VEN; ``poll_frequency`` (seconds) and ``leniency`` None: as configured."""

    name: Name | None = None
    fingerprints: tuple[Fingerprint, ...] | None = None
    poll_frequency: Seconds | None = None
    leniency: str | None = None


@attrs.frozen(kw_only=True)
class Approval:
    """As whom a certificate that waits is let in."""

    ven_id: Name | None = None
    name: str | None = None


# --- what is shown ------------------------------------------------------------------------------------


def _row(ven: Ven) -> dict[str, Any]:
    return {**show(ven), "registered": ven.registered}


def _list(txn: Txn) -> list[dict[str, Any]]:
    return [_row(ven) for ven in vens.listed(txn)]


def _whole(txn: Txn, ven_id: str) -> dict[str, Any]:
    """All about a VEN, but for its readings.  Raises InvalidID."""
    capability = reports.current_capability(txn, ven_id)
    requests = [request for request in reports.requests_of(txn, ven_id) if request.state != "superseded"]
    over = [request.report_request_id for request in requests if request.state not in reports.OPEN]
    old = set(over[:-_RECENT])
    return {
        **_row(registration.current(txn, ven_id)),
        "fingerprints": [_fingerprint(known) for known in vens.fingerprints(txn, ven_id)],
        "traits": traits(txn, ven_id),
        "bends": {
            bend: {"count": count, "last_at": show(last_at)}
            for bend, (count, last_at) in vens.bends_of(txn, ven_id).items()
        },
        "outbox": [without_document(entry) for entry in outbox.history(txn, ven_id, _RECENT)],
        "ledger": [show(line) for line in events.lines_of_ven(txn, ven_id, _RECENT)],
        "capabilities": capability and _capability(capability),
        "report_requests": [request_row(request) for request in requests if request.report_request_id not in old],
        "opts": [without_document(opt) for opt in opts.of_ven(txn, ven_id)],
    }


def _view(txn: Txn, ven: Ven, now: datetime) -> dict[str, Any]:
    return _whole(txn, ven.ven_id)


def _candidates(txn: Txn) -> list[dict[str, Any]]:
    return [_candidate(candidate) for candidate in vens.list_candidates(txn)]


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        **_fingerprint(candidate.full),
        "subject": candidate.subject,
        "ven_id": candidate.ven_id,
        "ven_name": candidate.ven_name,
        "first_seen": show(candidate.first_seen),
        "last_seen": show(candidate.last_seen),
    }


def _fingerprint(known: bytes) -> dict[str, str | None]:
    whole = fingerprint.show(known) if len(known) == fingerprint.FULL else None
    return {"fingerprint": fingerprint.show(fingerprint.short(known)), "sha256": whole}


def _capability(capability: reports.Capability) -> dict[str, Any]:
    offer = from_xml(OadrRegisterReport, capability.document)
    return {"received_at": show(capability.received_at), "reports": [_offered(report) for report in offer.reports]}


def _offered(report: OadrReport) -> dict[str, Any]:
    return {
        "report_specifier_id": report.report_specifier_id,
        "report_name": (report.report_name or "").removeprefix("METADATA_") or None,
        "data_points": [
            {
                "r_id": point.r_id,
                "report_type": point.report_type,
                "reading_type": point.reading_type,
                "unit": _unit(point.item_base),
                "resource_ids": list(point.data_source.resource_ids) if point.data_source else [],
                "min_period": show(point.sampling_rate and point.sampling_rate.min_period),
                "max_period": show(point.sampling_rate and point.sampling_rate.max_period),
            }
            for point in report.descriptions
        ],
    }


def _unit(item_base: ItemBase | None) -> str | None:
    """A unit with its scale, ``kW``."""
    scale, unit = (getattr(item_base, name, None) for name in ("si_scale_code", "item_units"))
    return f"{'' if scale in (None, 'none') else scale}{unit}" if unit else None


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/vens")
async def list_vens(desk: Desk, request: IRequest) -> bytes:
    """All VENs."""
    desk.query(request, Nothing)
    return answer(request, {"vens": await desk.fresh("list vens", _list)})


@route("POST", "/vens")
async def add_ven(desk: Desk, request: IRequest) -> bytes:
    """A new VEN, known by one or two certificates."""
    new = desk.body(request, NewVen)
    wish = desk.query(request, Rehearsal)
    rule = then(registration.add_new, _view)
    row = await desk.write(wish, rule, desk.vtn.config, new.ven_id, new.name or new.ven_id, new.fingerprints)
    return created(request, wish, row, "vens", new.ven_id)


@route("GET", "/vens/<id:ven_id>")
async def show_ven(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """All about a VEN."""
    desk.query(request, Nothing)
    return answer(request, await desk.fresh("show ven", _whole, ven_id))


@route("PATCH", "/vens/<id:ven_id>")
async def change_ven(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """Another name, poll frequency or leniency, other certificates: two while a VEN changes from one to the other."""
    changes = desk.changes(request, VenChanges)
    return answer(request, await desk.change(request, then(_change, _view), desk.vtn.config, ven_id, changes))


def _change(txn: Txn, config: Config, ven_id: str, changes: dict[str, Any], now: datetime) -> tuple[Ven, Changes]:
    ven = registration.current(txn, ven_id)
    if changes.keys() & {"name", "fingerprints"}:
        if ven.source == "config":
            raise NotAllowed(f"VEN {ven_id!r} is listed in the configuration file: change it there")
        known = changes.get("fingerprints")
        known = vens.fingerprints(txn, ven_id) if known is None else known
        registration.add(txn, config, ven_id, changes.get("name") or ven.name, known, "operator", now)
    if "poll_frequency" in changes:
        registration.set_poll_frequency(txn, config, ven_id, changes["poll_frequency"], now)
    if "leniency" in changes:
        registration.set_leniency(txn, ven_id, changes["leniency"], now)
    return ven, Changes.of(ven_id)


@route("DELETE", "/vens/<id:ven_id>")
async def remove_ven(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """Forget a VEN and all that came from it."""
    await desk.change(request, registration.remove, ven_id)
    return gone(request)


@route("POST", "/vens/<id:ven_id>/request-reregistration")
async def request_reregistration(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """Queue the wish that a VEN registers again."""
    return await _queue(desk, request, registration.request_reregistration, ven_id)


@route("POST", "/vens/<id:ven_id>/cancel-registration")
async def cancel_registration(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """Queue the end of a VEN's registration."""
    return await _queue(desk, request, registration.request_cancellation, ven_id)


async def _queue(desk: Desk, request: IRequest, rule: Callable[..., tuple[None, Changes]], ven_id: str) -> bytes:
    desk.body(request, Nothing)
    view = then(rule, lambda txn, _, now: _whole(txn, ven_id))
    return answer(request, await desk.change(request, view, ven_id), 202)


@route("GET", "/candidates")
async def list_candidates(desk: Desk, request: IRequest) -> bytes:
    """The certificates that wait for approval."""
    desk.query(request, Nothing)
    return answer(request, {"candidates": await desk.read("list candidates", _candidates)})


@route("POST", "/candidates/<id:known>/approve")
async def approve(desk: Desk, request: IRequest, known: str) -> bytes:
    """Let in a certificate that waits."""
    approval = desk.body(request, Approval)
    wish = desk.query(request, Rehearsal)
    try:
        parsed = fingerprint.parse(known)
    except ValueError as error:
        mistake = {"parameter": "fingerprint", "detail": str(error)}
        raise Problem(422, f"fingerprint: {error}", errors=[mistake]) from None
    rule = then(registration.approve, _view)
    row = await desk.write(wish, rule, desk.vtn.config, parsed, approval.ven_id, approval.name)
    return created(request, wish, row, "vens", row["ven_id"])
