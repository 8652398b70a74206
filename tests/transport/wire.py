"""The VENs' site over TLS in memory: raw bytes in, raw bytes out, and a clock that is moved by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test import iosim
from zope.interface import implementer

from oadrvtn.handlers.exchange import Exchange
from oadrvtn.handlers.resource import Nowhere, ServiceResource
from oadrvtn.model.config import Limits
from oadrvtn.transport.http import VenChannel, VenSite, tree
from oadrvtn.transport.overload import Overload
from tests.security.link import Peer, client, tls_server

PATH = b"/OpenADR2/Simple/2.0b/"


class Service(ServiceResource):
    """Answers what it was sent, once ``gate`` lets it."""

    def __init__(self) -> None:
        Nowhere.__init__(self)
        self.at_hand: Callable[[], bool] = lambda: False  # whether it knows who the peer is
        self.bodies: list[bytes] = []
        self.gate: Deferred[Any] | None = None
        self.same: bytes | None = None  # the body that is answered without a look
        self.constants: list[bytes] = []

    def knows(self, certificate: bytes) -> Any:
        return certificate if self.at_hand() or self.same is not None else None

    def again(self, entry: Any, body: bytes) -> bytes | None:
        if body != self.same:
            return None
        self.constants.append(entry)
        return body

    def handle(self, exchange: Exchange) -> Deferred[Exchange]:
        self.bodies.append(exchange.body)
        exchange.answer = exchange.body
        open: Deferred[Exchange] = Deferred()

        def answer(result: Any) -> Any:
            open.callback(exchange)
            return result

        (self.gate or succeed(None)).addCallback(answer)
        return succeed(exchange).addCallback(lambda _: open)  # one that has fired and waits, as that of a chain may


class Server:
    """A site with a Service at EiEvent and one at EiReport; ``known`` is what a certificate's owner is."""

    def __init__(self, *, prefix: str = "", known: Any = "a VEN", **limits: Any) -> None:
        self.clock = Clock()
        self.service = Service()
        self.known: Any = known
        self.asked: list[bytes] = []
        resources = {"EiEvent": self.service, "EiReport": self.service}
        limits.setdefault("header_timeout", limits.get("request_timeout", 30))
        self.behind = 0.0
        overload = Overload(Limits(**limits), lambda: self.behind, self.clock, chance=lambda: 0.5)
        self.limited: Counter[str] = Counter()
        self.told: list[tuple[Any, ...]] = []
        told = lambda *what: self.told.append(what)  # noqa: E731
        self.site = VenSite(
            tree(prefix, resources), Limits(**limits), self._who, told, self.limited, overload, self.clock
        )
        self._tls = TLSMemoryBIOFactory(tls_server(), False, self.site, clock=self.clock)

    def _who(self, certificate: bytes) -> Deferred[Any]:
        self.asked.append(certificate)
        return self.known if isinstance(self.known, Deferred) else succeed(self.known)

    def connect(self, creator: Any = None) -> Connection:
        """A VEN that is connected and has shown its certificate."""
        return Connection(self, creator or client())

    @property
    def channel(self) -> VenChannel:
        """The only connection."""
        (channel,) = self.site.connections
        return channel


@implementer(IPushProducer)
class _ServerTransport(iosim.FakeTransport):
    paused = False
    aborted = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class Connection:
    """The VEN's end of a connection.

    ``shaken`` False stops before the handshake.  ``host`` is where it comes from.
    """

    def __init__(self, server: Server, creator: Any, shaken: bool = True, host: str = "192.0.2.1") -> None:
        self._server = server
        protocol: Any = server._tls.buildProtocol(None)
        self.peer = Peer()
        ours: Any = TLSMemoryBIOFactory(
            creator, True, Factory.forProtocol(lambda: self.peer), clock=server.clock
        ).buildProtocol(None)
        self.transport = _ServerTransport(protocol, isServer=True, peerAddress=IPv4Address("TCP", host, 1))
        self._pump = iosim.connect(
            protocol, self.transport, ours, iosim.FakeTransport(ours, isServer=False), greet=False, clock=server.clock
        )
        if shaken:
            self.flush()

    def flush(self) -> None:
        """Let everything arrive."""
        self._pump.flush()

    def send(self, *data: bytes) -> Connection:
        """Write, piece by piece."""
        for piece in data:
            self.peer.transport.write(piece)  # type: ignore[union-attr]
            self.flush()
        return self

    def post(self, body: bytes, *headers: bytes, service: bytes = b"EiEvent", version: bytes = b"1.1") -> Connection:
        """A POST with the body's length."""
        return self.send(head(b"Content-Length: %d" % len(body), *headers, service=service, version=version) + body)

    def wait(self, seconds: float) -> Connection:
        """Let time pass."""
        self._server.clock.advance(seconds)
        self.flush()
        return self

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self.peer.lost is not None

    @property
    def answers(self) -> list[tuple[int, dict[str, str], bytes]]:
        """What came back: status, headers, body."""
        found, rest = [], self.peer.received
        while rest:
            lines, _, rest = rest.partition(b"\r\n\r\n")
            status, *fields = lines.decode("ascii").split("\r\n")
            headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
            length = int(headers.get("content-length", 0))
            found.append((int(status.split(" ")[1]), headers, rest[:length]))
            rest = rest[length:]
        return found

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.answers]


def head(*headers: bytes, service: bytes = b"EiEvent", method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    """The head of a request."""
    path = service if service.startswith((b"/", b"*")) else PATH + service
    return b"\r\n".join((b"%s %s HTTP/%s" % (method, path, version), b"Host: vtn", *headers, b"", b""))


def chunks(*pieces: bytes) -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
