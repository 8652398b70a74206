"""The operator's API: JSON under /api/v1 with a bearer token; /health and /metrics without one."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from werkzeug.exceptions import HTTPException

from ..model.values import shown
from ..storage import events as stored_events
from ..storage import outbox as stored_outbox
from ..storage import provided as stored_provided
from ..storage import readings as stored_readings
from ..storage import reports as stored_reports
from ..storage import vens as stored_vens
from ..storage.database import Txn
from ..vtn.changes import NOTHING, Changes
from ..vtn.vtn import Vtn
from . import contexts, events, groups, openapi, opts, readings, reports, vens
from .desk import Desk, answer, app, path_of, problem, route
from .metrics import Metrics
from .shapes import show

log = Logger()

MOST_BODY = 1024 * 1024
"""Bytes that a request's body may have."""
MOST_FILE = 8 * MOST_BODY
"""Bytes that a file may have which is imported."""
_FILES = (b"api/v1/vens/import",)

HEALTH_TIMEOUT = 5.0
"""Seconds in which a healthy database answers."""

SUBJECTS = (vens, groups, contexts, events, opts, reports, readings)
"""The modules that serve the API, beside this one."""

_PUBLIC = (b"health", b"health/live", b"health/ready", b"metrics")


class Api(Desk):
    """The operator's API of one VTN.

    ``answers`` counts what VENs were answered, by message and response code, ``refused`` the TLS handshakes
    that were refused, by reason; both are only looked at.
    """

    def __init__(
        self,
        vtn: Vtn,
        token: str,
        *,
        answers: Mapping[tuple[str, str], int] | None = None,
        refused: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(vtn)
        self._token = token.encode()
        self.answers = {} if answers is None else answers
        self.refused = {} if refused is None else refused
        self.started_at = vtn.now()
        self.version = version("oadrvtn")
        self.metrics = Metrics(version=self.version, vtn_id=vtn.config.vtn_id)

    def resource(self) -> Resource:
        """The API as a resource, to be the root of a site."""
        return _Door(self.app.resource(), self._token)

    def site(self) -> Site:
        """The API as a factory of connections, which keeps no more of a body than it may have."""
        return _Site(self.resource(), requestFactory=_Request, parsePOSTFormSubmission=False, timeout=60)


# --- the whole ----------------------------------------------------------------------------------------


def _counts(txn: Txn, now: datetime) -> dict[str, int]:
    """How many there are of everything."""
    return {
        **stored_vens.counts(txn),
        **stored_events.counts(txn, now),
        **stored_readings.counts(txn),
        **stored_reports.counts(txn),
        **stored_provided.counts(txn),
    }


def _gauges(txn: Txn, now: datetime) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """How many there are of everything, what waits for VENs, and how often each bend was needed."""
    waiting = {"outbox": stored_outbox.count_open(txn), "events": stored_events.count_open(txn)}
    return _counts(txn, now), waiting, stored_vens.bend_counts(txn)


def _breath(txn: Txn, now: datetime) -> tuple[None, Changes]:
    """Nothing, by whom the writer shows that it lives."""
    return None, NOTHING


@app.route("/health/live", methods=["GET"])
async def _live(api: Api, request: IRequest) -> bytes:
    """That this is answered says it: the reactor runs."""
    return answer(request, {"status": "ok"})


@app.route("/health", methods=["GET"])
@app.route("/health/ready", methods=["GET"])
async def _ready(api: Api, request: IRequest) -> bytes:
    """Whether the database's readers and its writer answer."""
    asked: list[Deferred[Any]] = [api.read("health", stored_vens.get, ""), api.vtn.write("health", _breath)]
    try:
        for waiting in asked:
            waiting.addTimeout(HEALTH_TIMEOUT, api.vtn.clock)
        await gatherResults(asked, consumeErrors=True)
    except Exception:
        log.failure("the database does not answer")
        return problem(request, 503, "the database does not answer")
    return answer(request, {"status": "ok"})


@app.route("/metrics", methods=["GET"])
async def _metrics(api: Api, request: IRequest) -> bytes:
    """Prometheus' text format."""
    vtn = api.vtn
    counts, waiting, bends = await api.fresh("metrics", _gauges, vtn.now())
    dropped = {(): counts.pop("readings_dropped")}
    gauges = {**counts, "vens_live": len(vtn.roster), "start_time_seconds": api.started_at.timestamp()}
    times = {"commit_seconds": vtn.database.commits, "loop_lag_seconds": vtn.lag}
    request.setHeader(b"Content-Type", CONTENT_TYPE_LATEST.encode())
    return api.metrics.text(
        gauges, waiting | vtn.database.waiting, times,
        messages=api.answers, tls_refused=api.refused, bends=bends, readings_dropped=dropped,
    )  # fmt: skip


@route("GET", "/status", "read")
async def _status(api: Api, request: IRequest) -> bytes:
    """Who this is, since when, and how many there are of everything."""
    now = api.vtn.now()
    about = {
        "vtn_id": api.vtn.config.vtn_id,
        "version": api.version,
        "started_at": show(api.started_at),
        "uptime": round((now - api.started_at).total_seconds()),
    }
    return answer(request, about | await api.fresh("status", _counts, now))


@route("GET", "/openapi.json", "read")
async def _openapi(api: Api, request: IRequest) -> bytes:
    """This API, described for programs."""
    return answer(request, openapi.document(api.version))


# --- in front of it -----------------------------------------------------------------------------------


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
        path = path_of(request)
        if path not in _PUBLIC and not self._authorised(request):
            request.setHeader(b"WWW-Authenticate", b'Bearer realm="oadrvtn"')
            return problem(request, 401, "this needs the header Authorization: Bearer, with the API's token")
        assert request.content is not None
        most = MOST_FILE if path in _FILES else MOST_BODY
        if request.content.seek(0, 2) > most:
            return problem(request, 413, f"the body is larger than {most} bytes")
        request.content.seek(0)
        if request.method not in (b"GET", b"HEAD"):
            request.notifyFinish().addBoth(lambda _: self._tell(request, path))
        try:
            path.decode()
            return self._inside.render(request)
        except (UnicodeDecodeError, HTTPException):  # the latter for a Host that cannot be
            return problem(request, 400, "path or host cannot be read")

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
        if self.content.tell() <= MOST_FILE:
            super().handleContentChunk(data)


class _Site(Site):
    """Who only looks is not logged; the door logs who does something."""

    def log(self, request: Any) -> None:
        """Nothing."""
