"""Reports behind the desk: wishes, requests to one VEN, and what VENs asked for."""

from __future__ import annotations

from typing import Any

from oadrvtn.model.config import Config, Limits, WantedReport
from oadrvtn.storage.reports import STATES

from .case import V1, ApiTestCase


class WishTests(ApiTestCase):
    config = Config(reports=(WantedReport(report_name="TELEMETRY_STATUS"),))

    def test_wishes_of_the_configuration_and_of_operators_are_listed(self) -> None:
        answer = self.ask("POST", "/wishes", {"report_name": "TELEMETRY_USAGE", "granularity": "2m", "r_id": "power"})
        self.assertEqual(201, answer.status, answer.body)
        self.assertEqual(f"{V1}/wishes/{answer.json['wish_id']}", answer.header("Location"))
        first, second = self.good("GET", "/wishes")["wishes"]
        self.assertEqual(second, self.good("GET", f"/wishes/{second['wish_id']}"))
        self.refused(404, "GET", "/wishes/wish-0")
        self.assertEqual(("config", "TELEMETRY_STATUS"), (first["source"], first["report_name"]))
        self.assertEqual(answer.json, second)
        self.assertEqual((120.0, "power"), (second["granularity"], second["r_id"]))

    def test_a_mistake_of_a_wish_tells_what_is_allowed(self) -> None:
        wish = {"report_name": "TELEMETRY", "reading_type": "direct", "report_type": "use", "item_base": "power"}
        errors = self.refused(422, "POST", "/wishes", wish)["errors"]
        allowed = {error["pointer"]: error["allowed"] for error in errors if error.get("allowed")}
        self.assertIn("Direct Read", allowed["/reading_type"])
        self.assertIn("powerReal", allowed["/item_base"])
        self.assertIn("usage", allowed["/report_type"])

    def test_wishes_come_in_pages(self) -> None:
        for number in range(3):
            self.good("POST", "/wishes", {"report_name": "TELEMETRY_USAGE", "r_id": f"r{number}"}, 201)
        whole = self.good("GET", "/wishes")["wishes"]
        first = self.good("GET", "/wishes?limit=3")
        rest = self.good("GET", f"/wishes?limit=3&cursor={first['next']}")
        self.assertEqual((whole, None), (first["wishes"] + rest["wishes"], rest["next"]))
        self.assertEqual(whole[1:], self.good("GET", "/wishes?source=operator")["wishes"])

    def test_who_offers_it_is_asked_at_once_and_told_to_stop_when_it_is_not_wanted_any_more(self) -> None:
        self.office.registered()
        self.office.offers("ven-1", "power")
        wish = self.good("POST", "/wishes", {"report_name": "TELEMETRY_USAGE"}, 201)
        self.assertEqual(["create_report"], self.queued())
        self.good("DELETE", f"/wishes/{wish['wish_id']}", status=204)
        self.assertNotIn("create_report", self.queued())
        self.assertEqual(["TELEMETRY_STATUS"], [w["report_name"] for w in self.good("GET", "/wishes")["wishes"]])

    def queued(self) -> list[str]:
        outbox = self.good("GET", "/vens/ven-1")["outbox"]
        return [e["kind"] for e in outbox if e["state"] == "queued" and e["kind"] != "register_report"]

    def test_a_rehearsed_wish_asks_nobody(self) -> None:
        self.office.registered()
        self.office.offers("ven-1", "power")
        self.good("POST", "/wishes?dry_run=1", {"report_name": "TELEMETRY_USAGE"})
        self.assertEqual([], self.queued())
        self.assertEqual(1, len(self.good("GET", "/wishes")["wishes"]))

    def test_what_nobody_can_want_is_refused_at_its_place(self) -> None:
        body = {"report_name": "LOAD", "granularity": "2.5s", "item_base": "power", "r_id": "", "colour": "red"}
        problem = self.refused(422, "POST", "/wishes", body)
        self.assertEqual({f"/{name}" for name in body}, {error["pointer"] for error in problem["errors"]})
        (missing,) = self.refused(422, "POST", "/wishes", {})["errors"]
        self.assertEqual(("/report_name", "is missing"), (missing["pointer"], missing["detail"]))

    def test_a_wish_of_the_configuration_is_taken_out_there(self) -> None:
        (wish,) = self.good("GET", "/wishes")["wishes"]
        self.assertIn("configuration file", self.refused(409, "DELETE", f"/wishes/{wish['wish_id']}")["detail"])
        self.refused(404, "DELETE", "/wishes/x")


class RequestTests(ApiTestCase):
    config = Config()

    def setUp(self) -> None:
        super().setUp()
        self.office.registered()
        self.office.offers("ven-1", "power", "voltage")

    def make(self, *requests: Any, status: int = 201, query: str = "") -> list[dict[str, Any]]:
        body = {"requests": [{"report_specifier_id": "load"} | request for request in requests]}
        found: list[dict[str, Any]] = self.good("POST", f"/vens/ven-1/requests{query}", body, status)["report_requests"]
        return found

    def test_requests_come_in_pages_from_the_newest_on(self) -> None:
        made = []
        for _ in range(3):
            self.office.clock.advance(1)
            made += [row["report_request_id"] for row in self.make({})]
        found = self.good("GET", "/vens/ven-1/requests?limit=2")
        rest = self.good("GET", f"/vens/ven-1/requests?limit=2&cursor={found['next']}")
        pages = [[row["report_request_id"] for row in page["report_requests"]] for page in (found, rest)]
        self.assertEqual(([made[1:], made[:1]], None), (pages, rest["next"]))
        self.assertEqual([], self.good("GET", "/vens/ven-1/requests?state=accepted")["report_requests"])
        (error,) = self.refused(422, "GET", "/vens/ven-1/requests?state=open")["errors"]
        self.assertEqual(("state", list(STATES)), (error["parameter"], error["allowed"]))

    def test_several_reports_are_asked_for_in_one_message(self) -> None:
        once, periodic = self.make({}, {"r_ids": ["power"], "granularity": "PT1M", "report_back_duration": 300})
        self.assertEqual((True, ["power", "voltage"]), (once["one_shot"], sorted(once["r_ids"])))
        self.assertEqual(
            (False, ["power"], 60.0, 300.0, "requested"),
            tuple(periodic[name] for name in ("one_shot", "r_ids", "granularity", "report_back", "state")),
        )
        kinds = [entry["kind"] for entry in self.good("GET", "/vens/ven-1")["outbox"]]
        self.assertEqual(1, kinds.count("create_report"))
        listed = self.good("GET", "/vens/ven-1/requests")["report_requests"]
        self.assertEqual({once["report_request_id"], periodic["report_request_id"]}, {
            request["report_request_id"] for request in listed
        })  # fmt: skip

    def test_a_rehearsal_asks_for_nothing(self) -> None:
        self.make({}, query="?dry_run=1", status=200)
        self.assertEqual([], self.good("GET", "/vens/ven-1/requests")["report_requests"])

    def test_what_a_ven_does_not_offer_is_refused_with_what_it_does(self) -> None:
        body = {"requests": [{"report_specifier_id": "x"}, {"report_specifier_id": "load", "r_ids": ["power", "r"]}]}
        errors = self.refused(422, "POST", "/vens/ven-1/requests", body)["errors"]
        allowed = {error["pointer"]: error["allowed"] for error in errors}
        self.assertIn("load", allowed["/requests/0/report_specifier_id"])
        self.assertEqual(["power", "voltage"], sorted(allowed["/requests/1/r_ids/1"]))
        fine = {"report_specifier_id": "load", "granularity": "1s", "report_back_duration": "1m"}
        (error,) = self.refused(422, "POST", "/vens/ven-1/requests", {"requests": [fine]})["errors"]
        self.assertEqual("/requests/0/granularity", error["pointer"])

    def test_durations_and_their_mistakes_are_told(self) -> None:
        for wrong in ("P1M", "x", True, -5):
            body = {"requests": [{"report_specifier_id": "load", "granularity": wrong}]}
            (error,) = self.refused(422, "POST", "/vens/ven-1/requests", body)["errors"]
            self.assertEqual("/requests/0/granularity", error["pointer"])
        self.refused(422, "POST", "/vens/ven-1/requests", {})
        self.refused(404, "POST", "/vens/nobody/requests", {"requests": [{"report_specifier_id": "load"}]})
        self.refused(404, "GET", "/vens/nobody/requests")

    def test_reports_are_stopped(self) -> None:
        (made,) = self.make({"granularity": "1m", "report_back_duration": "5m"})
        self.office.accepts("ven-1", made["report_request_id"])
        body = {"report_request_ids": [made["report_request_id"]], "report_to_follow": True}
        (row,) = self.good("POST", "/vens/ven-1/requests/cancel", body)["report_requests"]
        self.assertEqual("cancelling", row["state"])
        kinds = [entry["kind"] for entry in self.good("GET", "/vens/ven-1")["outbox"] if entry["state"] == "queued"]
        self.assertIn("cancel_report", kinds)

    def test_only_what_was_asked_can_be_stopped(self) -> None:
        problem = self.refused(404, "POST", "/vens/ven-1/requests/cancel", {"report_request_ids": ["x"]})
        self.assertEqual("/report_request_ids/0", problem["errors"][0]["pointer"])
        self.refused(422, "POST", "/vens/ven-1/requests/cancel", {"report_request_ids": []})
        self.refused(422, "POST", "/vens/ven-1/requests/cancel", {})


class ProvidedTests(ApiTestCase):
    def test_a_ven_that_asked_for_nothing_gets_nothing(self) -> None:
        self.office.registered()
        self.assertEqual([], self.good("GET", "/vens/ven-1/provided")["provided"])
        self.refused(404, "GET", "/vens/nobody/provided")


class FullOutboxTests(ApiTestCase):
    config = Config(limits=Limits(outbox=3))

    def test_what_is_asked_of_a_ven_for_which_as_much_waits_as_may_is_refused(self) -> None:
        self.office.registered()  # the VTN's METADATA waits
        self.office.offers("ven-1", "power")
        body = {"requests": [{"report_specifier_id": "load"}]}
        for _ in range(2):
            self.good("POST", "/vens/ven-1/requests", body, 201)
        said = self.refused(409, "POST", "/vens/ven-1/requests", body)["detail"]
        self.assertEqual("3 messages wait for VEN 'ven-1', which is as many as may (limits.outbox)", said)
        self.assertEqual(1, self.office.vtn.limited["outbox"])
        requests = [row["report_request_id"] for row in self.good("GET", "/vens/ven-1/requests")["report_requests"]]
        self.assertEqual(2, len(requests))
        self.good("POST", "/vens/ven-1/requests/cancel", {"report_request_ids": requests})
        self.good("POST", "/vens/ven-1/requests", body, 201)
