"""Reports: what is offered, what is asked for, and the data that comes."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import sqlalchemy.event
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, WantedReport
from oadrvtn.model.errors import InvalidData, InvalidID, NotAllowed
from oadrvtn.model.event import (
    Interval,
    LoadControlValue,
    OadrGBPayload,
    OadrLoadControlState,
    OadrPayloadResourceStatus,
    OadrReportPayload,
    PayloadFloat,
    SignalPayload,
    Voltage,
)
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrReport,
    OadrReportRequest,
    OadrSamplingRate,
    OadrUpdatedReport,
    OadrUpdateReport,
    ReportSpecifier,
    SpecifierPayload,
)
from oadrvtn.model.values import Duration
from oadrvtn.storage import reports as rows
from oadrvtn.storage import vens
from oadrvtn.vtn.changes import Changes
from oadrvtn.vtn.outbox import put

from .house import START, House, reading, response

USAGE: dict[str, Any] = {"report_name": "TELEMETRY_USAGE"}
FEED = '<feed xmlns="http://www.w3.org/2005/Atom"></feed>'


def house_that_wants(**wish: Any) -> House:
    return House(Config(reports=(WantedReport(**{**USAGE, **wish}),)))


class WishTests(SynchronousTestCase):
    def requests(self, *r_ids: str, wish: dict[str, Any] | None = None, **point: Any) -> tuple[OadrReportRequest, ...]:
        return house_that_wants(**(wish or {})).ven().offer_reports(*r_ids, **point).report_requests

    def test_nothing_is_asked_for_where_nothing_is_wanted(self) -> None:
        reply = House().ven().offer_reports("power")
        self.assertEqual(((), "200", "offer"), (reply.report_requests, reply.response.response_code,
                                               reply.response.request_id))  # fmt: skip

    def test_what_is_wanted_is_asked_for_endlessly(self) -> None:
        [request] = self.requests("power", "energy")
        specifier = request.report_specifier
        self.assertEqual(("usage", "PT1M", "PT5M"), (specifier.report_specifier_id, str(specifier.granularity),
                                                     str(specifier.report_back_duration)))  # fmt: skip
        self.assertEqual(["power", "energy"], [point.r_id for point in specifier.specifier_payloads])
        assert specifier.report_interval
        self.assertEqual(
            (START, Duration("PT0S")), (specifier.report_interval.dtstart, specifier.report_interval.duration)
        )

    def test_a_wish_may_name_point_type_reading_and_unit(self) -> None:
        for wish, matches in (
            ({"r_id": "power"}, 1), ({"r_id": "other"}, 0), ({"reading_type": "Direct Read"}, 1),
            ({"reading_type": "Mean"}, 0), ({"report_type": "usage"}, 1),
            ({"report_type": "demand"}, 0), ({"item_base": "voltage"}, 1),
            ({"item_base": "powerReal"}, 0), ({"report_name": "TELEMETRY_STATUS"}, 0),
        ):  # fmt: skip
            found = self.requests("power", wish=wish, item_base=Voltage(si_scale_code="none"))
            self.assertEqual(matches, len(found), wish)

    def test_the_granularity_stays_within_what_can_be_sampled(self) -> None:
        for wanted, expected in ((1, "PT10S"), (60, "PT1M"), (9000, "PT1H"), (0, "PT0S")):
            rate = OadrSamplingRate(min_period=Duration("PT10S"), max_period=Duration("PT1H"), on_change=False)
            [request] = self.requests("power", wish={"granularity": wanted}, sampling_rate=rate)
            self.assertEqual(expected, str(request.report_specifier.granularity))

    def test_a_single_report_has_no_interval(self) -> None:
        [request] = self.requests("power", wish={"report_back_duration": 0})
        self.assertIsNone(request.report_specifier.report_interval)

    def test_each_offer_is_kept_and_replaces_what_was_asked(self) -> None:
        house = house_that_wants()
        ven = house.ven()
        first = ven.offer_reports("power").report_requests[0].report_request_id
        ven.offer_reports("energy")
        self.assertEqual([(2,)], house.sql("SELECT count(*) FROM capabilities"))
        states = {request.report_request_id: request.state for request in house.read(rows.requests_of, "ven-1")}
        self.assertEqual(["superseded", "requested"], [states.pop(first), *states.values()])


class AcceptingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(Config(reports=(WantedReport(**USAGE), WantedReport(**USAGE, r_id="power"))))
        self.ven = self.house.ven()
        self.ids = [request.report_request_id for request in self.ven.offer_reports("power").report_requests]

    def states(self) -> list[str]:
        found = {request.report_request_id: request for request in self.house.read(rows.requests_of, "ven-1")}
        return [found[one].state for one in self.ids]

    def created(self, *pending: str, code: str = "200", request_id: str = "") -> Any:
        return self.ven.send(OadrCreatedReport(response=response(code, request_id), pending_reports=pending))

    def test_pending_reports_are_accepted(self) -> None:
        self.assertEqual("200", self.created(self.ids[0]).response.response_code)
        self.assertEqual(["accepted", "requested"], self.states())
        self.created(*self.ids)
        self.assertEqual(["accepted", "accepted"], self.states())

    def test_pending_reports_of_others_are_none_of_ours(self) -> None:
        self.created("stranger", *(f"x{number}" for number in range(50_000)))
        self.assertEqual(["requested", "requested"], self.states())

    def test_one_refusal_is_for_all_that_were_asked_together(self) -> None:
        self.created(code="461", request_id="offer")
        self.assertEqual(["refused", "refused"], self.states())
        self.house.after(60)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.assertEqual([("461",)] * 2, self.house.sql("SELECT response_code FROM report_requests"))

    def test_the_first_data_accept_too(self) -> None:
        self.ven.report(self.ids[0], reading("power", 1))
        self.assertEqual(["accepted", "requested"], self.states())
        self.assertEqual(
            [("done",), ("offered",)], self.house.sql("SELECT state FROM outbox WHERE kind = 'create_report'")
        )

    def test_a_new_registration_ends_what_was_asked_and_its_data_are_still_stored(self) -> None:
        self.ven.register()
        self.assertEqual(["superseded", "superseded"], self.states())
        self.assertEqual("200", self.ven.report(self.ids[0], reading("power", 1)).response.response_code)
        self.assertEqual(1, len(self.house.read(rows.readings_of, "ven-1")))
        self.assertEqual(["superseded", "superseded"], self.states())


class DataTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = house_that_wants()
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
        house = house_that_wants(report_back_duration=0)
        ven = house.ven()
        [request] = ven.offer_reports("power").report_requests
        for value in (1, 2):
            ven.report(request.report_request_id, reading("power", value, value))
            self.assertEqual(["done"], [one.state for one in house.read(rows.requests_of, "ven-1")])
        self.assertEqual(2, len(house.read(rows.readings_of, "ven-1")))

    def test_thousands_of_points_fit_in_one_message(self) -> None:
        points = 5000
        payloads = tuple(OadrReportPayload(r_id=f"r{n}", payload=PayloadFloat(value=float(n))) for n in range(points))
        asked: list[object] = []
        sqlalchemy.event.listen(self.house.database._engine, "before_cursor_execute", lambda *call: asked.append(call))
        self.ven.report(self.asked, Interval(dtstart=START, payloads=payloads))
        self.assertLess(len(asked), 10)
        self.assertEqual(points, len(self.stored()))

    def test_readings_are_found_by_time_and_point_the_newest_where_there_are_many(self) -> None:
        self.ven.report(self.asked, *(reading(r_id, n, n) for n in range(10) for r_id in ("a", "b")))

        def found(*arguments: Any) -> list[tuple[str, float]]:
            return [(one.r_id, one.value or 0) for one in self.house.read(rows.readings_of, "ven-1", *arguments)]

        at = [START + timedelta(seconds=n) for n in range(10)]
        self.assertEqual([("a", 3), ("a", 4)], found(at[3], at[5], "a"))
        self.assertEqual([("b", 8), ("a", 9), ("b", 9)], found(None, None, None, 3))


class ProducerTests(SynchronousTestCase):
    """The VTN has no report but its METADATA."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.stranger()
        self.ven.register()

    def request(self, specifier: str, report_request_id: str = "m") -> OadrReportRequest:
        return OadrReportRequest(
            report_request_id=report_request_id,
            report_specifier=ReportSpecifier(
                report_specifier_id=specifier,
                granularity=Duration("PT0S"),
                report_back_duration=Duration("PT0S"),
                specifier_payloads=(SpecifierPayload(r_id="", reading_type="x-notApplicable"),),
            ),
        )

    def create(self, specifier: str) -> Any:
        return self.ven.send(OadrCreateReport(request_id="c", report_requests=(self.request(specifier),)))

    def test_metadata_may_be_asked_for(self) -> None:
        self.ven.take_register_report()
        reply = self.create("METADATA")
        self.assertEqual((("m",), "200"), (reply.pending_reports, reply.response.response_code))
        self.assertEqual("m", self.ven.poll().report_request_id)

    def test_asking_again_does_not_fill_the_queue(self) -> None:
        for _ in range(5):
            self.create("METADATA")
        self.assertEqual(2, self.ven.poll_names(10).count("oadrRegisterReport"))

    def test_asking_under_ever_new_ids_does_not_fill_it_either(self) -> None:
        for report_request_id in map(str, range(10)):
            self.ven.send(
                OadrCreateReport(request_id="c", report_requests=(self.request("METADATA", report_request_id),))
            )
        for ids in (["10"], [str(number) for number in range(20, 40)]):
            many = tuple(self.request("METADATA", report_request_id) for report_request_id in ids)
            self.assertRaises(NotAllowed, self.ven.send, OadrCreateReport(request_id="c", report_requests=many))
        self.assertEqual([(11,)], self.house.sql("SELECT count(*) FROM outbox WHERE state = 'queued'"))

    def test_a_cancel_of_more_than_a_query_can_name_is_answered(self) -> None:
        ids = tuple(f"none-{number}" for number in range(300_000))
        cancel = OadrCancelReport(request_id="x", report_request_ids=ids, report_to_follow=False)
        self.assertRaises(InvalidID, self.ven.send, cancel)

    def test_any_other_report_is_unknown(self) -> None:
        self.assertRaises(InvalidID, self.create, "usage")

    def test_asking_for_it_in_oadr_registered_report_still_takes_note(self) -> None:
        offered = self.ven.poll()
        message = OadrRegisteredReport(
            response=response(request_id=offered.request_id), report_requests=(self.request("usage"),)
        )
        self.assertEqual("452", self.ven.send(message).response.response_code)
        self.house.after(60)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_what_is_queued_may_be_cancelled(self) -> None:
        self.create("METADATA")
        cancel = OadrCancelReport(request_id="x", report_request_ids=("m",), report_to_follow=False)
        self.assertEqual((), self.ven.send(cancel).pending_reports)
        self.assertRaises(InvalidID, self.ven.send, cancel)

    def test_oadr_updated_report_may_carry_a_cancel(self) -> None:
        self.create("METADATA")
        cancel = OadrCancelReport(request_id="x", report_request_ids=("m",), report_to_follow=False)
        reply = self.ven.send(OadrUpdatedReport(response=response(), cancel_report=cancel))
        self.assertIsInstance(reply, OadrCanceledReport)
        self.assertEqual("oadrResponse", self.ven.send(OadrUpdatedReport(response=response())).name())


class CancelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = house_that_wants()
        self.ven = self.house.ven()
        self.asked = self.ven.offer_reports("power").report_requests[0].report_request_id

        def queue(txn: Any, now: Any) -> tuple[None, Changes]:
            ven = vens.get(txn, "ven-1")
            assert ven
            message = OadrCancelReport(request_id="x", report_request_ids=(self.asked,), report_to_follow=False)
            put(txn, ven, "cancel_report", message, now, request_id="x", reference=self.asked)
            return None, Changes.of("ven-1")

        self.house.write(queue)

    def answered(self, code: str, *pending: str) -> str:
        self.ven.send(OadrCanceledReport(response=response(code, "x"), pending_reports=pending))
        return self.house.read(rows.get_request, "ven-1", self.asked).state

    def test_a_cancelled_report_is_over(self) -> None:
        self.assertEqual("cancelled", self.answered("200"))

    def test_one_that_the_ven_does_not_know_too(self) -> None:
        self.assertEqual("cancelled", self.answered("452"))

    def test_a_refused_cancel_or_one_that_is_still_pending_changes_nothing(self) -> None:
        self.assertEqual("requested", self.answered("451"))

    def test_one_that_is_still_pending_is_not_over(self) -> None:
        self.assertEqual("requested", self.answered("200", self.asked))
