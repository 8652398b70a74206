"""Readings behind the desk: as JSON and CSV, narrowed and cut."""

from __future__ import annotations

import csv
import io
from typing import Any

from oadrvtn.model.config import Config, WantedReport

from .case import ApiTestCase


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

    def test_pages_go_back_in_time(self) -> None:
        query, pages = "?limit=2", []
        while query:
            answer = self.ask("GET", f"/vens/ven-1/readings{query}")
            pages.append([(r["r_id"], r["value"]) for r in answer.json["readings"]])
            self.assertEqual(answer.json["next"] is None, answer.header("Link") is None)
            query = answer.json["next"] and f"?limit=2&cursor={answer.json['next']}"
        self.assertEqual([[("power", None), ("power", 3)], [("power", 1), ("volt,age", 230)]], pages)
        link = self.ask("GET", "/vens/ven-1/readings?limit=3&format=csv").header("Link") or ""
        path = link.partition(">")[0].removeprefix("</api/v1")
        self.assertEqual(2, self.ask("GET", path).body.count(b"\n"))

    def resampled(self, query: str) -> list[tuple[Any, ...]]:
        found = self.good("GET", f"/vens/ven-1/readings?period={query}")["readings"]
        names = ("r_id", "count", "mean", "min", "max", "sum", "last")
        return [(r["start"][11:19], *(r[name] for name in names)) for r in found]

    def test_readings_are_resampled_by_period(self) -> None:
        self.office.clock.advance(1)
        self.office.reports("ven-1", {"power": [4, 2, 6, 0]})
        both = [
            ("12:00:00", "power", 3, 4.0, 2.0, 6.0, 12.0, 6.0),
            ("12:00:00", "volt,age", 1, 230.0, 230.0, 230.0, 230.0, 230.0),
            ("12:03:00", "power", 1, 0.0, 0.0, 0.0, 0.0, 0.0),
        ]
        self.assertEqual(both, self.resampled("3m"))
        self.assertEqual(both[2:], self.resampled("3m&since=2026-11-22T12:03:00Z"))
        self.assertEqual(both[1:2], self.resampled("PT3M&r_id=volt,age"))
        (hour, _) = self.resampled("1h")
        self.assertEqual(("12:00:00", "power", 4, 3.0, 0.0, 6.0, 12.0, 0.0), hour)

    def test_what_was_resampled_comes_in_pages_and_as_csv(self) -> None:
        query, pages = "period=1m&limit=2", []
        while query:
            found = self.good("GET", f"/vens/ven-1/readings?{query}")
            pages.append([(r["r_id"], r["mean"], r["unit"], r["scale"]) for r in found["readings"]])
            query = found["next"] and f"period=1m&limit=2&cursor={found['next']}"
        self.assertEqual([[("volt,age", 230, "W", "k"), ("power", 3, "W", "k")], [("power", 1, "W", "k")]], pages)
        rows = list(
            csv.DictReader(io.StringIO(self.ask("GET", "/vens/ven-1/readings?period=1h&format=csv").body.decode()))
        )
        self.assertEqual([("power", "2.0"), ("volt,age", "230.0")], [(row["r_id"], row["mean"]) for row in rows])

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

    def test_values_come_with_their_unit_and_in_the_unit_without_a_scale(self) -> None:
        (reading,) = self.good("GET", "/vens/ven-1/readings?r_id=volt,age")["readings"]
        self.assertEqual(
            (230.0, "W", "k", 230_000.0, "W"),
            tuple(reading[name] for name in ("value", "unit", "scale", "base_value", "base_unit")),
        )
        (nothing,) = self.good("GET", "/vens/ven-1/readings?since=2026-11-22T12:01:00Z&until=2026-11-22T12:02:00Z")[
            "readings"
        ]
        self.assertIsNone(nothing["base_value"])

    def test_mistakes_in_the_query_are_told(self) -> None:
        cases = {
            "?sinse=-1h": "did you mean since?",
            "?since=soon": "since: ",
            "?format=xml": "format: ",
            "?limit=0": "limit: ",
            "?period=0": "period: ",
            "?period=often": "period: ",
            "?period=P1M": "longer in some months",
        }
        for query, reason in cases.items():
            self.assertIn(reason, self.refused(422, "GET", f"/vens/ven-1/readings{query}")["detail"])
        self.refused(400, "GET", "/vens/ven-1/readings?r_id=%FF")

    def test_a_ven_that_is_not_known_has_none(self) -> None:
        for path in ("readings", "gaps", "states", "states/history"):
            self.refused(404, "GET", f"/vens/nobody/{path}")

    def test_what_is_missing_is_listed(self) -> None:
        self.office.clock.advance(3600)
        gaps = self.good("GET", "/vens/ven-1/gaps")["gaps"]
        self.assertEqual({"power", "volt,age"}, {gap["r_id"] for gap in gaps})
        (gap,) = (gap for gap in gaps if gap["r_id"] == "power")
        self.assertEqual("2026-11-22T12:03:00Z", gap["start"])
        self.assertGreater(gap["missing"], 30)
        self.assertEqual([], self.good("GET", "/vens/ven-1/gaps?until=2026-11-22T12:01:00Z")["gaps"])
        self.assertEqual(1, len(self.good("GET", "/vens/ven-1/gaps?limit=1")["gaps"]))
        for query in ("?limit=0", "?since=soon", "?r_id=power"):
            self.assertEqual(1, len(self.refused(422, "GET", f"/vens/ven-1/gaps{query}")["errors"]))


class StateTests(ApiTestCase):
    config = Config(reports=(WantedReport(report_name="TELEMETRY_STATUS"),))

    def setUp(self) -> None:
        super().setUp()
        self.office.registered()
        self.office.states("ven-1", "cooler", [True, False])

    def test_the_state_of_a_resource_is_the_newest(self) -> None:
        (state,) = self.good("GET", "/vens/ven-1/states")["states"]
        self.assertEqual(
            ("cooler", "2026-11-22T12:01:00Z", False, True),
            tuple(state[name] for name in ("r_id", "start", "online", "manual_override")),
        )

    def test_the_history_tells_all_of_them(self) -> None:
        found = self.good("GET", "/vens/ven-1/states/history")
        self.assertEqual([True, False], [state["online"] for state in found["states"]])
        self.assertFalse(found["truncated"])
        found = self.good("GET", "/vens/ven-1/states/history?limit=1&r_id=cooler")
        self.assertEqual(([False], True), ([state["online"] for state in found["states"]], found["truncated"]))
        self.assertEqual([], self.good("GET", "/vens/ven-1/states/history?until=2026-11-22T12:00:00Z")["states"])
        self.refused(422, "GET", "/vens/ven-1/states/history?limit=x")
