"""Connections whose certificates are revoked while they stand, and those for which somebody has to vouch."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.security import link
from tests.security.link import client
from tests.transport.wire import Connection, Server

Said = tuple[str | None, float]


class LookAgainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.revoked: set[int] = set()
        self.server.site.judge = self.judge

    def judge(self, transport: Any) -> str | None:
        serial = transport.getPeerCertificate().to_cryptography().serial_number
        return "revoked" if serial in self.revoked else None

    def look(self) -> None:
        self.server.site.look_again()
        self.server.clock.pump([0] * 10)

    def test_connections_of_revoked_certificates_are_closed_and_no_others(self) -> None:
        bad, good = self.server.connect(), self.server.connect(client(link.authority().issue_client("other")))
        self.assertEqual([[200], [200]], [each.post(b"x").statuses for each in (bad, good)])
        self.revoked.add(link.ven().certificate.serial_number)
        with capturedLogs() as events:
            self.look()
        bad.flush()
        self.assertEqual((True, False), (bad.closed, good.closed))
        (told,) = (formatEvent(event) for event in events if event["log_level"] == LogLevel.warn)
        self.assertIn(f"closed: revoked (subject CN=ven1,O=oadrvtn demonstration, serial "
                      f"{link.ven().certificate.serial_number:X})", told)  # fmt: skip
        self.assertEqual([200, 200], good.post(b"y").statuses)

    def test_one_that_is_in_its_handshake_is_looked_at_when_that_is_over(self) -> None:
        connection = Connection(self.server, client(), shaken=False)
        self.revoked.add(link.ven().certificate.serial_number)
        self.look()
        self.assertFalse(connection.closed)
        connection.flush()
        connection.post(b"x")
        self.assertEqual(([], []), (connection.statuses, self.server.service.bodies))

    def test_a_message_that_is_in_work_does_not_keep_it_open(self) -> None:
        connection = self.server.connect()
        self.server.service.gate = Deferred()
        connection.post(b"x")
        self.revoked.add(link.ven().certificate.serial_number)
        self.look()
        self.server.service.gate.callback(None)
        connection.post(b"y")
        self.assertEqual([b"x"], self.server.service.bodies)
        self.assertTrue(connection.closed)


class VouchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.said: list[Deferred[Said]] = []
        self.server.site.vouch = self.vouch

    def vouch(self, chain: Any) -> Deferred[Said]:
        self.said.append(Deferred())
        return self.said[-1]

    def until(self, seconds: float) -> float:
        return self.server.clock.seconds() + seconds

    def test_a_message_waits_until_somebody_has_vouched(self) -> None:
        connection = self.server.connect().post(b"x")
        self.assertEqual([], self.server.service.bodies)
        self.said[0].callback((None, self.until(60)))
        connection.flush()
        self.assertEqual(([200], [b"x"]), (connection.statuses, self.server.service.bodies))
        self.assertEqual([200, 200], connection.post(b"y").statuses)
        self.assertEqual(1, len(self.said))

    def test_who_is_not_vouched_for_is_not_heard(self) -> None:
        connection = self.server.connect().post(b"x")
        with capturedLogs() as events:
            self.said[0].callback(("revoked", self.until(60)))
        connection.flush()
        self.assertEqual((True, [], []), (connection.closed, connection.statuses, self.server.service.bodies))
        self.assertTrue([event for event in events if "closed: revoked" in formatEvent(event)])

    def test_who_comes_again_and_again_does_not_fill_the_log(self) -> None:
        lines: list[str] = []
        self.server.site.lets = lambda peer: lines.append(peer) or len(lines) < 3  # type: ignore[func-returns-value]
        self.server.site.vouch = lambda chain: succeed(("no OCSP answer", self.until(60)))
        with capturedLogs() as events:
            for _ in range(5):
                self.assertEqual([], self.server.connect().post(b"x").statuses)
        told = [event for event in events if "closed: no OCSP answer" in (formatEvent(event) or "")]
        self.assertEqual((2, 5), (len(told), len(lines)))

    def test_an_answer_that_is_there_at_once_holds_nothing_up(self) -> None:
        self.server.site.vouch = lambda chain: succeed((None, self.until(60)))
        self.assertEqual([200], self.server.connect().post(b"x").statuses)

    def test_it_is_asked_again_once_that_is_not_believed_any_more(self) -> None:
        connection = self.server.connect()
        self.said[0].callback((None, self.until(20)))
        connection.post(b"x")
        self.server.site.vouch_again()
        self.assertEqual(1, len(self.said))
        connection.wait(21)
        self.server.site.vouch_again()
        self.server.site.vouch_again()
        self.assertEqual(2, len(self.said))
        self.assertEqual([200, 200], connection.post(b"y").statuses)  # nothing waits for that
        self.said[1].callback(("revoked", self.until(60)))
        connection.flush()
        self.assertTrue(connection.closed)

    def test_where_nobody_could_be_asked_it_is_closed(self) -> None:
        self.server.site.vouch = lambda chain: fail(RuntimeError("a fault of ours"))
        connection = self.server.connect().post(b"x")
        self.assertEqual((True, []), (connection.closed, self.server.service.bodies))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_connections_from_before_are_asked_about_once_that_is_configured(self) -> None:
        self.server.site.vouch = None
        self.assertEqual([200], self.server.connect().post(b"x").statuses)
        self.server.site.vouch_again()
        self.assertEqual([], self.said)
        self.server.site.vouch = self.vouch
        self.server.site.vouch_again()
        self.assertEqual(1, len(self.said))

    def test_one_that_is_gone_when_the_answer_comes_is_no_fault(self) -> None:
        connection = self.server.connect().post(b"x")
        connection.peer.transport.abortConnection()  # type: ignore[union-attr]
        connection.flush()
        self.said[0].callback((None, self.until(60)))
        self.assertEqual([], self.server.service.bodies)
