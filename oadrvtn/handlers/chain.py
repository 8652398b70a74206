"""The chain: what happens to every message, in this order, and what is answered where a step refuses.

identify -> parse -> verify -> decode -> admit -> handle, then answer.  ``receive`` is the first half, which
a transport that calls VENs runs on what they return; there is no second path.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..model.errors import ComplianceError, InvalidID, NotAllowed, NotRegistered, Unreadable, VtnError
from ..model.event import OadrDistributeEvent, OadrRequestEvent
from ..model.opt import OadrCanceledOpt, OadrCancelOpt, OadrCreatedOpt, OadrCreateOpt
from ..model.party import (
    EiResponse,
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatedPartyRegistration,
    OadrCreatePartyRegistration,
    OadrPoll,
    OadrQueryRegistration,
    OadrResponse,
)
from ..model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrUpdatedReport,
    OadrUpdateReport,
)
from ..model.schema import Message
from ..model.values import shown
from ..storage import vens
from ..vtn.registration import PROFILES, remember
from ..vtn.vtn import Vtn
from ..wire import Undecodable, bends, encode
from ..wire.envelope import decode_message, unseal
from ..wire.parser import parse
from .exchange import Exchange

log = Logger()

_FREE = (OadrQueryRegistration, OadrCreatePartyRegistration, OadrCanceledPartyRegistration, OadrPoll)
"""What may come from a VEN that is not registered, as far as the rules allow; what an oadrPoll gets is a setting."""
_NOT_FOR_REPORTS = ("EiEvent", "EiOpt")
"""The services that a VEN has given up that registered for reports only."""


class WrongEndpoint(ComplianceError):
    """A message that this service does not take; answered by oadrResponse, whatever its normal answer."""


def _request_id(message: Any) -> str:
    """The requestID that an answer to this message carries."""
    found = getattr(message, "request_id", None)
    return found if found is not None else getattr(getattr(message, "response", None), "request_id", "")


# What normally answers a message, made for an error: (response, venID of the certificate, message, vtnID).
# The message is None where it did not decode; None instead of an answer: a mandatory part is not known.
_Normal = Callable[[EiResponse, str | None, Any, str], Message | None]
_NORMAL: dict[type[Message], _Normal] = {
    OadrQueryRegistration: lambda response, ven_id, message, vtn_id: OadrCreatedPartyRegistration(
        response=response, vtn_id=vtn_id, profiles=PROFILES
    ),
    OadrCancelPartyRegistration: lambda response, ven_id, message, vtn_id: OadrCanceledPartyRegistration(
        response=response, registration_id=message.registration_id if message else None, ven_id=ven_id
    ),
    OadrRequestEvent: lambda response, ven_id, message, vtn_id: OadrDistributeEvent(
        response=response, request_id=response.request_id, vtn_id=vtn_id
    ),
    OadrRegisterReport: lambda response, ven_id, message, vtn_id: OadrRegisteredReport(
        response=response, ven_id=ven_id
    ),
    OadrCreateReport: lambda response, ven_id, message, vtn_id: OadrCreatedReport(response=response, ven_id=ven_id),
    OadrUpdateReport: lambda response, ven_id, message, vtn_id: OadrUpdatedReport(response=response, ven_id=ven_id),
    OadrCancelReport: lambda response, ven_id, message, vtn_id: OadrCanceledReport(response=response, ven_id=ven_id),
    OadrCreateOpt: lambda response, ven_id, message, vtn_id: (
        OadrCreatedOpt(response=response, opt_id=message.opt_id) if message else None
    ),
    OadrCancelOpt: lambda response, ven_id, message, vtn_id: OadrCanceledOpt(
        response=response, opt_id=message.opt_id if message else None
    ),
}
_NORMAL[OadrCreatePartyRegistration] = _NORMAL[OadrQueryRegistration]


class Chain:
    """Runs exchanges for one VTN; ``answers`` counts (message, response code)."""

    def __init__(self, vtn: Vtn) -> None:
        self.vtn = vtn
        self.answers: Counter[tuple[str, str]] = Counter()
        self._signing: set[str] = set()  # VENs of which the log says that they sign

    def run(self, exchange: Exchange) -> Deferred[Exchange]:
        """Take an exchange from its bytes to its answer; always succeeds."""
        done: Deferred[Any] = self.receive(exchange)
        done.addErrback(self._refused, exchange)
        done.addCallback(self._answer, exchange)
        done.addErrback(self._lost, exchange)
        return done

    def receive(self, exchange: Exchange) -> Deferred[Message]:
        """The first half: the reply to what came, or a failure for ``_refused``."""
        done: Deferred[Any] = succeed(exchange)
        for step in (self.identify, self.parse, self.verify, self.decode, self.admit, self.handle):
            done.addCallback(step)
        return done

    # --- the steps ------------------------------------------------------------------------------------

    def identify(self, exchange: Exchange) -> Deferred[Exchange]:
        """Whose certificate is it?"""
        return self.vtn.identify(exchange.certificate).addCallback(self._identified, exchange)

    def _identified(self, entry: Any, exchange: Exchange) -> Exchange:
        exchange.entry = entry
        if entry:
            self.vtn.seen(entry)
        return exchange

    def parse(self, exchange: Exchange) -> Exchange:
        """Bytes to tree."""
        exchange.element = parse(exchange.body)
        return exchange

    def verify(self, exchange: Exchange) -> Exchange:
        """Tree to the element that counts; a signature is not looked at yet, which is said once per VEN."""
        exchange.element, signature, bent = unseal(exchange.element, self._allowed(exchange))
        self._bent(exchange, bent)
        entry = exchange.entry
        if signature is not None and entry and entry.ven.ven_id not in self._signing:
            self._signing.add(entry.ven.ven_id)
            log.warn("VEN {ven_id!r} signs its messages: signatures are not checked", ven_id=entry.ven.ven_id)
        return exchange

    def decode(self, exchange: Exchange) -> Exchange:
        """Element to message."""
        allowed = self._allowed(exchange)
        exchange.message, bent = decode_message(exchange.element, allowed)
        exchange.element = None
        if isinstance(exchange.message, OadrUpdateReport):
            exchange.message, more = bends.unoffered(exchange.message, allowed)
            bent += more
        self._bent(exchange, bent)
        return exchange

    def _allowed(self, exchange: Exchange) -> bends.Bends:
        """The bends of the VEN's leniency profile, or of that which is for all."""
        own = exchange.entry and exchange.entry.ven.leniency
        return bends.PROFILES[own or self.vtn.config.registration.leniency]

    def _bent(self, exchange: Exchange, bent: tuple[str, ...]) -> None:
        """Note what it took to read a message."""
        exchange.bends += bent
        if bent and exchange.entry:
            if new := set(bent) - exchange.entry.bends.keys():
                log.info("VEN {ven_id!r} needs {bends}", ven_id=exchange.ven_id, bends=", ".join(sorted(new)))
            exchange.entry.bends.update(bent)

    def admit(self, exchange: Exchange) -> Exchange | Deferred[Exchange]:
        """May this VEN send this message here and now?"""
        message, entry = exchange.message, exchange.entry
        if type(message) not in exchange.resource.methods:
            raise WrongEndpoint(f"{message.name()} is not for {exchange.resource.service}")
        if entry is None:
            return self._admit_stranger(exchange)
        claimed = getattr(message, "ven_id", None)
        if claimed and claimed != entry.ven.ven_id:
            return self.vtn.database.read("claimed", vens.get, claimed).addCallback(self._deny, claimed)
        if not entry.ven.registered and not isinstance(message, self._free()):
            raise NotRegistered(f"VEN {entry.ven.ven_id!r} is not registered")
        if entry.ven.report_only and message.service in _NOT_FOR_REPORTS:
            raise NotAllowed(f"VEN {entry.ven.ven_id!r} registered for reports only")
        if claimed == "" or (claimed is None and hasattr(message, "ven_id")):
            exchange.message = message.evolve(ven_id=entry.ven.ven_id)
        return exchange

    def _free(self) -> tuple[type[Message], ...]:
        """What a VEN may send without a registration; where it is asked to register again, it may say that it heard."""
        asked = self.vtn.config.registration.unregistered_poll == "reregister"
        return (*_FREE, OadrResponse) if asked else _FREE

    def _deny(self, other: vens.Ven | None, claimed: str) -> Exchange:
        if other is None:
            raise InvalidID(f"venID {shown(claimed)} is not known")
        raise NotRegistered(f"venID {shown(claimed)} does not belong to this certificate")

    def _admit_stranger(self, exchange: Exchange) -> Exchange | Deferred[Exchange]:
        """A certificate that a configured CA signed, but that is no VEN's: the policy decides."""
        policy = exchange.resource.policy
        wants_in = isinstance(exchange.message, OadrQueryRegistration | OadrCreatePartyRegistration)
        if policy in ("open", "handler") and wants_in:
            return exchange
        refusal = NotRegistered(f"the certificate {exchange.fingerprint} is not known")
        if policy == "approve" and wants_in:
            refusal = NotRegistered(f"the certificate {exchange.fingerprint} waits for approval")
            says = (getattr(exchange.message, name, None) for name in ("ven_id", "ven_name"))
            waiting = self.vtn.write(
                "remember", remember, self.vtn.config, exchange.certificate, exchange.subject(), *says
            )
            return waiting.addCallback(lambda _: Failure(refusal))
        raise refusal

    def handle(self, exchange: Exchange) -> Deferred[Message]:
        """What is the answer?  Asks the resource's method for the message.

        A method that never answers does not hold its VEN: that gets 500 in time, what the method does goes on.
        """
        answer: Deferred[Message] = Deferred()
        limit = self.vtn.config.limits.request_timeout
        too_late = TimeoutError(f"the handler has not answered within {limit:g} s")
        late = self.vtn.clock.callLater(limit, answer.errback, too_late)

        def answered(result: Message | Failure) -> None:
            if late.active():
                late.cancel()
                answer.callback(result)
            elif isinstance(result, Failure):
                log.failure("{who}: a handler failed after its time was over", failure=result, who=exchange.who)

        exchange.resource.dispatch(exchange).addBoth(answered)
        return answer

    # --- the failures ---------------------------------------------------------------------------------

    def _refused(self, failure: Failure, exchange: Exchange) -> Message | None:
        """The one table of what is answered when a step failed."""
        error = failure.value
        unreadable = isinstance(error, Unreadable)
        if unreadable and exchange.element is None and exchange.message is None:
            exchange.status, exchange.content_type = 400, b"text/plain; charset=utf-8"
            exchange.answer = f"{error}\n".encode()
            self.answers["unreadable", "HTTP 400"] += 1
            log.info("{who} at {peer}: {error}", who=exchange.who, peer=exchange.peer, error=str(error))
            return None
        ours = unreadable or not isinstance(error, VtnError)  # a handler may read documents of its own
        return self._normal(self._incident(failure, exchange) if ours else error, exchange)

    def _normal(self, error: VtnError, exchange: Exchange) -> Message:
        """What normally answers the message, with the error's code."""
        message, cls = exchange.message, type(exchange.message)
        request_id = _request_id(message)
        if message is None and isinstance(error, Undecodable):
            cls, request_id = error.cls, error.request_id
        elif isinstance(error, WrongEndpoint):
            cls = OadrResponse
        response = EiResponse(
            response_code=error.response_code, response_description=error.description, request_id=request_id
        )
        normal = _NORMAL.get(cls)
        answer = normal(response, exchange.ven_id, message, self.vtn.config.vtn_id) if normal else None
        return answer or OadrResponse(response=response, ven_id=exchange.ven_id)

    def _incident(self, failure: Failure, exchange: Exchange) -> VtnError:
        """A fault of ours or of a user's handler: the peer gets a number, the log has the rest."""
        incident = secrets.token_hex(4)
        name = exchange.message.name() if exchange.message else "a message"
        log.failure(
            "incident {incident}: {name} of {who} could not be handled",
            failure=failure,
            incident=incident,
            name=name,
            who=exchange.who,
        )
        return VtnError(f"internal error, incident {incident}")

    # --- the answer -----------------------------------------------------------------------------------

    def _answer(self, reply: Message | None, exchange: Exchange) -> Exchange:
        """Message to bytes."""
        bare = bends.BARE_ROOT in exchange.bends
        if reply is not None:
            try:
                exchange.answer = encode(reply, bare)
            except Exception:
                # What a user's handler made up may be against the schema.
                reply = self._normal(self._incident(Failure(), exchange), exchange)
                exchange.answer = encode(reply, bare)
            self._note(reply, exchange)
        exchange.reply = reply
        return exchange

    def _note(self, reply: Message, exchange: Exchange) -> None:
        response = getattr(reply, "response", None)
        code = response.response_code if response else "200"
        name = exchange.message.name() if exchange.message else "undecodable"
        self.answers[name, code] += 1
        idle = isinstance(exchange.message, OadrPoll) and isinstance(reply, OadrResponse) and code == "200"
        if not idle:
            log.info(
                "{who}: {name} -> {reply} {code}{reason}",
                who=exchange.who,
                name=name,
                reply=reply.name(),
                code=code,
                reason="" if code == "200" or not response else f" {response.response_description!r}",
            )

    def _lost(self, failure: Failure, exchange: Exchange) -> Exchange:
        """Not even an answer could be encoded."""
        log.failure("no answer could be made for {who}", failure=failure, who=exchange.who)
        exchange.status, exchange.content_type, exchange.answer = 500, b"text/plain", b"internal error\n"
        return exchange
