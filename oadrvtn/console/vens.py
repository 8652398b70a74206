"""VENs behind the desk: who may come in, who waits, and all that is known of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import attrs
from twisted.web.iweb import IRequest

from ..model.config import Config
from ..model.errors import InvalidData, NotAllowed
from ..model.event import ItemBase
from ..model.report import OadrRegisterReport, OadrReport
from ..model.values import Duration
from ..security import fingerprint
from ..security.certificates import Description
from ..storage import audience, events, opts, outbox, reports, vens
from ..storage import certificates as stored_certificates
from ..storage.audience import GROUP, PROGRAM
from ..storage.database import Txn
from ..storage.tables import microseconds
from ..storage.vens import Candidate, Ven
from ..vtn import certificates, imports, registration
from ..vtn.audience import KINDS
from ..vtn.changes import Changes
from ..vtn.traces import Traced, Who, who
from ..wire import bends
from ..wire.codec import from_xml
from .certificates import CERTIFICATE, KNOWN_BY, certificate_row, known_by
from .desk import Desk, Given, Many, Page, Problem, Rehearsal, answer, cut, etag, listed, route
from .groups import TRAITS, revision, traits
from .reports import REQUEST, request_row
from .shapes import (
    A_HUNDRED,
    HIDDEN,
    THE_FIRST,
    ByName,
    ByNumber,
    ByTime,
    Fingerprint,
    Flag,
    Name,
    Nothing,
    PageSize,
    Pem,
    Seconds,
    by_name,
    many,
    page_of,
    shape,
    show,
    without_document,
)

_RECENT = 50
"""So many entries, lines, and requests that are over are shown of a VEN, the newest."""


# --- what is asked ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class VensQuery:
    """VENs by their IDs: those with ``q`` in their ID or a name, with a leniency (own or configured), of a group..."""

    q: str | None = None
    online: Flag | None = None
    registered: Flag | None = None
    suspended: Flag | None = None
    group_id: str | None = None
    leniency: Literal[tuple(bends.PROFILES)] | None = None  # type: ignore[valid-type]
    limit: PageSize = A_HUNDRED
    cursor: ByName | None = None


@attrs.frozen(kw_only=True)
class CandidatesQuery:
    """Certificates that wait, the last to come first; those with ``q`` in what they say of themselves."""

    q: str | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByTime | None = None


@attrs.frozen(kw_only=True)
class TraceQuery:
    """The messages that are remembered: all, or those that came since, with the ``cursor`` of the last look."""

    cursor: ByNumber = THE_FIRST


@attrs.frozen(kw_only=True)
class NewVen:
    """A VEN that is to be let in, known by fingerprints or by whole certificates."""

    ven_id: Name
    name: str | None = None
    fingerprints: tuple[Fingerprint, ...] | None = None
    certificates: tuple[Pem, ...] = ()


@attrs.frozen(kw_only=True)
class _ImportedVen:
    ven_id: Name
    name: str | None = None
    fingerprints: tuple[Fingerprint, ...]
    poll_frequency: Seconds | None = None
    leniency: str | None = None
    signatures: str | None = None
    signing_fingerprint: Fingerprint | None = None


_TRAITS = {kind: attrs.field(type=tuple[str, ...], default=()) for kind in KINDS}
ImportedVen = attrs.make_class("ImportedVen", _TRAITS, bases=(_ImportedVen,), kw_only=True, frozen=True)
"""A VEN of many; what is left out is as configured.  ``signing_fingerprint`` is the whole SHA-256."""


@attrs.frozen(kw_only=True)
class VenChanges:
    """What is to be different with a VEN; of what may be as configured, None says that it is.

    ``poll_frequency`` is in seconds; ``signing_fingerprint`` None: it signs with the certificate of its connections.
    """

    name: Name | None = None
    fingerprints: tuple[Fingerprint, ...] | None = None
    certificates: tuple[Pem, ...] | None = None
    poll_frequency: Seconds | None = None
    leniency: str | None = None
    signatures: str | None = None
    signing_fingerprint: Fingerprint | None = None


@attrs.frozen(kw_only=True)
class Approval:
    """As whom a certificate that waits is let in."""

    ven_id: Name | None = None
    name: str | None = None


# --- what is shown ------------------------------------------------------------------------------------


_CANDIDATE = shape("WaitingCertificate", KNOWN_BY, Candidate, without=("full",))
_ROW = shape("VenRow", Ven, signing_fingerprint=str | None, registered=bool, fingerprints=many(KNOWN_BY))
_LISTED = shape("ListedVen", _ROW, dict.fromkeys(KINDS, many(str)), maybe={*KINDS} - {GROUP, PROGRAM})
_POINT = shape(
    "OfferedDataPoint",
    r_id=str, report_type=str, reading_type=str, unit=str | None, resource_ids=many(str),
    min_period=Duration | None, max_period=Duration | None,
)  # fmt: skip
_OFFERED = shape("OfferedReport", report_specifier_id=str, report_name=str | None, data_points=many(_POINT))
_ALL = shape(
    "VenWithAll", _ROW, fingerprints=many(CERTIFICATE),
    traits=TRAITS, bends=by_name(shape("BendCount", count=int, last_at=datetime)),
    outbox=many(shape("OutboxEntry", outbox.Entry, without=HIDDEN)), ledger=many(events.Line),
    capabilities=shape("Capabilities", received_at=datetime, reports=many(_OFFERED)) | None,
    report_requests=many(REQUEST), opts=many(shape("OptOfVen", opts.Opt, without=HIDDEN)),
)  # fmt: skip


_TRACE = page_of("messages", shape("TracedMessage", Traced, without=("head",), document=str))


def _row(ven: Ven) -> dict[str, Any]:
    signing = ven.signing_fingerprint and fingerprint.show(ven.signing_fingerprint)
    return {
        **show(attrs.evolve(ven, signing_fingerprint=None)),
        "signing_fingerprint": signing,
        "registered": ven.registered,
    }


_ALWAYS = (GROUP, PROGRAM)
"""The kinds of traits that lists show also of VENs without any."""


def _list(txn: Txn, config: Config, query: VensQuery) -> Page:
    found = vens.found(
        txn, query.cursor, query.limit, text=query.q, online=query.online, registered=query.registered,
        suspended=query.suspended, leniency=query.leniency, usual_leniency=config.registration.leniency,
        group_id=query.group_id,
    )  # fmt: skip
    page, last = cut(found, query.limit, lambda ven: (ven.ven_id,))
    ids = [ven.ven_id for ven in page]
    known, said = vens.fingerprints_of(txn, ids), audience.said_of(txn, ids, KINDS)
    rows = [
        {
            **_row(ven),
            "fingerprints": [_known_by(each) for each in known.get(ven.ven_id, ())],
            **dict.fromkeys(_ALWAYS, ()),
            **{kind: values for kind in KINDS if (values := said.get((ven.ven_id, kind)))},
        }
        for ven in page
    ]
    return rows, last


def _whole(txn: Txn, ven_id: str) -> dict[str, Any]:
    """All about a VEN, but for its readings.  Raises InvalidID."""
    capability = reports.current_capability(txn, ven_id)
    requests = [request for request in reports.requests_of(txn, ven_id) if request.state != "superseded"]
    over = [request.report_request_id for request in requests if request.state not in reports.OPEN]
    old = set(over[:-_RECENT])
    return {
        **_row(registration.current(txn, ven_id)),
        "fingerprints": [certificate_row(each) for each in stored_certificates.of_ven(txn, ven_id)],
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


def _candidates(txn: Txn, query: CandidatesQuery) -> Page:
    found = vens.found_candidates(txn, query.cursor, query.limit, query.q)
    rows, last = cut(found, query.limit, lambda each: (microseconds(each.first_seen), each.full.hex().upper()))
    return [_candidate(candidate) for candidate in rows], last


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        **_known_by(candidate.full),
        "subject": candidate.subject,
        "ven_id": candidate.ven_id,
        "ven_name": candidate.ven_name,
        "first_seen": show(candidate.first_seen),
        "last_seen": show(candidate.last_seen),
    }


def _known_by(known: bytes) -> dict[str, str | None]:
    return known_by(fingerprint.short(known), known if len(known) == fingerprint.FULL else None)


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


@route("GET", "/vens", "read", page_of("vens", _LISTED))
async def list_vens(desk: Desk, request: IRequest, query: VensQuery) -> bytes:
    """All VENs, or some."""
    return listed(request, "vens", await desk.fresh("list vens", _list, desk.vtn.config, query))


@route("POST", "/vens", "admin", _ALL, 201)
async def add_ven(desk: Desk, request: IRequest, query: Rehearsal, body: NewVen) -> bytes:
    """A new VEN, known by one or two certificates."""
    return await desk.do(request, query, _add, desk.vtn.config, body, show=_view, where=_place, tag=_tag)


def _add(txn: Txn, config: Config, new: NewVen, now: datetime) -> tuple[Ven, Changes]:
    if new.fingerprints is None and not new.certificates:
        raise InvalidData.at("fingerprints", "is missing")
    known = _known(new.fingerprints, new.certificates)
    done = registration.add_new(txn, config, new.ven_id, new.name or new.ven_id, known, now)
    stored_certificates.note(txn, [certificates.row(each) for each in new.certificates])
    return done


def _known(fingerprints: Sequence[bytes] | None, described: Sequence[Description] | None) -> list[bytes]:
    """By what a VEN is known: fingerprints, and those of certificates."""
    return [*(fingerprints or ()), *(fingerprint.parse(each.sha256) for each in described or ())]


def _tag(txn: Txn, row: dict[str, Any]) -> str:
    return revision(txn, row["ven_id"])


def _present(ven_id: str) -> Callable[[Txn], str]:
    return lambda txn: revision(txn, ven_id)


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    return "vens", row["ven_id"]


@route("POST", "/vens/import", "admin", shape("Imported", imported=int))
async def import_vens(
    desk: Desk,
    request: IRequest,
    query: Rehearsal,
    body: Many[ImportedVen],  # type: ignore[valid-type]
) -> bytes:
    """Many new VENs, all or none: a list, or CSV with these columns, in whose lists the values stand between ";"."""
    return await desk.do(
        request, query, _import, desk.vtn.config, body,
        show=lambda txn, number, now: {"imported": number},
    )  # fmt: skip


def _import(txn: Txn, config: Config, body: Many[Any], now: datetime) -> tuple[int, Changes]:
    new = [ven and imports.NewVen(**_named(ven)) for ven in body.items]
    return imports.import_vens(txn, config, new, body.mistakes, now)


def _named(ven: Any) -> dict[str, Any]:
    fields = attrs.asdict(ven, recurse=False)
    traits = {kind: values for kind in KINDS if (values := fields.pop(kind))}
    return fields | {"name": ven.name or ven.ven_id, "traits": traits}


@route("GET", "/vens/<id:ven_id>", "read", _ALL)
async def show_ven(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """All about a VEN."""
    row, tag = await desk.fresh("show ven", lambda txn: (_whole(txn, ven_id), revision(txn, ven_id)))
    return answer(request, row, etag=tag)


@route("GET", "/vens/<id:ven_id>/trace", "read", shape("TraceOfVen", _TRACE, ven_id=str, idle_polls=int))
async def show_trace(desk: Desk, request: IRequest, query: TraceQuery, ven_id: str) -> bytes:
    """The last messages of a VEN, both ways, and what was wrong with them."""
    ven = await desk.read("trace", registration.current, ven_id)
    entry = desk.vtn.roster.get(ven_id)
    return _traced(desk, request, query, who(ven, b""), ven_id=ven_id, idle_polls=entry.idle_polls if entry else 0)


@route("GET", "/candidates/<id:fingerprint>/trace", "read", _TRACE)
async def show_trace_of_candidate(desk: Desk, request: IRequest, query: TraceQuery, fingerprint: str) -> bytes:
    """The last messages of a certificate that no VEN has, whether it waits for approval or was refused."""
    return _traced(desk, request, query, who(None, _parsed(fingerprint)))


def _traced(desk: Desk, request: IRequest, query: TraceQuery, of: Who, **more: Any) -> bytes:
    rows = [_message(each) for each in desk.vtn.traces.since(of, *query.cursor)]
    last = (rows[-1]["number"],) if rows else query.cursor
    return listed(request, "messages", (rows, last), **more)


def _message(traced: Traced) -> dict[str, Any]:
    row: dict[str, Any] = show(traced)
    del row["head"]
    return row | {"document": traced.document}


@route("PATCH", "/vens/<id:ven_id>", "admin", _ALL)
async def change_ven(desk: Desk, request: IRequest, query: Rehearsal, body: Given[VenChanges], ven_id: str) -> bytes:
    """Another name, poll frequency or leniency, other signatures; other certificates: two while a VEN changes them."""
    return await desk.do(request, query, _change, desk.vtn.config, ven_id, body, show=_view, present=_present(ven_id))


def _change(txn: Txn, config: Config, ven_id: str, changes: dict[str, Any], now: datetime) -> tuple[Ven, Changes]:
    ven = registration.current(txn, ven_id)
    if changes.keys() & {"name", "fingerprints", "certificates"}:
        if ven.source == "config":
            raise NotAllowed(f"VEN {ven_id!r} is listed in the configuration file: change it there")
        described = changes.get("certificates") or ()
        known = _known(changes.get("fingerprints"), described)
        if changes.get("fingerprints") is None and not described:
            known = vens.fingerprints(txn, ven_id)
        registration.add(txn, config, ven_id, changes.get("name") or ven.name, known, "operator", now)
        stored_certificates.note(txn, [certificates.row(each) for each in described])
    if "poll_frequency" in changes:
        registration.set_poll_frequency(txn, config, ven_id, changes["poll_frequency"], now)
    if "leniency" in changes:
        registration.set_leniency(txn, ven_id, changes["leniency"], now)
    if "signatures" in changes:
        registration.set_signatures(txn, ven_id, changes["signatures"], now)
    if "signing_fingerprint" in changes:
        registration.set_signing_fingerprint(txn, ven_id, changes["signing_fingerprint"], now)
    return ven, Changes.of(ven_id)


@route("DELETE", "/vens/<id:ven_id>", "admin", None, 204)
async def remove_ven(desk: Desk, request: IRequest, query: Rehearsal, ven_id: str) -> bytes:
    """Forget a VEN and all that came from it."""
    return await desk.do(request, query, registration.remove, ven_id, status=204, present=_present(ven_id))


@route("POST", "/vens/<id:ven_id>/suspend", "admin", _ALL)
async def suspend(desk: Desk, request: IRequest, query: Rehearsal, body: Nothing, ven_id: str) -> bytes:
    """Take nothing from a VEN any more, until it is resumed."""
    return await desk.do(request, query, certificates.suspend, ven_id, show=_view, present=_present(ven_id))


@route("POST", "/vens/<id:ven_id>/resume", "admin", _ALL)
async def resume(desk: Desk, request: IRequest, query: Rehearsal, body: Nothing, ven_id: str) -> bytes:
    """End the suspension of a VEN."""
    return await desk.do(request, query, certificates.resume, ven_id, show=_view, present=_present(ven_id))


@route("POST", "/vens/<id:ven_id>/request-reregistration", "dispatch", _ALL, 202)
async def request_reregistration(desk: Desk, request: IRequest, query: Rehearsal, body: Nothing, ven_id: str) -> bytes:
    """Queue the wish that a VEN registers again."""
    return await _queue(desk, request, query, registration.request_reregistration, ven_id)


@route("POST", "/vens/<id:ven_id>/cancel-registration", "admin", _ALL, 202)
async def cancel_registration(desk: Desk, request: IRequest, query: Rehearsal, body: Nothing, ven_id: str) -> bytes:
    """Queue the end of a VEN's registration."""
    return await _queue(desk, request, query, registration.request_cancellation, ven_id)


async def _queue(
    desk: Desk, request: IRequest, wish: Rehearsal, rule: Callable[..., tuple[None, Changes]], ven_id: str
) -> bytes:
    return await desk.do(
        request, wish, rule, ven_id,
        show=lambda txn, reply, now: _whole(txn, ven_id), status=202, present=_present(ven_id),
    )  # fmt: skip


@route("GET", "/candidates", "read", page_of("candidates", _CANDIDATE))
async def list_candidates(desk: Desk, request: IRequest, query: CandidatesQuery) -> bytes:
    """The certificates that wait for approval."""
    return listed(request, "candidates", await desk.read("list candidates", _candidates, query))


@route("GET", "/candidates/<id:fingerprint>", "read", _CANDIDATE)
async def show_candidate(desk: Desk, request: IRequest, fingerprint: str) -> bytes:
    """A certificate that waits for approval, by its fingerprint."""
    candidate = await desk.read("show candidate", registration.waiting, _parsed(fingerprint))
    return answer(request, _candidate(candidate), etag=_candidate_tag(candidate))


@route("POST", "/candidates/<id:fingerprint>/approve", "admin", _ALL, 201)
async def approve(desk: Desk, request: IRequest, query: Rehearsal, body: Approval, fingerprint: str) -> bytes:
    """Let in a certificate that waits; If-Match names the ETag of what it says of itself."""
    known = _parsed(fingerprint)
    return await desk.do(
        request, query, registration.approve, desk.vtn.config, known, body.ven_id, body.name,
        show=_view, where=_place, present=lambda txn: _candidate_tag(registration.waiting(txn, known)), tag=_tag,
    )  # fmt: skip


def _parsed(known: str) -> bytes:
    try:
        return fingerprint.parse(known)
    except ValueError as error:
        mistake = {"parameter": "fingerprint", "detail": str(error)}
        raise Problem(422, f"fingerprint: {error}", errors=[mistake]) from None


def _candidate_tag(candidate: Candidate) -> str:
    """The ETag of a candidate: of what it says of itself, which is what is approved."""
    return etag([candidate.full.hex(), candidate.ven_id, candidate.ven_name])
