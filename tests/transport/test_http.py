"""The VENs' site: paths and methods, sizes, times, and what is left of those who break them."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers.exchange import Exchange
from oadrvtn.model.config import BodyLimits
from oadrvtn.security.certificates import describe
from oadrvtn.security.fingerprint import sha256
from oadrvtn.transport import http
from tests.security.link import server_ec, server_rsa, tls_1_2, ven
from tests.transport.wire import PATH, Connection, Server, chunks, client, head

SMALL = BodyLimits(EiEvent=100, EiReport=1000, unknown=10)


class PathTests(SynchronousTestCase):
    def test_the_services_are_at_their_paths_below_the_prefix(self) -> None:
        self.assertEqual(Server().connect().post(b"x").statuses, [200])
        prefixed = Server(prefix="/north/1").connect()
        self.assertEqual(prefixed.post(b"x").statuses, [404])
        self.assertEqual(prefixed.post(b"x", service=b"/north/1" + PATH + b"EiEvent").statuses, [404, 200])

    def test_all_else_is_not_there(self) -> None:
        connection = Server().connect()
        paths = [b"/", b"//", b"/x", PATH[:-1], PATH, PATH + b"eievent", PATH + b"EiEvents", PATH + b"%00"]
        paths += [PATH + b"EiEvent/../EiOpt", PATH + b"\xb0\x9b", b"/%", b"http://vtn/", b"/OpenADR2", PATH + b"EiOpt"]
        for path in paths:
            for method in (b"POST", b"GET"):
                connection.send(head(service=path, method=method))
                status, headers, body = connection.answers[-1]
                self.assertEqual((path, status, body), (path, 404, b"nothing is here\n"))
                self.assertEqual(headers["content-type"], "text/plain")

    def test_a_slash_too_many_leads_to_the_same_service(self) -> None:
        """Clients put a base URL that ends in a slash before a path that begins with one."""
        connection = Server().connect()
        for path in (b"/" + PATH + b"EiEvent", PATH + b"/EiEvent", PATH + b"EiEvent/"):
            connection.post(b"x", service=path)
        self.assertEqual(connection.statuses, [200, 200, 200])

    def test_a_head_gets_headers_only(self) -> None:
        connection = Server().connect().send(head(method=b"HEAD", service=b"/x"))
        self.assertTrue(connection.peer.received.endswith(b"\r\n\r\n"))
        self.assertEqual(connection.statuses, [404])

    def test_a_query_is_no_part_of_the_path(self) -> None:
        server = Server(body=SMALL)
        self.assertEqual(server.connect().post(b"x" * 50, service=b"EiEvent?a=%zz&b=\xb0/OadrPoll").statuses, [200])


class BodyTests(SynchronousTestCase):
    def test_a_body_arrives_whole_however_it_was_cut(self) -> None:
        server = Server()
        body = b"<oadrPayload/>" * 50
        request = head(b"Content-Length: %d" % len(body)) + body
        chunked = head(b"Transfer-Encoding: chunked") + chunks(body[:1], body[1:100], body[100:])
        for data in (request, chunked):
            for connection, pieces in (
                (server.connect(), [data]),
                (server.connect(), [data[i : i + 1] for i in range(len(data))]),
                (server.connect(), [data[:-1], data[-1:]]),
            ):
                connection.send(*pieces)
                self.assertEqual(connection.answers[0][2], body)
        self.assertEqual(server.service.bodies, [body] * 6)

    def test_the_answer_has_a_length_and_is_never_chunked(self) -> None:
        ((status, headers, body),) = Server().connect().post(b"abc").answers
        self.assertEqual((status, headers["content-length"], body), (200, "3", b"abc"))
        self.assertNotIn("transfer-encoding", headers)

    def test_the_body_is_the_same_whatever_its_content_type_says(self) -> None:
        server = Server()
        connection = server.connect()
        body = b"<a>1&amp;b=2;%41+</a>\r\n--x\r\n\r\n"
        for field in (
            b"text/plain",
            b"text/plain; charset=ISO-8859-1",
            b"application/xml",
            b"application/x-www-form-urlencoded",
            b"multipart/form-data; boundary=x",
            b"multipart/form-data",
            b"multipart/form-data; boundary=" + b"x" * 5000,
            b"; = ;;",
            b"",
            b"\xff\xfe",
        ):
            connection.post(body, b"Content-Type: " + field)
        connection.post(body)
        self.assertEqual(connection.statuses, [200] * 11)
        self.assertEqual(server.service.bodies, [body] * 11)

    def test_odd_headers_of_the_field_do_no_harm(self) -> None:
        connection = Server().connect()
        connection.post(b"x", b"Authorization: Basic ")
        connection.post(b"x", b"Authorization: Basic Og==", b"cookie: a; b=c; =; ;;")
        connection.send(head(b"content-length: 1", b"content-type: text/plain") + b"x")
        connection.send(b"POST " + PATH + b"EiEvent HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
        connection.post(b"x", b"User-Agent: \xff\xfe", b"X-Folded: a\r\n b\r\n\tc")
        self.assertEqual(connection.statuses, [200] * 5)

    def test_a_connection_serves_any_number_of_requests(self) -> None:
        server = Server()
        connection = server.connect()
        for _ in range(100):
            connection.post(b"x").wait(1)
        self.assertEqual(connection.statuses, [200] * 100)
        self.assertEqual(server.channel.requests, [])

    def test_http_1_0_and_connection_close_are_answered_and_closed(self) -> None:
        for options in ({"version": b"1.0"}, {}):
            connection = Server().connect()
            connection.post(b"x", *(() if options else (b"Connection: close",)), **options)
            self.assertEqual((connection.statuses, connection.closed), ([200], True))

    def test_pipelined_requests_are_answered_in_their_order(self) -> None:
        server = Server()
        server.service.gate = Deferred()
        one, two, three = (head(b"Content-Length: 1") + body for body in (b"1", b"2", b"3"))
        connection = server.connect().send(one + two, three)
        self.assertEqual((server.service.bodies, connection.answers), ([b"1"], []))
        server.service.gate.callback(None)
        connection.flush()
        self.assertEqual([body for _, _, body in connection.answers], [b"1", b"2", b"3"])


class AgainTests(SynchronousTestCase):
    """A request with the head of the one before it is served as that was."""

    def setUp(self) -> None:
        self.server = Server(body=BodyLimits(EiEvent=100, unknown=10), idle_timeout=120)
        self.service = self.server.service
        self.met: list[tuple[bytes, bytes]] = []
        self.server.site.met = lambda _, *whose: self.met.append(whose)
        self.connection = self.server.connect()
        self.channel = self.server.channel
        self.lines: list[bytes] = []  # that were read
        read = self.channel.lineReceived

        def noted(line: bytes) -> Any:
            self.lines.append(line)
            return read(line)

        self.patch(self.channel, "lineReceived", noted)

    def posts(self, *bodies: bytes, **options: Any) -> list[int]:
        """How many lines are read of each of these requests."""
        counts = []
        for body in bodies:
            self.lines.clear()
            self.connection.post(body, **options)
            counts.append(len(self.lines))
        return counts

    def test_its_head_is_not_read_once_more(self) -> None:
        self.assertEqual([4, 0, 0], self.posts(b"one", b"two", b"one"))
        self.assertEqual([b"one", b"two", b"one"], self.service.bodies)
        first, *others = self.connection.answers
        date = first[1].pop("date")
        for _, headers, _ in others:
            self.assertEqual(len(date), len(headers.pop("date")))
        self.assertEqual([(200, first[1], body) for body in self.service.bodies], [first, *others])

    def test_its_date_is_that_of_the_clock_on_the_wall(self) -> None:
        self.posts(b"one", b"two")
        first, second = (parsedate_to_datetime(headers["date"]) for _, headers, _ in self.connection.answers)
        self.assertLess(abs(second - first), timedelta(seconds=5))

    def test_nor_is_it_on_another_connection(self) -> None:
        self.posts(b"one")
        other = self.server.connect()
        [channel] = self.server.site.connections - {self.channel}
        with mock.patch.object(channel, "lineReceived") as reads:
            self.assertEqual([200], other.post(b"two").statuses)
        reads.assert_not_called()
        self.assertEqual([self.channel.certificate, channel.certificate], [who for who, _ in self.met])

    def test_so_many_heads_are_remembered(self) -> None:
        self.patch(http, "_MOST_HEADS", 2)
        for length in (1, 2, 3):
            self.assertEqual([4], self.posts(b"x" * length))
        self.assertEqual([0, 0, 4], self.posts(b"x" * 3, b"x" * 2, b"x"))

    def test_what_the_service_knows_is_answered_at_once_and_just_so(self) -> None:
        self.service.same = b"two"
        self.posts(b"one", b"two", b"six")
        self.assertEqual([b"one", b"six"], self.service.bodies)
        self.assertEqual([self.server.channel.certificate], self.service.constants)
        _, known, served = self.connection.peer.received.split(b"HTTP/1.1 ")[1:]
        self.assertEqual(served.replace(b"six", b"two"), known)

    def test_a_body_that_is_not_as_long_as_the_head_says_is_never_taken_for_one(self) -> None:
        """What is behind it is another request, whatever the service knows."""
        for constant in (b"longer than it says", b"sh"):
            self.service.same = constant
            self.posts(b"one")
            self.connection.send(head(b"Content-Length: 3") + constant)
            self.connection = self.server.connect()
        self.assertEqual([], self.service.constants)
        self.assertEqual([b"one", b"lon", b"one"], self.service.bodies)

    def test_one_that_comes_in_pieces_is_put_together(self) -> None:
        self.service.same = b"two"
        self.posts(b"one")
        data = head(b"Content-Length: 3") + b"two"
        for cut in range(1, len(data)):
            self.connection.send(data[:cut], data[cut:])
        self.assertEqual([b"two"] * (len(data) - 1), self.service.bodies[1:])

    def test_two_at_once_are_two(self) -> None:
        self.service.same = b"two"
        self.posts(b"one")
        data = head(b"Content-Length: 3") + b"two"
        self.connection.send(data + data, data + data[:5], data[5:], data)
        self.assertEqual([b"one", *[b"two"] * 5], [body for _, _, body in self.connection.answers])
        self.assertEqual(([b"two"] * 4, 1), (self.service.bodies[1:], len(self.service.constants)))

    def test_one_behind_an_unanswered_one_waits(self) -> None:
        self.service.same = b"two"
        self.posts(b"one")
        self.service.gate = Deferred()
        self.posts(b"new", b"two")
        self.assertEqual([b"one"], [body for _, _, body in self.connection.answers])
        self.service.gate.callback(None)
        self.connection.flush()
        self.assertEqual([b"one", b"new", b"two"], [body for _, _, body in self.connection.answers])

    def test_nothing_is_written_to_a_peer_that_is_gone_before_its_answer(self) -> None:
        self.posts(b"one")
        self.service.gate = Deferred()
        self.posts(b"two")
        self.connection.peer.transport.loseConnection()  # type: ignore[union-attr]
        self.connection.flush()
        self.service.gate.callback(None)
        self.assertEqual(([200], [b"one", b"two"]), (self.connection.statuses, self.service.bodies))

    def test_who_is_no_longer_known_has_the_small_limit(self) -> None:
        self.posts(b"x" * 11)
        self.server.known = None
        self.posts(b"x" * 11)
        self.assertEqual([200, 413], self.connection.statuses)

    def test_nor_is_it_served_before_it_is_known_who_it_is(self) -> None:
        self.posts(b"one")
        self.server.known = Deferred()
        self.posts(b"two")
        self.assertEqual([b"one"], self.service.bodies)
        self.server.known.callback("a VEN")
        self.connection.flush()
        self.assertEqual([200, 200], self.connection.statuses)

    def test_empty_lines_between_requests_go_on_being_nothing(self) -> None:
        self.service.same = b"two"
        for number in range(1, 6):
            self.connection.post(b"two").send(b"\r\n")
            self.assertEqual([200] * number, self.connection.statuses)

    def test_a_head_that_asks_for_more_than_an_answer_is_read_each_time(self) -> None:
        self.service.same = b"two"
        for fields in ([b"Expect: 100-continue"], [b"X-More: 1", b"Expect: 100-continue"]):
            for _ in range(2):
                self.lines.clear()
                self.connection.post(b"two", *fields)
                self.assertEqual(4 + len(fields), len(self.lines))
        self.assertEqual([], self.service.constants)

    def test_one_that_closes_the_connection_closes_it(self) -> None:
        self.service.same = b"two"
        self.posts(b"two")
        self.connection.post(b"two", b"Connection: close")
        self.assertEqual(([200, 200], True), (self.connection.statuses, self.connection.closed))

    def test_it_counts_as_a_sign_of_life(self) -> None:
        self.service.same = b"two"
        for _ in range(5):
            self.connection.post(b"two").wait(119)
            self.assertFalse(self.connection.closed)
        self.assertEqual(4, len(self.service.constants))
        self.assertTrue(self.connection.wait(1).closed)
        self.assertEqual([], self.server.clock.getDelayedCalls())

    def test_a_peer_that_does_not_read_its_answers_is_not_served_on_and_on(self) -> None:
        self.service.same = b"two"
        self.posts(b"one")
        self.server.channel.pauseProducing()
        self.posts(b"two")
        self.assertEqual([], self.service.constants)

    def test_an_idle_connection_has_one_timer_whatever_it_has_been_asked(self) -> None:
        for body in (b"one", b"two", b"six", b"seven"):
            self.posts(body)
            self.assertEqual(1, len(self.server.clock.getDelayedCalls()))


class AtHandTests(AgainTests):
    """The same where the service has its VENs at hand: then it is begun without anybody being asked."""

    def setUp(self) -> None:
        super().setUp()
        self.service.at_hand = lambda: bool(self.server.known) and not isinstance(self.server.known, Deferred)

    def test_nobody_is_asked_who_it_is(self) -> None:
        self.posts(b"one")
        asked = len(self.server.asked)
        self.posts(b"two")
        self.assertEqual(([200, 200], asked), (self.connection.statuses, len(self.server.asked)))

    def test_what_is_done_once_the_answer_has_left_is_done_once(self) -> None:
        done: list[str] = []
        handle = self.service.handle

        def noting(exchange: Exchange) -> Deferred[Exchange]:
            exchange.when_written(lambda: done.append(exchange.body.decode()))
            return handle(exchange)

        self.service.handle = noting  # type: ignore[method-assign]
        self.posts(b"one", b"two")
        self.assertEqual(["one", "two"], done)


class IdentityTests(SynchronousTestCase):
    def test_the_channel_knows_the_certificate_and_keeps_knowing_it_when_the_peer_is_gone(self) -> None:
        server = Server()
        connection = server.connect()
        channel = server.channel
        self.assertEqual(channel.certificate, ven().fingerprint)
        self.assertEqual(sha256(channel.certificate_der()), ven().fingerprint)
        self.assertEqual(channel.own_certificate(), server_ec().fingerprint)
        with mock.patch.object(http, "own_certificate") as reads:  # it is read once
            self.assertEqual(channel.own_certificate(), server_ec().fingerprint)
        reads.assert_not_called()
        old = server.connect(client(**tls_1_2("AES128-SHA256")))
        (other,) = server.site.connections - {channel}
        self.assertEqual(other.own_certificate(), server_rsa().fingerprint)
        old.peer.transport.loseConnection()  # type: ignore[union-attr]
        old.flush()
        connection.peer.transport.loseConnection()  # type: ignore[union-attr]
        connection.flush()
        self.assertEqual(server.site.connections, set())
        self.assertEqual(channel.subject(), describe(ven().certificate).subject)
        self.assertEqual(channel.own_certificate(), server_ec().fingerprint)

    def test_each_request_is_asked_for_by_its_certificate(self) -> None:
        server = Server()
        server.connect().post(b"x").post(b"y")
        self.assertEqual(server.asked, [ven().fingerprint] * 2)
        self.assertEqual(len(ven().fingerprint), len(sha256(b"")))

    def test_nothing_more_is_read_and_nothing_is_served_until_it_is_known_who_it_is(self) -> None:
        server = Server(known=Deferred())
        connection = server.connect().send(head(b"Content-Length: 4") + b"12")
        self.assertTrue(connection.transport.paused)
        connection.send(b"34")  # what was on its way
        self.assertEqual(server.service.bodies, [])
        server.known.callback("a VEN")
        connection.flush()
        self.assertFalse(connection.transport.paused)
        self.assertEqual((server.service.bodies, connection.statuses), ([b"1234"], [200]))
        server.known = "a VEN"
        self.assertEqual(connection.post(b"x").statuses, [200, 200])

    def test_a_stranger_found_out_late_has_the_small_limit_all_the_same(self) -> None:
        for body, expected in ((b"x" * 10, [200]), (b"x" * 11, [413])):
            for complete in (True, False):
                server = Server(known=Deferred(), body=SMALL)
                connection = server.connect().send(head(b"Content-Length: %d" % len(body)))
                connection.send(body if complete else body[:-1])
                server.known.callback(None)
                connection.flush()
                if not complete and expected == [200]:
                    connection.send(body[-1:])
                self.assertEqual(connection.statuses, expected)
                self.assertEqual(len(server.service.bodies), expected.count(200))

    def test_a_stranger_found_out_late_cannot_hide_behind_chunks(self) -> None:
        server = Server(known=Deferred(), body=SMALL)
        connection = server.connect().send(head(b"Transfer-Encoding: chunked") + chunks(b"x" * 11))
        server.known.callback(None)
        connection.flush()
        self.assertEqual((connection.statuses, server.service.bodies), ([413], []))

    def test_who_leaves_while_being_looked_up_leaves_nothing(self) -> None:
        for outcome in ("a VEN", None, Failure(RuntimeError("database"))):
            server = Server(known=Deferred())
            connection = server.connect().post(b"x")
            connection.peer.transport.loseConnection()  # type: ignore[union-attr]
            connection.flush()
            self.assertEqual(server.site.connections, set())
            server.known.callback(outcome)
            self.assertEqual(server.service.bodies, [])
            self.assertEqual(server.clock.getDelayedCalls(), [])

    def test_a_lookup_that_fails_makes_it_a_stranger(self) -> None:
        server = Server(known=Deferred(), body=SMALL)
        connection = server.connect().post(b"x" * 11)
        server.known.errback(RuntimeError("database"))
        connection.flush()
        self.assertEqual(connection.statuses, [413])


class LimitTests(SynchronousTestCase):
    def test_each_service_has_its_limit_and_all_else_the_small_one(self) -> None:
        for service, limit in ((b"EiEvent", 100), (b"EiReport", 1000), (b"elsewhere", 10), (b"__class__", 10)):
            for chunked in (False, True):
                for size, refused in ((limit, False), (limit + 1, True)):
                    connection = Server(body=SMALL).connect()
                    if chunked:
                        piece = b"x" * (size // 2)
                        connection.send(head(b"Transfer-Encoding: chunked", service=service))
                        connection.send(chunks(piece, piece, b"x" * (size % 2)) if size % 2 else chunks(piece, piece))
                    else:
                        connection.post(b"x" * size, service=service)
                    self.assertEqual(413 in connection.statuses, refused, (service, size, connection.answers))

    def test_a_stranger_has_the_small_limit_on_every_service(self) -> None:
        for service in (b"EiEvent", b"EiReport", b"elsewhere"):
            server = Server(known=None, body=SMALL)
            self.assertEqual(server.connect().post(b"x" * 11, service=service).statuses, [413])
            self.assertNotIn(413, server.connect().post(b"x" * 10, service=service).statuses)

    def test_a_declared_length_is_refused_before_the_body_comes(self) -> None:
        server = Server(body=SMALL)
        connection = server.connect().send(head(b"Content-Length: 999999999999999999"))
        ((status, headers, body),) = connection.answers
        self.assertEqual((status, body), (413, b"the body is larger than 100 bytes\n"))
        self.assertEqual(headers["connection"], "close")
        self.assertTrue(connection.closed)
        self.assertEqual(server.site.connections, set())

    def test_too_large_for_anybody_is_refused_before_it_is_known_who_it_is(self) -> None:
        server = Server(known=Deferred(), body=SMALL)
        self.assertEqual(server.connect().send(head(b"Content-Length: 101")).statuses, [413])

    def test_what_comes_after_a_refusal_is_thrown_away_and_the_peer_cut_off_in_the_end(self) -> None:
        server = Server(body=SMALL)
        connection = server.connect()
        channel = server.channel
        connection.peer.transport.write(head(b"Transfer-Encoding: chunked"))  # type: ignore[union-attr]
        connection.flush()
        connection.peer.dataReceived = lambda data: None  # type: ignore[method-assign]
        for _ in range(50):
            channel.dataReceived(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        (request,) = channel.requests
        held = len(channel._buffer) + sum(map(len, channel._dataBuffer)) + len(request.content.getvalue())
        self.assertEqual(held, 0)
        self.assertFalse(connection.transport.aborted)
        server.clock.advance(30)
        self.assertTrue(connection.transport.aborted)

    def test_too_much_in_one_piece_is_not_served_in_part(self) -> None:
        server = Server(body=SMALL)
        smuggled = head(b"Content-Length: 1") + b"x"
        data = head(b"Transfer-Encoding: chunked") + chunks(b"x" * 101) + smuggled
        self.assertEqual(server.connect().send(data).statuses, [413])
        self.assertEqual(server.service.bodies, [])

    def test_a_100_continue_comes_only_to_a_body_that_will_be_taken(self) -> None:
        expect = b"Expect: 100-continue"
        server = Server(body=SMALL)
        connection = server.connect().send(head(b"Content-Length: 2", expect))
        self.assertEqual(connection.peer.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(connection.send(b"ab").statuses, [100, 200])
        self.assertEqual(server.connect().send(head(b"Content-Length: 101", expect)).statuses, [413])
        for owner, expected in (("a VEN", [100]), (None, [413])):
            server = Server(known=Deferred(), body=SMALL)
            connection = server.connect().send(head(b"Content-Length: 11", expect))
            self.assertEqual(connection.statuses, [])
            server.known.callback(owner)
            connection.flush()
            self.assertEqual(connection.statuses, expected)

    def test_over_the_number_of_connections_the_newest_is_turned_away(self) -> None:
        server = Server(connections=2)
        first, second = server.connect(), server.connect()
        with capturedLogs() as events:
            third = server.connect()
        self.assertTrue(third.closed)
        self.assertEqual([event["n"] for event in events if event["log_level"] is LogLevel.warn], [2])
        self.assertEqual([event for event in events if event["log_level"] is LogLevel.critical], [])
        self.assertEqual((first.post(b"x").statuses, second.post(b"x").statuses), ([200], [200]))
        first.peer.transport.loseConnection()  # type: ignore[union-attr]
        first.flush()
        self.assertEqual(server.connect().post(b"x").statuses, [200])


class MalformedTests(SynchronousTestCase):
    def test_what_is_no_http_is_answered_400_and_closed(self) -> None:
        for what, data in {
            "garbage": b"\x16\x03\x01\r\n\r\n",
            "words": b"hello world\r\n",
            "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "a header without a colon": head(b"nonsense"),
            "a control character": head(b"A: b\x00c"),
            "a negative length": head(b"Content-Length: -1"),
            "a length that is no number": head(b"Content-Length: 1e3"),
            "a number that Python would not read": head(b"Content-Length: " + b"9" * 5000),
            "two lengths": head(b"Content-Length: 1", b"Content-Length: 1"),
            "a length and chunks": head(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
            "an unknown encoding": head(b"Transfer-Encoding: gzip"),
            "bad chunks": head(b"Transfer-Encoding: chunked") + b"xyz\r\n",
            "a chunk size without an end": head(b"Transfer-Encoding: chunked") + b"0" * 5000,
            "trailers without an end": head(b"Transfer-Encoding: chunked") + b"0\r\n" + b"a: b\r\n" * 12000,
            "many headers": head(*(b"A%d: b" % number for number in range(600))),
            "large headers": head(*(b"A: " + b"b" * 1000 for _ in range(20))),
            "an endless line": b"POST /" + b"x" * 20000,
            "an endless header": head()[:-2] + b"A: " + b"x" * 20000,
        }.items():
            server = Server()
            connection = server.connect().send(data, data)
            self.assertEqual((what, connection.statuses, connection.closed), (what, [400], True))
            self.assertEqual((server.service.bodies, server.clock.getDelayedCalls()), ([], []))

    def test_after_a_bad_request_nothing_more_is_kept(self) -> None:
        server = Server()
        connection = server.connect()
        channel = server.channel
        connection.transport.write = lambda data: None  # type: ignore[method-assign]  # the peer hears nothing
        channel.dataReceived(b"bad\r\n" + b"x\r\n" * 1000)
        for _ in range(100):
            channel.dataReceived(b"x\r\n" * 1000)
        self.assertLess(len(channel._buffer), 4000)


class TimeTests(SynchronousTestCase):
    def _late(self, connection: Connection) -> None:
        self.assertEqual((connection.statuses[-1], connection.closed), (408, True))

    def test_headers_that_drip_run_out_of_time(self) -> None:
        server = Server(request_timeout=30)
        connection = server.connect().send(b"POST / HTTP/1.1\r\n")
        for number in range(29):
            connection.wait(1).send(b"A%d: b\r\n" % number)
        self.assertEqual((connection.answers, connection.closed), ([], False))
        connection.wait(1)
        self._late(connection)
        self.assertEqual((server.site.connections, server.clock.getDelayedCalls()), (set(), []))

    def test_a_body_that_drips_runs_out_of_time(self) -> None:
        for field in (b"Content-Length: 1000", b"Transfer-Encoding: chunked"):
            connection = Server(request_timeout=30).connect().send(head(field))
            for _ in range(29):
                connection.wait(1).send(b"1\r\nx\r\n")
            self.assertFalse(connection.closed)
            connection.wait(1)
            self._late(connection)

    def test_a_request_that_waits_for_its_answer_has_all_the_time_it_needs(self) -> None:
        server = Server()
        server.service.gate = Deferred()
        connection = server.connect().post(b"x").wait(3600)
        server.service.gate.callback(None)
        self.assertEqual(connection.wait(0).statuses, [200])

    def test_an_idle_connection_is_closed_after_the_idle_time_and_not_earlier(self) -> None:
        for requests in (0, 1, 3):
            server = Server(idle_timeout=120, request_timeout=30)
            connection = server.connect()
            for _ in range(requests):
                connection.wait(100).post(b"x")
            connection.wait(119)
            self.assertEqual((connection.statuses, connection.closed), ([200] * requests, False))
            connection.wait(1)
            self.assertTrue(connection.closed)
            self.assertEqual((server.site.connections, server.clock.getDelayedCalls()), (set(), []))

    def test_an_empty_line_after_a_request_is_no_new_request(self) -> None:
        connection = Server(idle_timeout=120, request_timeout=30).connect()
        for number in range(1, 4):
            connection.post(b"x").send(b"\r\n").wait(100)
            self.assertEqual(connection.statuses, [200] * number)

    def test_a_pipelined_request_has_its_own_deadline(self) -> None:
        server = Server(request_timeout=30)
        server.service.gate = Deferred()
        connection = server.connect().post(b"x").send(b"POST /").wait(100)
        self.assertFalse(connection.closed)
        server.service.gate.callback(None)
        connection.wait(29)
        self.assertEqual((connection.statuses, connection.closed), ([200], False))
        connection.wait(1)
        self._late(connection)

    def test_a_handshake_that_does_not_end_is_aborted(self) -> None:
        server = Server(handshake_timeout=15)
        connection = Connection(server, client(), shaken=False)
        server.clock.advance(14)
        self.assertFalse(connection.transport.aborted)
        server.clock.advance(1)
        self.assertTrue(connection.transport.aborted)
        connection.flush()
        self.assertEqual((server.site.connections, server.clock.getDelayedCalls()), (set(), []))

    def test_the_time_of_the_handshake_is_not_that_of_the_connection(self) -> None:
        self.assertEqual(Server(handshake_timeout=15).connect().wait(60).post(b"x").statuses, [200])

    def test_a_peer_that_does_not_close_is_cut_off(self) -> None:
        server = Server(idle_timeout=120, request_timeout=30)
        for seconds, reason in ((150, "idle"), (30, "Connection: close"), (60, "late")):
            connection = server.connect()
            deaf: Any = connection.transport
            if reason == "Connection: close":
                server.service.gate = Deferred()
                connection.post(b"x", b"Connection: close")
            elif reason == "late":
                connection.send(b"POST")
            deaf.write = lambda data: None  # it never hears our goodbye
            if server.service.gate:
                server.service.gate.callback(None)
                server.service.gate = None
            server.clock.pump([1] * (seconds - 1))
            self.assertFalse(connection.transport.aborted, reason)
            server.clock.advance(1)
            self.assertTrue(connection.transport.aborted, reason)
            connection.flush()
            self.assertEqual((server.site.connections, server.clock.getDelayedCalls()), (set(), []))

    def test_at_the_stop_the_idle_are_closed_at_once_and_the_others_after_their_answer(self) -> None:
        server = Server()
        idle, begun, busy = server.connect().post(b"x"), server.connect().send(b"POST /"), server.connect()
        server.service.gate = Deferred()
        busy.post(b"y")
        server.site.doStart()
        server.site.doStop()
        for connection in (idle, begun, busy):
            connection.flush()
        self.assertEqual([idle.closed, begun.closed, busy.closed], [True, True, False])
        self.assertEqual(server.service.bodies, [b"x", b"y"])
        server.service.gate.callback(None)
        busy.flush()
        self.assertEqual((busy.statuses, busy.closed), ([200], True))
        self.assertEqual((server.site.connections, server.clock.getDelayedCalls()), (set(), []))


class ToldTests(SynchronousTestCase):
    def test_what_no_service_saw_is_told_with_whose_it_was(self) -> None:
        server = Server(body=SMALL)
        connection = server.connect().post(b"x", service=b"/elsewhere\x9b").send(head(method=b"GET", service=b"/"))
        peer = server.channel.address
        self.assertEqual(connection.post(b"x" * 200).statuses, [404, 404, 413])
        who = ven().fingerprint, peer
        self.assertEqual(
            server.told,
            [
                (*who, "/elsewhere\\x9b", "HTTP 404", "'POST': Not Found"),
                (*who, "/", "HTTP 404", "'GET': Not Found"),
                (*who, "/OpenADR2/Simple/2.0b/EiEvent", "HTTP 413", "the body is larger than 100 bytes"),
            ],
        )

    def test_what_a_service_answered_is_not_told_again(self) -> None:
        server = Server()
        server.connect().post(b"x")
        self.assertEqual(server.told, [])
