"""The HTTPS listener of the VENs: HTTP/1.1 only, and a limit to every size, count and wait.

The limits hold before a message is parsed: a body is counted as it comes, against the limit of its service,
or against the small one where the certificate is not known.  Who goes over a limit is answered at once, what
else comes is thrown away as it arrives, and the connection is closed.  Only who sends too often is answered by 503
and keeps the connection, and so is who comes when there is too much to do: to connect costs more than a message.

Some methods whose names begin with an underscore replace Twisted's own.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from io import BytesIO
from ipaddress import IPv6Address
from typing import Any

import attrs
from cryptography.x509 import load_der_x509_certificate
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from zope.interface import implementer

from ..handlers.exchange import Exchange
from ..handlers.resource import Nowhere
from ..model.config import Limits
from ..model.values import shown
from ..security.certificates import describe, printable
from ..security.fingerprint import sha256
from ..security.forwarded import HEADERS
from ..security.revocation import Verified
from ..security.tls import own_certificate, peer_certificate, verified_chain
from ..vtn.rates import Bucket, Rate
from .overload import Overload

log = Logger()

_REASONS = http.RESPONSES  # which is looked up in the module each time, at a price
PATH = "OpenADR2/Simple/2.0b"
"""Where the services are, behind a prefix that the configuration may set (rule 511)."""

_TOO_MUCH = b"too much to do\n"
"""What a 503 says."""

_MOST_LEFT = 10_000
"""Addresses without a connection that are remembered."""

_MOST_HEADS = 256
"""Heads of requests that are remembered, those of many VENs of one make and of a message as long as another's."""

_MOST_DIGITS = 18
"""More of them no Content-Length has."""

Known = Callable[[bytes], Deferred[Any]]
"""Tells by the SHA-256 of a certificate whether it is a VEN's (something true) or not."""
Told = Callable[[bytes, str, str, str, str], None]
"""Is told whom we refused before any service saw it: the SHA-256, the address, where to, the status and why."""
Judge = Callable[[Any], str | None]
"""Tells of the transport of a connection why its certificate is good no more, if it is not."""
Vouch = Callable[[Verified], Deferred[tuple[str | None, float]]]
"""Finds out the same of a chain by asking elsewhere, and until when (by the clock) that holds; always succeeds."""
Met = Callable[[Any, bytes, bytes], None]
"""Is told what ``Known`` has found, once in a connection, with the SHA-256 of the certificate and the whole of it."""


@attrs.frozen
class _Head:
    """What was read from the head of a request that came in one piece.

    A VEN sends the same one with each of its polls, and so do others of its make: then it need not be read again.
    """

    length: int
    path: bytes
    headers: Headers
    service: Any


class VenRequest(server.Request):
    """A request whose body is counted against its limit while it comes."""

    channel: VenChannel  # None once the connection is lost
    content: Any
    site: VenSite
    service: Any = None  # the resource, once it is found
    known = False  # it was found before, by a request with the same head
    begun: Deferred[Exchange] | None = None  # the service has begun to answer it
    later: int | None = None  # seconds until it may come again, 0 where it may come in now; None: not known yet
    _limit = 0
    _received = 0
    _identified: Deferred[Any]

    def gotLength(self, length: int | None) -> None:
        """The headers are here: find out who it is, and how much may come."""
        channel = self.channel
        channel.head_in_time()
        self.content = BytesIO()
        self._limit = channel.site.body_limit(channel.path)
        self._check(length or 0)
        if self.later is None:
            self.later = channel.site.turn_away(channel)
        if self.later or channel.closing:
            self._identified = succeed(None)
            return
        self._identified = channel.whose()
        if not self._identified.called:
            # What is in the buffers by now may still come in; more does not, until it is known who it is.
            channel.pauseProducing()
            self._identified.addBoth(self._resume, channel)
        self._identified.addBoth(self._know, channel, length or 0)

    def _resume(self, result: Any, channel: VenChannel) -> Any:
        channel.resumeProducing()
        return result

    def _know(self, result: Any, channel: VenChannel, length: int) -> None:
        if not result or isinstance(result, Failure):
            self._limit = min(self._limit, channel.site.limits.body.unknown)
            self._check(max(length, self._received))
        else:
            channel.meet(result)

    def when_wanted(self, function: Callable[..., None], *arguments: Any) -> None:
        """Go on once it is known whose request it is, if it is still wanted then."""

        def go_on(_: object) -> None:
            if self.channel and not self.channel.closing:
                function(*arguments)

        self._identified.addCallback(go_on)

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        self._received += len(data)
        if not self.later:
            self.content.write(data)
        self._check(self._received)

    def _check(self, size: int) -> None:
        if size > self._limit and self.channel:
            self.content = BytesIO()
            self.channel.refuse(413, f"the body is larger than {self._limit} bytes", "body")

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of it is here."""
        self.when_wanted(super().requestReceived, command, path, version)

    def process(self) -> None:
        """Have the service answer."""
        if self.later:
            self.setResponseCode(503)
            for name, value in _fields(self.later).items():
                self.setHeader(name, value)
            self.write(_TOO_MUCH)
            self.finish()
        elif self.service is None:
            super().process()
        else:
            self.site = self.channel.site
            self.known = True
            self.service.answer(self.begun or self.service.begin(self.channel, self.content.read()), self)

    def render(self, resource: Resource) -> None:
        """The service is found: its connection may ask for it again."""
        if self.service is None:
            self.service = resource
            self.channel.remember(self)
        super().render(resource)

    def write(self, data: bytes) -> None:
        """The answer to a request whose head is known goes out in one piece."""
        fields = self.responseHeaders
        if self.known and not self.startedWriting and not self._disconnected and fields.hasHeader(b"content-length"):
            self.startedWriting = 1
            lines = [b"%b: %b\r\n" % (name, value) for name, values in fields.getAllRawHeaders() for value in values]
            data = self.site.head(self.code, b"".join(lines)) + data
            self.channel.write(data)
        else:
            super().write(data)


@implementer(IHandshakeListener)
class VenChannel(http.HTTPChannel):
    """A connection of a VEN.

    ``certificate`` is the SHA-256 of what it showed in the handshake; ``met``: the VEN that it belongs to was told so.
    """

    requestFactory = VenRequest
    site: VenSite
    transport: Any
    timeOut: Any
    callLater: Any
    requests: list[VenRequest]
    certificate = b""
    bucket: Bucket
    neighbourhood: str
    number: int
    met = False
    closing = False
    _der = b""
    _own: bytes | None = None
    _deadline: IDelayedCall | None = None
    _between = True  # nothing has come since the last request
    _piece = b""  # all that has come of this request, if that is one piece
    _vouching: list[Deferred[None]] | None = None  # who waits until somebody has vouched for the certificate
    vouched_until = 0.0
    _lost = False
    _heading = True  # the head of a request has not come whole

    def connectionMade(self) -> None:
        """TCP is there; the handshake has its own time."""
        self.timeOut = self.site.limits.handshake_timeout
        super().connectionMade()
        self.site.enter(self)

    def handshakeCompleted(self) -> None:
        """The peer has shown a certificate that a configured CA signed."""
        self._der = peer_certificate(self.transport) or b""
        self.certificate = sha256(self._der)
        self.setTimeout(self.site.limits.idle_timeout)
        self.look_again()

    def look_again(self) -> None:
        """Close the connection if its certificate is good no more; ask again who vouches for it, if that is over."""
        if self.closing or not self.certificate:
            return
        if reason := self.site.judge(self.transport):
            self._revoked(reason)
        elif self.site.vouch and self.vouched_until <= self.site.reactor.seconds() and self._vouching is None:
            self._ask(self.site.vouch, verified_chain(self.transport))

    def _ask(self, vouch: Vouch, chain: Verified) -> None:
        self._vouching = []
        vouch(chain).addCallbacks(self._vouched, self._not_vouched)

    def _not_vouched(self, failure: Failure) -> None:
        log.failure("nobody could be asked about the certificate of {peer}", failure, peer=self.address)
        self._vouched(("nobody could be asked", self.vouched_until))

    def _vouched(self, said: tuple[str | None, float]) -> None:
        reason, self.vouched_until = said
        if reason:
            self._revoked(reason)
        waiting, self._vouching = self._vouching or [], None
        for one in waiting:
            one.callback(None)

    def _revoked(self, reason: str) -> None:
        if self.closing:
            return
        if self.site.lets(self.address):
            described = describe(load_der_x509_certificate(self._der))
            log.warn(
                "{peer}: closed: {reason} (subject {subject}, serial {serial})",
                peer=self.address, reason=reason, subject=described.subject[:300], serial=described.serial,
            )  # fmt: skip
        self.loseConnection()

    def whose(self) -> Deferred[Any]:
        """Whose certificate it is, once somebody has vouched for it."""
        known = self.site.known(self.certificate)
        if not self._unvouched():
            return known
        assert self._vouching is not None
        waiting: Deferred[Any] = Deferred()
        self._vouching.append(waiting)
        return waiting.addCallback(lambda _: known)

    def _unvouched(self) -> bool:
        """Whether somebody is asked to vouch for the certificate for the first time."""
        return self._vouching is not None and not self.vouched_until

    def dataReceived(self, data: bytes) -> None:
        """A request has a deadline from its first byte to its last."""
        if self.closing:
            return
        piece = data if self._between and not self._busyReceiving else b""
        if piece and not self._waitingForTransport:
            end = data.find(b"\r\n\r\n") + 4
            known = self.known_head(data[:end])
            if known and len(data) == end + known.length:
                self._known(known, data[end:])
                return
        self._piece = piece
        self._between = False
        super().dataReceived(data)
        # It may be only the empty line that some clients send after a request.
        coming = bool(self.requests or self._buffer) and not self._handlingRequest and not self.closing
        if coming and self._deadline is None:
            limits = self.site.limits
            head = min(limits.header_timeout, limits.request_timeout)
            self._deadline = self.callLater(head if self._heading else limits.request_timeout, self._late)

    def known_head(self, data: bytes) -> _Head | None:
        """What was read from a head like this one, if it is remembered."""
        return self.site.heads.get(data)

    def _known(self, head: _Head, body: bytes) -> None:
        """Serve a request whose head is known and whose body came along."""
        self.resetTimeout()
        if later := self.site.turn_away(self):
            fields = b"".join(b"%b: %b\r\n" % field for field in _fields(later).items())
            self.write(self.site.head(503, fields) + _TOO_MUCH)
            return
        begun = None
        if not self._unvouched() and (entry := head.service.knows(self.certificate)):
            if not self.met:
                self.site.known(self.certificate).addCallback(self.meet)
            answer = head.service.again(entry, body)
            if answer is not None:
                fields = b"Content-Type: application/xml\r\nContent-Length: %d\r\n" % len(answer)
                self.write(self.site.head(200, fields) + answer)
                return
            begun = head.service.begin(self, body, entry)
            if begun.called and not begun.paused:
                begun.addCallback(self._answer)
                return
        self._between = False
        request = self.requestFactory(self, False)
        request.requestHeaders, request.service, request.later = head.headers, head.service, 0
        request.begun = begun
        self.requests.append(request)
        self._command, self._path, self._version = b"POST", head.path, b"HTTP/1.1"
        request.gotLength(head.length)
        request.handleContentChunk(body)
        if not self.closing:
            self.allContentReceived()

    def meet(self, known: Any) -> None:
        """It is known whose connection this is, which somebody is told once."""
        if not self.met:
            self.met = True
            self.site.met(known, self.certificate, self._der)

    def _answer(self, exchange: Exchange) -> None:
        """What is answered at once to a request whose head is known needs nothing around it."""
        fields = b"".join(b"%b: %b\r\n" % field for field in exchange.fields)
        self.write(self.site.head(exchange.status, fields) + exchange.answer)
        exchange.written()

    def remember(self, request: VenRequest) -> None:
        """Know the head of a request when it comes again, on whatever connection, if it is a plain one."""
        body, piece, headers = request.content.getvalue(), self._piece, request.requestHeaders
        end = len(piece) - len(body)
        plain = self.persistent and request.method == b"POST" and not headers.hasHeader(b"expect")
        if hasattr(request.service, "again") and plain and body and piece.find(b"\r\n\r\n") + 4 == end:
            heads = self.site.heads
            heads[piece[:end]] = _Head(len(body), request.uri, headers, request.service)
            if len(heads) > _MOST_HEADS:
                heads.popitem(last=False)

    def requestDone(self, request: VenRequest) -> None:
        """It is answered; what has come behind it is read now."""
        self._between, self._piece = True, b""
        super().requestDone(request)

    def setTimeout(self, period: float | None) -> Any:
        """The time of an idle connection runs on while a message is in work, and its end means nothing then."""
        return super().setTimeout(period) if self._lost or period is not None else self.timeOut

    def headerReceived(self, line: bytes) -> bool:
        """A header; one that Python would refuse to take for a number is no length either."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _MOST_DIGITS:
            self._respondToBadRequestAndDisconnect()
            return False
        accepted: bool = super().headerReceived(line)
        return accepted

    def allHeadersReceived(self) -> None:
        """The head of a request is here: it may say whose it is."""
        self.identify(self.requests[-1].requestHeaders)
        super().allHeadersReceived()

    def identify(self, headers: Headers) -> None:
        """The handshake has said it; nobody sees a header that says so, too."""
        for name in self.site.hidden:
            headers.removeHeader(name)

    def allContentReceived(self) -> None:
        """The request is here in full."""
        self._in_time()
        self._heading = True
        super().allContentReceived()

    def _in_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def head_in_time(self) -> None:
        """All headers are here: the body has the rest of the time."""
        self._heading = False
        limits = self.site.limits
        if self._deadline is not None and limits.header_timeout < limits.request_timeout:
            self._deadline.delay(limits.request_timeout - limits.header_timeout)

    def _late(self) -> None:
        self._deadline = None
        self.refuse(408, "the request did not come in time", "header_timeout" if self._heading else "request_timeout")

    def _send100Continue(self) -> None:
        self.requests[-1].when_wanted(super()._send100Continue)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(400, "this is no HTTP request")

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of the head is too long."""
        self._respondToBadRequestAndDisconnect()

    def refuse(self, status: int, reason: str, limit: str = "") -> None:
        """Answer at once, and close; ``limit`` is the one that was passed."""
        if self.closing:
            return
        if limit:
            self.site.limited[limit] += 1
        if self.site.lets(self.address):
            log.info("{peer}: HTTP {status}, {reason}", peer=self.address, status=status, reason=reason)
        self.tell(self.path, status, reason)
        text = reason.encode() + b"\n"
        head = f"HTTP/1.1 {status} {_REASONS[status].decode()}\r\n"
        fields = {"content-type": "text/plain", "content-length": len(text), "connection": "close"}
        self.transport.write((head + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n").encode() + text)
        self.loseConnection()

    def tell(self, path: bytes, status: int, reason: str) -> None:
        """Have it noted that something was refused, if it is known whose."""
        if self.certificate:
            where = printable(path[:200].decode("latin-1"))
            self.site.told(self.certificate, self.address, where, f"HTTP {status}", reason)

    def timeoutConnection(self) -> None:
        """Nothing came for too long."""
        if not self.certificate:
            self.site.limited["handshake_timeout"] += 1
        if self._handlingRequest:
            self.setTimeout(self.timeOut)
        else:
            self.loseConnection()

    def retire(self) -> None:
        """Close as soon as no message is in work."""
        self.persistent = False
        if not self._handlingRequest:
            self.loseConnection()

    def loseConnection(self) -> None:
        """Close: what still comes is thrown away, and a peer that does not go along is cut off."""
        if not self.closing:
            self.closing = True
            self._abortingCall = self.callLater(self.site.limits.request_timeout, self.forceAbortClient)
        super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The peer is gone."""
        self._in_time()
        self._lost = True
        self.site.leave(self)
        super().connectionLost(reason)

    def certificate_der(self) -> bytes:
        """The certificate that the peer has shown."""
        return self._der

    def own_certificate(self) -> bytes | None:
        """The SHA-256 of the one that we have shown, which stays the same."""
        if self._own is None and (der := own_certificate(self.transport)):
            self._own = sha256(der)
        return self._own

    def subject(self) -> str:
        """What the certificate calls its owner."""
        return describe(load_der_x509_certificate(self._der)).subject

    @property
    def path(self) -> bytes:
        """The path of the request that comes in."""
        return getattr(self, "_path", b"").partition(b"?")[0]

    @cached_property
    def address(self) -> str:
        """Where the peer is, for the log."""
        peer = self.transport.getPeer()
        return f"{getattr(peer, 'host', peer)}"


class _TurnedAway(Protocol):
    """A connection too many."""

    def connectionMade(self) -> None:
        """Close it before any handshake."""
        assert self.transport
        self.transport.abortConnection()  # type: ignore[attr-defined]  # TCP and TLS both have it


@attrs.define(eq=False)
class _Address:
    """What is known of an address."""

    bucket: Bucket
    connections: int = 0


def _fields(later: int) -> dict[bytes, bytes]:
    """The headers of a 503."""
    length = b"%d" % len(_TOO_MUCH)
    return {b"Retry-After": b"%d" % later, b"Content-Type": b"text/plain", b"Content-Length": length}


def _neighbourhood(host: str) -> str:
    """Of an IPv6 address the network: whoever has one, has all of them."""
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


class VenSite(server.Site):
    """The site of the VENs.  Over a limit of connections, the newest is turned away.

    ``limited`` counts what was refused, by the names of the limits; ``hidden`` are the headers that only a trusted
    proxy may send.
    """

    hidden: Collection[str] = HEADERS

    def __init__(
        self,
        root: Resource,
        limits: Limits,
        known: Known,
        told: Told,
        limited: Counter[str],
        overload: Overload,
        reactor: IReactorTime,
    ) -> None:
        # A body is XML whatever its Content-Type says: never a form to be parsed.
        super().__init__(root, timeout=limits.idle_timeout, reactor=reactor, parsePOSTFormSubmission=False)
        self.limits = limits
        self.known = known
        self.told = told
        self.met: Met = lambda *_: None
        self.judge: Judge = lambda transport: None
        self.vouch: Vouch | None = None
        self._cooperator = Cooperator(scheduler=lambda work: reactor.callLater(0, work))
        self.lets: Callable[[str], bool] = lambda _: True  # whether the log takes a line about an address
        self._body_limits = attrs.asdict(limits.body)
        self.limited = limited
        self._overload = overload
        self.connections: set[VenChannel] = set()
        self._rate = Rate.of(limits.address_rate, limits.outbox)
        self._addresses: dict[str, _Address] = {}
        self._left: OrderedDict[str, _Address] = OrderedDict()  # those without a connection
        self._dated: tuple[int, bytes] = (-1, b"")
        self.heads: OrderedDict[bytes, _Head] = OrderedDict()

    def head(self, status: int, fields: bytes) -> bytes:
        """The head of an answer, as Twisted would write it; the date once in a second."""
        second = int(self.reactor.seconds())
        if second != self._dated[0]:
            self._dated = second, b"Server: %b\r\nDate: %b" % (server.version, http.datetimeToString())
        return b"HTTP/1.1 %d %b\r\n%b\r\n%b\r\n" % (status, _REASONS[status], self._dated[1], fields)

    def look_again(self) -> None:
        """Close the connections whose certificates are good no more, a few at a time."""
        self._cooperator.cooperate(self._each_again())

    def _each_again(self) -> Iterator[None]:
        for channel in list(self.connections):
            channel.look_again()
            yield

    def vouch_again(self) -> None:
        """Ask again about the connections for which nobody vouches any more."""
        now = self.reactor.seconds()
        for channel in list(self.connections) if self.vouch else ():
            if channel.vouched_until <= now:
                channel.look_again()

    def enter(self, channel: VenChannel) -> None:
        """There is a connection more; one too many from its address is cut off before any handshake."""
        self.connections.add(channel)
        channel.number = self._overload.enter()
        self.settle(channel)

    def settle(self, channel: VenChannel) -> None:
        """Count a connection to its address, whose limits hold for it."""
        channel.neighbourhood = host = _neighbourhood(channel.address)
        address = self._left.pop(host, None) or self._addresses.get(host)
        if address is None:
            address = _Address(self._rate.bucket(self.reactor.seconds()))
        self._addresses[host] = address
        address.connections += 1
        channel.bucket = address.bucket
        if address.connections > self.limits.connections_per_address:
            self.limited["connections_per_address"] += 1
            if self.lets(channel.address):
                log.warn("{peer}: turned away, {n} connections from there", peer=host, n=address.connections - 1)
            channel.forceAbortClient()

    def leave(self, channel: VenChannel) -> None:
        """There is a connection less."""
        self.connections.discard(channel)
        self._overload.leave(channel.number)
        self.unsettle(channel)

    def unsettle(self, channel: VenChannel) -> None:
        """Count a connection to its address no more."""
        host = channel.neighbourhood
        address = self._addresses[host]
        address.connections -= 1
        if not address.connections:
            self._left[host] = self._addresses.pop(host)
            if len(self._left) > _MOST_LEFT:
                self._left.popitem(last=False)

    def turn_away(self, channel: VenChannel) -> int:
        """In how many seconds the message may come again that begins here; 0 where it may come in now."""
        now = self.reactor.seconds()
        if self._overload.sheds(channel.number, now):
            self.limited["overload"] += 1
            return self._overload.retry_after()
        if wait := channel.bucket.take(now):
            self.limited["address_rate"] += 1
            return math.ceil(wait)
        return 0

    def body_limit(self, path: bytes) -> int:
        """How many bytes a VEN may send to this path."""
        service = path.rstrip(b"/").rpartition(b"/")[2].decode("latin-1")
        found: int = self._body_limits.get(service, self.limits.body.unknown)
        return found

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel of our own class: HTTP/2, which would hide the certificate, cannot be chosen."""
        return self.admit(addr, VenChannel)

    def admit(self, addr: IAddress | None, kind: Callable[[], VenChannel]) -> Any:
        """A channel of a kind, if there is room for it."""
        if len(self.connections) >= self.limits.connections:
            self.limited["connections"] += 1
            peer = f"{getattr(addr, 'host', addr)}"
            if self.lets(peer):
                log.warn("{peer}: turned away, {n} connections are open", peer=peer, n=len(self.connections))
            return _TurnedAway()  # not None, which the TLS around us would take for a protocol
        channel = kind()
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        return channel

    def startFactory(self) -> None:
        """Somebody may come."""
        super().startFactory()
        self._overload.start()

    def stopFactory(self) -> None:
        """Nobody else comes; those who are here get the answers that they wait for."""
        super().stopFactory()
        self._overload.stop()
        for channel in list(self.connections):
            channel.retire()

    @property
    def busy(self) -> bool:
        """Whether a message is in work; one that has not come whole is not."""
        return any(channel._handlingRequest for channel in self.connections)

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """The chain says what happened, an access log would say it twice; but here nothing came to a chain."""
        if request.code in (404, 405):
            method, phrase = (text.decode("latin-1") for text in (request.method, _REASONS[request.code]))
            request.channel.tell(request.path, request.code, f"{shown(method)}: {phrase}")


def tree(prefix: str, resources: Mapping[str, Resource]) -> Resource:
    """The resources, by service, at their place below a prefix."""
    root = parent = Nowhere()
    for part in (part for part in f"{prefix}/{PATH}".split("/") if part):
        child = Nowhere()
        parent.putChild(part.encode(), child)
        parent = child
    for service, resource in resources.items():
        parent.putChild(service.encode(), resource)
    return root
