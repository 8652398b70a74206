"""The API: each route, good and bad, from bytes to bytes against a database in memory."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.console.api import HEALTH_TIMEOUT, MOST_BODY
from oadrvtn.model.config import Config, KnownVen, WantedReport
from oadrvtn.storage import vens
from oadrvtn.vtn import registration

from .office import TOKEN, Answer, Office, certificate, colons

V1 = "/api/v1"


class ApiTestCase(SynchronousTestCase):
    """Has an office, and says what is expected of its answers."""

    config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"),))

    def setUp(self) -> None:
        self.office = Office(self.config)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return self.office.ask(method, V1 + path, body, **more)

    def good(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        answer = self.ask(method, path, body, **more)
        self.assertEqual(status, answer.status, answer.body)
        return answer.json if answer.body else None

    def refused(self, status: int, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return self.problem(status, self.ask(method, path, body, **more))

    def problem(self, status: int, answer: Answer) -> Any:
        """The problem document of an answer, which is one by RFC 9457."""
        self.assertEqual(status, answer.status, answer.body)
        self.assertEqual("application/problem+json", answer.header("Content-Type"))
        self.assertEqual("about:blank", answer.json["type"])
        self.assertEqual(status, answer.json["status"])
        self.assertTrue(answer.json["title"])
        self.assertTrue(answer.json["detail"])
        return answer.json

    def event(self, **fields: Any) -> Any:
        """An event that was made."""
        body = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2}
        return self.good("POST", "/events", body | fields, 201)


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
            "vens_waiting": 0,
            "events": 2,
            "events_current": 1,
            "readings": 3,
            "report_requests": 1,
        }
        self.assertEqual(expected, {name: found[name] for name in expected})
        self.assertTrue(found["version"])


class HealthTests(ApiTestCase):
    def test_health_needs_no_token_and_a_database_that_answers(self) -> None:
        answer = self.office.ask("GET", "/health", token=None)
        self.assertEqual((200, {"status": "ok"}), (answer.status, answer.json))

    def test_a_database_that_fails_is_no_good_health(self) -> None:
        self.office.database.stop()
        self.problem(503, self.office.ask("GET", "/health", token=None))
        self.assertEqual(1, len(self.flushLoggedErrors()))

    def test_a_database_that_is_silent_is_no_good_health(self) -> None:
        self.patch(self.office.database, "read", lambda *arguments: Deferred())
        treq = self.office.treq
        response = treq.get("http://vtn.example/health")
        treq.flush()
        self.assertNoResult(response)
        self.office.clock.advance(HEALTH_TIMEOUT)
        treq.flush()
        self.assertEqual(503, self.successResultOf(response).code)
        self.assertEqual(1, len(self.flushLoggedErrors()))


class VenTests(ApiTestCase):
    def test_an_added_ven_is_shown_listed_and_known_by_its_certificate(self) -> None:
        body = {"ven_id": "ven-1", "name": "Cold store", "fingerprints": [colons(certificate("ven-1"))]}
        answer = self.ask("POST", "/vens", body)
        self.assertEqual((201, f"{V1}/vens/ven-1"), (answer.status, answer.header("Location")))
        self.assertEqual(answer.json, self.good("GET", "/vens/ven-1"))
        self.assertEqual("Cold store", answer.json["name"])
        whole = certificate("ven-1")
        self.assertEqual([{"fingerprint": colons(whole[-10:]), "sha256": colons(whole)}], answer.json["fingerprints"])
        (row,) = self.good("GET", "/vens")["vens"]
        self.assertEqual(
            ("ven-1", False, False, None), tuple(row[k] for k in ("ven_id", "registered", "online", "last_seen"))
        )
        entry = self.successResultOf(self.office.vtn.identify(whole))
        assert entry is not None
        self.assertEqual("ven-1", entry.ven.ven_id)

    def test_a_short_fingerprint_is_enough_and_the_whole_is_not_made_up(self) -> None:
        row = self.good("POST", "/vens", {"ven_id": "v", "fingerprints": ["aabbccddeeff00112233"]}, 201)
        self.assertEqual([{"fingerprint": "AA:BB:CC:DD:EE:FF:00:11:22:33", "sha256": None}], row["fingerprints"])

    def test_what_cannot_be_added_is_refused_with_the_reason(self) -> None:
        self.office.registered("ven-1")
        taken = [colons(certificate("ven-1"))]
        cases: list[tuple[int, dict[str, Any], str]] = [
            (409, {"ven_id": "ven-1", "fingerprints": ["00" * 10]}, "exists"),
            (409, {"ven_id": "ven-2", "fingerprints": taken}, "belongs to VEN 'ven-1'"),
            (422, {"ven_id": "ven-2", "fingerprints": []}, "one or two"),
            (422, {"ven_id": "ven-2", "fingerprints": ["00" * 10, "11" * 10, "22" * 10]}, "one or two"),
            (422, {"ven_id": "ven-2"}, "fingerprints: is missing"),
            (422, {"ven_id": "ven-2", "fingerprints": ["xyz"]}, "fingerprints[0]"),
            (422, {"ven_id": "", "fingerprints": taken}, "ven_id: is empty"),
            (422, {"venid": "ven-2", "fingerprints": taken}, "did you mean ven_id?"),
        ]
        for status, body, reason in cases:
            self.assertIn(reason, self.refused(status, "POST", "/vens", body)["detail"])
        self.assertEqual(1, len(self.good("GET", "/vens")["vens"]))

    def test_all_about_a_ven_is_told(self) -> None:
        self.office.registered()
        self.office.reports("ven-1", {"power": [1.5], "voltage": [230]})
        event_id = self.event()["event_id"]
        self.office.opts("ven-1", event_id, "optIn")
        found = self.good("GET", "/vens/ven-1")
        self.assertEqual((True, True, 10.0), (found["registered"], found["online"], found["poll_frequency"]))
        self.assertEqual(
            {"register_report": "queued", "create_report": "done"}, {e["kind"]: e["state"] for e in found["outbox"]}
        )
        (line,) = found["ledger"]
        self.assertEqual((event_id, "opted", "optIn"), (line["event_id"], line["state"], line["opt_type"]))
        (report,) = found["capabilities"]["reports"]
        self.assertEqual(("TELEMETRY_USAGE", "load"), (report["report_name"], report["report_specifier_id"]))
        point = report["data_points"][0]
        self.assertEqual(("power", "kW", "PT1M"), (point["r_id"], point["unit"], point["min_period"]))
        (request,) = found["report_requests"]
        self.assertEqual("accepted", request["state"])

    def test_last_seen_and_bends_are_those_of_this_moment(self) -> None:
        self.office.registered()
        self.office.clock.advance(5)
        entry = self.successResultOf(self.office.vtn.identify(certificate("ven-1")))
        assert entry is not None
        self.office.vtn.seen(entry)
        entry.bends["missing_request_id"] += 2
        found = self.good("GET", "/vens/ven-1")
        self.assertEqual("2026-11-22T12:00:05Z", found["last_seen"])
        self.assertEqual({"missing_request_id": 2}, found["bends"])
        self.assertEqual("2026-11-22T12:00:05Z", self.good("GET", "/vens")["vens"][0]["last_seen"])

    def test_certificates_change_with_an_overlap(self) -> None:
        self.office.registered()
        old, new = colons(certificate("ven-1")), colons(certificate("new"))
        row = self.good("PATCH", "/vens/ven-1", {"fingerprints": [old, new]})
        self.assertEqual({old, new}, {known["sha256"] for known in row["fingerprints"]})
        row = self.good("PATCH", "/vens/ven-1", {"fingerprints": [new]})
        self.assertEqual([new], [known["sha256"] for known in row["fingerprints"]])
        self.assertTrue(row["registered"])
        self.assertIsNone(self.successResultOf(self.office.vtn.identify(certificate("ven-1"))))
        self.refused(422, "PATCH", "/vens/ven-1", {"fingerprints": []})

    def test_a_new_name_leaves_the_certificates(self) -> None:
        self.office.registered()
        row = self.good("PATCH", "/vens/ven-1", {"name": "Cellar"})
        self.assertEqual(("Cellar", colons(certificate("ven-1"))), (row["name"], row["fingerprints"][0]["sha256"]))

    def test_a_removed_ven_is_not_known_any_more(self) -> None:
        self.office.registered()
        self.assertIsNone(self.good("DELETE", "/vens/ven-1", status=204))
        self.refused(404, "GET", "/vens/ven-1")
        self.refused(404, "DELETE", "/vens/ven-1")
        self.assertIsNone(self.successResultOf(self.office.vtn.identify(certificate("ven-1"))))

    def test_a_ven_is_asked_to_register_again_or_told_that_it_ends(self) -> None:
        self.office.registered()
        for path, kind in (
            ("request-reregistration", "request_reregistration"),
            ("cancel-registration", "cancel_registration"),
        ):
            found = self.good("POST", f"/vens/ven-1/{path}", status=202)
            self.assertEqual((kind, "queued"), (found["outbox"][0]["kind"], found["outbox"][0]["state"]))

    def test_only_a_registered_ven_can_be_asked_that(self) -> None:
        self.good("POST", "/vens", {"ven_id": "v", "fingerprints": ["00" * 10]}, 201)
        for path in ("request-reregistration", "cancel-registration"):
            self.refused(409, "POST", f"/vens/v/{path}")
            self.refused(404, "POST", f"/vens/nobody/{path}")
            self.refused(422, "POST", f"/vens/v/{path}", {"force": True})

    def test_ids_may_hold_anything_that_a_path_may_not(self) -> None:
        for number, ven_id in enumerate(("a/b", "/x", "a//b", "ü?&#", "..", "a b", "100%")):
            answer = self.ask("POST", "/vens", {"ven_id": ven_id, "fingerprints": [f"{number:020x}"]})
            self.assertEqual(201, answer.status)
            location = answer.header("Location")
            assert location
            shown = self.office.ask("GET", location)
            self.assertEqual((200, ven_id), (shown.status, shown.json["ven_id"]))
            self.assertEqual([], self.office.ask("GET", f"{location}/readings").json["readings"])
            self.assertEqual(204, self.office.ask("DELETE", location).status)


class ConfiguredVenTests(ApiTestCase):
    config = Config(vens=(KnownVen(ven_id="ven-1", fingerprints=("00" * 10,)),))

    def setUp(self) -> None:
        super().setUp()
        self.successResultOf(self.office.vtn.start())

    def test_what_the_configuration_lists_is_changed_there(self) -> None:
        for method, body in (("PATCH", {"fingerprints": ["11" * 10]}), ("DELETE", None)):
            self.assertIn("configuration file", self.refused(409, method, "/vens/ven-1", body)["detail"])
        self.assertEqual("config", self.good("GET", "/vens/ven-1")["source"])


class CandidateTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        full = certificate("new")
        self.fingerprint = colons(full[-10:])
        remember = self.office.vtn.write("remember", registration.remember, self.config, full, "CN=new", None, "Shop")
        self.successResultOf(remember)

    def test_who_waits_is_listed(self) -> None:
        (candidate,) = self.good("GET", "/candidates")["candidates"]
        self.assertEqual(
            (self.fingerprint, "CN=new", "Shop"), tuple(candidate[k] for k in ("fingerprint", "subject", "ven_name"))
        )
        self.assertEqual(1, self.good("GET", "/status")["vens_waiting"])

    def test_an_approved_certificate_is_a_ven(self) -> None:
        row = self.good("POST", f"/candidates/{self.fingerprint}/approve", {"ven_id": "ven-9"}, 201)
        self.assertEqual(
            ("ven-9", "Shop", self.fingerprint), (row["ven_id"], row["name"], row["fingerprints"][0]["fingerprint"])
        )
        self.assertEqual([], self.good("GET", "/candidates")["candidates"])
        self.refused(404, "POST", f"/candidates/{self.fingerprint}/approve")

    def test_without_a_ven_id_it_gets_one(self) -> None:
        row = self.good("POST", f"/candidates/{self.fingerprint.replace(':', '').lower()}/approve", status=201)
        self.assertTrue(row["ven_id"])

    def test_another_vens_id_is_not_given_away(self) -> None:
        self.office.registered("ven-1")
        self.refused(403, "POST", f"/candidates/{self.fingerprint}/approve", {"ven_id": "ven-1"})
        self.assertEqual(1, len(self.good("GET", "/candidates")["candidates"]))

    def test_what_does_not_wait_cannot_be_approved(self) -> None:
        self.refused(404, "POST", "/candidates/" + "00" * 10 + "/approve")
        self.assertIn("fingerprint: ", self.refused(422, "POST", "/candidates/xyz/approve")["detail"])


class EventTests(ApiTestCase):
    def test_a_made_event_is_queued_for_whom_it_concerns(self) -> None:
        self.office.registered("ven-1")
        self.office.registered("ven-2")
        for target, expected in (({}, 2), ({"ven_ids": ["ven-2"]}, 1)):
            answer = self.ask(
                "POST",
                "/events",
                {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 1, "target": target},
            )
            self.assertEqual(201, answer.status, answer.body)
            self.assertEqual({"queued": expected}, answer.json["answers"])
            self.assertEqual(
                (0, "active", '"0"'), (answer.json["modification_number"], answer.json["status"], answer.header("ETag"))
            )
            self.assertEqual(f"{V1}/events/{answer.json['event_id']}", answer.header("Location"))

    def test_an_event_shows_every_vens_answer_its_ledger_and_its_history(self) -> None:
        self.office.registered("ven-1")
        self.office.registered("ven-2")
        self.event(event_id="e")
        self.office.opts("ven-1", "e", "optIn")
        self.office.opts("ven-1", "e", "optOut")
        self.good("PATCH", "/events/e", {"priority": 3})
        self.office.opts("ven-2", "e", "optIn", 1)
        found = self.good("GET", "/events/e")
        self.assertEqual({"queued": 1, "optIn": 1}, found["answers"])
        self.assertEqual(
            [("ven-1", 0, "optIn"), ("ven-1", 0, "optOut"), ("ven-2", 1, "optIn")],
            [(a["ven_id"], a["modification_number"], a["opt_type"]) for a in found["history"]],
        )
        states = {(line["ven_id"], line["modification_number"]): line["state"] for line in found["ledger"]}
        self.assertEqual(4, len(states))
        self.assertEqual(("queued", "opted"), (states["ven-1", 1], states["ven-2", 1]))

    def test_the_status_goes_with_the_clock(self) -> None:
        self.event(event_id="e", dtstart="+10m", ramp_up="5m")
        for seconds, status in ((0, "far"), (300, "near"), (300, "active"), (900, "completed")):
            self.office.clock.advance(seconds)
            self.assertEqual(status, self.good("GET", "/events/e")["status"])

    def test_the_list_holds_what_is_still_sent_or_all(self) -> None:
        self.event(event_id="past", duration="1m")
        self.event(event_id="later", dtstart="+1h")
        self.office.clock.advance(60)
        self.assertEqual(["later"], [e["event_id"] for e in self.good("GET", "/events")["events"]])
        self.assertEqual(["past", "later"], [e["event_id"] for e in self.good("GET", "/events?all=1")["events"]])
        self.assertEqual(["later"], [e["event_id"] for e in self.good("GET", "/events?all=1&limit=1")["events"]])

    def test_numbers_beyond_all_measure_do_not_break_the_list(self) -> None:
        grid = {"hertz": "1e500", "voltage": 230, "ac": True}
        item_base = {"name": "powerReal", "item_units": "W", "power_attributes": grid}
        signal = {"signal_name": "LOAD_DISPATCH", "signal_type": "setpoint", "item_base": item_base}
        body = {"market_context": "http://x/", "dtstart": "now"}
        self.good(
            "POST", "/events", body | {"signals": [signal | {"intervals": [{"duration": "1m", "value": 1}]}]}, 201
        )
        [event] = self.good("GET", "/events")["events"]
        self.assertIsNone(event["signals"][0]["item_base"]["power_attributes"]["hertz"])
        self.refused(
            422, "POST", "/events", body | {"signals": [{"intervals": [{"duration": "1m", "value": 10**400}]}]}
        )

    def test_what_is_shown_of_an_event_makes_the_same_event(self) -> None:
        grid = {"hertz": 50, "voltage": 230, "ac": True}
        signal = {
            "signal_name": "LOAD_DISPATCH",
            "signal_type": "setpoint",
            "intervals": [{"duration": "PT10M", "value": 4}, {"duration": "PT5M", "value": 2.5}],
            "item_base": {"name": "powerReal", "item_units": "W", "si_scale_code": "k", "power_attributes": grid},
            "device_classes": ["Thermostat"],
        }
        body = {
            "market_context": "http://x/",
            "dtstart": "2026-11-22T13:00:00+01:00",
            "signals": [signal],
            "target": {"group_ids": ["north"], "service_areas": [{"polygon": {"pos_list": [1, 2, 3, 4]}}]},
            "vtn_comment": "<&>",
            "startafter": "5m",
        }
        first = self.good("POST", "/events", body, 201)
        self.assertEqual(("PT15M", "2026-11-22T12:20:00Z"), (first["duration"], first["gone_at"]))
        made = (
            "event_id",
            "modification_number",
            "status",
            "source",
            "created_at",
            "modified_at",
            "gone_at",
            "answers",
        )
        said = {name: value for name, value in first.items() if name not in made}
        again = self.good("POST", "/events", said, 201)
        self.assertEqual(said, {name: value for name, value in again.items() if name not in made})

    def test_what_a_rule_refuses_names_the_field(self) -> None:
        self.event(event_id="e")
        cases: list[tuple[int, dict[str, Any], str]] = [
            (409, {"event_id": "e"}, "event_id: 'e' exists"),
            (422, {"level": 7}, "no level of SIMPLE"),
            (422, {"market_context": "nothing"}, "market_context"),
            (422, {"target": {"ven_ids": ["nobody"]}}, "target.ven_ids: 'nobody'"),
            (422, {"dtstart": "-1h"}, "dtstart: "),
            (422, {"response_required": "perhaps"}, "response_required: "),
            (422, {"duration": "99999y"}, "duration: "),
            (422, {"duration": "P9000Y"}, "beyond the calendar"),
            (422, {"signal_name": "NO_SIGNAL"}, "signalName"),
            (422, {"prority": 1}, "did you mean priority?"),
        ]
        for status, fields, reason in cases:
            body = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2} | fields
            self.assertIn(reason, self.refused(status, "POST", "/events", body)["detail"])
        self.assertEqual(1, self.good("GET", "/status")["events"])

    def test_all_mistakes_are_in_one_problem_document(self) -> None:
        problem = self.refused(422, "POST", "/events", {"prority": 1, "dtstart": "soon"})
        self.assertEqual(4, len(problem["errors"]))
        self.assertEqual("; ".join(problem["errors"]), problem["detail"])
        self.assertEqual("454", problem["response_code"])

    def test_a_change_raises_the_number_once_and_no_change_does_not(self) -> None:
        self.event(event_id="e")
        self.assertEqual(1, self.good("PATCH", "/events/e", {"level": 1, "duration": "30m"})["modification_number"])
        found = self.good("PATCH", "/events/e", {"priority": 0})
        self.assertEqual((1, "PT30M"), (found["modification_number"], found["duration"]))

    def test_a_change_on_an_outdated_look_is_refused_by_either_lock(self) -> None:
        self.event(event_id="e")
        self.good("PATCH", "/events/e", {"priority": 1, "modification_number": 0})
        self.good("PATCH", "/events/e", {"priority": 2}, headers={"If-Match": '"1"'})
        self.good("PATCH", "/events/e", {"priority": 3}, headers={"If-Match": "*"})
        for path, method in (("/events/e", "PATCH"), ("/events/e/cancel", "POST")):
            problem = self.refused(409, method, path, {"modification_number": 1})
            self.assertIn("the event is at 3", problem["detail"])
            self.assertEqual("450", problem["response_code"])
            self.refused(412, method, path, {}, headers={"If-Match": '"1"'})
            self.refused(400, method, path, {}, headers={"If-Match": "W/1"})
        self.assertEqual(3, self.good("GET", "/events/e")["priority"])

    def test_a_cancelled_event_says_so_and_stays_so(self) -> None:
        self.office.registered()
        self.event(event_id="e")
        found = self.good("POST", "/events/e/cancel", {"reason": "storm is over", "modification_number": 0})
        self.assertEqual(
            ("cancelled", 1, "storm is over"),
            tuple(found[k] for k in ("status", "modification_number", "modification_reason")),
        )
        self.refused(409, "POST", "/events/e/cancel")
        self.refused(409, "PATCH", "/events/e", {"priority": 1})

    def test_an_event_that_is_not_known_is_not_found(self) -> None:
        for method, path in (("GET", "/events/x"), ("PATCH", "/events/x"), ("POST", "/events/x/cancel")):
            self.refused(404, method, path)

    def test_ids_may_hold_anything_that_a_path_may_not(self) -> None:
        for event_id in ("a/b", "/x", "x/cancel", "ü?&#", ".."):
            answer = self.ask(
                "POST",
                "/events",
                {"market_context": "urn:x", "dtstart": "now", "duration": "1m", "level": 0, "event_id": event_id},
            )
            location = answer.header("Location")
            assert location
            self.assertEqual(event_id, self.office.ask("GET", location).json["event_id"])
            self.assertEqual(200, self.office.ask("POST", f"{location}/cancel").status)


class ReadingTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.registered()
        self.office.reports("ven-1", {"power": [1, float("nan"), 3], "volt,age": [230]})

    def values(self, query: str = "") -> list[tuple[str, str, float | None]]:
        found = self.good("GET", f"/vens/ven-1/readings{query}")["readings"]
        return [(r["r_id"], r["start"][11:16], r["value"]) for r in found]

    def test_readings_come_by_their_start_in_utc(self) -> None:
        self.assertEqual(
            [("power", "12:00", 1.0), ("volt,age", "12:00", 230.0), ("power", "12:01", None), ("power", "12:02", 3.0)],
            self.values(),
        )

    def test_a_range_of_time_and_a_data_point_narrow_them(self) -> None:
        self.office.clock.advance(120)
        cases = {
            "?since=-1m": ["12:01", "12:02"],
            "?since=2026-11-22T12:01:00Z&until=2026-11-22T12:02:00Z": ["12:01"],
            "?until=2026-11-22T13:01:00%2B01:00": ["12:00", "12:00"],
            "?r_id=volt,age": ["12:00"],
            "?since=now": ["12:02"],
            "?until=%2B1h": ["12:00", "12:00", "12:01", "12:02"],
        }
        for query, starts in cases.items():
            self.assertEqual(starts, [start for _, start, _ in self.values(query)], query)

    def test_a_limit_keeps_the_newest_and_says_that_there_are_more(self) -> None:
        found = self.good("GET", "/vens/ven-1/readings?limit=2")
        self.assertEqual((True, [None, 3.0]), (found["truncated"], [r["value"] for r in found["readings"]]))
        self.assertFalse(self.good("GET", "/vens/ven-1/readings?limit=4")["truncated"])

    def test_csv_comes_by_accept_or_by_format_and_holds_the_same(self) -> None:
        by_format = self.ask("GET", "/vens/ven-1/readings?format=csv")
        by_accept = self.ask("GET", "/vens/ven-1/readings", headers={"Accept": "text/csv"})
        self.assertEqual(by_format.body, by_accept.body)
        self.assertTrue((by_format.header("Content-Type") or "").startswith("text/csv"))
        rows = list(csv.DictReader(io.StringIO(by_format.body.decode())))
        self.assertEqual(
            [("power", "1.0"), ("volt,age", "230.0"), ("power", ""), ("power", "3.0")],
            [(row["r_id"], row["value"]) for row in rows],
        )
        self.assertEqual("No Quality - No Value", rows[2]["data_quality"])
        answer = self.ask("GET", "/vens/ven-1/readings?format=json", headers={"Accept": "text/csv"})
        self.assertEqual("application/json", answer.header("Content-Type"))

    def test_mistakes_in_the_query_are_told(self) -> None:
        cases = {
            "?sinse=-1h": "did you mean since?",
            "?since=soon": "since: ",
            "?format=xml": "format: ",
            "?limit=0": "limit: ",
        }
        for query, reason in cases.items():
            self.assertIn(reason, self.refused(422, "GET", f"/vens/ven-1/readings{query}")["detail"])
        self.refused(400, "GET", "/vens/ven-1/readings?r_id=%FF")

    def test_a_ven_that_is_not_known_has_none(self) -> None:
        self.refused(404, "GET", "/vens/nobody/readings")


class ProblemTests(ApiTestCase):
    def test_a_body_that_is_no_json_is_told(self) -> None:
        bad = (b"{", b"\xff", b"nonsense", b'{"level": NaN}', b"[" * 100_000, b'{"a": 1} x', b"9" * 5000)
        for raw in bad:
            self.refused(400, "POST", "/events", raw=raw)

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
        self.assertEqual("GET, HEAD, PATCH", answer.header("Allow"))

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

    def test_no_more_of_a_body_is_kept_than_it_may_have(self) -> None:
        self.send(f"POST {V1}/events HTTP/1.1", "Transfer-Encoding: chunked")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(100):
            self.channel.dataReceived(chunk)
        kept = self.channel._channel.requests[0].content.tell()
        self.assertLessEqual(kept, MOST_BODY + 0x10000)
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
