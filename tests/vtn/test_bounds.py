"""What a VEN can make grow has a bound, and what is past is forgotten before what is present is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, WantedReport
from oadrvtn.model.errors import NotAllowed
from oadrvtn.model.event import EiTarget, Properties, QualifiedEventID
from oadrvtn.model.opt import OadrCreateOpt
from oadrvtn.model.values import Duration
from oadrvtn.storage import events as event_rows
from oadrvtn.storage import reports
from oadrvtn.vtn import opts, outbox, requests

from .house import START, House, reading

WISH = WantedReport(report_name="TELEMETRY_USAGE", granularity=60.0, report_back_duration=300.0)


class GrowthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(Config(reports=(WISH,)))
        self.ven = self.house.ven()

    def count(self, table: str) -> int:
        [(number,)] = self.house.sql(f"SELECT count(*) FROM {table}")
        return int(number)

    def counts(self) -> tuple[int, ...]:
        return tuple(map(self.count, ("capabilities", "data_points", "report_requests", "outbox")))

    def test_ever_other_metadata_take_no_more_room_than_the_last_of_them(self) -> None:
        with patch.multiple(requests, KEPT=5):
            for number in range(20):
                self.ven.offer_reports("power", f"energy {number}")
            first = self.counts()
            for number in range(20, 30):
                self.ven.offer_reports("power", f"energy {number}")
            self.assertEqual(first, self.counts())
            self.assertLessEqual(max(first), 20)

    def test_neither_do_registrations(self) -> None:
        with patch.multiple(requests, KEPT=5):
            for _ in range(20):
                self.ven.register()
                self.ven.offer_reports("power")
            first = self.counts()
            for _ in range(10):
                self.ven.register()
                self.ven.offer_reports("power")
            self.assertEqual(first, self.counts())

    def test_what_brought_readings_stays_with_their_unit(self) -> None:
        with patch.multiple(requests, KEPT=5):
            [request] = self.ven.offer_reports("power").report_requests
            self.ven.report(request.report_request_id, reading("power", 1.0))
            for number in range(20):
                self.ven.offer_reports("power", f"energy {number}")
        kept = self.house.read(reports.requests_named, "ven-1", [request.report_request_id])
        self.assertEqual("superseded", kept[request.report_request_id].state)
        self.assertIsNotNone(kept[request.report_request_id].capability_id)
        self.ven.report(request.report_request_id, reading("power", 2.0, start=60))
        self.assertEqual(2, self.count("readings"))

    def test_what_runs_stays(self) -> None:
        with patch.multiple(requests, KEPT=5):
            for number in range(20):
                self.ven.offer_reports("power", f"energy {number}")
        self.assertEqual(1, len(self.house.read(reports.requests_of, "ven-1", reports.OPEN)))
        self.assertIsNotNone(self.house.read(reports.current_capability, "ven-1"))

    def test_of_changing_answers_to_an_event_the_last_are_kept(self) -> None:
        self.house.event(event_id="e")
        self.ven.poll()
        with patch.object(event_rows, "MOST_ANSWERS", 5):
            for number in range(20):
                self.ven.answer(("e", 0, ("optIn", "optOut")[number % 2]))
        answers = self.house.read(event_rows.answers_to, "e")
        self.assertEqual(["optOut", "optIn", "optOut", "optIn", "optOut"], [answer.opt_type for answer in answers])


class PastTests(SynchronousTestCase):
    """What SQLite has to do, counted in steps of its machine."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def steps(self, function: Callable[[], object]) -> int:
        count = 0

        def one_more() -> None:
            nonlocal count
            count += 1

        driver: Any = self.house.read(lambda txn: txn.connection.driver_connection)
        driver.set_progress_handler(one_more, 1)
        function()
        driver.set_progress_handler(None, 0)
        return count

    def costs(self) -> dict[str, int]:
        """Of an event that is made, modified and handed out."""
        self.house.after(3600)
        start = (self.house.vtn.now() - START).total_seconds() + 600
        return {
            "create": self.steps(lambda: self.house.event(event_id=f"at {start}", start=start)),
            "modify": self.steps(lambda: self.house.modify(f"at {start}", priority=2)),
            "look": self.steps(lambda: self.house.read(outbox.due, ["ven-1"], self.house.vtn.now())),
            "answer": self.steps(lambda: self.ven.answer_all(self.ven.poll())),
            "request": self.steps(self.ven.request_event),
        }

    def assert_no_dearer(self, before: dict[str, int]) -> None:
        dearer = {what: cost / before[what] for what, cost in self.costs().items() if cost > 1.5 * before[what]}
        self.assertEqual({}, dearer)

    def test_events_that_are_past_make_no_later_one_dearer(self) -> None:
        before = self.costs()
        for _ in range(30):
            self.costs()
        self.house.after(2 * 24 * 3600)
        self.house.round()
        self.assert_no_dearer(before)

    def test_neither_do_modifications_of_one_that_is_not(self) -> None:
        self.house.event(event_id="long", length="P30D", market_context="http://example.com/other")
        before = self.costs()
        for priority in range(30):
            self.house.modify("long", priority=priority % 5 + 1)
            self.ven.answer_all(self.ven.poll())
        self.house.after(2 * 24 * 3600)
        self.house.round()
        self.assert_no_dearer(before)


class OptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def opt(self, opt_id: str, **more: Any) -> Any:
        values: dict[str, Any] = {
            "opt_id": opt_id, "opt_type": "optIn", "opt_reason": "economic", "ven_id": "", "request_id": "r",
            "created_date_time": START, "target": EiTarget(),
        }  # fmt: skip
        return self.ven.send(OadrCreateOpt(**{**values, **more}))

    def hour(self, start: float) -> tuple[Properties, ...]:
        return (Properties(dtstart=START + timedelta(hours=start), duration=Duration("PT1H")),)

    def test_schedules_that_are_past_are_forgotten_before_new_ones_are_refused(self) -> None:
        with patch.object(opts, "MOST", 3):
            for number in range(10):
                self.opt(f"day {number}", available=self.hour(24 * number))
                self.house.after(24 * 3600)
        self.assertIn(("day 9",), self.house.sql("SELECT opt_id FROM opts"))

    def test_so_are_opts_on_events_that_are_past(self) -> None:
        with patch.object(opts, "MOST", 3):
            for number in range(10):
                self.house.event(start=24 * 3600 * number + 600, event_id=f"e{number}")
                self.opt(
                    f"opt {number}", qualified_event_id=QualifiedEventID(event_id=f"e{number}", modification_number=0)
                )
                self.house.after(24 * 3600)
        self.assertIn(("opt 9",), self.house.sql("SELECT opt_id FROM opts"))

    def test_what_is_to_come_is_not(self) -> None:
        with patch.object(opts, "MOST", 3):
            for number in range(3):
                self.opt(f"day {number}", available=self.hour(24 * number + 1))
            with self.assertRaises(NotAllowed):
                self.opt("day 3", available=self.hour(73))
            self.assertEqual(3, len(self.house.sql("SELECT * FROM opts")))
