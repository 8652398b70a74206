"""The data of reports: what is stored, how it is shown, and what is missing."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs
import sqlalchemy.event
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, WantedReport
from oadrvtn.model.errors import InvalidData, InvalidID
from oadrvtn.model.event import (
    EiTarget,
    EnergyReal,
    Interval,
    LoadControlValue,
    OadrGBPayload,
    OadrLoadControlState,
    OadrPayloadResourceStatus,
    OadrReportPayload,
    PayloadFloat,
    SignalPayload,
)
from oadrvtn.model.report import OadrReport, OadrUpdateReport
from oadrvtn.storage import readings as rows
from oadrvtn.storage import reports
from oadrvtn.vtn import readings, requests
from oadrvtn.vtn.requests import RequestSpec

from .house import START, House, offered, reading

USAGE: dict[str, Any] = {"report_name": "TELEMETRY_USAGE"}
FEED = '<feed xmlns="http://www.w3.org/2005/Atom"></feed>'
MINUTE = 60.0


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class DataTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(Config(reports=(WantedReport(**USAGE),)))
        self.ven = self.house.ven()
        self.asked = self.ven.offer_reports("power").report_requests[0].report_request_id

    def stored(self, **more: Any) -> list[rows.Reading]:
        return self.house.read(rows.readings_of, "ven-1")

    def starts(self) -> list[tuple[str, float, float | None]]:
        return [(one.r_id, (one.start - START).total_seconds(), one.value) for one in self.stored()]

    def test_a_reading_is_stored_with_all_that_was_said(self) -> None:
        reply = self.ven.report(
            self.asked,
            reading("power", 1.5, 60, "PT1M", confidence=90, accuracy=0.1, data_quality="Quality Good - Non Specific"),
        )
        self.assertEqual(
            ("200", "data", "ven-1"), (reply.response.response_code, reply.response.request_id, reply.ven_id)
        )
        [one] = self.stored()
        self.assertEqual(
            (self.asked, "power", START + timedelta(seconds=60), 60.0, 1.5, 90, 0.1, "Quality Good - Non Specific",
             START, None),
            (one.report_request_id, one.r_id, one.start, one.seconds, one.value, one.confidence, one.accuracy,
             one.data_quality, one.received_at, one.previous_received_at),
        )  # fmt: skip

    def test_intervals_without_start_follow_one_another_for_each_point(self) -> None:
        self.ven.report(
            self.asked,
            *(reading(r_id, value, None, "PT1M") for value in (1, 2, 3) for r_id in ("a", "b")),
            dtstart=START - timedelta(hours=1),
        )
        expected = [(r_id, -3600 + 60 * n, n + 1.0) for n in range(3) for r_id in ("a", "b")]
        self.assertEqual(expected, self.starts())

    def test_without_a_duration_they_start_with_the_report_else_when_it_was_created(self) -> None:
        self.ven.report(self.asked, reading("a", 1, None), dtstart=START - timedelta(hours=1))
        self.ven.report(self.asked, reading("a", 2, None))
        self.assertEqual([("a", -3600, 1), ("a", 0, 2)], self.starts())

    def test_after_a_given_start_they_follow_it(self) -> None:
        self.ven.report(self.asked, reading("a", 1, 100, "PT10S"), reading("a", 2, None, "PT10S"))
        self.assertEqual([("a", 100, 1), ("a", 110, 2)], self.starts())

    def test_a_later_value_overwrites_and_keeps_its_predecessor(self) -> None:
        self.ven.report(self.asked, reading("power", 1))
        self.house.after(60)
        self.ven.report(self.asked, reading("power", 2))
        [one] = self.stored()
        self.assertEqual((2, START + timedelta(seconds=60)), (one.value, one.received_at))
        self.assertEqual((1, START), (one.previous_value, one.previous_received_at))

    def test_a_report_that_is_repeated_leaves_the_predecessor_alone(self) -> None:
        for value in (1, 2, 2):
            self.ven.report(self.asked, reading("power", value))
            self.house.after(60)
        [one] = self.stored()
        self.assertEqual((2, 1, START), (one.value, one.previous_value, one.previous_received_at))

    def test_so_it_is_among_many_of_which_some_are_new(self) -> None:
        self.ven.report(self.asked, *(reading(f"r{n}", n) for n in range(0, 120, 7)))
        self.ven.report(self.asked, *(reading(f"r{n}", n + 0.5) for n in range(120)))
        found = {one.r_id: (one.value, one.previous_value) for one in self.stored()}
        self.assertEqual({f"r{n}": (n + 0.5, None if n % 7 else n) for n in range(120)}, found)
        self.assertEqual(120, self.house.read(rows.counts)["readings"])

    def test_two_values_for_one_key_in_one_message_store_nothing(self) -> None:
        for again in (2.0, 1.0):
            self.assertRaises(
                InvalidData, self.ven.report, self.asked, reading("ok", 1), reading("power", 1), reading("power", again)
            )
        self.assertEqual([], self.stored())

    def test_so_do_two_reports_of_one_message(self) -> None:
        report = OadrReport(
            intervals=(reading("power", 1),),
            report_request_id=self.asked,
            report_specifier_id="usage",
            created_date_time=START,
        )
        message = OadrUpdateReport(request_id="d", reports=(report, report))
        self.assertRaises(InvalidData, self.ven.send, message)

    def test_no_number_is_a_missing_value_and_the_rest_counts(self) -> None:
        self.ven.report(
            self.asked,
            reading("nan", math.nan),
            reading("inf", -math.inf, data_quality="Quality Bad - Comm Failure"),
            reading("ok", 1, accuracy=math.inf),
        )
        self.assertEqual(
            [("inf", None, "Quality Bad - Comm Failure"), ("nan", None, "No Quality - No Value"), ("ok", 1, None)],
            [(one.r_id, one.value, one.data_quality) for one in self.stored()],
        )

    def test_a_status_is_stored_as_json_even_with_values_that_json_has_not(self) -> None:
        status = OadrPayloadResourceStatus(
            online=True, manual_override=False,
            load_control_state=OadrLoadControlState(capacity=LoadControlValue(current=math.nan, max=1.0)),
        )  # fmt: skip
        self.ven.report(self.asked, Interval(dtstart=START, payloads=(OadrReportPayload(r_id="s", payload=status),)))
        [one] = self.stored()
        assert one.payload
        known = json.loads(one.payload, parse_constant=lambda text: self.fail(text))
        self.assertEqual((None, True), (one.value, known["online"]))
        self.assertEqual(
            {"min": None, "max": 1.0, "current": None, "normal": None}, known["load_control_state"]["capacity"]
        )

    def test_a_green_button_feed_is_stored_as_it_came(self) -> None:
        self.ven.report(self.asked, Interval(dtstart=START, payloads=(OadrGBPayload(feed=FEED),)))
        self.assertEqual([FEED], [one.payload for one in self.stored()])

    def test_an_unknown_request_is_452_and_nothing_is_stored(self) -> None:
        other = self.house.ven("ven-2")
        self.assertRaises(InvalidID, self.ven.report, "stranger", reading("power", 1))
        self.assertRaises(InvalidID, other.report, self.asked, reading("power", 1))
        good = OadrReport(
            intervals=(reading("power", 1),),
            report_request_id=self.asked,
            report_specifier_id="usage",
            created_date_time=START,
        )
        message = OadrUpdateReport(request_id="d", reports=(good, good.evolve(report_request_id="stranger")))
        self.assertRaises(InvalidID, self.ven.send, message)
        self.assertEqual([], self.stored())

    def test_what_is_no_reading_is_refused(self) -> None:
        signal = Interval(dtstart=START, payloads=(SignalPayload(payload=PayloadFloat(value=1.0)),))
        self.assertRaises(InvalidData, self.ven.report, self.asked, signal)
        self.assertRaises(
            InvalidData, self.ven.report, self.asked, reading("a", 1, 0, "P9999Y"), reading("a", 2, None, "P1Y")
        )

    def test_a_report_without_intervals_is_taken(self) -> None:
        self.assertEqual("200", self.ven.report(self.asked).response.response_code)

    def test_a_single_report_is_done_with_the_first_data(self) -> None:
        house = House(Config(reports=(WantedReport(**USAGE, report_back_duration=0),)))
        ven = house.ven()
        [request] = ven.offer_reports("power").report_requests
        for value in (1, 2):
            ven.report(request.report_request_id, reading("power", value, value))
            self.assertEqual(["done"], [one.state for one in house.read(reports.requests_of, "ven-1")])
        self.assertEqual(2, len(house.read(rows.readings_of, "ven-1")))

    def test_thousands_of_points_fit_in_one_message(self) -> None:
        points = 5000
        payloads = tuple(OadrReportPayload(r_id=f"r{n}", payload=PayloadFloat(value=float(n))) for n in range(points))
        asked: list[object] = []
        sqlalchemy.event.listen(self.house.database._engine, "before_cursor_execute", lambda *call: asked.append(call))
        self.ven.report(self.asked, Interval(dtstart=START, payloads=payloads))
        self.assertLess(len(asked), 15)
        self.assertEqual(points, len(self.stored()))

    def test_readings_are_found_by_time_and_point_the_newest_where_there_are_many(self) -> None:
        self.ven.report(self.asked, *(reading(r_id, n, n) for n in range(10) for r_id in ("a", "b")))

        def found(*arguments: Any) -> list[tuple[str, float]]:
            return [(one.r_id, one.value or 0) for one in self.house.read(rows.readings_of, "ven-1", *arguments)]

        at = [START + timedelta(seconds=n) for n in range(10)]
        self.assertEqual([("a", 3), ("a", 4)], found(at[3], at[5], "a"))
        self.assertEqual([("b", 8), ("a", 9), ("b", 9)], found(None, None, None, 3))


class UnitTests(SynchronousTestCase):
    """Values in base units."""

    def test_a_reading_knows_the_unit_that_its_data_point_was_offered_with(self) -> None:
        house = House(Config(reports=(WantedReport(**USAGE),)))
        ven = house.ven()
        for scale in ("k", "M"):
            [asked] = ven.offer_reports("energy", item_base=EnergyReal(si_scale_code=scale)).report_requests
            ven.report(asked.report_request_id, reading("energy", 1.5), reading("other", 1.5))
        found = [
            (one.value, one.scale, one.unit, *readings.normalised(one)) for one in house.read(rows.readings_of, "ven-1")
        ]
        self.assertCountEqual(
            [(1.5, "k", "Wh", 1500.0, "Wh"), (1.5, "M", "Wh", 1_500_000.0, "Wh"), *[(1.5, None, None, 1.5, None)] * 2],
            found,
        )

    def normalised(self, value: float | None, scale: str | None, unit: str | None) -> tuple[float | None, str | None]:
        blank = dict.fromkeys((field.name for field in attrs.fields(rows.Reading)), None)
        return readings.normalised(rows.Reading(**{**blank, "value": value, "scale": scale, "unit": unit}))  # type: ignore[arg-type]

    def test_each_scale_is_its_power_of_ten_to_the_last_digit(self) -> None:
        for scale, value in (
            ("p", 1.1e-12), ("n", 1.1e-9), ("micro", 1.1e-6), ("m", 0.0011), ("c", 0.011), ("d", 0.11), ("none", 1.1),
            ("k", 1100.0), ("M", 1_100_000.0), ("G", 1.1e9), ("T", 1.1e12), (None, 1.1), ("strange", 1.1),
        ):  # fmt: skip
            self.assertEqual((value, "W"), self.normalised(1.1, scale, "W"))

    def test_joules_per_second_are_watts_and_what_is_too_large_is_no_value(self) -> None:
        self.assertEqual((1.0, "W"), self.normalised(1.0, "none", "J/s"))
        self.assertEqual((None, "W"), self.normalised(1e300, "T", "W"))
        self.assertEqual((None, "W"), self.normalised(None, "k", "W"))

    @given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["p", "m", "none", "k", "T"]))
    def test_the_sign_and_the_order_of_values_stay(self, value: float, scale: str) -> None:
        scaled, _ = self.normalised(value, scale, "W")
        if scaled:
            self.assertEqual(value > 0, scaled > 0)


class StateTests(SynchronousTestCase):
    """TELEMETRY_STATUS, as the present state and as history."""

    def setUp(self) -> None:
        self.house = House(Config(reports=(WantedReport(report_name="TELEMETRY_STATUS"),)))
        self.ven = self.house.ven()
        source = EiTarget(resource_ids=("cold store",))
        [request] = self.ven.offer(offered("TELEMETRY_STATUS", "s", data_source=source)).report_requests
        self.asked = request.report_request_id

    def report(self, start: float, online: bool, override: bool = False, **more: Any) -> None:
        status = OadrPayloadResourceStatus(online=online, manual_override=override, **more)
        payloads = (OadrReportPayload(r_id="s", payload=status),)
        self.ven.report(self.asked, Interval(dtstart=at(start), payloads=payloads), reading("power", 1, start))

    def present(self) -> tuple[datetime, bool, bool]:
        [state] = self.house.read(rows.states, "ven-1")
        return state.start, state.online, state.manual_override

    def test_the_newest_is_the_present_one_in_whatever_order_they_come(self) -> None:
        self.house.after(120)
        for start, online, override in ((60, True, False), (120, False, True), (0, True, False)):
            self.report(start, online, override)
        self.assertEqual((at(120), False, True), self.present())
        self.report(120, True)
        self.assertEqual((at(120), True, False), self.present())

    def test_one_that_lies_in_the_future_gives_way(self) -> None:
        self.report(10**8, True)
        self.house.after(60)
        self.report(60, False)
        self.assertEqual((at(60), False, False), self.present())

    def test_it_tells_the_resource_and_the_load_control(self) -> None:
        control = OadrLoadControlState(capacity=LoadControlValue(current=0.5, max=1.0))
        self.report(0, True, load_control_state=control)
        [state] = self.house.read(rows.states, "ven-1")
        capacity = {"min": None, "max": 1.0, "current": 0.5, "normal": None}
        self.assertEqual(
            ("s", ("cold store",), self.asked, capacity),
            (state.r_id, state.resource_ids, state.report_request_id, (state.load_control_state or {})["capacity"]),
        )

    def test_the_history_holds_all_of_them_and_nothing_else(self) -> None:
        for number in range(4):
            self.report(60 * number, number % 2 == 0)
        self.ven.report(self.asked, Interval(dtstart=START, payloads=(OadrGBPayload(feed=FEED),)))

        def history(*arguments: Any) -> list[tuple[float, bool]]:
            found = self.house.read(rows.status_history, "ven-1", *arguments)
            return [((state.start - START).total_seconds(), state.online) for state in found]

        self.assertEqual([(0, True), (60, False), (120, True), (180, False)], history())
        self.assertEqual([(60, False)], history(at(60), at(120)))
        self.assertEqual([], history(None, None, "other"))
        self.assertEqual([(180, False)], history(None, None, None, 1))
        [last] = self.house.read(rows.status_history, "ven-1", at(180))
        self.assertEqual(self.house.read(rows.states, "ven-1"), [last])


class GapTestCase(SynchronousTestCase):
    """A sample each minute, a report each five, of two points."""

    r_ids = ("energy", "power")
    offers = (offered("TELEMETRY_USAGE", *r_ids), offered("HISTORY_USAGE", "power", specifier="history"))

    def setUp(self) -> None:
        self.house = House(Config(reports=(WantedReport(**USAGE),)))
        self.ven = self.house.ven()
        [request] = self.ven.offer(*self.offers).report_requests
        self.asked = request.report_request_id

    def report(self, *minutes: float, r_ids: tuple[str, ...] = r_ids, asked: str = "", duration: str = "") -> None:
        intervals = (reading(r_id, 1, 60 * minute, duration) for minute in minutes for r_id in r_ids)
        self.ven.report(asked or self.asked, *intervals)

    def gaps(self, since: float | None = None, until: float | None = None) -> list[tuple[str, float, float, int]]:
        """(r_id, start and end in minutes, missing) of each gap in a time given in minutes."""
        window = (minute if minute is None else at(60 * minute) for minute in (since, until))
        found = self.house.read(readings.gaps, self.house.vtn.config, "ven-1", *window, self.house.vtn.now())
        minute = timedelta(minutes=1)
        return [(gap.r_id, (gap.start - START) / minute, (gap.end - START) / minute, gap.missing) for gap in found]


class GapTests(GapTestCase):
    def test_a_full_row_has_none_and_the_newest_may_still_come(self) -> None:
        self.report(*range(10))
        self.house.after(17 * MINUTE)
        self.assertEqual([], self.gaps())

    def test_a_reading_covers_its_interval_however_long_also_where_one_looks_within_it(self) -> None:
        self.report(0, 15, 30, duration="PT15M")
        self.house.after(60 * MINUTE)
        self.assertEqual([], self.gaps(14, 44))

    def test_what_is_missing_in_front_between_and_behind_is_found(self) -> None:
        self.report(*(2, 3, 6, 7), r_ids=("power",))
        self.report(*range(13), r_ids=("energy",))
        self.house.after(20 * MINUTE)
        self.assertEqual([("power", 0, 2, 2), ("power", 4, 6, 2), ("power", 8, 13, 5)], self.gaps())

    def test_a_window_cuts_them(self) -> None:
        self.report(0, 9)
        self.house.after(17 * MINUTE)
        self.assertEqual([(r_id, 4, 8, 4) for r_id in self.r_ids], self.gaps(4, 8))

    def test_a_point_that_brings_nothing_lacks_all(self) -> None:
        self.report(*range(10), r_ids=("power",))
        self.house.after(17 * MINUTE)
        self.assertEqual([("energy", 0, 10, 10)], self.gaps())

    def test_samples_may_jitter_and_be_longer_than_was_asked(self) -> None:
        self.report(0.2, 1, 2.4, 3.3, 4)
        self.report(5, duration="PT5M")
        self.house.after(17 * MINUTE)
        self.assertEqual([], self.gaps())

    def test_a_request_that_was_not_taken_lacks_nothing(self) -> None:
        self.house.after(60 * MINUTE)
        self.assertEqual([], self.gaps())
        self.ven.created_report(self.asked)
        self.assertEqual(2, len(self.gaps()))

    def test_what_is_over_lacks_nothing_more(self) -> None:
        self.report(0, 1)
        self.house.after(5 * MINUTE)
        self.house.write(requests.cancel, "ven-1", [self.asked], False)
        self.ven.canceled_report(request_id=self.ven.poll().request_id)
        self.house.after(60 * MINUTE)
        self.assertEqual([(r_id, 2, 5, 3) for r_id in self.r_ids], self.gaps())

    def test_nor_does_one_that_was_for_a_time_or_on_change(self) -> None:
        specs = (
            RequestSpec(report_specifier_id="usage", granularity=60.0, report_back_duration=60.0, duration=180.0),
            RequestSpec(report_specifier_id="history", granularity=60.0, dtstart=START, duration=600.0),
        )
        asked = [one.report_request_id for one in self.house.write(requests.request, "ven-1", specs)]
        for one in asked:
            self.report(0, asked=one)
        self.report(*range(60))
        self.house.after(60 * MINUTE)
        self.assertEqual([(r_id, 1, 3, 2) for r_id in self.r_ids], self.gaps())

    def test_a_part_of_very_many_is_shown(self) -> None:
        self.report(*range(0, 100, 2))
        self.house.after(200 * MINUTE)
        self.assertEqual(
            7, len(self.house.read(readings.gaps, self.house.vtn.config, "ven-1", None, None, self.house.vtn.now(), 7))
        )

    @settings(max_examples=40, deadline=None)
    @given(st.sets(st.integers(0, 19)), st.lists(st.integers(0, 20), max_size=3))
    def test_cut_anywhere_each_missing_sample_is_in_one_gap(self, present: set[int], cuts: list[int]) -> None:
        house = House(Config(reports=(WantedReport(**USAGE),)))
        ven = house.ven()
        [request] = ven.offer_reports("power").report_requests
        ven.created_report(request.report_request_id)
        ven.report(request.report_request_id, *(reading("power", 1, 60 * minute) for minute in present))
        house.after(60 * MINUTE)
        edges = sorted({0, *cuts, 20})
        missing = 0
        for since, until in pairwise(edges):
            window = at(60 * since), at(60 * until), house.vtn.now()
            missing += sum(gap.missing for gap in house.read(readings.gaps, house.vtn.config, "ven-1", *window))
        self.assertEqual(20 - len(present), missing)


class FillingTests(GapTestCase):
    """Gaps are asked for as history."""

    def live(self, minutes: float) -> None:
        """The VEN polls each ten seconds, as long as nothing comes."""
        for _ in range(int(minutes * 6)):
            self.house.after(10)
            self.ven.entry.last_seen = self.house.vtn.now()
            self.house.vtn.roster.dirty.add(self.ven.entry)
            self.house.round()

    def filling(self) -> list[reports.ReportRequest]:
        return [one for one in self.house.read(reports.requests_of, "ven-1") if one.fills]

    def test_a_gap_is_asked_for_once_as_history_of_the_points_that_lack(self) -> None:
        self.report(*range(40), r_ids=("energy",))
        self.report(*range(14), *range(17, 40), r_ids=("power",))
        self.live(32)
        [request] = self.filling()
        [polled] = self.ven.poll().report_requests
        specifier = polled.report_specifier
        self.assertEqual(
            (self.asked, "history", "PT0S", at(14 * 60), "PT3M", ["power"]),
            (
                request.fills, specifier.report_specifier_id, str(specifier.report_back_duration),
                specifier.report_interval.dtstart, str(specifier.report_interval.duration),
                [point.r_id for point in specifier.specifier_payloads],
            ),
        )  # fmt: skip
        self.report(14, 15, 16, r_ids=("power",), asked=polled.report_request_id)
        self.assertEqual("done", self.house.read(reports.get_request, "ven-1", polled.report_request_id).state)
        self.live(10)
        self.assertEqual(1, len(self.filling()))
        self.assertEqual([], self.gaps(0, 35))
        self.assertEqual(1, self.house.read(reports.counts)["report_gaps_asked"])

    def test_one_that_is_not_filled_is_not_asked_for_again(self) -> None:
        self.report(0, *range(3, 60))
        self.live(12)
        self.ven.created_report(code="461", request_id=self.ven.poll().request_id)
        self.live(25)
        self.assertEqual(["refused"], [one.state for one in self.filling()])

    def test_nothing_more_is_asked_before_that_came(self) -> None:
        self.report(0, 1, 60)
        self.live(45)
        [first] = self.filling()
        self.report(2, r_ids=("power",), asked=first.report_request_id)
        self.live(11)
        first, second = self.filling()
        self.assertEqual(first.ends_at, second.starts_at)

    def test_a_ven_that_is_away_is_asked_when_it_is_back_for_the_whole_time(self) -> None:
        self.report(0, 1)
        self.house.live(60 * MINUTE)
        self.assertEqual([], self.filling())
        self.ven.register()
        self.ven.take_register_report()
        self.ven.offer(*self.offers)
        self.live(22)
        [request] = self.filling()
        self.assertEqual((self.asked, at(120), at(3600)), (request.fills, request.starts_at, request.ends_at))
        self.assertIsNone(self.house.read(reports.get_request, "ven-1", self.asked).look_at)

    def test_a_ven_without_history_is_looked_at_once(self) -> None:
        [request] = self.ven.offer_reports(*self.r_ids).report_requests
        self.report(0, asked=request.report_request_id)
        self.live(15)
        self.assertEqual([], self.filling())
        self.assertIsNone(self.house.read(reports.get_request, "ven-1", request.report_request_id).look_at)

    def test_what_came_in_time_asks_for_nothing(self) -> None:
        for minute in range(0, 40, 5):
            self.report(*range(minute, minute + 5))
            self.live(5)
        self.assertEqual([], self.filling())

    def test_a_round_with_nothing_to_look_at_asks_the_database_once(self) -> None:
        self.report(0)
        self.live(11)
        asked: list[tuple[Any, ...]] = []
        sqlalchemy.event.listen(self.house.database._engine, "before_cursor_execute", lambda *call: asked.append(call))
        self.house.write(readings.fill_gaps, self.house.config)
        self.assertEqual(1, sum("SELECT" in call[2] for call in asked))
        [(*_, detail)] = self.house.sql(
            "EXPLAIN QUERY PLAN SELECT * FROM report_requests WHERE look_at <= 1 ORDER BY look_at LIMIT 5"
        )
        self.assertIn("ix_report_requests_look_at", detail)
