"""The API as a whole: the token, health and counts, and what HTTP refuses, from bytes to bytes."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from oadrvtn.console.api import HEALTH_TIMEOUT, Few
from oadrvtn.console.door import MOST_BODY, MOST_FILE, Lockout
from oadrvtn.storage import vens

from .case import V1, ApiTestCase
from .office import TOKEN, Office


class TokenTests(ApiTestCase):
    def test_nothing_below_the_api_is_served_without_the_token(self) -> None:
        wrong: list[dict[str, Any]] = [
            {"token": None},
            {"token": ""},
            {"token": TOKEN[:-1]},
            {"token": TOKEN + "x"},
            {"token": TOKEN.upper()},
            {"headers": {"Authorization": f"Basic {TOKEN}"}},
            {"headers": {"Authorization": TOKEN}},
        ]
        for more in wrong:
            self.office.clock.advance(Lockout.LONGEST + 1)
            for method, path in (("GET", "/status"), ("POST", "/events"), ("GET", "/nowhere"), ("DELETE", "/vens/x")):
                answer = self.ask(method, path, **more)
                self.problem(401, answer)
                self.assertIn("Bearer", answer.header("WWW-Authenticate") or "")

    def test_a_path_in_disguise_needs_the_token_too(self) -> None:
        for path in ("/%61pi/v1/status", "/api%2Fv1/status", "//api/v1/status", "/api/v1%2fstatus", "/", "/health/"):
            self.problem(401, self.office.ask("GET", path, token=None))

    def test_a_token_that_is_no_text_is_only_wrong(self) -> None:
        treq = self.office.treq
        response = treq.get(f"http://vtn.example{V1}/status", headers={b"Authorization": b"Bearer \xff\xfe"})
        treq.flush()
        self.assertEqual(401, self.successResultOf(response).code)

    def test_the_scheme_is_read_in_any_case(self) -> None:
        self.good("GET", "/status", token=None, headers={"Authorization": f"bearer {TOKEN}"})

    def test_answers_are_not_to_be_stored_or_guessed_at(self) -> None:
        for answer in (self.ask("GET", "/status"), self.ask("GET", "/status", token=None)):
            self.assertEqual("no-store", answer.header("Cache-Control"))
            self.assertEqual("nosniff", answer.header("X-Content-Type-Options"))


class StatusTests(ApiTestCase):
    def test_the_counts_are_those_of_the_database(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.good("POST", "/vens", {"ven_id": "ven-3", "fingerprints": ["00" * 10]}, 201)
        self.office.reports("ven-1", {"power": [1, 2, 3]})
        self.event()
        self.event(dtstart="+1h")
        self.office.clock.advance(1000)
        found = self.good("GET", "/status")
        expected = {
            "vtn_id": "oadrvtn",
            "started_at": "2026-11-22T12:00:00Z",
            "uptime": 1000,
            "vens": 3,
            "vens_registered": 2,
            "vens_online": 2,
            "vens_suspended": 0,
            "vens_waiting": 0,
            "events": 2,
            "events_current": 1,
            "readings": 3,
            "report_requests": 1,
        }
        self.assertEqual(expected, {name: found[name] for name in expected})
        self.assertTrue(found["version"])


class HealthTests(ApiTestCase):
    PATHS = ("/health", "/health/ready", "/health/live")

    def health(self, path: str) -> tuple[int, Any]:
        answer = self.office.ask("GET", path, token=None)
        return answer.status, answer.json.get("status")

    def test_health_needs_no_token_and_a_database_that_answers(self) -> None:
        for path in self.PATHS:
            self.assertEqual((200, "ok"), self.health(path))

    def test_a_database_that_fails_makes_it_unready_though_it_lives(self) -> None:
        self.office.database.stop()
        self.assertEqual([503, 503, 200], [self.health(path)[0] for path in self.PATHS])
        self.assertEqual(2, len(self.flushLoggedErrors()))

    def test_a_reader_or_a_writer_that_is_silent_makes_it_unready_though_it_lives(self) -> None:
        for silent in ("read", "run"):
            office = Office()
            self.patch(office.database, silent, lambda *arguments: Deferred())
            response = office.treq.get("http://vtn.example/health")
            office.treq.flush()
            self.assertNoResult(response)
            office.clock.advance(HEALTH_TIMEOUT)
            office.treq.flush()
            self.assertEqual(503, self.successResultOf(response).code)
            self.assertEqual(200, office.ask("GET", "/health/live", token=None).status)
            self.assertEqual(1, len(self.flushLoggedErrors()))


class ProblemTests(ApiTestCase):
    def test_a_body_that_is_no_json_is_told(self) -> None:
        bad = (b"{", b"\xff", b"nonsense", b'{"level": NaN}', b"[" * 100_000, b'{"a": 1} x', b"9" * 5000)
        for raw in bad:
            (error,) = self.refused(400, "POST", "/events", raw=raw)["errors"]
            self.assertEqual("", error["pointer"])

    def test_a_body_that_is_no_object_is_told(self) -> None:
        bodies: list[Any] = [[], "x", 3]
        for body in bodies:
            for method, path in (("POST", "/events"), ("POST", "/vens"), ("PATCH", "/vens/x"), ("PATCH", "/events/x")):
                self.refused(422, method, path, body)

    def test_a_body_that_is_too_large_is_refused(self) -> None:
        self.refused(413, "POST", "/events", raw=b" " * (MOST_BODY + 1))
        self.refused(422, "POST", "/events", raw=b"{}" + b" " * (MOST_BODY - 2))

    def test_unknown_paths_and_methods_are_told(self) -> None:
        for path in ("/nowhere", "/vens/", "", "/events/x/y/z/"):
            self.assertIn(self.refused(404, "GET", path)["status"], (404,))
        answer = self.ask("PUT", "/events/x")
        self.problem(405, answer)
        self.assertEqual("DELETE, GET, HEAD, PATCH", answer.header("Allow"))

    def test_what_cannot_be_read_as_a_path_is_told(self) -> None:
        self.refused(400, "GET", "/vens/%FF")

    def test_a_host_that_cannot_be_is_told(self) -> None:
        answer = self.office.ask("GET", "/health", token=None, headers={"Host": "a" * 70 + "..b"})
        self.problem(400, answer)

    def test_a_fault_of_ours_is_an_incident_and_shows_nothing_of_it(self) -> None:
        def broken(*arguments: Any) -> Any:
            raise RuntimeError("the secret of the house")

        self.patch(vens, "counts", broken)
        problem = self.refused(500, "GET", "/status")
        self.assertIn(problem["incident"], problem["detail"])
        self.assertNotIn("secret", json.dumps(problem))
        (failure,) = self.flushLoggedErrors(RuntimeError)
        self.assertIn("the secret of the house", str(failure))


class ConnectionTests(ApiTestCase):
    """Over the wire's bytes, as the site reads them."""

    def setUp(self) -> None:
        super().setUp()
        self.transport = StringTransport()
        self.channel: Any = self.office.api.site().buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def send(self, *lines: str, body: bytes = b"") -> None:
        head = "\r\n".join([*lines, "Host: vtn.example", f"Authorization: Bearer {TOKEN}", "", ""])
        self.channel.dataReceived(head.encode() + body)

    def test_the_site_serves_the_api(self) -> None:
        self.send(f"GET {V1}/status HTTP/1.1")
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 200"), self.transport.value())

    def test_there_are_so_many_connections_at_once_and_one_that_ends_makes_room(self) -> None:
        self.patch(Few, "MOST", 2)
        few, open_ones = Few(self.office.api.site()), []
        for _ in range(2):
            open_ones.append(few.buildProtocol(None))
            open_ones[-1].makeConnection(StringTransport())
        self.assertIsNone(few.buildProtocol(None))
        open_ones[0].connectionLost(Failure(ConnectionLost()))
        self.assertIsNotNone(few.buildProtocol(None))

    def test_no_more_of_a_body_is_kept_than_it_may_have(self) -> None:
        self.send(f"POST {V1}/events HTTP/1.1", "Transfer-Encoding: chunked")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(2 * MOST_FILE // 0x10000):
            self.channel.dataReceived(chunk)
        kept = self.channel._channel.requests[0].content.tell()
        self.assertLessEqual(kept, MOST_FILE + 0x10000)
        self.channel.dataReceived(b"0\r\n\r\n")
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 413"), self.transport.value()[:100])

    def test_an_operator_who_leaves_does_not_stop_what_was_asked(self) -> None:
        run, waiting = self.office.database.run, Deferred[Any]()
        asked: list[Any] = []

        def later(*arguments: Any) -> Deferred[Any]:
            asked.append(arguments)
            return waiting

        self.patch(self.office.database, "run", later)
        body = b'{"market_context": "urn:x", "dtstart": "now", "duration": "1m", "level": 0}'
        self.send(f"POST {V1}/events HTTP/1.1", f"Content-Length: {len(body)}", body=body)
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.patch(self.office.database, "run", run)
        waiting.callback(self.successResultOf(run(*asked[0])))
        self.assertEqual(1, self.good("GET", "/status")["events"])
