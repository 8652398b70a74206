"""Reports behind the desk: what is wanted of all VENs, what was asked of one, and what VENs asked of the VTN."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import attrs
from twisted.web.iweb import IRequest

from ..model.config import Config, WantedReport
from ..model.report import OadrReportRequest
from ..storage import provided, reports
from ..storage.database import Txn
from ..storage.reports import ReportRequest
from ..storage.tables import microseconds
from ..vtn import requests, wishes
from ..vtn.outbox import with_room
from ..vtn.registration import current
from ..vtn.requests import RequestSpec
from ..vtn.wishes import Wish
from ..wire.codec import from_xml
from .desk import Desk, Page, Rehearsal, answer, cut, etag, listed, route
from .shapes import (
    A_HUNDRED,
    HIDDEN,
    NO_TIME,
    ByName,
    ByTime,
    PageSize,
    Seconds,
    many,
    page_of,
    shape,
    show,
    without_document,
)

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
    """Requests, the newest ``limit`` of them before a ``cursor``; those in a ``state``."""

    state: reports.State | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByTime | None = None


@attrs.frozen(kw_only=True)
class WishesQuery:
    """Wishes by who made them and their IDs; those of a ``source``."""

    source: Literal["config", "operator"] | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByName | None = None


@attrs.frozen(kw_only=True)
class EndOfRequests:
    """Which reports a VEN is to stop, and whether it sends a last one of each."""

    report_request_ids: tuple[str, ...]
    report_to_follow: bool = False


# --- what is shown ------------------------------------------------------------------------------------


_WISH = shape("Wish", WantedReport, wish_id=str, source=str)
REQUEST = shape("ReportRequest", ReportRequest, without=HIDDEN, r_ids=many(str))
"""A request of a report."""
_REQUESTS = shape("ReportRequests", report_requests=many(REQUEST))
_PROVIDED = shape("ProvidedReports", provided=many(shape("ProvidedReport", provided.Provided, without=HIDDEN)))


def _wish(wish: Wish) -> dict[str, Any]:
    return {"wish_id": wish.wish_id, "source": wish.source, **show(wish.wanted)}


def request_row(request: ReportRequest) -> dict[str, Any]:
    """A request, with the data points that it names."""
    specifier = from_xml(OadrReportRequest, request.document).report_specifier
    return {**without_document(request), "r_ids": [payload.r_id for payload in specifier.specifier_payloads]}


def _requests(txn: Txn, ven_id: str, query: RequestsQuery) -> tuple[Page, str]:
    tag = _requests_tag(txn, ven_id)
    found = reports.found_requests(txn, ven_id, query.cursor, query.limit, query.state)[::-1]
    rows, last = cut(found, query.limit, _key, backwards=True)
    return ([request_row(request) for request in rows], last), tag


def _requests_tag(txn: Txn, ven_id: str) -> str:
    """The ETag of what a VEN was asked for: of what it offers, and of all requests, each in its state."""
    current(txn, ven_id)
    return etag([reports.current_version(txn, ven_id), *reports.states_of(txn, ven_id)])


def _key(request: ReportRequest) -> tuple[int, str]:
    return microseconds(request.created_at), request.report_request_id


def _wishes(txn: Txn, config: Config, query: WishesQuery) -> Page:
    found = {f"{wish.source} {wish.wish_id}": wish for wish in wishes.wishes(txn, config)}
    begun = [
        key for key in sorted(found) if (key,) > (query.cursor or ()) and query.source in (None, found[key].source)
    ]
    rows, last = cut(begun, query.limit, lambda key: (key,))
    return [_wish(found[key]) for key in rows], last


def _rows(txn: Txn, found: list[ReportRequest], now: datetime) -> dict[str, Any]:
    return {"report_requests": [request_row(request) for request in found]}


def _provided(txn: Txn, ven_id: str) -> list[dict[str, Any]]:
    current(txn, ven_id)
    return [without_document(request) for request in provided.listed(txn, ven_id)]


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/wishes", "read", page_of("wishes", _WISH))
async def list_wishes(desk: Desk, request: IRequest, query: WishesQuery) -> bytes:
    """The readings that are wanted of every VEN that offers them."""
    return listed(request, "wishes", await desk.read("list wishes", _wishes, desk.vtn.config, query))


@route("POST", "/wishes", "dispatch", _WISH, 201)
async def add_wish(desk: Desk, request: IRequest, query: Rehearsal, body: WantedReport) -> bytes:
    """Want readings of every VEN that offers them, now and when it registers again."""
    return await desk.do(
        request, query, wishes.add_wish, desk.vtn.config, body,
        show=lambda txn, wish, now: _wish(wish), tag=lambda txn, row: _wish_tag(row),
        where=lambda row: ("wishes", row["wish_id"]),
    )  # fmt: skip


def _wish_tag(row: dict[str, Any]) -> str:
    """The ETag of a wish is its ID, which says what the wish says."""
    return f'"{row["wish_id"]}"'


@route("GET", "/wishes/<id:wish_id>", "read", _WISH)
async def show_wish(desk: Desk, request: IRequest, wish_id: str) -> bytes:
    """What is wanted of every VEN that offers it."""
    row = await desk.read("show wish", lambda txn: _wish(wishes.known(txn, desk.vtn.config, wish_id)))
    return answer(request, row, etag=_wish_tag(row))


@route("DELETE", "/wishes/<id:wish_id>", "dispatch", None, 204)
async def remove_wish(desk: Desk, request: IRequest, query: Rehearsal, wish_id: str) -> bytes:
    """Want them no more: the VENs are told to stop."""
    config = desk.vtn.config
    return await desk.do(
        request, query, wishes.remove_wish, config, wish_id,
        status=204, present=lambda txn: _wish_tag(_wish(wishes.known(txn, config, wish_id))),
    )  # fmt: skip


@route("GET", "/vens/<id:ven_id>/requests", "read", page_of("report_requests", REQUEST))
async def list_requests(desk: Desk, request: IRequest, query: RequestsQuery, ven_id: str) -> bytes:
    """The reports that a VEN was asked for, the newest last."""
    page, tag = await desk.read("list requests", _requests, ven_id, query)
    return listed(request, "report_requests", page, etag=tag)


@route("POST", "/vens/<id:ven_id>/requests", "dispatch", _REQUESTS, 201)
async def make_requests(desk: Desk, request: IRequest, query: Rehearsal, body: NewRequests, ven_id: str) -> bytes:
    """Ask a VEN for reports, all in one message."""
    specs = [RequestSpec(**attrs.asdict(each, recurse=False)) for each in body.requests]
    return await desk.do(
        request, query, with_room(desk.vtn.config.limits.outbox, requests.request), ven_id, specs,
        show=_rows, where=lambda rows: ("vens", ven_id, "requests"), present=lambda txn: _requests_tag(txn, ven_id),
    )  # fmt: skip


@route("POST", "/vens/<id:ven_id>/requests/cancel", "dispatch", _REQUESTS)
async def cancel_requests(desk: Desk, request: IRequest, query: Rehearsal, body: EndOfRequests, ven_id: str) -> bytes:
    """Have a VEN stop reports."""
    return await desk.do(
        request, query, requests.cancel, ven_id, body.report_request_ids, body.report_to_follow,
        show=_rows, present=lambda txn: _requests_tag(txn, ven_id),
    )  # fmt: skip


@route("GET", "/vens/<id:ven_id>/provided", "read", _PROVIDED)
async def list_provided(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """The reports of this VTN that a VEN asked for."""
    return answer(request, {"provided": await desk.read("list provided", _provided, ven_id)})
