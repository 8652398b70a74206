"""What reports mean (section 8.3 of the profile)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from oadrvtn.model.config import Config, WantedReport
from oadrvtn.model.errors import InvalidData
from oadrvtn.model.event import Interval, OadrGBPayload
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrSamplingRate,
)
from oadrvtn.model.values import DATA_QUALITY, READING_TYPE, REPORT_TYPE, Duration
from oadrvtn.storage import reports as report_rows
from oadrvtn.vtn import requests
from oadrvtn.vtn.requests import RequestSpec
from tests.vtn.house import START, reading, response
from tests.vtn.test_readings import FEED

from .lab import LabTestCase, own_request, wanted
from .matrix import proves

RATE = OadrSamplingRate(min_period=Duration("PT10S"), max_period=Duration("PT1H"), on_change=True)


class ReportTests(LabTestCase):
    """The VTN as the one who asks; the VEN offers usage, status on change, and a history of usage."""

    config = Config(reports=())

    def setUp(self) -> None:
        super().setUp()
        self.offer()

    def offer(self, **changes: Any) -> OadrRegisteredReport:
        """METADATA of three reports."""
        point = {"reading_type": "Direct Read", "report_type": "usage", "sampling_rate": RATE, **changes}
        status = {**point, "reading_type": "x-notApplicable", "report_type": "x-resourceStatus"}
        offers = (
            ("usage", "TELEMETRY_USAGE", [("power", point), ("energy", point)]),
            ("status", "TELEMETRY_STATUS", [("online", status)]),
            ("history", "HISTORY_USAGE", [("power", point)]),
        )
        metadata = [
            OadrReport(
                duration=Duration("P1D"),
                descriptions=tuple(OadrReportDescription(r_id=r_id, **values) for r_id, values in points),
                report_request_id="0",
                report_specifier_id=specifier,
                report_name=f"METADATA_{name}",
                created_date_time=START,
            )
            for specifier, name, points in offers
        ]
        answer: OadrRegisteredReport = self.ven.send(
            OadrRegisterReport(request_id="offer", reports=tuple(metadata), ven_id="ven-1")
        )
        return answer

    def ask(self, specifier: str = "usage", *r_ids: str, **more: Any) -> Any:
        """An operator's request; what the VEN is then polled."""
        self.asked = self.lab.write(
            requests.request, "ven-1", [RequestSpec(report_specifier_id=specifier, r_ids=r_ids, **more)]
        )
        return self.ven.poll().report_requests[0]

    def created(self, *pending: str, code: str = "200") -> Any:
        """The VEN's oadrCreatedReport."""
        return self.ven.send(OadrCreatedReport(response=response(code), pending_reports=pending, ven_id="ven-1"))

    def state(self, report_request_id: str) -> str:
        """What became of a request."""
        found: str = self.lab.read(report_rows.get_request, "ven-1", report_request_id).state
        return found

    @proves("7.1")
    def test_the_first_poll_after_a_registration_brings_the_vtns_offer(self) -> None:
        self.lab.event()
        self.ven.register()
        offered = self.ven.poll()
        self.assertIsInstance(offered, OadrRegisterReport)
        answer = self.ven.send(OadrRegisteredReport(response=response(request_id=offered.request_id)))
        self.assertEqual(("oadrResponse", "200"), (answer.name(), answer.response.response_code))

    @proves("7.1-embedded")
    def test_what_is_wanted_goes_with_the_answer_to_the_offer(self) -> None:
        self.lab.vtn.config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"),))
        [request] = self.offer().report_requests
        self.assertEqual("oadrResponse", self.created(request.report_request_id).name())
        self.assertEqual("accepted", self.state(request.report_request_id))
        self.assertEqual("oadrResponse", self.ven.poll().name())

    @proves("7.2")
    def test_a_new_offer_takes_the_place_of_the_old(self) -> None:
        old = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0)
        self.created(old.report_request_id)
        self.ven.offer_reports("heat")
        self.assertRaises(InvalidData, self.ask, "status", "online")
        self.assertEqual("superseded", self.state(old.report_request_id))

    @proves("7.3-several")
    def test_several_requests_go_in_one_message(self) -> None:
        wishes = [RequestSpec(report_specifier_id="usage"), RequestSpec(report_specifier_id="status")]
        self.lab.write(requests.request, "ven-1", wishes)
        polled = self.ven.poll()
        asked = {one.report_request_id: one.report_specifier.report_specifier_id for one in polled.report_requests}
        self.assertEqual({"usage", "status"}, {*asked.values()})
        self.created(*asked)
        self.assertEqual({"accepted"}, {self.state(one) for one in asked})

    @proves("7.3-periodic")
    def test_a_periodic_request_has_start_length_granularity_and_period(self) -> None:
        start = START + timedelta(minutes=2)
        request = self.ask(
            "usage", "power", granularity=60.0, report_back_duration=120.0, dtstart=start, duration=600.0
        )
        specifier = request.report_specifier
        self.assertEqual(
            ("PT1M", "PT2M", start, "PT10M"),
            (
                str(specifier.granularity), str(specifier.report_back_duration),
                specifier.report_interval.dtstart, str(specifier.report_interval.duration),
            ),
        )  # fmt: skip

    @proves("7.3-endless")
    def test_an_endless_request_has_no_length(self) -> None:
        request = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0)
        self.assertFalse(request.report_specifier.report_interval.duration)

    @proves("7.3-history")
    def test_history_is_asked_for_by_window_or_whole(self) -> None:
        start = START - timedelta(minutes=30)
        window = self.ask("history", "power", granularity=60.0, dtstart=start, duration=1800.0)
        asked = window.report_specifier
        self.assertEqual(
            (start, "PT30M", False),
            (asked.report_interval.dtstart, str(asked.report_interval.duration), bool(asked.report_back_duration)),
        )
        whole = self.ask("history", "power", granularity=60.0, dtstart=START).report_specifier
        self.assertEqual((START, False), (whole.report_interval.dtstart, bool(whole.report_interval.duration)))

    @proves("7.3-change")
    def test_status_on_change_has_granularity_0(self) -> None:
        request = self.ask("status", "online", granularity=0.0, report_back_duration=60.0)
        self.assertFalse(request.report_specifier.granularity)

    @proves("7.3-metadata")
    def test_metadata_is_asked_for_by_its_specifier(self) -> None:
        request = self.ask("METADATA")
        self.assertEqual("METADATA", request.report_specifier.report_specifier_id)
        self.assertGreaterEqual(len(request.report_specifier.specifier_payloads), 1)

    @proves("7.4")
    def test_a_refused_request_keeps_the_code(self) -> None:
        request = self.ask("usage", "power")
        self.assertCode("200", self.created(code="461"))
        row = self.lab.read(report_rows.get_request, "ven-1", request.report_request_id)
        self.assertEqual(("refused", "461"), (row.state, row.response_code))

    @proves("7.4-reconciled")
    def test_what_a_ven_no_longer_lists_is_over(self) -> None:
        periodic = {"granularity": 60.0, "report_back_duration": 60.0}
        first = self.ask("usage", "power", **periodic).report_request_id
        self.created(first)
        second = self.ask("usage", "energy", **periodic).report_request_id
        self.created(second)
        self.assertEqual("accepted", self.state(second))
        self.assertNotIn(self.state(first), ("requested", "accepted"))

    @proves("7.5")
    def test_an_update_for_the_request_of_another_ven_is_452(self) -> None:
        other = self.lab.ven("ven-2")
        other.offer_reports("power")
        request = self.ask("usage", "power").report_request_id
        self.assertCode("452", other.report(request, reading("power", 1.0)))
        self.assertCode("200", self.ven.report(request, reading("power", 1.0)))

    @proves("7.5-twice")
    def test_a_reading_that_comes_again_takes_the_place_of_the_first(self) -> None:
        request = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0).report_request_id
        self.ven.report(request, reading("power", 1.0))
        self.ven.report(request, reading("power", 2.0))
        self.assertEqual([(2.0, 1.0)], self.lab.sql("SELECT value, previous_value FROM readings"))

    @proves("7.5-early")
    def test_an_update_may_come_before_the_created_report(self) -> None:
        request = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0).report_request_id
        self.assertCode("200", self.ven.report(request, reading("power", 1.0)))
        self.assertEqual("accepted", self.state(request))
        self.lab.after(10)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def cancel(self, follow: bool = False) -> tuple[str, Any]:
        """A periodic report that runs, and the oadrCancelReport for it."""
        request = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0).report_request_id
        self.created(request)
        self.lab.write(requests.cancel, "ven-1", [request], follow)
        return request, self.ven.poll()

    def canceled(self, cancel: Any, *pending: str) -> Any:
        """The VEN's oadrCanceledReport."""
        answer = response(request_id=cancel.request_id)
        return self.ven.send(OadrCanceledReport(response=answer, pending_reports=pending, ven_id="ven-1"))

    @proves("7.6")
    def test_a_cancelled_report_is_over_when_the_ven_says_so(self) -> None:
        request, cancel = self.cancel()
        self.assertEqual(((request,), False), (cancel.report_request_ids, cancel.report_to_follow))
        self.assertEqual("oadrResponse", self.canceled(cancel).name())
        self.assertEqual("cancelled", self.state(request))

    @proves("7.6-follow")
    def test_a_last_report_may_follow_and_is_stored(self) -> None:
        request, cancel = self.cancel(follow=True)
        self.assertTrue(cancel.report_to_follow)
        self.canceled(cancel, request)
        self.assertCode("200", self.ven.report(request, reading("power", 1.0)))
        self.assertEqual([(1.0,)], self.lab.sql("SELECT value FROM readings"))

    @proves("7.6-embedded")
    def test_a_cancel_goes_with_the_answer_to_data_that_still_comes(self) -> None:
        request = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0).report_request_id
        self.created(request)
        self.lab.write(requests.cancel, "ven-1", [request], False)
        updated = self.ven.report(request, reading("power", 1.0))
        self.assertCode("200", updated)
        self.assertEqual((request,), updated.cancel_report.report_request_ids)
        self.assertCode("200", self.canceled(updated.cancel_report))
        self.assertEqual("cancelled", self.state(request))
        self.lab.after(10)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    @proves("7.7")
    def test_each_word_for_quality_is_kept(self) -> None:
        request = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0).report_request_id
        words = (*DATA_QUALITY.choices, "x-mine")
        for number, word in enumerate(words):
            answer = self.ven.report(request, reading("power", 1.0, number, data_quality=word))
            self.assertCode("200", answer)
        found = self.lab.sql("SELECT data_quality FROM readings ORDER BY start")
        self.assertEqual([*words], [quality for (quality,) in found])

    @proves("7.8")
    def test_each_type_of_report_and_reading_is_taken(self) -> None:
        for report_type in (*REPORT_TYPE.choices, "x-mine"):
            self.assertCode("200", self.ven.offer_reports("power", report_type=report_type))
        for reading_type in (*READING_TYPE.choices, "x-mine"):
            self.assertCode("200", self.ven.offer_reports("power", reading_type=reading_type))

    @proves("7.9")
    def test_a_granularity_outside_the_sampling_rate_is_not_asked_for(self) -> None:
        for seconds in (5.0, 7200.0):
            self.assertRaises(InvalidData, self.ask, "usage", "power", granularity=seconds, report_back_duration=7200.0)
        self.lab.vtn.config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE", granularity=1),))
        [request] = self.offer().report_requests
        self.assertEqual("PT10S", str(request.report_specifier.granularity))

    @proves("7.10")
    def test_a_green_button_feed_is_stored(self) -> None:
        request = self.ask("usage", "power", granularity=60.0, report_back_duration=60.0).report_request_id
        told = Interval(dtstart=START, payloads=(OadrGBPayload(feed=FEED),))
        self.assertCode("200", self.ven.report(request, told))
        [(payload,)] = self.lab.sql("SELECT payload FROM readings")
        self.assertIn("feed", payload)


class ProducerTests(LabTestCase):
    """The VTN as the one who is asked."""

    @proves("7.3-past")
    def test_a_window_that_is_past_brings_no_report(self) -> None:
        answer = self.ven.send(own_request(wanted("m", "METADATA", back="PT10S", window=(-7200, "PT1H"))))
        self.assertNotIn("m", answer.pending_reports)
        self.lab.live(60)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    @proves("7.11")
    def test_what_the_vtn_does_not_offer_is_452(self) -> None:
        self.assertCode("452", self.ven.send(own_request(wanted("q", "nothing"))))
        answer = self.ven.send(
            OadrCancelReport(request_id="r", report_request_ids=("nothing",), report_to_follow=False)
        )
        self.assertEqual("oadrCanceledReport", answer.name())
        self.assertCode("452", answer)
