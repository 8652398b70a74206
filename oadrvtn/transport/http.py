"""The HTTPS listener of the VENs: HTTP/1.1 only, and a limit to every size, count and wait.

The limits hold before a message is parsed: a body is counted as it comes, against the limit of its service,
or against the small one where the certificate is not known.  Who goes over a limit is answered at once, what
else comes is thrown away as it arrives, and the connection is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from cryptography.x509 import load_der_x509_certificate
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import Resource
from zope.interface import implementer

from ..model.config import Limits
from ..security.certificates import describe
from ..security.fingerprint import sha256
from ..security.tls import peer_certificate

log = Logger()

PATH = "OpenADR2/Simple/2.0b"
"""Where the services are, behind a prefix that the configuration may set (rule 511)."""

_LINGER = 5.0
"""Seconds in which a peer that was refused may read why."""

Known = Callable[[bytes], Deferred[Any]]
"""Tells by the SHA-256 of a certificate whether it is a VEN's (something true) or not."""


class VenRequest(server.Request):
    """A request whose body is counted against its limit while it comes."""

    channel: VenChannel
    content: Any
    _limit: int | None = None
    _received = 0

    def gotLength(self, length: int | None) -> None:
        """The headers are here: find out who it is, and how much may come."""
        self._length = length
        self.content = BytesIO()
        identified = self.channel.site.known(self.channel.certificate)
        if not identified.called:
            # What is in the buffers by now may still come in; more does not, until it is known who it is.
            self.channel.pauseProducing()
            identified.addBoth(self._resume)
        identified.addBoth(self._identified)

    def _resume(self, result: Any) -> Any:
        self.channel.resumeProducing()
        return result

    def _identified(self, result: Any) -> None:
        known = bool(result) and not isinstance(result, Failure)
        limits = self.channel.site.body_limits
        service = self.channel.path.rpartition(b"/")[2].decode("latin-1")
        self._limit = limits.get(service, limits["unknown"]) if known else limits["unknown"]
        self._check(max(self._length or 0, self._received))

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        self._received += len(data)
        if not self.channel.refused:
            self.content.write(data)
            self._check(self._received)

    def _check(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            self.content = BytesIO()
            self.channel.refuse(413, f"the body is larger than {self._limit} bytes")


@implementer(IHandshakeListener)
class VenChannel(http.HTTPChannel):
    """A connection of a VEN.  ``certificate`` is the SHA-256 of what it showed in the handshake."""

    requestFactory = VenRequest
    site: VenSite
    transport: Any
    timeOut: Any
    callLater: Any
    certificate = b""
    refused = False
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """TCP is there; the handshake has its own time."""
        self.site.connections.add(self)
        self.timeOut = self.site.limits.handshake_timeout
        super().connectionMade()

    def handshakeCompleted(self) -> None:
        """The peer has shown a certificate that a configured CA signed."""
        self.certificate = sha256(peer_certificate(self.transport) or b"")
        self.timeOut = self.site.limits.idle_timeout
        self.setTimeout(self.timeOut)

    def dataReceived(self, data: bytes) -> None:
        """A request has a deadline from its first byte to its last."""
        if self.refused:
            return
        if self._deadline is None and not self._handlingRequest:
            self._deadline = self.callLater(self.site.limits.request_timeout, self._late)
        super().dataReceived(data)

    def allContentReceived(self) -> None:
        """The request is here in full."""
        self._in_time()
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """The answer is written; a request that was pipelined has its own deadline."""
        if self._dataBuffer and self._deadline is None:
            self._deadline = self.callLater(self.site.limits.request_timeout, self._late)
        super().requestDone(request)

    def _in_time(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        self.refuse(408, "the request did not come in time")

    def timeoutConnection(self) -> None:
        """Nothing came for too long."""
        if self.certificate:
            super().timeoutConnection()
        else:
            self.transport.abortConnection()

    def refuse(self, status: int, reason: str) -> None:
        """Answer at once, and close; what still comes is thrown away."""
        if self.refused:
            return
        self.refused = True
        self._in_time()
        self.setTimeout(None)
        log.info("{peer}: HTTP {status}, {reason}", peer=self.address, status=status, reason=reason)
        text = reason.encode() + b"\n"
        head = f"HTTP/1.1 {status} {http.RESPONSES[status].decode()}\r\n"
        fields = {"content-type": "text/plain", "content-length": len(text), "connection": "close"}
        self.transport.write((head + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n").encode() + text)
        self.loseConnection()
        self._abortingCall = self.callLater(_LINGER, self.forceAbortClient)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The peer is gone."""
        self._in_time()
        self.site.connections.discard(self)
        super().connectionLost(reason)

    def subject(self) -> str:
        """What the certificate calls its owner."""
        return describe(load_der_x509_certificate(peer_certificate(self.transport) or b"")).subject

    @property
    def path(self) -> bytes:
        """The path of the request that comes in."""
        return getattr(self, "_path", b"").partition(b"?")[0]

    @property
    def address(self) -> str:
        """Where the peer is, for the log."""
        peer = self.transport.getPeer()
        return f"{getattr(peer, 'host', peer)}"


class VenSite(server.Site):
    """The site of the VENs.  Over its limit of connections, the newest is turned away."""

    requestFactory = VenRequest

    def __init__(self, root: Resource, limits: Limits, known: Known, reactor: IReactorTime) -> None:
        super().__init__(root, timeout=limits.idle_timeout, reactor=reactor)
        self.limits = limits
        self.known = known
        self.body_limits: Mapping[str, int] = {
            field: getattr(limits.body, field) for field in (*services(limits), "unknown")
        }
        self.connections: set[VenChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel of our own class: HTTP/2, which would hide the certificate, cannot be chosen."""
        if len(self.connections) >= self.limits.connections:
            log.warn("{peer}: turned away, {n} connections are open", peer=str(addr), n=len(self.connections))
            return None
        channel = VenChannel()
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """The chain says what happened; an access log would say it twice."""


def services(limits: Limits) -> list[str]:
    """The services that have a limit of their own."""
    return [field.name for field in type(limits.body).__attrs_attrs__ if field.name != "unknown"]


def tree(prefix: str, resources: Mapping[str, Resource]) -> Resource:
    """The resources, by service, at their place below a prefix."""
    root = parent = Resource()
    for part in (part for part in f"{prefix}/{PATH}".split("/") if part):
        child = Resource()
        parent.putChild(part.encode(), child)
        parent = child
    for service, resource in resources.items():
        parent.putChild(service.encode(), resource)
    return root
