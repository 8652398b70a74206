"""VENs behind the desk: added, changed, shown, let in; a database in memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from oadrvtn.model.config import Config, KnownVen
from oadrvtn.storage import vens
from oadrvtn.storage.database import Txn
from oadrvtn.vtn import registration
from oadrvtn.vtn.changes import NOTHING, Changes

from .case import V1, ApiTestCase
from .office import certificate, colons


class VenTests(ApiTestCase):
    def test_an_added_ven_is_shown_listed_and_known_by_its_certificate(self) -> None:
        body = {"ven_id": "ven-1", "name": "Cold store", "fingerprints": [colons(certificate("ven-1"))]}
        answer = self.ask("POST", "/vens", body)
        self.assertEqual((201, f"{V1}/vens/ven-1"), (answer.status, answer.header("Location")))
        self.assertEqual(answer.json, self.good("GET", "/vens/ven-1"))
        self.assertEqual("Cold store", answer.json["name"])
        whole = certificate("ven-1")
        known = {"fingerprint": colons(whole[-10:]), "sha256": colons(whole)}
        unknown = dict.fromkeys(("subject", "issuer", "serial", "not_after", "revoked_at"))
        self.assertEqual([known | unknown], answer.json["fingerprints"])
        (row,) = self.good("GET", "/vens")["vens"]
        self.assertEqual(
            ("ven-1", False, False, None), tuple(row[k] for k in ("ven_id", "registered", "online", "last_seen"))
        )
        entry = self.successResultOf(self.office.vtn.identify(whole))
        assert entry is not None
        self.assertEqual("ven-1", entry.ven.ven_id)

    def test_a_short_fingerprint_is_enough_and_the_whole_is_not_made_up(self) -> None:
        row = self.good("POST", "/vens", {"ven_id": "v", "fingerprints": ["aabbccddeeff00112233"]}, 201)
        (known,) = row["fingerprints"]
        self.assertEqual(("AA:BB:CC:DD:EE:FF:00:11:22:33", None), (known["fingerprint"], known["sha256"]))

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
        bend = {"count": 2, "last_at": "2026-11-22T12:00:05Z"}
        self.assertEqual({"missing_request_id": bend}, found["bends"])
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

    def test_a_ven_has_a_poll_frequency_and_a_leniency_of_its_own(self) -> None:
        self.office.registered()
        row = self.good("PATCH", "/vens/ven-1", {"poll_frequency": "1m", "leniency": "bare"})
        self.assertEqual(
            (10.0, 60.0, "bare"), tuple(row[k] for k in ("poll_frequency", "wanted_poll_frequency", "leniency"))
        )
        self.assertEqual("request_reregistration", row["outbox"][0]["kind"])
        row = self.good("PATCH", "/vens/ven-1", {"poll_frequency": None, "leniency": None})
        self.assertEqual((None, None), (row["wanted_poll_frequency"], row["leniency"]))
        row = self.good("PATCH", "/vens/ven-1", {"name": "Cellar"})
        self.assertEqual("Cellar", row["name"])

    def test_a_ven_has_signatures_of_its_own(self) -> None:
        self.office.registered()
        full = colons(certificate("signing"))
        row = self.good("PATCH", "/vens/ven-1", {"signatures": "require", "signing_fingerprint": full})
        self.assertEqual(("require", full), (row["signatures"], row["signing_fingerprint"]))
        self.assertEqual(row, self.good("GET", "/vens/ven-1"))
        row = self.good("PATCH", "/vens/ven-1", {"signatures": None, "signing_fingerprint": None})
        self.assertEqual((None, None), (row["signatures"], row["signing_fingerprint"]))

    def test_what_no_ven_can_have_is_refused_and_nothing_is_changed(self) -> None:
        self.office.registered()
        before = self.good("GET", "/vens/ven-1")
        cases: list[tuple[dict[str, Any], str]] = [
            ({"name": "x", "leniency": "generous"}, "/leniency"),
            ({"name": "x", "signatures": "maybe"}, "/signatures"),
            ({"name": "x", "signing_fingerprint": colons(certificate("s")[-10:])}, "/signing_fingerprint"),
            ({"name": "x", "poll_frequency": 0}, "/poll_frequency"),
            ({"name": "x", "poll_frequency": "soon"}, "/poll_frequency"),
            ({"name": "x", "poll_frequency": 2.5}, "/poll_frequency"),
            ({"name": "x", "fingerprint": []}, "/fingerprint"),
        ]
        for body, pointer in cases:
            (error,) = self.refused(422, "PATCH", "/vens/ven-1", body)["errors"]
            self.assertEqual(pointer, error["pointer"])
        problem = self.refused(422, "PATCH", "/vens/ven-1", {"leniency": "generous"})
        self.assertIn("strict", problem["errors"][0]["allowed"])
        self.assertEqual(before, self.good("GET", "/vens/ven-1"))

    def test_a_rehearsal_changes_nothing(self) -> None:
        self.office.registered()
        before = self.good("GET", "/vens/ven-1")
        new = {"ven_id": "ven-2", "fingerprints": ["00" * 10]}
        answer = self.ask("POST", "/vens?dry_run=1", new)
        self.assertEqual((200, None), (answer.status, answer.header("Location")))
        self.assertEqual("Cellar", self.good("PATCH", "/vens/ven-1?dry_run=1", {"name": "Cellar"})["name"])
        self.good("POST", "/vens/ven-1/request-reregistration?dry_run=1", status=202)
        self.good("DELETE", "/vens/ven-1?dry_run=1", status=204)
        self.assertEqual(
            [before], [self.good("GET", f"/vens/{row['ven_id']}") for row in self.good("GET", "/vens")["vens"]]
        )

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


class VenListTests(ApiTestCase):
    def ids(self, query: str = "") -> list[str]:
        return [row["ven_id"] for row in self.good("GET", f"/vens{query}")["vens"]]

    def add(self, ven_id: str, **more: Any) -> None:
        body = {"ven_id": ven_id, "fingerprints": [colons(certificate(ven_id))]}
        self.good("POST", "/vens", body | more, 201)

    def test_five_thousand_vens_are_listed_page_by_page_whatever_comes_and_goes(self) -> None:
        def fill(txn: Txn, now: datetime) -> tuple[None, Changes]:
            for number in range(5000):
                vens.add(txn, f"ven-{number:04}", "x", "operator", 10, now)
            return None, NOTHING

        self.successResultOf(self.office.vtn.write("fill", fill))
        seen, query = [], "?limit=1000"
        while query:
            answer = self.ask("GET", f"/vens{query}")
            seen += [row["ven_id"] for row in answer.json["vens"]]
            if len(seen) == 2000:
                self.good("DELETE", "/vens/ven-0500", status=204)
                self.add("ven-0600x")
            link = answer.header("Link")
            self.assertEqual(answer.json["next"] is None, link is None)
            query = link.partition(">")[0].partition("/vens")[2] if link else ""
        self.assertEqual([f"ven-{number:04}" for number in range(5000)], seen)

    def test_vens_are_found_by_text_state_group_and_leniency(self) -> None:
        self.office.registered("ven-1")
        self.add("cold", name="Store 100% _")
        self.add("b/c", name="Bakery")
        self.good("PATCH", "/vens/b%2Fc", {"leniency": "bare"})
        self.good("POST", "/groups", {"group_id": "g", "name": "G", "ven_ids": ["cold", "ven-1"]}, 201)
        cases = {
            "": ["b/c", "cold", "ven-1"],
            "?q=CELLAR": ["ven-1"],
            "?q=baker": ["b/c"],
            "?q=COL": ["cold"],
            "?q=100%25%20_": ["cold"],
            "?q=%25": ["cold"],
            "?online=1": ["ven-1"],
            "?online=0&limit=1": ["b/c"],
            "?registered=false": ["b/c", "cold"],
            "?group_id=g&registered=0": ["cold"],
            "?leniency=bare": ["b/c"],
            "?leniency=standard": ["cold", "ven-1"],
        }
        for query, expected in cases.items():
            self.assertEqual(expected, self.ids(query), query)

    def test_a_list_shows_certificates_groups_and_programs(self) -> None:
        self.add("ven-1")
        self.good("POST", "/groups", {"group_id": "g", "name": "G", "ven_ids": ["ven-1"]}, 201)
        self.good("PATCH", "/vens/ven-1/traits", {"market_contexts": ["urn:b", "urn:a"]})
        (row,) = self.good("GET", "/vens")["vens"]
        self.assertEqual(colons(certificate("ven-1")), row["fingerprints"][0]["sha256"])
        self.assertEqual((["g"], ["urn:a", "urn:b"]), (row["group_ids"], row["market_contexts"]))

    def test_what_cannot_be_asked_is_refused(self) -> None:
        for query, parameter in (("?online=maybe", "online"), ("?leniency=kind", "leniency"), ("?page=2", "page")):
            (error,) = self.refused(422, "GET", f"/vens{query}")["errors"]
            self.assertEqual(parameter, error["parameter"])


class ConfiguredVenTests(ApiTestCase):
    config = Config(vens=(KnownVen(ven_id="ven-1", fingerprints=("00" * 10,)),))

    def setUp(self) -> None:
        super().setUp()
        self.successResultOf(self.office.vtn.start())

    def test_what_the_configuration_lists_is_changed_there(self) -> None:
        for method, body in (
            ("PATCH", {"fingerprints": ["11" * 10]}),
            ("PATCH", {"leniency": "bare"}),
            ("DELETE", None),
        ):
            self.assertIn("configuration file", self.refused(409, method, "/vens/ven-1", body)["detail"])
        self.assertEqual("config", self.good("GET", "/vens/ven-1")["source"])


class CandidateTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fingerprint = colons(certificate("new")[-10:])
        self.office.waits("new")

    def test_who_waits_is_listed(self) -> None:
        (candidate,) = self.good("GET", "/candidates")["candidates"]
        self.assertEqual(
            (self.fingerprint, "CN=new", "Shop"), tuple(candidate[k] for k in ("fingerprint", "subject", "ven_name"))
        )
        self.assertEqual(1, self.good("GET", "/status")["vens_waiting"])
        self.assertEqual(candidate, self.good("GET", f"/candidates/{self.fingerprint}"))
        self.refused(404, "GET", "/candidates/" + "00" * 10)

    def test_many_are_listed_page_by_page_and_found_by_text(self) -> None:
        for number in range(4):
            self.office.clock.advance(1)
            full = certificate(str(number))
            remember = self.office.vtn.write(
                "remember", registration.remember, self.config, full, f"CN=c{number}", None, "A"
            )
            self.successResultOf(remember)
        found = self.good("GET", "/candidates?limit=3")
        rest = self.good("GET", f"/candidates?limit=3&cursor={found['next']}")
        subjects = [row["subject"] for row in [*found["candidates"], *rest["candidates"]]]
        self.assertEqual((["CN=c3", "CN=c2", "CN=c1", "CN=c0", "CN=new"], None), (subjects, rest["next"]))
        self.assertEqual(["CN=new"], [row["subject"] for row in self.good("GET", "/candidates?q=shop")["candidates"]])

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
        problem = self.refused(422, "POST", "/candidates/xyz/approve")
        self.assertIn("fingerprint: ", problem["detail"])
        self.assertEqual("fingerprint", problem["errors"][0]["parameter"])
