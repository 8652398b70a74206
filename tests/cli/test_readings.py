"""Readings at the command line."""

from __future__ import annotations

from .case import CliTestCase


class ReadingTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.registered()
        self.office.reports("ven-1", {"power": [1, 2.5, 3]})

    def test_readings_are_a_table_json_or_csv(self) -> None:
        self.has(self.good("readings", "ven-1", "--since", "-1h"), "power", "2.5", "12:01:00Z")
        self.assertEqual(3, len(self.shown("readings", "ven-1")["readings"]))
        lines = self.good("readings", "ven-1", "--csv").splitlines()
        self.assertEqual(4, len(lines))
        self.has(lines[0], "r_id,start,seconds,value")

    def test_a_range_and_a_data_point_narrow_them(self) -> None:
        found = self.shown("readings", "ven-1", "--since", "+1m", "--until", "+2m", "--r-id", "power")
        self.assertEqual([2.5], [reading["value"] for reading in found["readings"]])

    def test_what_is_left_out_is_told_beside_the_output(self) -> None:
        for form in ([], ["--csv"], ["--json"]):
            result = self.run_cli("readings", "ven-1", "--limit", "2", *form)
            self.assertEqual(0, result.exit_code)
            self.assertIn("only the newest 2", result.stderr)
            self.assertNotIn("only", result.stdout)

    def test_a_mistake_is_told(self) -> None:
        self.has(self.refused("readings", "ven-1", "--since", "soon"), "since: 'soon' is not a time")
        self.has(self.refused("readings", "nobody"), "'nobody' is not known")
        self.has(self.refused("readings", "ven-1", "--csv", "--json", code=2), "choose one")
