"""What the VENs' site refuses by number: connections and messages of an address, and how it says so."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.transport import http
from tests.security.link import client
from tests.transport.wire import Connection, Server, chunks, head


def connect(server: Server, host: str) -> Connection:
    """A VEN that connects from this address."""
    return Connection(server, client(), host=host)


class AddressTests(SynchronousTestCase):
    def test_over_the_connections_of_an_address_the_newest_is_cut_off_before_its_handshake(self) -> None:
        server = Server(connections_per_address=2)
        first, second = connect(server, "192.0.2.1"), connect(server, "192.0.2.1")
        with capturedLogs() as events:
            third = connect(server, "192.0.2.1")
        self.assertTrue(third.transport.aborted)
        third.flush()
        self.assertEqual(2, len(server.site.connections))
        self.assertEqual([2], [event["n"] for event in events if event["log_level"] is LogLevel.warn])
        self.assertEqual({"connections_per_address": 1}, server.limited)
        self.assertEqual([200, 200], first.post(b"x").statuses + second.post(b"x").statuses)
        other = connect(server, "192.0.2.2").post(b"x")
        self.assertEqual([200], other.statuses)
        first.peer.transport.loseConnection()  # type: ignore[union-attr]
        first.flush()
        self.assertEqual([200], connect(server, "192.0.2.1").post(b"x").statuses)

    def test_a_network_of_ipv6_is_one_address_and_an_ipv4_address_in_another_coat_is_that(self) -> None:
        for one, other, same in (
            ("2001:db8::1", "2001:db8::ffff:1", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("fe80::1%eth0", "fe80::2%eth0", True),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True),
        ):
            server = Server(connections_per_address=1)
            connect(server, one)
            self.assertEqual(same, connect(server, other).transport.aborted, (one, other))

    def test_who_sends_too_often_gets_503_and_keeps_the_connection(self) -> None:
        server = Server(address_rate=0.5, outbox=5)
        one, other = connect(server, "192.0.2.1"), connect(server, "192.0.2.1")
        for _ in range(3):
            one.post(b"x")
        self.assertEqual([200, 200], other.post(b"x").post(b"y").statuses)
        ((_, headers, body),) = other.post(b"z").answers[2:]
        self.assertEqual((503, "2", b"too much to do\n"), (other.statuses[2], headers["retry-after"], body))
        self.assertEqual({"address_rate": 1}, server.limited)
        self.assertEqual([200], connect(server, "192.0.2.2").post(b"x").statuses)
        self.assertEqual([200, 200, 503, 503, 200], other.wait(1).post(b"x").wait(1).post(b"a").statuses)
        self.assertEqual([b"x", b"x", b"x", b"x", b"y", b"x", b"a"], server.service.bodies)

    def test_nothing_is_looked_up_or_kept_for_what_is_turned_away(self) -> None:
        server = Server(address_rate=0.001, outbox=1, known=Deferred())
        server.known = "a VEN"
        connection = connect(server, "192.0.2.1").post(b"x")
        asked = len(server.asked)
        connection.send(head(b"Transfer-Encoding: chunked"))
        (request,) = server.channel.requests
        connection.send(chunks(b"x" * 1000)[:-5])
        self.assertEqual(b"", request.content.getvalue())
        connection.send(chunks(b"x")[-5:])
        self.assertEqual(([200, 503], asked), (connection.statuses, len(server.asked)))

    def test_what_is_turned_away_keeps_to_the_size_of_its_service(self) -> None:
        server = Server(address_rate=0.001, outbox=1)
        connection = connect(server, "192.0.2.1").post(b"x")
        connection.send(head(b"Content-Length: 999999999"))
        self.assertEqual([200, 413], connection.statuses)
        self.assertEqual(1, server.limited["body"])

    def test_what_was_sent_in_a_line_is_answered_in_its_order(self) -> None:
        server = Server(address_rate=0.001, outbox=2)
        one = head(b"Content-Length: 1") + b"x"
        self.assertEqual([200, 200, 503, 503], connect(server, "192.0.2.1").send(one * 4).statuses)

    def test_who_left_is_remembered_but_not_for_ever(self) -> None:
        self.patch(http, "_MOST_LEFT", 2)
        server = Server(address_rate=0.001, outbox=1)
        for host, expected in (("1", 200), ("1", 503), ("2", 200), ("3", 200), ("3", 503), ("1", 200)):
            connection = connect(server, f"192.0.2.{host}").post(b"x")
            self.assertEqual([expected], connection.statuses)
            connection.peer.transport.loseConnection()  # type: ignore[union-attr]
            connection.flush()


class CountTests(SynchronousTestCase):
    def test_each_limit_is_counted_by_its_name(self) -> None:
        server = Server(connections=1, header_timeout=5, request_timeout=10, handshake_timeout=3)
        connect(server, "192.0.2.1")
        connect(server, "192.0.2.1")
        self.assertEqual({"connections": 1}, server.limited)
        server.channel.transport.loseConnection()
        server = Server(header_timeout=5, request_timeout=10, handshake_timeout=3)
        connect(server, "192.0.2.1").send(b"POST").wait(5)
        self.assertEqual({"header_timeout": 1}, server.limited)
        connection = connect(server, "192.0.2.1").send(head(b"Content-Length: 5")).wait(9)
        self.assertEqual([], connection.statuses)
        self.assertEqual([408], connection.wait(1).statuses)
        self.assertEqual({"header_timeout": 1, "request_timeout": 1}, server.limited)
        Connection(server, client(), shaken=False)
        server.clock.advance(3)
        self.assertEqual(1, server.limited["handshake_timeout"])

    def test_the_log_is_not_filled_by_an_address(self) -> None:
        server = Server()
        said: list[str] = []

        def lets(peer: str) -> bool:
            said.append(peer)
            return len(said) < 3

        server.site.lets = lets
        with capturedLogs() as events:
            for _ in range(5):
                connect(server, "192.0.2.1").send(b"x\r\n")
        self.assertEqual((2, ["192.0.2.1"] * 5), (len([e for e in events if e.get("status") == 400]), said))

    def test_a_slow_head_takes_from_the_time_of_its_body(self) -> None:
        server = Server(header_timeout=5, request_timeout=10)
        request = head(b"Content-Length: 5")
        connection = connect(server, "192.0.2.1").send(request[:5]).wait(4).send(request[5:]).wait(5)
        self.assertEqual([], connection.statuses)
        self.assertEqual([408], connection.wait(1).statuses)
