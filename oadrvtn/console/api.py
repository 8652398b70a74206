"""The operator's API: JSON under /api/v1 with a bearer token; /health and /metrics without one.

Errors are problem documents (RFC 9457).  A write is one transaction that also gathers what is answered.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

from klein import Klein
from prometheus_client import CONTENT_TYPE_LATEST
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID, NotAllowed, NotRegistered, OutOfSequence, VtnError
from ..model.values import shown
from ..security import fingerprint
from ..storage import vens
from ..storage.database import Txn
from ..storage.vens import Ven
from ..vtn import events, registration
from ..vtn.changes import Changes
from ..vtn.vtn import Vtn
from . import views
from .metrics import Metrics
from .shapes import (
    Approval,
    Cancellation,
    EventsQuery,
    Mistakes,
    NewVen,
    Nothing,
    Reader,
    ReadingsQuery,
    VenChanges,
    show,
)

T = TypeVar("T")

log = Logger()

MOST_BODY = 1024 * 1024
"""Bytes that a request's body may have."""

HEALTH_TIMEOUT = 5.0
"""Seconds in which a healthy database answers."""

_V1 = "/api/v1"
_PUBLIC = (b"health", b"metrics")

_STATUS: dict[type[VtnError], int] = {
    InvalidID: 404,
    NotAllowed: 409,
    OutOfSequence: 409,
    NotRegistered: 403,
    InvalidData: 422,
}
"""HTTP's word for what a rule refuses; 422 for all others."""


class Problem(Exception):
    """A request that fails for reasons of HTTP: status, and what the answer says of it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class _Identifier(BaseConverter):
    """An ID within a path: any text, slashes included."""

    regex = ".+?"
    part_isolating = False


# --- answers ------------------------------------------------------------------------------------------


def _answer(request: IRequest, data: Any, status: int = 200) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    return (data if isinstance(data, str) else json.dumps(data, allow_nan=False)).encode() + b"\n"


def _problem(request: IRequest, status: int, detail: str, **more: Any) -> bytes:
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    content = _answer(request, problem, status)
    request.setHeader(b"Content-Type", b"application/problem+json")
    return content


def _path(request: IRequest) -> bytes:
    """The path as klein will read it: decoded, also where that makes slashes of %2F."""
    return b"/".join(request.postpath)


# --- what is asked ------------------------------------------------------------------------------------


def _body(request: IRequest) -> Any:
    """What the body says; {} where it is empty."""
    try:
        return json.loads(request.content.read().strip() or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON: {error}") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _query(request: IRequest) -> dict[str, str]:
    """The query; of what is said twice, the last."""
    try:
        return {name.decode(): values[-1].decode() for name, values in request.args.items()}
    except UnicodeDecodeError:
        raise Problem(400, "the query is not UTF-8") from None


def _if_match(request: IRequest) -> int | None:
    """The modification number that If-Match asks for; the ETag of an event is its modification number."""
    text = (request.getHeader(b"If-Match") or b"*").decode("latin-1").strip()
    if text == "*":
        return None
    if not (found := re.fullmatch('"([0-9]{1,10})"', text)):
        raise Problem(400, f'If-Match: {shown(text)} is not a modification number in quotes, such as "0"')
    return int(found[1])


# --- rules with their views -----------------------------------------------------------------------------


def _then(
    rule: Callable[..., tuple[Any, Changes]], view: Callable[[Txn, Any, datetime], T]
) -> Callable[..., tuple[T, Changes]]:
    """The rule, with what the view makes of its reply in the same transaction."""

    def both(txn: Txn, *arguments: Any) -> tuple[T, Changes]:
        reply, changes = rule(txn, *arguments)
        return view(txn, reply, arguments[-1]), changes

    return both


def _view_ven(txn: Txn, ven: Ven, now: datetime) -> dict[str, Any]:
    return views.ven(txn, ven.ven_id)


def _change_ven(txn: Txn, config: Config, ven_id: str, changes: VenChanges, now: datetime) -> tuple[Ven, Changes]:
    ven = registration.current(txn, ven_id)
    if ven.source == "config":
        raise NotAllowed(f"VEN {ven_id!r} is listed in the configuration file: change it there")
    known = vens.fingerprints(txn, ven_id) if changes.fingerprints is None else changes.fingerprints
    return registration.add(txn, config, ven_id, changes.name or ven.name, known, "operator", now)


# --- the API ------------------------------------------------------------------------------------------


class Api:
    """The operator's API of one VTN.

    ``answers`` counts what VENs were answered, by message and response code, ``refused`` the TLS handshakes
    that were refused, by reason; both are only looked at.
    """

    app = Klein()
    app.url_map.converters["id"] = _Identifier
    app.url_map.merge_slashes = False

    def __init__(
        self,
        vtn: Vtn,
        token: str,
        *,
        answers: Mapping[tuple[str, str], int] | None = None,
        refused: Mapping[str, int] | None = None,
    ) -> None:
        self._vtn = vtn
        self._token = token.encode()
        self._answers = {} if answers is None else answers
        self._refused = {} if refused is None else refused
        self._reader = Reader(vtn.now)
        self._started_at = vtn.now()
        self._version = version("oadrvtn")
        self._metrics = Metrics(version=self._version, vtn_id=vtn.config.vtn_id)

    def resource(self) -> Resource:
        """The API as a resource, to be the root of a site."""
        return _Door(self.app.resource(), self._token)

    def site(self) -> Site:
        """The API as a factory of connections, which keeps no more of a body than it may have."""
        return _Site(self.resource(), requestFactory=_Request, parsePOSTFormSubmission=False, timeout=60)

    def _read(self, name: str, view: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return self._vtn.database.read(name, view, *arguments)

    async def _fresh(self, name: str, view: Callable[..., T], *arguments: Any) -> T:
        """What a view shows once all that is counted is written."""
        await self._vtn.flush()
        return await self._read(name, view, *arguments)

    # --- the whole

    @app.route("/health", methods=["GET"])
    async def health(self, request: IRequest) -> bytes:
        """Whether the database answers."""
        looked = self._read("health", vens.get, "").addTimeout(HEALTH_TIMEOUT, self._vtn.clock)
        try:
            await looked
        except Exception:
            log.failure("the database does not answer")
            return _problem(request, 503, "the database does not answer")
        return _answer(request, {"status": "ok"})

    @app.route("/metrics", methods=["GET"])
    async def metrics(self, request: IRequest) -> bytes:
        """Prometheus' text format."""
        counts, bends = await self._fresh("metrics", views.gauges, self._vtn.now())
        gauges = {**counts, "vens_live": len(self._vtn.roster), "start_time_seconds": self._started_at.timestamp()}
        request.setHeader(b"Content-Type", CONTENT_TYPE_LATEST.encode())
        return self._metrics.text(gauges, messages=self._answers, tls_refused=self._refused, bends=bends)

    @app.route(f"{_V1}/status", methods=["GET"])
    async def status(self, request: IRequest) -> bytes:
        """Who this is, since when, and how many there are of everything."""
        now = self._vtn.now()
        about = {
            "vtn_id": self._vtn.config.vtn_id,
            "version": self._version,
            "started_at": show(self._started_at),
            "uptime": round((now - self._started_at).total_seconds()),
        }
        return _answer(request, about | await self._fresh("status", views.counts, now))

    # --- VENs

    @app.route(f"{_V1}/vens", methods=["GET"])
    async def list_vens(self, request: IRequest) -> bytes:
        """All VENs."""
        self._reader.read(Nothing, _query(request))
        rows = await self._fresh("list vens", views.ven_list)
        return _answer(request, {"vens": rows})

    @app.route(f"{_V1}/vens", methods=["POST"])
    async def add_ven(self, request: IRequest) -> bytes:
        """A new VEN, known by one or two certificates."""
        new = self._reader.read(NewVen, _body(request))
        row = await self._vtn.write(
            "add ven", _then(registration.add_new, _view_ven),
            self._vtn.config, new.ven_id, new.name or new.ven_id, new.fingerprints,
        )  # fmt: skip
        request.setHeader(b"Location", f"{_V1}/vens/{quote(new.ven_id, safe='')}".encode())
        return _answer(request, row, 201)

    @app.route(f"{_V1}/vens/<id:ven_id>", methods=["GET"])
    async def show_ven(self, request: IRequest, ven_id: str) -> bytes:
        """All about a VEN."""
        return _answer(request, await self._fresh("show ven", views.ven, ven_id))

    @app.route(f"{_V1}/vens/<id:ven_id>", methods=["PATCH"])
    async def change_ven(self, request: IRequest, ven_id: str) -> bytes:
        """Another name, other certificates: two while a VEN changes from one to the other."""
        changes = self._reader.read(VenChanges, _body(request))
        rule = _then(_change_ven, _view_ven)
        return _answer(request, await self._vtn.write("change ven", rule, self._vtn.config, ven_id, changes))

    @app.route(f"{_V1}/vens/<id:ven_id>", methods=["DELETE"])
    async def remove_ven(self, request: IRequest, ven_id: str) -> bytes:
        """Forget a VEN and all that came from it."""
        await self._vtn.write("remove ven", registration.remove, ven_id)
        request.setResponseCode(204)
        return b""

    @app.route(f"{_V1}/vens/<id:ven_id>/request-reregistration", methods=["POST"])
    async def request_reregistration(self, request: IRequest, ven_id: str) -> bytes:
        """Queue the wish that a VEN registers again."""
        return await self._queue(request, registration.request_reregistration, ven_id)

    @app.route(f"{_V1}/vens/<id:ven_id>/cancel-registration", methods=["POST"])
    async def cancel_registration(self, request: IRequest, ven_id: str) -> bytes:
        """Queue the end of a VEN's registration."""
        return await self._queue(request, registration.request_cancellation, ven_id)

    async def _queue(self, request: IRequest, rule: Callable[..., tuple[None, Changes]], ven_id: str) -> bytes:
        self._reader.read(Nothing, _body(request))
        view = _then(rule, lambda txn, _, now: views.ven(txn, ven_id))
        return _answer(request, await self._vtn.write(rule.__name__, view, ven_id), 202)

    @app.route(f"{_V1}/vens/<id:ven_id>/readings", methods=["GET"])
    async def readings(self, request: IRequest, ven_id: str) -> bytes:
        """A VEN's readings, as JSON or CSV."""
        query = self._reader.read(ReadingsQuery, _query(request))
        if query.format not in (None, "json", "csv"):
            raise InvalidData(f"format: {shown(query.format)} is neither json nor csv")
        accept = (request.getHeader(b"Accept") or b"").decode("latin-1")
        as_csv = query.format == "csv" if query.format else "text/csv" in accept
        written = await self._read("readings", views.readings, ven_id, query, as_csv)
        if not as_csv:
            return _answer(request, written)
        request.setHeader(b"Content-Type", b"text/csv; charset=utf-8; header=present")
        return written.encode()

    # --- certificates that wait

    @app.route(f"{_V1}/candidates", methods=["GET"])
    async def list_candidates(self, request: IRequest) -> bytes:
        """The certificates that wait for approval."""
        return _answer(request, {"candidates": await self._read("list candidates", views.candidates)})

    @app.route(f"{_V1}/candidates/<id:known>/approve", methods=["POST"])
    async def approve(self, request: IRequest, known: str) -> bytes:
        """Let in a certificate that waits."""
        approval = self._reader.read(Approval, _body(request))
        try:
            parsed = fingerprint.parse(known)
        except ValueError as error:
            raise InvalidData(f"fingerprint: {error}") from None
        row = await self._vtn.write(
            "approve", _then(registration.approve, _view_ven), self._vtn.config, parsed, approval.ven_id, approval.name
        )
        return _answer(request, row, 201)

    # --- events

    @app.route(f"{_V1}/events", methods=["GET"])
    async def list_events(self, request: IRequest) -> bytes:
        """The events that are still sent, or with ?all=1 all."""
        query = self._reader.read(EventsQuery, _query(request))
        return _answer(request, {"events": await self._fresh("list events", views.event_list, query, self._vtn.now())})

    @app.route(f"{_V1}/events", methods=["POST"])
    async def create_event(self, request: IRequest) -> bytes:
        """A new event."""
        spec = self._reader.event(_body(request))
        row = await self._vtn.write("create event", _then(events.create, views.event_row), spec, "operator")
        request.setHeader(b"Location", f"{_V1}/events/{quote(row['event_id'], safe='')}".encode())
        return self._event(request, row, 201)

    @app.route(f"{_V1}/events/<id:event_id>", methods=["GET"])
    async def show_event(self, request: IRequest, event_id: str) -> bytes:
        """All about an event, with every VEN's answer."""
        return self._event(request, await self._fresh("show event", views.event, event_id, self._vtn.now()))

    @app.route(f"{_V1}/events/<id:event_id>", methods=["PATCH"])
    async def modify_event(self, request: IRequest, event_id: str) -> bytes:
        """Other values for some fields of an event."""
        changes, number = self._reader.event_changes(_body(request))
        rule = _then(events.modify, views.event_row)
        return await self._locked(request, number, "modify event", rule, event_id, changes)

    @app.route(f"{_V1}/events/<id:event_id>/cancel", methods=["POST"])
    async def cancel_event(self, request: IRequest, event_id: str) -> bytes:
        """The end of an event for everybody."""
        wish = self._reader.read(Cancellation, _body(request))
        rule = _then(_cancel, views.event_row)
        return await self._locked(request, wish.modification_number, "cancel event", rule, event_id, wish.reason)

    async def _locked(
        self, request: IRequest, number: int | None, name: str, rule: Callable[..., Any], *arguments: Any
    ) -> bytes:
        """Write, if the event is still at the modification number that the body or If-Match tells."""
        match = _if_match(request)
        try:
            row = await self._vtn.write(name, rule, *arguments, number if match is None else match)
        except OutOfSequence as error:
            if match is None:
                raise
            raise Problem(412, error.description) from None
        return self._event(request, row)

    def _event(self, request: IRequest, row: dict[str, Any], status: int = 200) -> bytes:
        request.setHeader(b"ETag", f'"{row["modification_number"]}"'.encode())
        return _answer(request, row, status)

    # --- what fails

    @app.handle_errors(VtnError)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """A rule says no."""
        error = failure.value
        mistakes = {"errors": error.mistakes} if isinstance(error, Mistakes) else {}
        status = next((status for cls, status in _STATUS.items() if isinstance(error, cls)), 422)
        return _problem(request, status, error.description, response_code=error.response_code, **mistakes)

    @app.handle_errors(Problem)
    def unfit(self, request: IRequest, failure: Failure) -> bytes:
        """A request that HTTP says no to."""
        return _problem(request, failure.value.status, failure.value.detail)

    @app.handle_errors(HTTPException)
    def unroutable(self, request: IRequest, failure: Failure) -> bytes:
        """No such path, or not this method."""
        error = failure.value
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            request.setHeader(b"Allow", ", ".join(sorted(error.valid_methods)).encode())
            return _problem(request, 405, f"{request.method.decode('latin-1')} is not for this path")
        return _problem(request, error.code or 400, f"there is no {shown(f'/{_path(request).decode()}', 200)} here")

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """A fault of ours: its traceback is in the log, under the incident that the answer names."""
        incident = secrets.token_hex(4)
        log.failure(
            "incident {incident}: {method} {path} could not be served", failure,
            incident=incident, method=request.method.decode("latin-1"), path=shown(_path(request).decode(), 200),
        )  # fmt: skip
        return _problem(request, 500, f"internal error, incident {incident}", incident=incident)


def _cancel(txn: Txn, event_id: str, reason: str | None, modification_number: int | None, now: datetime) -> Any:
    return events.cancel(txn, event_id, modification_number, reason, now)


# --- in front of it -------------------------------------------------------------------------------------


class _Door(Resource):
    """What every request has to pass: a path that can be read, a body that is not too large, the token."""

    isLeaf = True

    def __init__(self, inside: Resource, token: bytes) -> None:
        super().__init__()
        self._inside = inside
        self._token = token

    def render(self, request: Request) -> int | bytes:
        """Let it in, or say why not."""
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        path = _path(request)
        if path not in _PUBLIC and not self._authorised(request):
            request.setHeader(b"WWW-Authenticate", b'Bearer realm="oadrvtn"')
            return _problem(request, 401, "this needs the header Authorization: Bearer, with the API's token")
        assert request.content is not None
        if request.content.seek(0, 2) > MOST_BODY:
            return _problem(request, 413, f"the body is larger than {MOST_BODY} bytes")
        request.content.seek(0)
        if request.method not in (b"GET", b"HEAD"):
            request.notifyFinish().addBoth(lambda _: self._tell(request, path))
        try:
            path.decode()
            return self._inside.render(request)
        except (UnicodeDecodeError, HTTPException):  # the latter for a Host that cannot be
            return _problem(request, 400, "path or host cannot be read")

    def _authorised(self, request: Request) -> bool:
        scheme, _, token = (request.getHeader(b"Authorization") or b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)

    def _tell(self, request: Request, path: bytes) -> None:
        log.info(
            "operator: {method} {path}: {status}",
            method=request.method.decode("latin-1"), path=shown(path.decode("utf-8", "replace"), 200),
            status=request.code,
        )  # fmt: skip


class _Request(Request):
    """Keeps of a body what is needed to see that it is too large."""

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        assert self.content is not None
        if self.content.tell() <= MOST_BODY:
            super().handleContentChunk(data)


class _Site(Site):
    """Who only looks is not logged; the door logs who does something."""

    def log(self, request: Any) -> None:
        """Nothing."""
