"""Reports behind the desk: what is wanted of all VENs, what was asked of one, and what VENs asked of the VTN."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..model.config import WantedReport
from ..model.report import OadrReportRequest
from ..storage import provided, reports
from ..storage.database import Txn
from ..storage.reports import ReportRequest
from ..vtn import requests, wishes
from ..vtn.registration import current
from ..vtn.requests import RequestSpec
from ..vtn.wishes import Wish
from ..wire.codec import from_xml
from .desk import Desk, Rehearsal, answer, created, gone, route, then
from .shapes import A_THOUSAND, NO_TIME, Limit, Nothing, Seconds, show, without_document

# --- what is asked ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Request:
    """A report that is wanted of one VEN: see RequestSpec."""

    report_specifier_id: str
    r_ids: tuple[str, ...] = ()
    granularity: Seconds = NO_TIME
    report_back_duration: Seconds = NO_TIME
    dtstart: datetime | None = None
    duration: Seconds | None = None


@attrs.frozen(kw_only=True)
class NewRequests:
    """What a VEN is asked for in one message."""

    requests: tuple[Request, ...]


@attrs.frozen(kw_only=True)
class RequestsQuery:
    """The newest ``limit`` requests."""

    limit: Limit = A_THOUSAND


@attrs.frozen(kw_only=True)
class EndOfRequests:
    """Which reports a VEN is to stop, and whether it sends a last one of each."""

    report_request_ids: tuple[str, ...]
    report_to_follow: bool = False


# --- what is shown ------------------------------------------------------------------------------------


def _wish(wish: Wish) -> dict[str, Any]:
    return {"wish_id": wish.wish_id, "source": wish.source, **show(wish.wanted)}


def request_row(request: ReportRequest) -> dict[str, Any]:
    """A request, with the data points that it names."""
    specifier = from_xml(OadrReportRequest, request.document).report_specifier
    return {**without_document(request), "r_ids": [payload.r_id for payload in specifier.specifier_payloads]}


def _requests(txn: Txn, ven_id: str, query: RequestsQuery) -> list[dict[str, Any]]:
    current(txn, ven_id)
    return [request_row(request) for request in reports.requests_of(txn, ven_id)[-query.limit :]]


def _rows(txn: Txn, found: list[ReportRequest], now: datetime) -> list[dict[str, Any]]:
    return [request_row(request) for request in found]


def _provided(txn: Txn, ven_id: str) -> list[dict[str, Any]]:
    current(txn, ven_id)
    return [without_document(request) for request in provided.listed(txn, ven_id)]


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/wishes")
async def list_wishes(desk: Desk, request: IRequest) -> bytes:
    """The readings that are wanted of every VEN that offers them."""
    desk.query(request, Nothing)
    found = await desk.read("list wishes", wishes.wishes, desk.vtn.config)
    return answer(request, {"wishes": [_wish(wish) for wish in found]})


@route("POST", "/wishes")
async def add_wish(desk: Desk, request: IRequest) -> bytes:
    """Want readings of every VEN that offers them, now and when it registers again."""
    wanted = desk.body(request, WantedReport)
    query = desk.query(request, Rehearsal)
    wish = await desk.write(query, wishes.add_wish, desk.vtn.config, wanted)
    return created(request, query, _wish(wish), "wishes", wish.wish_id)


@route("DELETE", "/wishes/<id:wish_id>")
async def remove_wish(desk: Desk, request: IRequest, wish_id: str) -> bytes:
    """Want them no more: the VENs are told to stop."""
    await desk.change(request, wishes.remove_wish, desk.vtn.config, wish_id)
    return gone(request)


@route("GET", "/vens/<id:ven_id>/requests")
async def list_requests(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """The reports that a VEN was asked for, the newest last."""
    query = desk.query(request, RequestsQuery)
    return answer(request, {"report_requests": await desk.read("list requests", _requests, ven_id, query)})


@route("POST", "/vens/<id:ven_id>/requests")
async def make_requests(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """Ask a VEN for reports, all in one message."""
    wanted = desk.body(request, NewRequests).requests
    query = desk.query(request, Rehearsal)
    specs = [RequestSpec(**attrs.asdict(each, recurse=False)) for each in wanted]
    rows = await desk.write(query, then(requests.request, _rows), ven_id, specs)
    return created(request, query, {"report_requests": rows}, "vens", ven_id, "requests")


@route("POST", "/vens/<id:ven_id>/requests/cancel")
async def cancel_requests(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """Have a VEN stop reports."""
    end = desk.body(request, EndOfRequests)
    rule = then(requests.cancel, _rows)
    rows = await desk.change(request, rule, ven_id, end.report_request_ids, end.report_to_follow)
    return answer(request, {"report_requests": rows})


@route("GET", "/vens/<id:ven_id>/provided")
async def list_provided(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """The reports of this VTN that a VEN asked for."""
    desk.query(request, Nothing)
    return answer(request, {"provided": await desk.read("list provided", _provided, ven_id)})
