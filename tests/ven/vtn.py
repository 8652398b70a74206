"""A VTN of cardboard: it says what the script says, and keeps what it was told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from oadrvtn.model.event import (
    EiActivePeriod,
    EiEvent,
    EiEventSignal,
    EiEventSignals,
    EiTarget,
    EventDescriptor,
    Interval,
    OadrDistributeEvent,
    OadrEvent,
    PayloadFloat,
    Properties,
    SignalPayload,
)
from oadrvtn.model.opt import OadrCanceledOpt, OadrCancelOpt, OadrCreatedOpt, OadrCreateOpt
from oadrvtn.model.party import (
    EiResponse,
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatedPartyRegistration,
    OadrCreatePartyRegistration,
    OadrPoll,
    OadrProfile,
    OadrQueryRegistration,
    OadrResponse,
)
from oadrvtn.model.report import (
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReportRequest,
    OadrUpdatedReport,
    OadrUpdateReport,
    ReportSpecifier,
    SpecifierPayload,
)
from oadrvtn.model.schema import Message
from oadrvtn.model.values import Duration
from oadrvtn.ven.client import VenClient
from oadrvtn.wire import decode, encode

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
"""What the clock of every test shows at first."""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ok(code: str = "200", description: str = "OK", request_id: str = "") -> EiResponse:
    return EiResponse(response_code=code, response_description=description, request_id=request_id)


def registered(poll_freq: str | None = "PT10S", **changes: Any) -> OadrCreatedPartyRegistration:
    fields: dict[str, Any] = {
        "response": ok(),
        "registration_id": "reg-1",
        "ven_id": "ven-1",
        "vtn_id": "vtn",
        "profiles": (OadrProfile(profile_name="2.0b", transports=("simpleHttp",)),),
        "requested_poll_freq": Duration(poll_freq) if poll_freq else None,
    }
    return OadrCreatedPartyRegistration(**fields | changes)


ANSWERS: dict[type[Message], Message] = {
    OadrQueryRegistration: registered(registration_id=None, ven_id=None),
    OadrCreatePartyRegistration: registered(),
    OadrCancelPartyRegistration: OadrCanceledPartyRegistration(response=ok()),
    OadrRegisterReport: OadrRegisteredReport(response=ok()),
    OadrUpdateReport: OadrUpdatedReport(response=ok()),
    OadrCreateOpt: OadrCreatedOpt(response=ok(), opt_id="o"),
    OadrCancelOpt: OadrCanceledOpt(response=ok(), opt_id="o"),
}


class CardboardVtn(Resource):
    """``queue`` holds what the next polls get; ``answers`` what a class of message gets: a message, or bytes."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[type[Message], Message | bytes] = dict(ANSWERS)
        self.queue: list[Message] = []
        self.heard: list[Any] = []
        self.signed: list[bool] = []
        self.urls: list[str] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.status = 200
        self.silent = False
        self.down = False
        self.tries = 0
        self._stub: Any = StubTreq(self)

    def post(self, url: str, **options: Any) -> Deferred[Any]:
        """The part of treq that a VenClient uses."""
        self.tries += 1
        if self.down:
            return fail(ConnectionRefusedError())
        self.urls.append(url)
        return self._stub.post(url, **options)

    def render_POST(self, request: Request) -> bytes | int:
        assert request.content
        found = decode(request.content.read(), allowed=())
        message = found.message
        self.heard.append(message)
        self.signed.append(found.signed)
        self.headers.append({name: values[0] for name, values in request.requestHeaders.getAllRawHeaders()})
        request.setResponseCode(self.status)
        if self.silent:
            return NOT_DONE_YET
        if isinstance(message, OadrPoll) and self.queue:
            return encode(self.queue.pop(0))
        answer = self.answers.get(type(message), OadrResponse(response=ok()))
        return answer if isinstance(answer, bytes) else encode(answer)

    def got(self, cls: type[Any]) -> list[Any]:
        """The messages of this class that came, in order."""
        return [message for message in self.heard if isinstance(message, cls)]

    def client(self, clock: Clock, url: str = "https://vtn.example", **options: Any) -> VenClient:
        return VenClient(self, url, options.pop("ven_name", "site"), clock, **options)


def clock() -> Clock:
    found = Clock()
    found.advance(START.timestamp())
    return found


def event(event_id: str = "e", number: int = 0, *, level: float = 2.0, **changes: Any) -> EiEvent:
    """SIMPLE for an hour from START on; ``changes``: status, startafter, dtstart, duration, ramp_up, signals."""
    duration = Duration(changes.get("duration", "PT1H"))
    startafter, ramp_up = changes.get("startafter"), changes.get("ramp_up")
    signals = changes.get("signals") or (signal("SIMPLE", "level", (duration.text, level)),)
    return EiEvent(
        descriptor=EventDescriptor(
            event_id=event_id,
            modification_number=number,
            market_context="http://market.example",
            created_date_time=START,
            event_status=changes.get("status", "far"),
        ),
        active_period=EiActivePeriod(
            properties=Properties(
                dtstart=changes.get("dtstart", START),
                duration=duration,
                startafter=Duration(startafter) if startafter else None,
                notification=Duration("PT0S"),
                ramp_up=Duration(ramp_up) if ramp_up else None,
            )
        ),
        event_signals=EiEventSignals(signals=signals),
        target=EiTarget(),
    )


def signal(name: str, kind: str, *intervals: tuple[str, float], **changes: Any) -> EiEventSignal:
    """A signal of intervals (duration, value)."""
    return EiEventSignal(
        intervals=tuple(
            Interval(
                duration=Duration(duration),
                uid=str(number),
                payloads=(SignalPayload(payload=PayloadFloat(value=value)),),
            )
            for number, (duration, value) in enumerate(intervals)
        ),
        signal_name=name,
        signal_type=kind,
        signal_id="s",
        **changes,
    )


def distribute(*events: EiEvent, required: str = "always", request_id: str = "d") -> OadrDistributeEvent:
    return OadrDistributeEvent(
        request_id=request_id,
        vtn_id="vtn",
        events=tuple(OadrEvent(event=one, response_required=required) for one in events),
    )


def wanted(
    request: str = "q",
    *,
    specifier: str = "telemetry_usage",
    r_ids: tuple[str, ...] = ("power",),
    granularity: str = "PT10S",
    back: str = "PT30S",
    window: tuple[float, str] | None = None,
) -> OadrReportRequest:
    """A report request; ``window``: seconds from START, and a duration."""
    return OadrReportRequest(
        report_request_id=request,
        report_specifier=ReportSpecifier(
            report_specifier_id=specifier,
            granularity=Duration(granularity),
            report_back_duration=Duration(back),
            report_interval=Properties(dtstart=at(window[0]), duration=Duration(window[1])) if window else None,
            specifier_payloads=tuple(SpecifierPayload(r_id=r_id, reading_type="x-notApplicable") for r_id in r_ids),
        ),
    )
