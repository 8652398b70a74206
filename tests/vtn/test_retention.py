"""How long readings stay, what finds those that go, and that their number is known without counting."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import sqlalchemy.event
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, Retention, WantedReport
from oadrvtn.model.event import Interval, OadrPayloadResourceStatus, OadrReportPayload
from oadrvtn.storage import readings as rows
from oadrvtn.vtn import duties, readings, registration
from oadrvtn.vtn.changes import NOTHING, Changes

from .house import START, House, reading

WISH = WantedReport(report_name="TELEMETRY_USAGE", granularity=60.0, report_back_duration=300.0)
HOUR = 3600.0


def came_at_once(txn: Any, now: datetime) -> tuple[None, Changes]:
    """All readings came when they began, so that the clock need not go on for days."""
    txn.exec_driver_sql("UPDATE readings SET received_at = start")
    return None, NOTHING


def the_last_came_at_once(txn: Any, now: datetime) -> tuple[None, Changes]:
    """The youngest reading came when it began."""
    txn.exec_driver_sql("UPDATE readings SET received_at = start WHERE start = (SELECT max(start) FROM readings)")
    return None, NOTHING


class RetentionCase(SynchronousTestCase):
    kept = 86400.0

    def setUp(self) -> None:
        self.house = House(Config(reports=(WISH,), retention=Retention(readings=self.kept)))
        self.ven = self.house.ven()
        self.asked = self.ven.offer_reports("power").report_requests[0].report_request_id

    def report(self, *hours: float, ven: Any = None, asked: str = "") -> None:
        """A reading of each of these hours after the start."""
        intervals = [reading("power", hour, hour * HOUR, "PT1M") for hour in hours]
        (ven or self.ven).report(asked or self.asked, *intervals)
        self.house.write(came_at_once)

    def hours(self, ven_id: str = "ven-1") -> list[float | None]:
        """The hours of which there are readings."""
        return [one.value for one in self.house.read(rows.readings_of, ven_id)]

    def counted(self) -> tuple[int, int]:
        """How many there are, how many were dropped, by the counters; the first is held against the table."""
        found = self.house.read(rows.counts)
        [(number,)] = self.house.sql("SELECT count(*) FROM readings")
        self.assertEqual(number, found["readings"])
        return found["readings"], found["readings_dropped"]

    def statements(self, query: Any, *arguments: Any) -> list[tuple[str, str]]:
        """The statements of a query, each with its plan."""
        plans: list[tuple[str, str]] = []

        def look(txn: Any) -> None:
            def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
                found = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans.append((statement, "; ".join(row[-1] for row in found)))

            sqlalchemy.event.listen(txn, "before_cursor_execute", explain)
            query(txn, *arguments)

        self.house.read(look)
        return plans


class DropTests(RetentionCase):
    def test_what_is_older_goes_and_what_is_younger_stays(self) -> None:
        self.report(-40, -25, -23, 0)
        self.house.round()
        self.assertEqual([-23, 0], self.hours())
        self.assertEqual((2, 2), self.counted())

    def test_an_old_history_that_came_of_late_stays(self) -> None:
        self.ven.report(self.asked, reading("power", -40, -40 * HOUR, "PT1M"))
        self.house.round()
        self.assertEqual([-40], self.hours())

    def test_of_a_history_that_came_of_late_only_the_oldest_are_looked_at(self) -> None:
        intervals = [reading("power", hour, hour * HOUR, "PT1M") for hour in (-50, -45, -40)]
        self.ven.report(self.asked, *intervals)
        self.house.write(the_last_came_at_once)
        with patch.object(rows, "_MOST_LOOKED_AT", 2):
            self.house.write(readings.forget, self.house.vtn.config)
        self.assertEqual([-50, -45, -40], self.hours())
        self.house.clock.advance(HOUR + duties.INTERVAL)
        with patch.object(rows, "_MOST_LOOKED_AT", 3):
            self.house.write(readings.forget, self.house.vtn.config)
        self.assertEqual([-50, -45], self.hours())

    def test_what_becomes_old_goes_within_an_hour_or_so(self) -> None:
        self.report(-23.5, 0)
        self.house.round()
        self.assertEqual([-23.5, 0], self.hours())
        self.house.clock.advance(HOUR + duties.INTERVAL)
        self.house.round()
        self.assertEqual([0], self.hours())

    def test_between_two_sweeps_nothing_is_looked_at_and_nothing_written(self) -> None:
        self.house.round()
        before = self.house.sql("SELECT value FROM house WHERE key = 'retention'")
        self.report(-40)
        self.house.round()
        self.assertEqual([-40], self.hours())
        self.assertEqual(before, self.house.sql("SELECT value FROM house WHERE key = 'retention'"))

    def test_it_is_done_in_slices_of_few_vens_and_few_readings(self) -> None:
        for number in range(2, 6):
            ven = self.house.ven(f"ven-{number}")
            asked = ven.offer_reports("power").report_requests[0].report_request_id
            self.report(-50, -40, -30, number, ven=ven, asked=asked)
        self.report(-30, 1)
        with patch.multiple(readings, _VENS=2, _ROWS=2):
            sizes = [self.counted()[0]]
            while self.house.write(readings.forget, self.house.vtn.config):
                sizes.append(self.counted()[0])
        self.assertEqual(5, self.counted()[0])
        self.assertTrue(all(0 <= before - after <= 2 for before, after in pairwise(sizes)), sizes)
        self.assertEqual([1], self.hours())
        self.assertEqual([5], self.hours("ven-5"))

    def test_a_backlog_takes_several_rounds(self) -> None:
        self.report(*range(-60, -30))
        with patch.multiple(readings, _ROWS=2), patch.multiple(duties, SLICES=5):
            self.house.round()
            self.assertEqual((20, 10), self.counted())
            self.house.round()
            self.assertEqual((10, 20), self.counted())

    def test_the_state_of_a_resource_goes_too(self) -> None:
        status = OadrReportPayload(r_id="power", payload=OadrPayloadResourceStatus(online=True, manual_override=False))
        self.ven.report(self.asked, Interval(dtstart=START, payloads=(status,)))
        self.house.round()
        self.assertEqual(1, len(self.house.read(rows.states, "ven-1")))
        self.house.clock.advance(26 * HOUR)
        self.house.round()
        self.assertEqual([], self.house.read(rows.states, "ven-1"))

    def test_what_is_too_old_is_no_gap(self) -> None:
        self.report(-0.02)
        self.house.clock.advance(60 * HOUR)
        now = self.house.vtn.now()
        found = self.house.read(readings.gaps, self.house.vtn.config, "ven-1", None, None, now)
        self.assertEqual({now - timedelta(days=1)}, {gap.start for gap in found})

    def test_old_readings_are_found_by_an_index(self) -> None:
        for statement, plan in self.statements(rows.drop_before, START, "", 10, 10):
            self.assertNotIn("SCAN readings", plan, statement)
            if "EXISTS" in statement:
                self.assertIn("USING COVERING INDEX ix_readings_ven_id_start (ven_id=? AND start<?)", plan)
            if "DELETE FROM readings" in statement:
                self.assertIn("ix_readings_ven_id_start (ven_id=? AND start<?)", plan)
                self.assertNotIn("ORDER BY", plan)  # the oldest are read in order, not sorted out of all


class ForEverTests(RetentionCase):
    kept = 0.0

    def test_nothing_goes(self) -> None:
        self.report(-24 * 365 * 30, 0)
        self.house.round()
        self.assertEqual(2, len(self.hours()))


class CountTests(RetentionCase):
    def test_a_reading_that_comes_again_counts_once(self) -> None:
        self.report(0, 1)
        self.report(1, 2)
        self.assertEqual((3, 0), self.counted())
        self.assertEqual([0, 1, 2], self.hours())

    def test_those_of_a_ven_that_is_removed_count_no_more(self) -> None:
        self.report(0, 1)
        other = self.house.ven("ven-2")
        self.report(5, ven=other, asked=other.offer_reports("power").report_requests[0].report_request_id)
        self.house.write(registration.remove, "ven-1")
        self.assertEqual((1, 0), self.counted())

    def test_a_look_at_the_number_reads_no_reading(self) -> None:
        plans = self.statements(rows.counts)
        self.assertEqual(2, len(plans))
        for statement, plan in plans:
            self.assertIn("SEARCH house", plan, statement)


class ResampledTests(RetentionCase):
    kept = 0.0

    def read(self, most: int, *cursor: Any) -> tuple[list[float], int]:
        """The hours of the newest samples, and how many readings their query could read at most."""
        begins: list[Any] = []
        begin = rows._begin

        def noted(*arguments: Any) -> Any:
            begins.append(begin(*arguments))
            return begins[-1]

        with patch.object(rows, "_begin", noted):
            found = self.house.read(rows.resampled, "ven-1", 3_600_000_000, None, None, None, most, *cursor)
        first = rows.microseconds(begins[0])
        [(number,)] = self.house.sql(f"SELECT count(*) FROM readings WHERE start >= {first}")
        return [(one.start - START).total_seconds() / HOUR for one in found], number

    def test_a_page_reads_its_own_periods_however_long_the_past_is(self) -> None:
        self.report(*range(-500, 0, 2))
        hours, number = self.read(3)
        self.assertEqual([-6, -4, -2], hours)
        self.assertLessEqual(number, 4)

    def test_the_page_before_is_whole(self) -> None:
        self.report(*range(-20, 0))
        first = self.house.read(rows.resampled, "ven-1", 3_600_000_000, None, None, None, 3)[0]
        self.assertEqual(START + timedelta(hours=-3), first.start)
        self.assertEqual([-6, -5, -4], self.read(3, (rows.microseconds(first.start), first.r_id, first.measure))[0])

    def test_each_jump_is_a_search_in_the_index(self) -> None:
        for statement, plan in self.statements(rows.resampled, "ven-1", 3_600_000_000):
            self.assertNotIn("SCAN readings", plan, statement)
