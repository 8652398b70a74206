"""Market contexts through the API: who takes part in which, and how many events they have."""

from __future__ import annotations

from urllib.parse import quote

from .case import ApiTestCase

PEAK = "http://utility.example/peak?x=1"
THERE = f"/market-contexts/{quote(PEAK, safe='')}"


class MarketContextTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in (1, 2, 3):
            self.office.registered(f"ven-{number}")

    def test_a_market_context_is_there_once_a_ven_or_an_event_names_it(self) -> None:
        self.assertEqual([], self.good("GET", "/market-contexts")["market_contexts"])
        self.refused(404, "GET", THERE)
        self.good("PATCH", "/vens/ven-1/traits", {"market_contexts": [PEAK]})
        self.event(market_context="urn:a")
        peak = {"market_context": PEAK, "vens": 1, "takes_part": 3, "events": 0, "events_current": 0}
        a = {"market_context": "urn:a", "vens": 0, "takes_part": 2, "events": 1, "events_current": 1}
        self.assertEqual([peak, a], self.good("GET", "/market-contexts")["market_contexts"])
        self.assertEqual({**peak, "ven_ids": ["ven-1"]}, self.good("GET", THERE))

    def test_events_that_are_over_count_but_are_not_current(self) -> None:
        event_id = self.event(market_context="urn:a")["event_id"]
        self.good("DELETE", f"/events/{event_id}")
        (found,) = self.good("GET", "/market-contexts")["market_contexts"]
        self.assertEqual((1, 0), (found["events"], found["events_current"]))

    def test_vens_come_in_and_leave_and_their_events_with_them(self) -> None:
        self.event(event_id="e", market_context=PEAK)
        found = self.good("POST", f"{THERE}/members", {"add": ["ven-1", "ven-2"]})
        self.assertEqual((["ven-1", "ven-2"], []), (found["ven_ids"], found["effects"]))
        away = self.good("POST", "/market-contexts/urn%3Aother/members", {"add": ["ven-3"]})
        self.assertEqual([{"ven_id": "ven-3", "event_id": "e", "what": "removed"}], away["effects"])
        moved = self.good("POST", f"{THERE}/members", {"add": ["ven-3"], "remove": ["ven-1"]})
        self.assertEqual(["ven-2", "ven-3"], moved["ven_ids"])
        self.assertEqual([{"ven_id": "ven-3", "event_id": "e", "what": "shown"}], moved["effects"])
        # ven-1 takes part in none by name now: in all.
        self.assertEqual(3, moved["takes_part"])

    def test_a_dry_run_changes_nothing(self) -> None:
        self.assertEqual(["ven-1"], self.good("POST", f"{THERE}/members?dry_run=1", {"add": ["ven-1"]})["ven_ids"])
        self.refused(404, "GET", THERE)

    def test_what_is_wrong_is_told_at_its_place(self) -> None:
        (error,) = self.refused(422, "POST", f"{THERE}/members", {"add": ["nobody"]})["errors"]
        self.assertEqual("/add/0", error["pointer"])
        (error,) = self.refused(404, "POST", "/market-contexts/%20/members", {"add": ["ven-1"]})["errors"]
        self.assertEqual(("market_context", "is empty"), (error["parameter"], error["detail"]))

    def test_what_no_event_can_have_for_its_own_takes_no_ven_out_of_all_others(self) -> None:
        there = "/market-contexts/peak%20hours/members"
        self.assertIn("is not a URI", self.refused(404, "POST", there, {"add": ["ven-1"]})["detail"])
        (error,) = self.refused(422, "PATCH", "/vens/ven-1/traits", {"market_contexts": [PEAK, "peak"]})["errors"]
        self.assertEqual("/market_contexts/1", error["pointer"])
        self.assertEqual(3, self.event(market_context=PEAK)["counts"]["vens"])
        # One of an earlier version can be taken back.
        self.good("POST", there, {"remove": ["ven-1"]})

    def test_they_come_in_pages_and_are_found_by_text(self) -> None:
        contexts = [f"urn:{number}" for number in range(5)]
        self.good("PATCH", "/vens/ven-1/traits", {"market_contexts": contexts})
        found = self.good("GET", "/market-contexts?limit=3")
        rest = self.good("GET", f"/market-contexts?limit=3&cursor={found['next']}")
        rows = [*found["market_contexts"], *rest["market_contexts"]]
        self.assertEqual((contexts, None), ([row["market_context"] for row in rows], rest["next"]))
        self.assertEqual(1, len(self.good("GET", "/market-contexts?q=:4")["market_contexts"]))
