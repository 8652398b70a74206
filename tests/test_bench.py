"""The measurements run, with a few VENs, and what they hold to is so.

Those that start programs are in ``integration/test_bench.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from bench import guard, results
from bench.__main__ import main
from bench.load import WrongAnswer, check
from bench.scenarios import SCENARIOS


class BenchTests(SynchronousTestCase):
    def figures(self, *options: str) -> dict[str, Any]:
        """What a scenario prints as JSON."""
        done = CliRunner().invoke(main, ["--json", "--quiet", *options], catch_exceptions=False)
        self.assertEqual(0, done.exit_code, done.output)
        figures: dict[str, Any] = json.loads(done.output)
        return figures

    def test_an_event_for_everybody_is_polled_by_everybody(self) -> None:
        figures = self.figures("events", "--vens", "20")
        self.assertEqual(("events", 20), (figures["scenario"], figures["vens"]))
        self.assertLess(0, figures["create_to_reference"])

    def test_idle_polls_leave_no_memory_behind(self) -> None:
        figures = self.figures("polls", "--vens", "5", "--polls", "1000")
        self.assertEqual(1000, figures["polls"])
        self.assertLess(figures["bytes_grown"], 60_000, "one object for each poll would be more")

    def test_signed_messages_beside_the_nonces_of_others(self) -> None:
        figures = self.figures("nonces", "--live", "50", "--messages", "3")
        self.assertEqual((50, 27), (figures["live_nonces"], figures["messages"]))
        for what in ("poll_to_none", "request_to_none"):
            self.assertLess(0, figures[what])

    def test_readings_are_made_and_looked_at(self) -> None:
        figures = self.figures("readings", "--rows=2000", "--rows=4000", "--vens=10")
        for name in ("insert_100", "newest_100", "last_hour", "day_by_hour", "newest_48_hours", "count", "drop"):
            self.assertLess(0, figures[f"{name}_cpu_ms_at_4000"])
            self.assertIn(f"{name}_ratio", figures)

    def test_what_costs_more_than_it_did_ends_the_guard_with_an_error(self) -> None:
        kept = {"one": 1.0, "two": 2.0}
        self.assertEqual([], guard.lost({"one": 1.29, "two": 0.1}, kept))
        [loss] = guard.lost({"one": 1.31, "two": 2.0}, kept)
        self.assertIn("one: 1.31 times", loss)
        self.assertEqual(1, len(guard.lost({"three": 0.001}, kept)))
        self.assertEqual(guard.WORKS.keys(), json.loads(guard.KEPT.read_text()).keys())

    def test_the_table_names_the_figures_and_the_help_the_scenarios(self) -> None:
        done = CliRunner().invoke(main, ["--quiet", "events", "--vens", "2"], catch_exceptions=False)
        self.assertIn("create cpu seconds", done.output)
        shown = CliRunner().invoke(main, ["--help"])
        self.assertIn("Idle polls", shown.output)


GOOD = b"HTTP/1.1 200 OK\r\n\r\n<oadr:oadrResponse><ei:responseCode>200</ei:responseCode></oadr:oadrResponse>"


class LoadTests(SynchronousTestCase):
    def test_an_answer_that_is_not_as_it_must_be_is_no_answer(self) -> None:
        check(GOOD, b"oadrResponse", signed=False)
        for answer, expected, signed in (
            (GOOD.replace(b"200 OK", b"503 No"), b"oadrResponse", False),
            (GOOD, b"oadrDistributeEvent", False),
            (GOOD.replace(b">200<", b">463<"), b"oadrResponse", False),
            (GOOD, b"oadrResponse", True),
            (GOOD + b"<ds:SignatureValue>", b"oadrResponse", False),
        ):
            with self.assertRaises(WrongAnswer):
                check(answer, expected, signed)


class ResultsTests(SynchronousTestCase):
    def figures(self, **more: Any) -> dict[str, Any]:
        """A comparison that was not made."""
        one = {"cpu_ms": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "rss_mb": 90.0, "busy": 0.97}
        run: dict[str, Any] = {"python": "3.11.7", "peer": "a peer", "cpu": "a processor", "system": "a system"}
        run |= {"repetitions": 3, "seconds": 10.0, "warm_up": 5.0, "latency": 10.0}
        asked = {"goal": 2, "stretch": 4, "to_floor_goal": 2.5, "conditions": run}
        return (
            {"title": "a poll", "ours": one, "theirs": one, "floor": one, "ratio": 3.0, "to_floor": 2.0} | asked | more
        )

    def test_a_goal_is_a_ratio_that_is_reached_and_a_distance_that_is_kept(self) -> None:
        self.assertTrue(results.met(self.figures()))
        self.assertFalse(results.met(self.figures(ratio=1.9)))
        self.assertFalse(results.met(self.figures(to_floor=2.6)))
        self.assertIsNone(results.met(self.figures(goal=None, to_floor_goal=None)))

    def test_the_documents_have_a_row_for_each_scenario(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        results.publish([self.figures(), self.figures(title="another")], directory)
        head, *rows = (directory / "performance.csv").read_text().splitlines()
        self.assertIn("ratio", head)
        self.assertEqual(["a poll", "another"], [row.split(",")[0] for row in rows])
        self.assertIn("3 repetitions of 10 s", (directory / "performance.inc").read_text())

    def test_the_published_run_has_every_scenario(self) -> None:
        published = Path(__file__).parents[1] / "docs" / "performance.csv"
        _, *rows = published.read_text().splitlines()
        for scenario, row in zip(SCENARIOS.values(), rows, strict=True):
            self.assertIn(scenario.title, row)
