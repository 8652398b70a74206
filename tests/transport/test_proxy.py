"""Connections through a proxy: the PROXY protocol before TLS, and certificates in a header."""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address as Four
from ipaddress import IPv6Address as Six
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import TrustedProxy
from oadrvtn.security.certificates import Authority, Credential
from oadrvtn.security.fingerprint import sha256
from oadrvtn.transport.proxy import Forwarded, Header, Malformed, ProxyProtocol, read_header
from tests.handlers.house import Logged
from tests.security.link import authority, tls_server, ven
from tests.transport.wire import Server, head

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ports = st.integers(0, 65535)


def version_1(source: Any, port: int, destination: Any, other: int) -> bytes:
    return f"PROXY TCP{source.version} {source} {destination} {port} {other}\r\n".encode()


def version_2(content: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(content)) + content


def addresses(source: Any, port: int, destination: Any, other: int, more: bytes = b"") -> bytes:
    content = source.packed + destination.packed + struct.pack("!HH", port, other) + more
    return version_2(content, family=0x11 if source.version == 4 else 0x21)


HEADERS = st.one_of(
    [
        st.builds(make, st.ip_addresses(v=version), ports, st.ip_addresses(v=version), ports)
        for make in (version_1, addresses)
        for version in (4, 6)
    ]
)


class HeaderTests(SynchronousTestCase):
    def test_a_header_says_where_the_client_is(self) -> None:
        four, six = IPv4Address("TCP", "192.0.2.7", 1025), IPv6Address("TCP", "2001:db8::7", 65535)
        for header, source in (
            (version_1(Four("192.0.2.7"), 1025, Four("10.0.0.1"), 443), four),
            (version_1(Six("2001:db8::7"), 65535, Six("::1"), 0), six),
            (b"PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 65535 443\r\n", six),
            (addresses(Four("192.0.2.7"), 1025, Four("10.0.0.1"), 443), four),
            (addresses(Six("2001:db8::7"), 65535, Six("::1"), 0), six),
            (addresses(Four("192.0.2.7"), 1025, Four("10.0.0.1"), 443, b"\x03\0\x04abcd" * 100), four),
        ):
            self.assertEqual(Header(source, len(header)), read_header(header + b"\x16\x03\x01"))

    def test_a_proxy_may_speak_for_itself(self) -> None:
        for header in (
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff:: ffff:: 1 2\r\n",
            version_2(b"", command=0x20, family=0),
            version_2(b"", family=0),
            version_2(bytes(216), family=0x31),
            version_2(Four("192.0.2.7").packed * 2 + bytes(4), command=0x20),
        ):
            self.assertEqual(Header(None, len(header)), read_header(header + b"x"))

    def test_what_is_none_is_refused_as_soon_as_that_is_seen(self) -> None:
        for data in (
            b"\x16",  # TLS
            b"GET / HTTP/1.1\r\n",
            b"PROXX",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2" + b" " * 107,
            b"PROXY UNKNOWN" + b"x" * 107,
            b"PROXY UNKNOWNS\r\n",
            b"PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
            b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 \r\n",
            b"PROXY TCP4 \xff\xff 10.0.0.1 1 2\r\n",
            b"PROXY \r\n",
            SIGNATURE[:5] + b"x",
            version_2(bytes(12), command=0x11),
            version_2(bytes(12), command=0x22),
            version_2(bytes(11)),
            version_2(bytes(35), family=0x21),
            version_2(bytes(12), family=0x12),
            version_2(bytes(12), family=0x41),
            version_2(bytes(1025))[:16],
        ):
            self.assertRaises(Malformed, read_header, data)

    @given(HEADERS, st.binary())
    def test_a_header_is_whole_at_its_last_byte_and_not_before(self, header: bytes, rest: bytes) -> None:
        for end in range(len(header)):
            self.assertIsNone(read_header(header[:end]))
        whole = read_header(header)
        assert whole
        self.assertEqual(len(header), whole.size)
        self.assertEqual(whole, read_header(header + rest))

    @given(st.one_of(st.binary(), st.binary().map(lambda data: b"PROXY " + data), st.binary().map(version_2)))
    def test_whatever_comes_is_a_header_or_is_none_or_wants_more_within_the_bound(self, data: bytes) -> None:
        try:
            header = read_header(data)
        except Malformed:
            return
        if header is None:
            self.assertLess(len(data), 16 + 1024)
        else:
            self.assertLessEqual(header.size, len(data))


class Inside(Protocol):
    """What is behind the header."""

    def connectionMade(self) -> None:
        self.received = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


class Insides(Factory):
    protocol = Inside

    def __init__(self) -> None:
        self.built: list[tuple[Any, Any]] = []

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        self.built.append((addr, protocol))
        return protocol


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.insides = Insides()
        networks = [ip_network(text) for text in ("127.0.0.1", "10.1.0.0/16", "2001:db8::/32")]
        self.factory = ProxyProtocol(self.insides, networks, 15.0, self.clock)

    def connect(self, host: str = "10.1.2.3") -> Any:
        kind = IPv6Address if ":" in host else IPv4Address
        self.peer = kind("TCP", host, 1)
        self.transport = StringTransport(peerAddress=self.peer)
        protocol = self.factory.buildProtocol(self.peer)
        protocol.makeConnection(self.transport)
        return protocol

    def test_what_is_behind_the_header_begins_with_it_and_sees_the_client(self) -> None:
        for cut in (0, 1, 20):
            protocol = self.connect()
            header = version_1(Four("192.0.2.7"), 1025, Four("10.0.0.1"), 443) + b"hello"
            protocol.dataReceived(header[:cut])
            self.assertEqual([], self.insides.built)
            protocol.dataReceived(header[cut:])
            protocol.dataReceived(b" world")
            ((address, inside),) = self.insides.built
            self.assertEqual((IPv4Address("TCP", "192.0.2.7", 1025), b"hello world"), (address, inside.received))
            self.assertEqual(address, inside.transport.getPeer())
            self.clock.advance(100)
            self.assertFalse(self.transport.disconnecting)
            inside.transport.write(b"back")
            self.assertEqual(b"back", self.transport.value())
            protocol.connectionLost(None)
            self.assertTrue(inside.lost)
            self.insides.built.clear()

    def test_connections_are_counted_to_the_address_of_the_client_and_not_to_the_proxy(self) -> None:
        server = Server(connections_per_address=1)
        self.factory.wrappedFactory = server.site
        began = []
        for client in ("192.0.2.7", "192.0.2.8", "192.0.2.7"):
            self.connect().dataReceived(version_1(Four(client), 1025, Four("10.0.0.1"), 443))
            began.append(self.transport.disconnected)
        self.assertEqual([False, False, True], began)
        self.assertEqual({"connections_per_address": 1}, server.limited)
        self.assertEqual({"192.0.2.7", "192.0.2.8"}, {one.neighbourhood for one in server.site.connections})

    def test_a_proxy_that_speaks_for_itself_is_the_client(self) -> None:
        self.connect().dataReceived(version_2(b"", command=0x20, family=0))
        ((address, inside),) = self.insides.built
        self.assertEqual((self.peer, self.peer), (address, inside.transport.getPeer()))

    def test_a_header_that_is_none_ends_the_connection_and_is_told(self) -> None:
        for data in (b"\x16\x03\x01", b"PROXY TCP4 a b c d\r\n"):
            with Logged() as log:
                protocol = self.connect()
                protocol.dataReceived(data)
            self.assertEqual(1, len(log.lines("10.1.2.3")), log.lines())
            self.assertTrue(self.transport.disconnected)
            protocol.dataReceived(version_1(Four("192.0.2.7"), 1025, Four("10.0.0.1"), 443))
            self.assertEqual([], self.insides.built)
            protocol.connectionLost(None)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_header_that_does_not_come_ends_the_connection(self) -> None:
        protocol = self.connect()
        protocol.dataReceived(b"PROXY ")
        self.clock.advance(14.9)
        self.assertFalse(self.transport.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(self.transport.disconnected)
        protocol.connectionLost(None)

    def test_who_goes_before_the_header_leaves_nothing(self) -> None:
        self.connect().connectionLost(None)
        self.assertEqual(([], {}), (self.clock.getDelayedCalls(), self.factory.protocols))

    def test_a_stop_ends_the_waiting_and_leaves_the_rest_to_what_is_inside(self) -> None:
        self.factory.doStart()
        self.connect().dataReceived(version_2(b"", family=0))
        inside, waiting = self.transport, self.connect()
        self.factory.doStop()
        self.assertEqual((False, True), (inside.disconnected, self.transport.disconnected))
        waiting.connectionLost(None)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_who_is_no_proxy_is_not_asked_and_not_believed(self) -> None:
        for host in ("10.2.0.1", "2001:db9::1", "fe80::1%eth0"):
            header = version_1(Four("192.0.2.7"), 1025, Four("10.0.0.1"), 443)
            self.connect(host).dataReceived(header)
            address, inside = self.insides.built[-1]
            self.assertEqual((self.peer, header), (address, inside.received))

    def test_a_proxy_is_known_by_its_address_whatever_its_form(self) -> None:
        for host in ("127.0.0.1", "::ffff:10.1.0.1", "2001:db8::1"):
            self.connect(host)
        self.assertEqual([], self.insides.built)


class ForwardedTests(SynchronousTestCase):
    """A trusted proxy; ``known`` certificates are those of one authority."""

    def setUp(self) -> None:
        self.settings = TrustedProxy(address_header="X-Forwarded-For")
        self.server = Server()

    def connect(self, settings: TrustedProxy | None = None) -> Any:
        factory = Forwarded(self.server.site, settings or self.settings, tls_server().check)
        self.channel = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.transport.abortConnection = self.transport.loseConnection  # type: ignore[method-assign]
        self.channel.makeConnection(self.transport)
        return self.channel

    def statuses(self) -> list[int]:
        return [int(line) for line in re.findall(rb"HTTP/1.1 (\d+) ", self.transport.value())]

    def post(self, *headers: bytes) -> None:
        self.channel.dataReceived(head(b"Content-Length: 1", *headers) + b"x")

    def test_each_request_is_that_of_the_certificate_in_its_header(self) -> None:
        self.connect()
        other = authority().issue_client("ven2")
        for credential in (ven(), other, ven(), ven()):
            self.post(b"X-SSL-Client-Cert: " + escaped(credential))
            self.assertEqual(credential.fingerprint, self.channel.certificate)
            self.assertEqual(credential.fingerprint, sha256(self.channel.certificate_der()))
        self.assertEqual([200] * 4, self.statuses())
        self.assertEqual([c.fingerprint for c in (ven(), other, ven(), ven())], self.server.asked)
        self.assertIsNone(self.channel.own_certificate())

    def test_a_request_that_waits_behind_another_changes_nothing_for_that(self) -> None:
        self.connect()
        gate: Deferred[Any] = Deferred()
        self.server.service.gate = gate
        other = authority().issue_client("ven2")
        requests = [
            head(b"Content-Length: 1", b"X-SSL-Client-Cert: " + escaped(credential)) + b"x"
            for credential in (ven(), other)
        ]
        self.channel.dataReceived(requests[0] + requests[1])
        self.channel.dataReceived(requests[0])
        self.assertEqual((ven().fingerprint, [ven().fingerprint]), (self.channel.certificate, self.server.asked))
        self.assertEqual(sha256(self.channel.certificate_der()), ven().fingerprint)
        gate.callback(None)
        self.assertEqual([200] * 3, self.statuses())
        self.assertEqual([c.fingerprint for c in (ven(), other, ven())], self.server.asked)

    def test_a_request_without_one_or_with_that_of_another_ca_reaches_nobody(self) -> None:
        good = b"X-SSL-Client-Cert: " + escaped(ven())
        for headers in (
            (),
            (b"X-SSL-Client-Cert:",),
            (good, good),
            (b"X-SSL-Client-Cert: " + escaped(Authority.create("another CA").issue_client("ven1")),),
            (b"X-Forwarded-Client-Cert: " + escaped(ven()),),
        ):
            self.connect()
            self.post(good)
            self.post(*headers)
            self.assertEqual([200, 403], self.statuses())
            self.assertEqual(b"", self.channel.certificate)
            self.assertTrue(self.transport.disconnecting)
            self.channel.connectionLost(None)
        self.assertEqual([b"x"] * 5, self.server.service.bodies)
        self.assertEqual({ven().fingerprint}, set(self.server.asked))

    def test_a_request_waits_until_somebody_has_vouched_for_its_certificate(self) -> None:
        asked: list[Any] = []
        self.server.site.vouch = lambda chain: asked.append(chain) or waiting  # type: ignore[func-returns-value]
        fault = Failure(RuntimeError("a fault of ours"))
        for said, status in (((None, 60.0), 200), (("cert revoked", 60.0), 403), (fault, 403)):
            waiting: Deferred[Any] = Deferred()
            self.connect()
            self.post(b"X-SSL-Client-Cert: " + escaped(ven()))
            self.server.site.look_again()  # which is about connections of VENs
            self.assertEqual([], self.statuses())
            waiting.callback(said)
            self.assertEqual([status], self.statuses())
            self.channel.connectionLost(None)
        self.assertEqual([b"x"], self.server.service.bodies)
        self.assertEqual([[ven().certificate, authority().credential.certificate]] * 3, asked)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_who_is_gone_when_somebody_has_vouched_leaves_nothing(self) -> None:
        waiting: Deferred[Any] = Deferred()
        self.server.site.vouch = lambda chain: waiting
        self.connect()
        self.post(b"X-SSL-Client-Cert: " + escaped(ven()))
        self.channel.connectionLost(None)
        before = self.server.clock.getDelayedCalls()
        waiting.callback(("cert revoked", 60.0))
        self.assertEqual((before, []), (self.server.clock.getDelayedCalls(), self.server.service.bodies))

    def test_the_header_and_its_form_are_as_configured(self) -> None:
        self.connect(TrustedProxy(form="envoy", header="X-Forwarded-Client-Cert"))
        self.post(b'X-Forwarded-Client-Cert: Hash=1;Cert="%b"' % escaped(ven()))
        self.assertEqual(([200], ven().fingerprint), (self.statuses(), self.channel.certificate))

    def test_the_address_is_what_the_proxy_said_last_of_it(self) -> None:
        good = b"X-SSL-Client-Cert: " + escaped(ven())
        self.connect()
        for headers, address in (
            ((b"X-Forwarded-For: 203.0.113.9, 192.0.2.7",), "192.0.2.7"),
            ((b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-For: 2001:DB8::1"), "2001:db8::1"),
            ((b"X-Forwarded-For: nonsense\x9b",), "the proxy"),
            ((), "the proxy"),
        ):
            self.post(good, *headers)
            self.assertEqual(address, self.channel.address)
        self.connect(TrustedProxy())
        self.post(good, b"X-Forwarded-For: 192.0.2.7")
        self.assertEqual("the proxy", self.channel.address)
        self.assertEqual([200], self.statuses())

    def test_the_limits_of_an_address_are_those_of_the_vens(self) -> None:
        self.server = Server(address_rate=1, outbox=1)
        good = b"X-SSL-Client-Cert: " + escaped(ven())
        self.connect()
        for _ in range(11):
            self.post(good, b"X-Forwarded-For: 192.0.2.7")
        self.post(good, b"X-Forwarded-For: 192.0.2.8")
        self.assertEqual([200] * 10 + [503, 200], self.statuses())
        self.channel.connectionLost(None)
        self.assertEqual((set(), {}), (self.server.site.connections, self.server.site._addresses))

    def test_nobody_else_is_believed_and_no_service_sees_the_header(self) -> None:
        seen: list[Any] = []
        server = Server()
        render = server.service.render
        server.service.render = lambda request: seen.append(request.getAllHeaders()) or render(request)  # type: ignore
        server.site.hidden = {"X-SSL-Client-Cert", "My-Cert"}
        connection = server.connect()
        other = escaped(authority().issue_client("ven2"))
        connection.post(b"x", b"X-SSL-Client-Cert: " + other, b"my-cert: " + other, b"Other: 1")
        self.assertEqual(([200], [ven().fingerprint]), (connection.statuses, server.asked))
        self.assertEqual({b"host", b"content-length", b"other"}, set(seen[0]))


def escaped(credential: Credential) -> bytes:
    return quote(credential.chain_pem, safe="").encode()
