"""The chain: what happens to every message, in this order, and what is answered where a step refuses.

identify -> parse -> verify -> decode -> admit -> guard -> handle, then answer.  ``receive`` is the first half, which
a transport that calls VENs runs on what they return; there is no second path.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography.x509 import Certificate
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..model.errors import ComplianceError, InvalidData, InvalidID, NotAllowed, NotRegistered, Unreadable, VtnError
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
from ..security import fingerprint, signature
from ..security.signature import SignatureRefused, Signed, Signer
from ..storage import vens
from ..vtn import replay
from ..vtn.registration import PROFILES, remember
from ..vtn.roster import Entry, Idle, Poll
from ..vtn.traces import who
from ..vtn.vtn import ANSWERS, Vtn
from ..wire import Undecodable, bends, encode
from ..wire.envelope import claimed, decode_message, unseal, unseal_object
from ..wire.parser import parse
from .exchange import Exchange, TooLate

if TYPE_CHECKING:
    from .resource import ServiceResource

log = Logger()

_FREE = (OadrQueryRegistration, OadrCreatePartyRegistration, OadrCanceledPartyRegistration, OadrPoll)
"""What may come from a VEN that is not registered, as far as the rules allow; what an oadrPoll gets is a setting."""
_NOT_FOR_REPORTS = ("EiEvent", "EiOpt")
"""The services that a VEN has given up that registered for reports only."""

_IDLE = OadrPoll.name(), "200"

_WEIGHT = 128 * 1024
"""A message counts as one, and as one more for each so many bytes: they take the more time the more there are."""

_LARGE = 64 * 1024
"""The signature of a body of more bytes is computed on a thread."""


_TO_THE_VTN = (*ANSWERS, OadrResponse)
"""What answers the VTN is no message of the VEN's own: it has a bucket for itself."""


class TooOften(Exception):
    """A message of a VEN that has sent more than it may; answered by HTTP 503, whatever it is."""


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
    """Runs exchanges for one VTN; ``answers`` counts (message, response code).

    ``signers`` sign answers, by the SHA-256 of the certificate that a connection showed; where it showed none of
    them the first signs, and without any nothing is signed.  ``in_thread`` runs what takes long.  ``judge`` tells of a
    certificate that only signs why it is good no more, if it is not.
    """

    def __init__(self, vtn: Vtn, in_thread: Callable[..., Deferred[Any]] = maybeDeferred) -> None:
        self.vtn = vtn
        self.answers: Counter[tuple[str, str]] = Counter()
        self.signers: dict[bytes | None, Signer] = {}
        self.judge: Callable[[Certificate], str | None] = lambda certificate: None
        self._in_thread = in_thread
        self._signing: set[str] = set()  # VENs of which the log says that they sign

    def run(self, exchange: Exchange) -> Deferred[Exchange]:
        """Take an exchange from its bytes to its answer; always succeeds."""
        entry = exchange.entry or self.vtn.roster.find(exchange.certificate)
        poll = entry.polled(exchange.body, self.vtn.config) if entry else None
        if not entry or not poll or OadrPoll not in exchange.resource.methods:
            done: Deferred[Any] = self.receive(exchange)
        elif idle := self._idle(exchange.resource, entry, poll):
            exchange.answer, exchange.reply = idle.answer, idle.reply
            return succeed(exchange)
        else:
            self._identified(entry, exchange).message = poll.message
            done = fail(TooOften()) if exchange.wait else self.handle(exchange)
        done.addErrback(self._refused, exchange)
        done.addCallback(self._answer, exchange)
        done.addErrback(self._lost, exchange)
        return done

    def again(self, resource: ServiceResource, entry: Entry, body: bytes) -> bytes | None:
        """The answer to a poll that is byte for byte the VEN's last one, and finds nothing like that one.

        It is never one that was signed, and it counts as any other.
        """
        poll = entry.polled(body, self.vtn.config)
        idle = self._idle(resource, entry, poll) if poll else None
        return idle.answer if idle else None

    def _idle(self, resource: ServiceResource, entry: Entry, poll: Poll) -> Idle | None:
        idle = entry.idles(poll)
        if idle is None or not resource.constant:
            return None
        if entry.messages.take(self.vtn.clock.seconds()):
            return None
        self.vtn.seen(entry)
        self.answers[_IDLE] += 1
        entry.idle_polls += 1
        return idle

    def receive(self, exchange: Exchange) -> Deferred[Message]:
        """The first half: the reply to what came, or a failure for ``_refused``."""
        steps = iter((self.identify, self.parse, self.verify, self.decode, self.admit, self.guard, self.handle))
        found: Any = exchange
        try:
            for step in steps:
                found = step(found)
                if isinstance(found, Deferred):
                    break  # most steps need none, and then nothing has to wait
        except BaseException:  # as a Deferred has it
            return fail()
        for step in steps:
            found.addCallback(step)
        return found

    # --- the steps ------------------------------------------------------------------------------------

    def identify(self, exchange: Exchange) -> Exchange | Deferred[Exchange]:
        """Whose certificate is it?"""
        if entry := exchange.entry or self.vtn.roster.find(exchange.certificate):
            return self._identified(entry, exchange)
        return self.vtn.identify(exchange.certificate).addCallback(self._identified, exchange)

    def _identified(self, entry: Any, exchange: Exchange) -> Exchange:
        exchange.entry = entry
        if entry:
            self.vtn.seen(entry)
            exchange.wait = entry.messages.take(self.vtn.clock.seconds())
            if not exchange.wait:
                exchange.taken += (entry.messages,)
        return exchange

    def parse(self, exchange: Exchange) -> Exchange:
        """Bytes to tree.  Of who has sent too much so many are read as it may send answers: it may be one."""
        if exchange.wait and exchange.entry:
            if exchange.entry.answers.take(self.vtn.clock.seconds()):
                raise TooOften
            exchange.heard = True
        if exchange.entry:
            exchange.entry.messages.owe(len(exchange.body) // _WEIGHT)
        exchange.element = parse(exchange.body)
        return exchange

    def verify(self, exchange: Exchange) -> Exchange | Deferred[Exchange]:
        """Tree to the element that counts: of a signed document, what was signed."""
        root, entry, allowed = exchange.element, exchange.entry, self._allowed(exchange)
        level = self._level(exchange)
        exchange.signs = signature.is_signed(root)
        if level != "off" and exchange.signs:
            signer = self._signer(exchange)
            if fingerprint.short(signer) in self.vtn.revoked:
                raise SignatureRefused("the certificate that signs for this VEN is revoked")
            verified = partial(
                signature.verify,
                root,
                [signer],
                exchange.certificate_der(),
                self.vtn.now(),
                enveloped=bends.LATE_SIGNATURE in allowed,
                document=exchange.body,
            )
            if len(exchange.body) > _LARGE:
                return self._in_thread(verified).addCallback(self._verified, exchange)
            return self._verified(verified(), exchange)
        if level == "require":
            raise SignatureRefused("the message is not signed")
        exchange.element, unlooked, bent = unseal(root, allowed)
        self._bent(exchange, bent)
        if unlooked is not None and entry and entry.ven.ven_id not in self._signing:
            self._signing.add(entry.ven.ven_id)
            log.warn("VEN {ven_id!r} signs its messages: signatures are not checked", ven_id=entry.ven.ven_id)
        return exchange

    def _verified(self, signed: Signed, exchange: Exchange) -> Exchange:
        # That of the connection was looked at in the handshake.
        own = exchange.entry and exchange.entry.ven.signing_fingerprint
        if own and (reason := self.judge(signed.certificate)):
            raise SignatureRefused(f"the certificate that signs for this VEN: {reason}")
        self.vtn.polls.window.check(signed.timestamp, self.vtn.now())
        exchange.signed = signed
        exchange.element = unseal_object(signed.signed_object)
        self._bent(exchange, (bends.LATE_SIGNATURE,) if signed.late or signed.enveloped else ())
        if exchange.entry:
            exchange.entry.enveloped = signed.enveloped
        return exchange

    def _level(self, exchange: Exchange) -> str:
        """What the messages of this VEN are about signatures: off, accept or require."""
        own = exchange.entry and exchange.entry.ven.signatures
        return own or self.vtn.config.security.signatures

    def _signer(self, exchange: Exchange) -> bytes:
        """The SHA-256 of the certificate that may sign for this VEN."""
        own = exchange.entry and exchange.entry.ven.signing_fingerprint
        return own or exchange.certificate

    def decode(self, exchange: Exchange) -> Exchange:
        """Element to message."""
        allowed = self._allowed(exchange)
        exchange.message, bent = decode_message(exchange.element, allowed, exchange.body)
        exchange.element = None
        if isinstance(exchange.message, OadrUpdateReport):
            exchange.message, more = bends.unoffered(exchange.message, allowed)
            bent += more
            self._count(exchange.message)
        self._bent(exchange, bent)
        return exchange

    def _count(self, message: OadrUpdateReport) -> None:
        """Raise InvalidData where a message has more readings than the limit."""
        most = self.vtn.config.limits.readings
        found = sum(len(interval.payloads) for report in message.reports for interval in report.intervals)
        if found > most:
            self.vtn.limited["readings"] += 1
            raise InvalidData(f"oadrUpdateReport: holds {found} readings; {most} are taken at once")

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
        if entry and isinstance(message, _TO_THE_VTN):
            exchange.wait = 0.0 if exchange.heard else entry.answers.take(self.vtn.clock.seconds())
            if not exchange.wait:
                exchange.is_free()
        if exchange.wait:
            raise TooOften
        if type(message) not in exchange.resource.methods:
            raise WrongEndpoint(f"{message.name()} is not for {exchange.resource.service}")
        if entry is None:
            return self._admit_stranger(exchange)
        if entry.ven.suspended_at is not None:
            raise NotRegistered(f"VEN {entry.ven.ven_id!r} is suspended")
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

    def guard(self, exchange: Exchange) -> Exchange | Deferred[Exchange]:
        """Is a signed message here for the first time?

        A rule of the VTN finds out in its own transaction, so that a message whose transaction fails may come
        again.  What somebody else's code does cannot be taken back: that is only begun for a message that is new.
        """
        message, signed = exchange.message, exchange.signed
        if signed is None:
            if isinstance(message, OadrPoll):
                self._remember(exchange)
            return exchange
        mark = self._signer(exchange), signed.timestamp, signed.nonce
        if isinstance(message, OadrPoll):
            now = self.vtn.now()
            self.vtn.polls.use(*mark, now)
            if signed.timestamp <= now:
                return exchange  # a restart refuses what is from before it, but not what was ahead of it
        elif exchange.resource.is_rule(message):
            exchange.once = replay.once(*mark)
            return exchange
        return self.vtn.write("nonce", replay.use, *mark).addCallback(lambda _: exchange)

    def handle(self, exchange: Exchange) -> Deferred[Message]:
        """What is the answer?  Asks the resource's method for the message.

        A method that never answers does not hold its VEN: that gets 500 in time, what the method does goes on.
        """
        dispatched = exchange.resource.dispatch(exchange)
        if dispatched.called and not dispatched.paused:
            return dispatched
        answer: Deferred[Message] = Deferred()
        limit = self.vtn.config.limits.request_timeout
        name = exchange.message.name()

        def give_up() -> None:
            exchange.late = True
            answer.errback(TimeoutError(f"the handler has not answered within {limit:g} s"))

        def answered(result: Message | Failure) -> None:
            if not exchange.late:
                late.cancel()
                answer.callback(result)
                return
            about: Any = {"incident": exchange.incident, "who": exchange.who, "handler": self._handler(exchange)}
            if isinstance(result, Failure) and not result.check(TooLate):
                log.failure("incident {incident}: {handler} of {who} failed after its time was over", result, **about)
            else:
                said = "incident {incident}: {handler} of {who} has answered {name} after its time was over, "
                log.warn(f"{said}which is dropped", name=name, **about)

        late = self.vtn.clock.callLater(limit, give_up)
        dispatched.addBoth(answered)
        return answer

    # --- the failures ---------------------------------------------------------------------------------

    def _refused(self, failure: Failure, exchange: Exchange) -> Message | None:
        """The one table of what is answered when a step failed."""
        exchange.error = error = failure.value
        if exchange.wait:
            self._too_often(exchange)
            return None
        unreadable = isinstance(error, Unreadable)
        if unreadable and exchange.element is None and exchange.message is None:
            exchange.status, exchange.content_type = 400, b"text/plain; charset=utf-8"
            exchange.answer = f"{error}\n".encode()
            self.answers["unreadable", "HTTP 400"] += 1
            if self.vtn.noise.lets(exchange.who):
                log.info("{who} at {peer}: {error}", who=exchange.who, peer=exchange.peer, error=str(error))
            return None
        if isinstance(error, SignatureRefused) and self.vtn.noise.lets(exchange.who):
            log.warn("{who} at {peer}: {reason}", who=exchange.who, peer=exchange.peer, reason=error.reason)
        ours = unreadable or not isinstance(error, VtnError)  # a handler may read documents of its own
        return self._normal(self._incident(failure, exchange) if ours else error, exchange)

    def _too_often(self, exchange: Exchange) -> None:
        """Whatever else is wrong with it, it is one too many."""
        name = exchange.message.name() if exchange.message else "undecodable"
        exchange.status, exchange.content_type = 503, b"text/plain"
        exchange.retry_after = math.ceil(exchange.wait)
        exchange.answer = b"too many messages\n"
        self.answers[name, "HTTP 503"] += 1
        self.vtn.limited["message_rate"] += 1
        if self.vtn.noise.lets(exchange.who):
            log.info("{who} at {peer}: {name} is one too many", who=exchange.who, peer=exchange.peer, name=name)

    def _normal(self, error: VtnError, exchange: Exchange) -> Message:
        """What normally answers the message, with the error's code."""
        message = exchange.message
        cls, request_id = self._claims(exchange)
        if isinstance(error, WrongEndpoint):
            cls = OadrResponse
        response = EiResponse(
            response_code=error.response_code, response_description=error.description, request_id=request_id
        )
        normal = _NORMAL.get(cls) if cls else None
        answer = normal(response, exchange.ven_id, message, self.vtn.config.vtn_id) if normal else None
        return answer or OadrResponse(response=response, ven_id=exchange.ven_id)

    def _claims(self, exchange: Exchange) -> tuple[type[Message] | None, str]:
        """Which message it is, or claims to be where it was refused, and its requestID."""
        message, error = exchange.message, exchange.error
        if message is not None:
            return type(message), _request_id(message)
        if isinstance(error, Undecodable):
            return error.cls, error.request_id
        return claimed(exchange.element) if isinstance(error, SignatureRefused) else (None, "")

    def _incident(self, failure: Failure, exchange: Exchange) -> VtnError:
        """A fault of ours or of a user's handler: the peer gets a number, the log has the rest."""
        exchange.incident = incident = secrets.token_hex(4)
        name = exchange.message.name() if exchange.message else "a message"
        if self.vtn.noise.lets(exchange.who):
            log.failure(
                "incident {incident}: {name} of {who} could not be handled by {handler}",
                failure=failure,
                incident=incident,
                handler=self._handler(exchange),
                name=name,
                who=exchange.who,
            )
        return VtnError(f"internal error, incident {incident}")

    def _handler(self, exchange: Exchange) -> str:
        """Who was to answer: a function of a user, else a method."""
        method = exchange.resource.methods.get(type(exchange.message))
        return exchange.handler or ".".join(filter(None, (type(exchange.resource).__name__, method)))

    # --- the answer -----------------------------------------------------------------------------------

    def _answer(self, reply: Message | None, exchange: Exchange) -> Exchange:
        """Message to bytes."""
        if reply is not None:
            try:
                exchange.answer = self._encode(reply, exchange)
            except Exception:
                # What a user's handler made up may be against the schema.
                reply = self._normal(self._incident(Failure(), exchange), exchange)
                exchange.answer = self._encode(reply, exchange)
            exchange.reply = reply
            self._note(reply, exchange)
        else:
            self._trace(exchange, f"HTTP {exchange.status}", str(exchange.error))
        return exchange

    def _encode(self, reply: Message, exchange: Exchange) -> bytes:
        bare = bends.BARE_ROOT in exchange.bends
        document = encode(reply, bare)
        if bare or not self.signers or not self._wants_signature(exchange):
            return document
        signer = self.signers.get(exchange.own_certificate()) or next(iter(self.signers.values()))
        form = exchange.signed or exchange.entry
        document = signer.sign(document, self.vtn.now(), enveloped=form is not None and form.enveloped)
        exchange.seals = True
        return document

    def _wants_signature(self, exchange: Exchange) -> bool:
        """Whether the answer is to be signed: for who signs or asks for it by oadrXmlSignature, if not for all."""
        if self._level(exchange) == "off":
            return False
        asked = bool(exchange.entry and exchange.entry.ven.xml_signature)
        asked = getattr(exchange.message, "xml_signature", asked)  # what a registration says is newer
        return exchange.signs or asked or self.vtn.config.security.sign == "always"

    def _note(self, reply: Message, exchange: Exchange) -> None:
        response = getattr(reply, "response", None)
        code = response.response_code if response else "200"
        name = exchange.message.name() if exchange.message else "undecodable"
        self.answers[name, code] += 1
        if isinstance(exchange.message, OadrPoll) and not isinstance(reply, OadrResponse):
            exchange.is_free()
        if (name, code) == _IDLE and isinstance(reply, OadrResponse):
            return self._remember_idle(reply, exchange)
        reason = response.response_description or "" if code != "200" and response else ""
        who = exchange.who
        if self.vtn.noise.lets(who):
            line = f"{who}: {name} -> {reply.name()} {code}" + (f" {reason!r}" if reason else "")
            # One field to format, not five: Twisted takes its time for each, and this line is for every message.
            log.info("{log_line}", log_line=line, who=who, name=name, reply=reply.name(), code=code, reason=reason)
        self._trace(exchange, code, reason)

    def _trace(self, exchange: Exchange, code: str, reason: str = "") -> None:
        """Keep what was said both ways, for operators who look: they may know why a signature was refused."""
        error, place = exchange.error, ""
        if isinstance(error, SignatureRefused):
            reason = error.reason
        elif isinstance(error, VtnError) and len(error.mistakes) == 1 and not exchange.incident:
            place, reason = error.mistakes[0].place, error.mistakes[0].reason
        cls, _ = self._claims(exchange)
        of = who(exchange.entry.ven if exchange.entry else None, exchange.certificate)
        note = partial(self.vtn.traces.note, of, peer=exchange.peer, service=exchange.resource.service, code=code)
        note(
            "in",
            exchange.body,
            name=cls.name() if cls else "",
            verdict=reason,
            place=place,
            bends=exchange.bends,
            signed=exchange.signs,
            incident=exchange.incident,
        )
        note("out", exchange.answer, name=exchange.reply.name() if exchange.reply else "", signed=exchange.seals)

    def _remember(self, exchange: Exchange) -> None:
        """Know a poll when it comes again; not one that was signed or bent."""
        entry = exchange.entry
        if entry and not (exchange.signs or exchange.bends):
            entry.poll = Poll(exchange.body, exchange.message, entry.ven, self.vtn.config)

    def _remember_idle(self, reply: Message, exchange: Exchange) -> None:
        """Count a poll that finds nothing, and know what it gets when it comes again, if that is not signed."""
        entry, config = exchange.entry, self.vtn.config
        if entry is None:
            return
        entry.idle_polls += 1
        poll = entry.polled(exchange.body, config)
        if poll and entry.due == () and not exchange.seals:
            poll.idle = Idle(exchange.answer, reply, entry.revision)

    def _lost(self, failure: Failure, exchange: Exchange) -> Exchange:
        """Not even an answer could be encoded."""
        log.failure("no answer could be made for {who}", failure=failure, who=exchange.who)
        exchange.status, exchange.content_type, exchange.answer = 500, b"text/plain", b"internal error\n"
        self._trace(exchange, "HTTP 500", "no answer could be made")
        return exchange
