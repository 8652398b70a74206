"""The operator's API: JSON under /api/v1 with a bearer token; /health and /metrics without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from ..security.certificates import Description
from ..security.revocation import Standing
from ..storage import certificates as stored_certificates
from ..storage import events as stored_events
from ..storage import outbox as stored_outbox
from ..storage import provided as stored_provided
from ..storage import readings as stored_readings
from ..storage import reports as stored_reports
from ..storage import vens as stored_vens
from ..storage.database import Txn
from ..vtn.duties import breath
from ..vtn.vtn import Vtn
from . import audit, certificates, contexts, events, groups, openapi, opts, readings, reports, tokens, vens
from .audit import Clerk
from .desk import Desk, answer, app, problem, route
from .door import MOST_FILE, Door
from .metrics import Metrics
from .shapes import many, shape, show

log = Logger()

HEALTH_TIMEOUT = 5.0
"""Seconds in which a healthy database answers."""

SUBJECTS = (vens, certificates, groups, contexts, events, opts, reports, readings, tokens, audit)
"""The modules that serve the API, beside this one."""


class Api(Desk):
    """The operator's API of one VTN.

    ``token`` is the one in the file; ``clerk`` keeps the audit log.  ``answers`` counts what VENs were answered, by
    message and response code, ``refused`` the TLS handshakes that were refused, by reason; both are only looked at.
    ``own`` tells what the certificates of the VTN say, ``crls`` how the CRLs stand; ``ocsp_answers`` counts what
    responders said, by status.
    """

    def __init__(
        self,
        vtn: Vtn,
        token: str,
        clerk: Clerk,
        *,
        answers: Mapping[tuple[str, str], int] | None = None,
        refused: Mapping[str, int] | None = None,
        own: Callable[[], Sequence[tuple[str, Description]]] = tuple,
        crls: Callable[[], Sequence[Standing]] = tuple,
        ocsp_answers: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(vtn, own)
        self.crls = crls
        self.ocsp_answers = {} if ocsp_answers is None else ocsp_answers
        self._token = token
        self._clerk = clerk
        self.answers = {} if answers is None else answers
        self.refused = {} if refused is None else refused
        self.started_at = vtn.now()
        self.version = version("oadrvtn")
        self.metrics = Metrics(version=self.version, vtn_id=vtn.config.vtn_id)

    def resource(self) -> Resource:
        """The API as a resource, to be the root of a site."""
        return Door(self.app.resource(), self.vtn, self._token, self._clerk)

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


_SOON = 30 * 86400
"""Seconds before its end from when on a certificate is said to expire."""


def _gauges(txn: Txn, now: datetime) -> tuple[dict[str, int], dict[str, int], dict[str, int], int]:
    """How many there are of everything, what waits for VENs, how often each bend was needed, how many
    certificates of VENs expire soon."""
    waiting = {"outbox": stored_outbox.count_open(txn), "events": stored_events.count_open(txn)}
    ending = stored_certificates.ending(txn, certificates.until(now, _SOON))
    return _counts(txn, now), waiting, stored_vens.bend_counts(txn), ending


@app.route("/health/live", methods=["GET"])
async def _live(api: Api, request: IRequest) -> bytes:
    """That this is answered says it: the reactor runs."""
    return answer(request, {"status": "ok"})


@app.route("/health", methods=["GET"])
@app.route("/health/ready", methods=["GET"])
async def _ready(api: Api, request: IRequest) -> bytes:
    """Whether the database's readers and its writer answer."""
    asked: list[Deferred[Any]] = [api.read("health", stored_vens.get, ""), api.vtn.write("health", breath)]
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
    counts, waiting, bends, ending = await api.fresh("metrics", _gauges, vtn.now())
    dropped = {(): counts.pop("readings_dropped")}
    soon = certificates.until(vtn.now(), _SOON)
    own = Counter(kind for kind, described in api.own() if described.not_after <= soon)
    expiring = {"ven": ending, "vtn": own["vtn"], "ca": own["ca"]}
    gauges = {**counts, "vens_live": len(vtn.roster), "start_time_seconds": api.started_at.timestamp()}
    times = {"commit_seconds": vtn.database.commits, "loop_lag_seconds": vtn.lag}
    request.setHeader(b"Content-Type", CONTENT_TYPE_LATEST.encode())
    return api.metrics.text(
        gauges, waiting | vtn.database.waiting, times,
        messages=api.answers, tls_refused=api.refused, bends=bends, readings_dropped=dropped, limited=vtn.limited,
        certificates_expiring=expiring, crls=Counter(each.state for each in api.crls()),
        ocsp_answers=api.ocsp_answers, api_refused=api._clerk.refused,
    )  # fmt: skip


_STATUS = shape(
    "Status",
    dict.fromkeys(
        (
            "vens", "vens_registered", "vens_online", "vens_suspended", "vens_waiting", "events", "events_current",
            "answers_overdue", "readings", "readings_dropped", "report_requests", "report_gaps_asked",
            "provided_reports",
        ),
        int,
    ),
    vtn_id=str, version=str, started_at=datetime, uptime=int, crls=many(Standing),
)  # fmt: skip


@route("GET", "/status", "read", _STATUS)
async def _status(api: Api, request: IRequest) -> bytes:
    """Who this is, since when, and how many there are of everything."""
    now = api.vtn.now()
    about = {
        "vtn_id": api.vtn.config.vtn_id,
        "version": api.version,
        "started_at": show(api.started_at),
        "uptime": round((now - api.started_at).total_seconds()),
        "crls": show(api.crls()),
    }
    return answer(request, about | await api.fresh("status", _counts, now))


@route("GET", "/openapi.json", "read", dict[str, Any])
async def _openapi(api: Api, request: IRequest) -> bytes:
    """This API, described for programs."""
    return answer(request, openapi.document(api.version))


# --- in front of it -----------------------------------------------------------------------------------


class _Request(Request):
    """Keeps of a body what is needed to see that it is too large."""

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        assert self.content is not None
        if self.content.tell() <= MOST_FILE:
            super().handleContentChunk(data)


class Few(WrappingFactory[ProtocolWrapper]):
    """In front of the API, and of its TLS: so many connections at once, which leaves VENs the files that theirs need.

    Whoever reaches the port may connect; a token is looked at later.
    """

    noisy = False
    MOST = 100

    def buildProtocol(self, addr: Any) -> Any:
        """One more connection, or None, which closes it."""
        if len(self.protocols) >= self.MOST:
            return None
        return super().buildProtocol(addr)


class _Site(Site):
    """Who only looks is not logged; the door logs who does something."""

    def log(self, request: Any) -> None:
        """Nothing."""
