"""The measurements run, with a few VENs, and what they hold to is so."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from bench.__main__ import main


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

    def test_the_table_names_the_figures_and_the_help_the_scenarios(self) -> None:
        done = CliRunner().invoke(main, ["--quiet", "events", "--vens", "2"], catch_exceptions=False)
        self.assertIn("create cpu seconds", done.output)
        shown = CliRunner().invoke(main, ["--help"])
        self.assertIn("Idle polls", shown.output)
