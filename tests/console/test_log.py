"""The log for programs: each event that says something is one line of JSON, whatever is in it."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from twisted.logger import Logger, LogPublisher, globalLogPublisher
from twisted.python import log as old
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.console.log import json_lines


class LinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.observer = json_lines()
        self.log = Logger("oadrvtn.test", observer=LogPublisher(self.observer))

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def test_a_line_says_when_how_grave_from_where_and_what_is_in_it(self) -> None:
        self.log.warn("VEN {ven_id!r} sent {count} of {what}", ven_id="ven-1", count=3, what=["a", {"b"}])
        [line] = self.lines()
        self.assertRegex(line.pop("time"), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
        expected = {
            "level": "warn",
            "logger": "oadrvtn.test",
            "message": "VEN 'ven-1' sent 3 of ['a', {'b'}]",
            "fields": {"ven_id": "ven-1", "count": 3, "what": ["a", "{'b'}"]},
        }
        self.assertEqual(expected, line)

    def test_a_failure_brings_its_traceback(self) -> None:
        try:
            raise ZeroDivisionError("of ours")
        except ZeroDivisionError:
            self.log.failure("incident {incident}", incident="1f")
        [line] = self.lines()
        self.assertEqual(("critical", {"incident": "1f"}), (line["level"], line["fields"]))
        self.assertIn("ZeroDivisionError: of ours", line["traceback"])

    def test_texts_of_peers_stay_in_their_line(self) -> None:
        self.log.info("{who}", who='\n{"level": "critical"}\u2028\u202e\x1b[31m', size=float("inf"))
        self.assertEqual(1, len(self.out.getvalue().splitlines()))
        self.assertTrue(self.out.getvalue().isascii())
        self.assertEqual("inf", self.lines()[0]["fields"]["size"])

    def test_long_fields_are_cut(self) -> None:
        self.log.info("it", long="x" * 5000, many=[1] * 5000)
        fields = self.lines()[0]["fields"]
        self.assertEqual((1000, 1000), (len(fields["long"]), len(fields["many"])))

    def test_what_says_nothing_is_no_line(self) -> None:
        self.log.info("")
        self.assertEqual("", self.out.getvalue())

    def test_events_of_twisteds_older_logging_are_lines_as_well(self) -> None:
        globalLogPublisher.addObserver(self.observer)
        self.addCleanup(globalLogPublisher.removeObserver, self.observer)
        old.msg("Server Shut Down.")
        [line] = self.lines()
        self.assertEqual(("info", "Server Shut Down."), (line["level"], line["message"]))
        self.assertNotIn("fields", line)
