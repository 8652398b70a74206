"""The VEN's end of the line: a message is POSTed to a VTN, and its answer comes back decoded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, _HTTP11ClientFactory
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IPolicyForHTTPS

from ..model.errors import VtnError
from ..model.event import (
    EiTarget,
    EventResponse,
    OadrCreatedEvent,
    OadrRequestEvent,
    Properties,
    QualifiedEventID,
)
from ..model.opt import OadrCancelOpt, OadrCreateOpt
from ..model.party import (
    EiResponse,
    OadrCancelPartyRegistration,
    OadrCreatedPartyRegistration,
    OadrCreatePartyRegistration,
    OadrPoll,
    OadrQueryRegistration,
    says_yes,
)
from ..model.report import (
    OadrCancelReport,
    OadrCreateReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportRequest,
    OadrUpdateReport,
)
from ..model.schema import Message
from ..model.values import shown
from ..security.signature import Signer
from ..wire import decode, encode

TIMEOUT = 30.0  # seconds for one exchange, connecting included
IDLE = 30.0  # seconds that an unused connection is kept: shorter than servers do, or a POST may meet its end

_PATH = "/OpenADR2/Simple/2.0b"
_TAIL = re.compile(rf"({re.escape(_PATH)}(/\w*)?)?/*$")

_M = TypeVar("_M", bound=Message)

Watch = Callable[[str, str, float, str | None], object]
"""Is told of an exchange: the VEN's name, the message's, how many seconds it took, and what went wrong, if anything."""


class VenError(Exception):
    """An exchange with the VTN that brought no answer to go on with; the text is safe to log.

    ``kind`` is what went wrong in a word or two, for statistics.
    """

    kind = "failed"


class Unreachable(VenError):
    """No connection, a refused handshake, a connection lost half-way, or no answer in time."""

    def __init__(self, text: str, kind: str = "unreachable") -> None:
        super().__init__(text)
        self.kind = kind


class HttpError(VenError):
    """An answer with another HTTP status than 200.  Not for OpenADR's response codes: Refused."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP {status}: {shown(body.decode('utf-8', 'replace'), 200)}")
        self.status = status
        self.kind = f"HTTP {status}"


class BadAnswer(VenError):
    """An answer that does not decode, or another message than the one that is due."""

    kind = "bad answer"


class Refused(VenError):
    """An answer whose eiResponse says no."""

    def __init__(self, response: EiResponse) -> None:
        super().__init__(f"the VTN says {response.response_code} {shown(response.response_description or '')}")
        self.response_code = response.response_code


def accepted(answer: Message, expected: type[_M]) -> _M:
    """The answer, if it is of the class that is due and says yes; else raises Refused or BadAnswer."""
    response: EiResponse | None = getattr(answer, "response", None)
    if response and not says_yes(response.response_code):
        raise Refused(response)
    if not isinstance(answer, expected):
        raise BadAnswer(f"the answer is {answer.name()}")
    return answer


def instant(clock: IReactorTime) -> datetime:
    """The clock's time."""
    return datetime.fromtimestamp(clock.seconds(), UTC)


def new_id() -> str:
    """For a requestID and whatever else a VEN may name."""
    return uuid4().hex


def _root(url: str) -> str:
    return _TAIL.sub("", url)


@attrs.define(eq=False)
class VenClient:
    """A VEN as the VTN sees it: a certificate (inside ``http``), a name, and the IDs of its registration.

    ``http``: a ``treq.client.HTTPClient``, or a ``treq.testing.StubTreq``.  ``base_url``: the VTN's
    address, with or without the path that OpenADR appends to it.  ``ven_id``: as it was agreed
    beforehand, else what the first registration gives.  ``signer`` signs what it sends, and has it ask for signed
    answers; a signature that comes back is not looked at.  ``watch`` is told of every exchange that is over.

    Every method that sends fires with the decoded answer, whatever its response code (``accepted``
    tells), or fails with a VenError.  The VTN's answers are decoded strictly, without any bend.
    """

    http: Any = attrs.field(repr=False)
    base_url: str = attrs.field(converter=_root)
    ven_name: str
    clock: IReactorTime = attrs.field(repr=False)
    ven_id: str | None = None
    registration_id: str | None = None
    timeout: float = TIMEOUT
    pool: HTTPConnectionPool | None = attrs.field(default=None, repr=False)
    signer: Signer | None = attrs.field(default=None, repr=False)
    watch: Watch | None = attrs.field(default=None, repr=False)

    def send(self, message: Message, service: str | None = None) -> Deferred[Any]:
        """POST the message to its service, or to this one (oadrResponse has none of its own)."""
        service = service or message.service
        if service is None:
            raise ValueError(f"{message.name()} has no service of its own")

        def too_late(result: Any, seconds: float) -> Any:
            raise Unreachable(f"{service}: no answer within {seconds:g} s", "no answer in time")

        document = encode(message)
        if self.signer:
            document = self.signer.sign(document, instant(self.clock))
        exchange = Deferred.fromCoroutine(self._exchange(f"{self.base_url}{_PATH}/{service}", document))
        exchange.addTimeout(self.timeout, self.clock, too_late)
        return exchange.addBoth(self._watched, message.name(), self.clock.seconds()) if self.watch else exchange

    def _watched(self, result: Any, kind: str, began: float) -> Any:
        assert self.watch
        if isinstance(result, Failure):
            error = result.value.kind if isinstance(result.value, VenError) else None
            if error is None:
                return result  # it was cut off
        else:
            response: EiResponse | None = getattr(result, "response", None)
            error = f"code {response.response_code}" if response and not says_yes(response.response_code) else None
        self.watch(self.ven_name, kind, self.clock.seconds() - began, error)
        return result

    async def _exchange(self, url: str, body: bytes) -> Any:
        try:
            response = await self.http.post(
                url,
                data=body,
                headers={"Content-Type": "application/xml"},
                allow_redirects=False,
                unbuffered=True,
                reactor=self.clock,
            )
            answer = _Body()
            response.deliverBody(answer)
            data = await answer.whole
        except CancelledError:
            raise
        except Exception as error:  # each layer below has a family of its own
            raise Unreachable(f"{url}: {_reason(error)}", type(_innermost(error)).__name__) from error
        if response.code != 200:
            raise HttpError(response.code, data)
        try:
            return decode(data, allowed=()).message
        except VtnError as error:
            raise BadAnswer(f"{error}: {shown(data.decode('utf-8', 'replace'), 200)}") from error

    def close(self) -> Deferred[None]:
        """Close the kept connections; fires when they are closed."""
        return self.pool.closeCachedConnections() if self.pool else succeed(None)

    # --- EiRegisterParty and OadrPoll -----------------------------------------------------------------

    def query(self) -> Deferred[Any]:
        """Ask what the VTN supports."""
        return self.send(OadrQueryRegistration(request_id=new_id()))

    def register(self) -> Deferred[Any]:
        """Register as a VEN that polls, again if there is a registration; keeps the IDs that the VTN gives."""
        message = OadrCreatePartyRegistration(
            request_id=new_id(),
            registration_id=self.registration_id,
            ven_id=self.ven_id,
            profile_name="2.0b",
            transport_name="simpleHttp",
            report_only=False,
            xml_signature=self.signer is not None,
            ven_name=self.ven_name,
            http_pull_model=True,
        )
        return self.send(message).addCallback(self._registered)

    def _registered(self, answer: Message) -> Message:
        if isinstance(answer, OadrCreatedPartyRegistration) and answer.response.response_code == "200":
            self.ven_id = answer.ven_id or self.ven_id
            self.registration_id = answer.registration_id
        return answer

    def cancel_registration(self) -> Deferred[Any]:
        """End the registration."""
        return self.send(
            OadrCancelPartyRegistration(
                request_id=new_id(), registration_id=self.registration_id or "", ven_id=self.ven_id
            )
        )

    def poll(self) -> Deferred[Any]:
        """Ask for whatever waits at the VTN."""
        return self.send(OadrPoll(ven_id=self.ven_id or ""))

    # --- EiEvent and EiOpt ----------------------------------------------------------------------------

    def request_event(self, reply_limit: int | None = None) -> Deferred[Any]:
        """Ask for all events, or for so many of them."""
        return self.send(OadrRequestEvent(request_id=new_id(), ven_id=self.ven_id or "", reply_limit=reply_limit))

    def created_event(self, event_responses: Sequence[EventResponse]) -> Deferred[Any]:
        """Answer events; the requestID that counts stands in each answer, the message's own stays empty."""
        return self.send(
            OadrCreatedEvent(response=EiResponse.ok(), event_responses=tuple(event_responses), ven_id=self.ven_id or "")
        )

    def create_opt(
        self,
        opt_type: str,
        opt_reason: str,
        *,
        event: QualifiedEventID | None = None,
        available: Sequence[Properties] = (),
        market_context: str | None = None,
        opt_id: str | None = None,
        resource_ids: Sequence[str] = (),
    ) -> Deferred[Any]:
        """Opt in or out, of one event or for the periods of a schedule; a known opt_id replaces its schedule.

        With ``resource_ids`` only for these resources of the VEN.
        """
        return self.send(
            OadrCreateOpt(
                opt_id=opt_id or new_id(),
                opt_type=opt_type,
                opt_reason=opt_reason,
                market_context=market_context,
                ven_id=self.ven_id or "",
                available=tuple(available),
                created_date_time=instant(self.clock),
                request_id=new_id(),
                qualified_event_id=event,
                target=EiTarget(ven_ids=(self.ven_id or "",), resource_ids=tuple(resource_ids)),
            )
        )

    def cancel_opt(self, opt_id: str) -> Deferred[Any]:
        """Take an opt back."""
        return self.send(OadrCancelOpt(request_id=new_id(), opt_id=opt_id, ven_id=self.ven_id or ""))

    # --- EiReport -------------------------------------------------------------------------------------

    def register_reports(self, reports: Sequence[OadrReport]) -> Deferred[Any]:
        """Say what can be reported (METADATA), in place of what was said before."""
        return self.send(OadrRegisterReport(request_id=new_id(), reports=tuple(reports), ven_id=self.ven_id))

    def update_report(self, *reports: OadrReport) -> Deferred[Any]:
        """Send data."""
        return self.send(OadrUpdateReport(request_id=new_id(), reports=reports, ven_id=self.ven_id))

    def create_report(self, *requests: OadrReportRequest) -> Deferred[Any]:
        """Ask the VTN for reports of its own."""
        return self.send(OadrCreateReport(request_id=new_id(), report_requests=requests, ven_id=self.ven_id))

    def cancel_report(self, *report_request_ids: str, report_to_follow: bool = False) -> Deferred[Any]:
        """End reports of the VTN, or have it send a last one."""
        return self.send(
            OadrCancelReport(
                request_id=new_id(),
                report_request_ids=report_request_ids,
                report_to_follow=report_to_follow,
                ven_id=self.ven_id,
            )
        )


def connect(
    reactor: Any,
    base_url: str,
    policy: IPolicyForHTTPS,
    ven_name: str,
    ven_id: str | None = None,
    *,
    idle: float = IDLE,
    address: str | None = None,
) -> VenClient:
    """A client; ``policy`` shows the VEN's certificate and checks the VTN's.

    ``idle``: so many seconds a connection is kept that is not used; 0 makes one for each message.  ``address``: one
    of this machine, from which it comes.
    """
    pool = HTTPConnectionPool(reactor, persistent=idle > 0)
    pool._factory = _QuietFactory
    pool.cachedConnectionTimeout = int(idle)
    http = HTTPClient(Agent(reactor, policy, bindAddress=(address, 0) if address else None, pool=pool))
    return VenClient(http, base_url, ven_name, reactor, ven_id, pool=pool)


class _QuietFactory(_HTTP11ClientFactory):
    """Writes no log line for each connection that opens or closes."""

    noisy = False


class _Body(Protocol):
    """Collects the body of an answer; cancelling ``whole`` closes the connection."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.whole: Deferred[bytes] = Deferred(self._abandon)

    def _abandon(self, whole: Deferred[bytes]) -> None:
        if self.transport:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(reason)


def _innermost(error: Exception) -> Exception:
    """What the lowest layer raised: Agent wraps it in a list of Failures without a text."""
    while reasons := getattr(error, "reasons", None):
        error = reasons[0].value
    return error


def _reason(error: Exception) -> str:
    error = _innermost(error)
    return f"{type(error).__name__}: {shown(error, 200)}"
