"""The audit log of what operators do: each action with its effect, refusals within limits, the head told each hour."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from oadrvtn.console.audit import HOUR, Clerk
from oadrvtn.console.desk import ROUTES, Said
from oadrvtn.storage import audit
from oadrvtn.storage.audit import Head

from .case import V1, ApiTestCase

EVENT = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2, "event_id": "e-1"}


class AuditTestCase(ApiTestCase):
    def rows(self, **query: Any) -> list[dict[str, Any]]:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        found: list[dict[str, Any]] = self.good("GET", f"/audit?{asked}")["audit"]
        return found

    def last(self) -> tuple[Any, ...]:
        row = self.rows()[-1]
        return tuple(row[name] for name in ("who", "action", "object", "status"))

    def head(self) -> Head:
        return self.successResultOf(self.office.database.read("head", audit.head))


class ActionTests(AuditTestCase):
    def test_an_action_tells_who_when_what_to_which_how_it_ended_and_the_digest_of_the_request(self) -> None:
        token = self.office.token("dispatch", "anna")
        body = b'{"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2, "event_id": "e-1"}'
        self.good("POST", "/events", status=201, raw=body, token=token)
        row = self.rows()[-1]
        asked = hashlib.sha256(f"POST {V1}/events\n".encode() + body).hexdigest()
        expected = {
            "number": 2, "at": "2026-11-22T12:00:00Z", "who": "anna", "action": "POST /events", "object": "e-1",
            "asked": asked, "status": 201, "left_out": 0,
        }  # fmt: skip
        self.assertEqual(expected, {name: row[name] for name in expected})
        self.good("POST", "/events/e-1/cancel", {}, token=token)
        self.assertEqual(("anna", "POST /events/{event_id}/cancel", "e-1", 200), self.last())

    def test_the_row_is_written_with_its_effect_or_neither_is(self) -> None:
        def broken(*arguments: Any) -> None:
            raise RuntimeError("the disk is full")

        before = self.head()
        with_audit = audit.append
        self.patch(audit, "append", broken)
        self.refused(500, "POST", "/events", EVENT)
        self.patch(audit, "append", with_audit)
        self.assertEqual([], self.good("GET", "/events")["events"])
        self.assertEqual(before, self.head())
        self.flushLoggedErrors(RuntimeError)

    def test_an_action_that_fails_late_leaves_only_that_it_failed(self) -> None:
        def broken(*arguments: Any) -> None:
            raise RuntimeError("after the event was stored")

        self.patch(Said, "of", broken)
        self.refused(500, "POST", "/events", EVENT)
        self.assertEqual([500], [row["status"] for row in self.rows()])
        self.flushLoggedErrors(RuntimeError)

    def test_every_route_that_changes_something_is_in_the_log_whatever_it_answers(self) -> None:
        for route in ROUTES:
            number = self.head().number
            answer = self.ask(route.method, re.sub("<id:.+?>", "x", route.path))
            if route.method == "GET":
                self.assertEqual(number, self.head().number, route.path)
            else:
                shape = re.sub("<id:(.+?)>", r"{\1}", route.path)
                self.assertEqual(number + 1, self.head().number, route.path)
                row = self.rows()[-1]
                self.assertEqual((f"{route.method} {shape}", answer.status), (row["action"], row["status"]))

    def test_what_is_only_tried_is_not_written(self) -> None:
        self.good("POST", "/events?dry_run=1", EVENT)
        self.assertEqual([], self.rows())

    def test_who_asks_again_under_a_key_is_in_the_log_though_it_is_done_once(self) -> None:
        for _ in range(2):
            self.good("POST", "/events", EVENT, 201, headers={"Idempotency-Key": "k"})
            self.assertEqual(("local", "POST /events", "e-1", 201), self.last())
        self.assertEqual(2, len(self.rows()))

    def test_what_is_refused_is_in_the_log(self) -> None:
        token = self.office.token("read", "anna")
        self.refused(403, "POST", "/events", EVENT, token=token)
        self.assertEqual(("anna", "POST /api/v1/events", "", 403), self.last())
        self.refused(422, "POST", "/events", {"level": 2})
        self.assertEqual(("local", "POST /events", "", 422), self.last())
        self.good("POST", "/events", EVENT, 201)
        self.refused(409, "POST", "/events", EVENT)
        self.assertEqual(("local", "POST /events", "", 409), self.last())
        self.refused(412, "PATCH", "/events/e-1", {"priority": 1}, headers={"If-Match": '"7"'})
        self.assertEqual(("local", "PATCH /events/{event_id}", "e-1", 412), self.last())
        self.ask("GET", "/status", token="not-a-token-of-ours")
        self.assertEqual(("", "GET /api/v1/status", "", 401), self.last())
        self.refused(404, "DELETE", "/nowhere/\x1b%0a")
        self.assertEqual(404, self.last()[3])
        self.assertNotIn("\n", self.last()[1])

    def test_who_looks_is_not_in_the_log(self) -> None:
        self.good("GET", "/status")
        self.refused(404, "GET", "/vens/x")
        self.assertEqual([], self.rows())

    def test_the_list_is_paged_and_filtered(self) -> None:
        self.office.token("read", "anna")
        for number in range(5):
            self.event(event_id=f"e-{number}")
        self.refused(422, "POST", "/events", {})
        self.assertEqual(["e-3"], [row["object"] for row in self.rows(object="e-3")])
        self.assertEqual([422], [row["status"] for row in self.rows(refused=1)])
        self.assertEqual(6, len(self.rows(refused=0)))
        self.assertEqual(1, len(self.rows(action="POST%20/tokens")))
        self.assertEqual([], self.rows(who="anna"))
        self.assertEqual([], self.rows(since="%2B1h"))
        numbers, cursor = [], ""
        for _ in range(3):
            found = self.good("GET", f"/audit?limit=3{cursor}")
            numbers.append([row["number"] for row in found["audit"]])
            cursor = f"&cursor={found['next']}"
        self.assertEqual([[5, 6, 7], [2, 3, 4], [1]], numbers)
        self.assertIsNone(found["next"])


class FloodTests(AuditTestCase):
    def test_refusals_are_bounded_and_what_was_left_out_is_counted(self) -> None:
        for _ in range(200):
            self.ask("POST", "/events", {}, token=None)
        self.assertEqual(60, self.head().number)
        self.office.clock.advance(1)
        self.ask("POST", "/events", {}, token=None)
        self.assertEqual((61, 140), (self.head().number, self.rows()[-1]["left_out"]))

    def test_strangers_do_not_use_up_what_operators_refusals_may_take(self) -> None:
        for _ in range(200):
            self.ask("POST", "/events", {}, token=None)
        self.refused(422, "POST", "/events", {})
        self.assertEqual(("local", "POST /events", "", 422), self.last())

    def test_what_has_an_effect_is_never_left_out(self) -> None:
        for number in range(100):
            self.event(event_id=f"e-{number}")
        self.assertEqual(100, self.head().number)


class VerifyTests(AuditTestCase):
    def test_the_api_verifies_it_against_a_head_of_before(self) -> None:
        self.event()
        head = self.head()
        self.event()
        found = self.good("GET", f"/audit/verify?head={head}")
        self.assertEqual({"head": str(self.head()), "rows": 2, "broken": None}, found)

    def test_the_first_broken_row_is_named(self) -> None:
        for _ in range(4):
            self.event()

        def tamper(txn: Any) -> Any:
            txn.exec_driver_sql("DROP TRIGGER audit_is_not_updated")
            txn.exec_driver_sql("UPDATE audit SET who = 'bert' WHERE number >= 3")
            return None, None

        self.patch(audit, "PIECE", 2)
        self.patch(self.office.database, "publish", lambda changes: None)
        self.successResultOf(self.office.database.run("tamper", tamper))
        found = self.good("GET", "/audit/verify")
        self.assertEqual((2, 3), (found["rows"], found["broken"]["number"]))

    def test_a_head_beyond_the_end_says_that_the_log_was_cut(self) -> None:
        self.event()
        found = self.good("GET", f"/audit/verify?head={Head(5, bytes(32))}")
        self.assertEqual(2, found["broken"]["number"])

    def test_what_is_no_head_is_refused(self) -> None:
        (error,) = self.refused(422, "GET", "/audit/verify?head=12")["errors"]
        self.assertEqual("head", error["parameter"])


class ClerkTests(AuditTestCase):
    def setUp(self) -> None:
        super().setUp()
        capturing = capturedLogs()
        self.events = capturing.__enter__()
        self.addCleanup(capturing.__exit__, None, None, None)

    @property
    def said(self) -> list[str]:
        return [str(formatEvent(event)) for event in self.events if "audit log: " in (event.get("log_format") or "")]

    def test_the_head_is_logged_at_the_start_each_hour_and_at_the_end(self) -> None:
        clerk = Clerk(self.office.vtn)
        clerk.startService()
        expected = [f"audit log: head {Head()}"]
        self.assertEqual(expected, self.said)
        self.event()
        for _ in range(2):
            self.office.clock.advance(HOUR)
            expected.append(f"audit log: head {self.head()}")
        self.event()
        self.assertEqual(expected, self.said)
        self.successResultOf(clerk.stopService())
        self.assertEqual([*expected, f"audit log: head {self.head()}"], self.said)
        self.office.clock.advance(2 * HOUR)
        self.assertEqual(4, len(self.said))
        self.assertEqual(self.head(), Head.parse(self.said[-1].rpartition(" ")[2]))

    def test_a_head_that_cannot_be_read_is_logged_and_the_hours_go_on(self) -> None:
        clerk = Clerk(self.office.vtn)
        clerk.startService()
        run = self.office.database.run
        self.patch(self.office.database, "run", lambda *arguments: _failed())
        self.office.clock.advance(HOUR)
        self.patch(self.office.database, "run", run)
        self.office.clock.advance(HOUR)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual(f"audit log: head {Head()}", self.said[-1])
        self.successResultOf(clerk.stopService())


def _failed() -> Deferred[Any]:
    failed: Deferred[Any] = Deferred()
    failed.errback(RuntimeError())
    return failed
