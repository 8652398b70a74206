"""The HTTPS listener of the VENs: HTTP/1.1 only, and a limit to every size, count and wait.

The limits hold before a message is parsed: a body is counted as it comes, against the limit of its service,
or against the small one where the certificate is not known.  Who goes over a limit is answered at once, what
else comes is thrown away as it arrives, and the connection is closed.

Some methods whose names begin with an underscore replace Twisted's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import attrs
from cryptography.x509 import load_der_x509_certificate
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import Resource
from zope.interface import implementer

from ..handlers.resource import Nowhere
from ..model.config import Limits
from ..security.certificates import describe
from ..security.fingerprint import sha256
from ..security.tls import own_certificate, peer_certificate

log = Logger()

PATH = "OpenADR2/Simple/2.0b"
"""Where the services are, behind a prefix that the configuration may set (rule 511)."""

_MOST_DIGITS = 18
"""More of them no Content-Length has."""

Known = Callable[[bytes], Deferred[Any]]
"""Tells by the SHA-256 of a certificate whether it is a VEN's (something true) or not."""


class VenRequest(server.Request):
    """A request whose body is counted against its limit while it comes."""

    channel: VenChannel  # None once the connection is lost
    content: Any
    _limit = 0
    _received = 0
    _identified: Deferred[Any]

    def gotLength(self, length: int | None) -> None:
        """The headers are here: find out who it is, and how much may come."""
        channel = self.channel
        self.content = BytesIO()
        self._limit = channel.site.body_limit(channel.path)
        self._check(length or 0)
        self._identified = channel.site.known(channel.certificate)
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

    def when_wanted(self, function: Callable[..., None], *arguments: Any) -> None:
        """Go on once it is known whose request it is, if it is still wanted then."""

        def go_on(_: object) -> None:
            if self.channel and not self.channel.closing:
                function(*arguments)

        self._identified.addCallback(go_on)

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        self._received += len(data)
        self.content.write(data)
        self._check(self._received)

    def _check(self, size: int) -> None:
        if size > self._limit and self.channel:
            self.content = BytesIO()
            self.channel.refuse(413, f"the body is larger than {self._limit} bytes")

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of it is here."""
        self.when_wanted(super().requestReceived, command, path, version)


@implementer(IHandshakeListener)
class VenChannel(http.HTTPChannel):
    """A connection of a VEN.  ``certificate`` is the SHA-256 of what it showed in the handshake."""

    requestFactory = VenRequest
    site: VenSite
    transport: Any
    timeOut: Any
    callLater: Any
    requests: list[VenRequest]
    certificate = b""
    closing = False
    _der = b""
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """TCP is there; the handshake has its own time."""
        self.site.connections.add(self)
        self.timeOut = self.site.limits.handshake_timeout
        super().connectionMade()

    def handshakeCompleted(self) -> None:
        """The peer has shown a certificate that a configured CA signed."""
        self._der = peer_certificate(self.transport) or b""
        self.certificate = sha256(self._der)
        self.setTimeout(self.site.limits.idle_timeout)

    def dataReceived(self, data: bytes) -> None:
        """A request has a deadline from its first byte to its last."""
        if self.closing:
            return
        if self._deadline is None and not self._handlingRequest:
            self._deadline = self.callLater(self.site.limits.request_timeout, self._late)
        super().dataReceived(data)
        if not self.requests and not self._buffer:
            self._in_time()  # it was only the empty line that some clients send after a request

    def headerReceived(self, line: bytes) -> bool:
        """A header; one that Python would refuse to take for a number is no length either."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _MOST_DIGITS:
            self._respondToBadRequestAndDisconnect()
            return False
        accepted: bool = super().headerReceived(line)
        return accepted

    def allContentReceived(self) -> None:
        """The request is here in full."""
        self._in_time()
        super().allContentReceived()

    def _in_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        self.refuse(408, "the request did not come in time")

    def _send100Continue(self) -> None:
        self.requests[-1].when_wanted(super()._send100Continue)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(400, "this is no HTTP request")

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of the head is too long."""
        self._respondToBadRequestAndDisconnect()

    def refuse(self, status: int, reason: str) -> None:
        """Answer at once, and close."""
        if self.closing:
            return
        log.info("{peer}: HTTP {status}, {reason}", peer=self.address, status=status, reason=reason)
        text = reason.encode() + b"\n"
        head = f"HTTP/1.1 {status} {http.RESPONSES[status].decode()}\r\n"
        fields = {"content-type": "text/plain", "content-length": len(text), "connection": "close"}
        self.transport.write((head + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n").encode() + text)
        self.loseConnection()

    def timeoutConnection(self) -> None:
        """Nothing came for too long."""
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
        self.site.connections.discard(self)
        super().connectionLost(reason)

    def certificate_der(self) -> bytes:
        """The certificate that the peer has shown."""
        return self._der

    def own_certificate(self) -> bytes | None:
        """The SHA-256 of the one that we have shown."""
        der = own_certificate(self.transport)
        return sha256(der) if der else None

    def subject(self) -> str:
        """What the certificate calls its owner."""
        return describe(load_der_x509_certificate(self._der)).subject

    @property
    def path(self) -> bytes:
        """The path of the request that comes in."""
        return getattr(self, "_path", b"").partition(b"?")[0]

    @property
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


class VenSite(server.Site):
    """The site of the VENs.  Over its limit of connections, the newest is turned away."""

    def __init__(self, root: Resource, limits: Limits, known: Known, reactor: IReactorTime) -> None:
        # A body is XML whatever its Content-Type says: never a form to be parsed.
        super().__init__(root, timeout=limits.idle_timeout, reactor=reactor, parsePOSTFormSubmission=False)
        self.limits = limits
        self.known = known
        self._body_limits = attrs.asdict(limits.body)
        self.connections: set[VenChannel] = set()

    def body_limit(self, path: bytes) -> int:
        """How many bytes a VEN may send to this path."""
        service = path.rstrip(b"/").rpartition(b"/")[2].decode("latin-1")
        found: int = self._body_limits.get(service, self.limits.body.unknown)
        return found

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel of our own class: HTTP/2, which would hide the certificate, cannot be chosen."""
        if len(self.connections) >= self.limits.connections:
            log.warn("{peer}: turned away, {n} connections are open", peer=str(addr), n=len(self.connections))
            return _TurnedAway()  # not None, which the TLS around us would take for a protocol
        channel = VenChannel()
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        return channel

    def stopFactory(self) -> None:
        """Nobody else comes; those who are here get the answers that they wait for."""
        super().stopFactory()
        for channel in list(self.connections):
            channel.retire()

    @property
    def busy(self) -> bool:
        """Whether a message is in work."""
        return any(channel.requests for channel in self.connections)

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """The chain says what happened; an access log would say it twice."""


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
