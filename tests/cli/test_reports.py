"""Reports at the command line."""

from __future__ import annotations

import json

from oadrvtn.model.config import Config
from oadrvtn.storage.reports import STATES

from .case import CliTestCase


class RequestTests(CliTestCase):
    config = Config()

    def setUp(self) -> None:
        super().setUp()
        self.office.registered()
        self.office.offers("ven-1", "power", "voltage")

    def test_a_report_is_asked_for_listed_and_stopped(self) -> None:
        options = ("--r-id", "power", "--granularity", "1m", "--back", "5m", "--start", "+1h", "--duration", "1d")
        self.has(
            self.good("report", "request", "ven-1", "load", *options),
            "TELEMETRY_USAGE", "power", "each 60 s", "each 300 s", "requested",
        )  # fmt: skip
        (row,) = self.shown("report", "list", "ven-1")["report_requests"]
        self.assertEqual("2026-11-23T13:00:00Z", row["ends_at"])
        found = [self.shown("report", "list", "ven-1", "--state", state)["report_requests"] for state in STATES]
        self.assertEqual({"requested": [row]}, {state: rows for state, rows in zip(STATES, found, strict=True) if rows})
        self.office.accepts("ven-1", row["report_request_id"])
        self.has(self.good("report", "cancel", "ven-1", row["report_request_id"], "--to-follow"), "cancelling")
        self.has(self.refused("report", "cancel", "ven-1", "x"), "report_request_ids[0]: 'x'")

    def test_several_come_from_a_file(self) -> None:
        wanted = json.dumps([{"report_specifier_id": "load"}, {"report_specifier_id": "load", "r_ids": ["power"]}])
        self.good("report", "request", "ven-1", "--file", "-", input=wanted)
        self.assertEqual(2, len(self.shown("report", "list", "ven-1")["report_requests"]))
        self.has(self.refused("report", "request", "ven-1", "--file", "-", input="x", code=2), "is not JSON")
        self.has(self.refused("report", "request", "ven-1", code=2), "say which report")

    def test_a_rehearsal_asks_for_nothing(self) -> None:
        self.good("report", "request", "ven-1", "load", "--dry-run")
        self.assertEqual([], self.shown("report", "list", "ven-1")["report_requests"])

    def test_what_a_ven_does_not_offer_is_told_at_its_place(self) -> None:
        self.has(self.refused("report", "request", "ven-1", "load", "--r-id", "x"), "requests[0].r_ids[0]: 'x'")

    def test_what_is_wanted_of_all_is_made_listed_and_removed(self) -> None:
        options = ("--granularity", "1m", "--reading-type", "Direct Read", "--r-id", "power")
        self.has(self.good("report", "want", "TELEMETRY_USAGE", *options, "--dry-run"), "what it would be")
        self.assertEqual([], self.shown("report", "wishes")["wishes"])
        wish = self.shown("report", "want", "TELEMETRY_USAGE", *options)["wish_id"]
        self.has(self.good("report", "wishes"), wish, "operator", "each 60 s", "r_id power")
        self.has(self.good("report", "unwant", wish), "is removed")
        self.has(self.refused("report", "unwant", wish), wish)
        self.has(self.refused("report", "want", "LOAD"), "report_name: ")

    def test_a_ven_that_asked_for_nothing_gets_nothing(self) -> None:
        self.assertEqual([], self.shown("report", "provided", "ven-1")["provided"])
        self.good("report", "provided", "ven-1")


class DataTests(CliTestCase):
    def test_what_is_missing_is_listed(self) -> None:
        self.office.registered()
        self.office.reports("ven-1", {"power": [1, 2]})
        self.has(self.good("report", "gaps", "ven-1"), "nothing is missing")
        self.office.clock.advance(3600)
        self.has(self.good("report", "gaps", "ven-1", "--since", "-1d"), "power", "2026-11-22T12:02:00Z")
        self.assertEqual([], self.shown("report", "gaps", "ven-1", "--until", "2026-11-22T12:01:00Z")["gaps"])

    def test_states_are_shown_now_and_as_they_were(self) -> None:
        self.office.registered()
        self.office.states("ven-1", "cooler", [True, False])
        self.has(self.good("report", "states", "ven-1"), "cooler", "2026-11-22T12:01:00Z", "no", "yes")
        self.assertEqual(2, len(self.shown("report", "states", "ven-1", "--since", "-1h")["states"]))
        self.assertEqual([], self.shown("report", "states", "ven-1", "--r-id", "x")["states"])
