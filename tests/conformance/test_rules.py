"""The rules that have a number."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from twisted.logger import LogLevel
from twisted.web.resource import getChildForRequest
from twisted.web.test.requesthelper import DummyRequest

from oadrvtn.model.config import Config, WantedReport
from oadrvtn.model.errors import InvalidData
from oadrvtn.model.event import (
    ITEM_BASES,
    EiTarget,
    OadrPayloadResourceStatus,
    OadrReportPayload,
)
from oadrvtn.model.party import OadrPoll, OadrQueryRegistration
from oadrvtn.model.report import (
    OadrCreatedReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrUpdateReport,
)
from oadrvtn.model.values import Duration
from oadrvtn.storage import events as event_rows
from oadrvtn.storage import reports as report_rows
from oadrvtn.transport.http import tree
from oadrvtn.vtn.specs import SignalSpec
from tests.handlers.house import Logged
from tests.handlers.test_chain import spoilt
from tests.vtn.house import START, reading, response
from tests.wire.samples import full

from .lab import LabTestCase, opt, own_request, wanted
from .matrix import proves

HOUR = Duration("PT1H")
LEVELS = SignalSpec(intervals=((Duration("PT20M"), 1.0), (Duration("PT40M"), 2.0)))


class EventRules(LabTestCase):
    """What the VTN makes of events, and what it takes as their answers."""

    def line(self, event_id: str, number: int = 0, ven_id: str = "ven-1") -> Any:
        """What the ledger says."""
        return self.lab.read(event_rows.line, ven_id, event_id, number)

    @proves("rule-1")
    def test_all_times_are_utc(self) -> None:
        self.lab.event(dtstart=START + timedelta(hours=1))
        self.ven.poll()
        times = self.ven.texts("date-time") + self.ven.texts("createdDateTime")
        self.assertEqual(2, len(times))
        self.assertTrue(all(time.endswith("Z") for time in times), times)

    @proves("rule-2")
    def test_each_signal_counts_its_intervals_from_0(self) -> None:
        self.lab.event(signals=(LEVELS, SignalSpec(intervals=LEVELS.intervals, signal_name="x-mine")))
        for signal in self.ven.poll().events[0].event.event_signals.signals:
            self.assertEqual(["0", "1"], [interval.uid for interval in signal.intervals])

    @proves("rule-4")
    def test_a_new_event_is_at_0(self) -> None:
        self.lab.event()
        self.assertEqual(0, self.ven.poll().events[0].event.descriptor.modification_number)

    @proves("rule-5")
    def test_each_change_adds_one_and_nothing_else_does(self) -> None:
        event_id = self.lab.event(start=0).event_id
        numbers = []
        for change in (
            {"priority": 1}, {"priority": 1}, {"vtn_comment": "later"}, {"dtstart": START + timedelta(minutes=5)},
            {"signals": (LEVELS,)}, {"target": EiTarget(ven_ids=("ven-1",))},
        ):  # fmt: skip
            numbers.append(self.lab.modify(event_id, **change).modification_number)
        self.lab.live(600)
        self.assertEqual("active", self.ven.sees(event_id).event.descriptor.event_status)
        numbers.append(self.ven.sees(event_id).event.descriptor.modification_number)
        numbers.append(self.lab.cancel(event_id).modification_number)
        self.assertEqual([1, 1, 2, 3, 4, 5, 5, 6], numbers)

    @proves("rule-6")
    def test_a_test_event_says_true_and_others_false(self) -> None:
        self.lab.event(event_id="e", test_event=True)
        self.lab.event(event_id="f", market_context="http://example.com/other")
        said = {one.event.descriptor.event_id: one.event.descriptor.test_event for one in self.ven.poll().events}
        self.assertEqual({"e": "true", "f": "false"}, said)

    @proves("rule-8")
    def test_intervals_that_do_not_add_up_are_refused(self) -> None:
        for length in ("PT59M", "PT61M", "PT0S"):
            with self.assertRaises(InvalidData) as refused:
                self.lab.event(duration=Duration(length))
            self.assertIn("signals[0].intervals", str(refused.exception))
        short = SignalSpec(intervals=((Duration("PT30M"), 1.0),), signal_name="x-mine")
        self.assertRaises(InvalidData, self.lab.event, signals=(LEVELS, short))

    @proves("rule-9")
    def test_simple_is_0_to_3(self) -> None:
        for value in (-1.0, 0.5, 4.0):
            self.assertRaises(InvalidData, self.lab.event, signals=(SignalSpec(intervals=((HOUR, value),)),))
        for value in (0.0, 1.0, 2.0, 3.0):
            context = f"http://example.com/{value}"
            self.lab.event(signals=(SignalSpec(intervals=((HOUR, value),)),), market_context=context)

    @proves("rule-12")
    def test_an_event_that_wants_an_answer_is_offered_until_it_has_it(self) -> None:
        event_id = self.lab.event().event_id
        self.assertEqual(["oadrDistributeEvent"] * 3, self.ven.poll_names(3, every=10))
        self.assertEqual("always", self.ven.sees(event_id).response_required)
        self.ven.answer((event_id, 0))
        self.assertEqual(["oadrResponse"] * 3, self.ven.poll_names(3, every=10))

    @proves("rule-13")
    def test_the_status_is_that_of_the_moment(self) -> None:
        event_id = self.lab.event(start=60, length="PT1M").event_id
        for passed, expected in ((0, "far"), (59, "far"), (60, "active"), (119, "active")):
            self.lab.clock.advance(START.timestamp() + passed - self.lab.clock.seconds())
            self.assertEqual(expected, self.ven.sees(event_id).event.descriptor.event_status, passed)

    @proves("rule-14")
    def test_a_simple_event_has_the_value_0_until_it_is_active(self) -> None:
        event_id = self.lab.event(start=60).event_id
        self.assertEqual(0.0, self.ven.sees(event_id).event.event_signals.signals[0].current_value)
        self.lab.after(60)
        self.assertEqual(1.0, self.ven.sees(event_id).event.event_signals.signals[0].current_value)
        self.lab.cancel(event_id)
        self.assertEqual(0.0, self.ven.sees(event_id).event.event_signals.signals[0].current_value)

    @proves("rule-15")
    def test_the_active_come_first_by_priority_then_the_others_by_start(self) -> None:
        for event_id, start, priority in (
            ("later", 900, 1), ("soon", 300, 2), ("no priority", 0, 0), ("second", 0, 2), ("first", 0, 1),
        ):  # fmt: skip
            self.lab.event(
                start, event_id=event_id, priority=priority, market_context=f"http://x.example/{priority}{start}"
            )
        self.assertEqual(["first", "second", "no priority", "soon", "later"], self.ven.order())

    @proves("rule-16")
    def test_both_opts_are_taken(self) -> None:
        for event_id, said in (("e", "optIn"), ("f", "optOut")):
            self.lab.event(event_id=event_id, market_context=f"http://x.example/{event_id}")
            self.ven.poll()
            self.assertCode("200", self.ven.answer((event_id, 0, said)))
            self.assertEqual(("opted", said), (self.line(event_id).state, self.line(event_id).opt_type))

    @proves("rule-17")
    def test_an_opt_out_is_taken_that_comes_later(self) -> None:
        event_id = self.lab.event(start=60).event_id
        self.ven.answer_all(self.ven.poll())
        self.lab.live(300)
        self.assertCode("200", self.ven.answer((event_id, 0, "optOut")))
        self.assertEqual("optOut", self.line(event_id).opt_type)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    @proves("rule-19")
    def test_the_good_answers_of_a_mixed_message_count(self) -> None:
        self.lab.event(event_id="good")
        self.lab.event(event_id="bad", market_context="http://x.example/bad")
        self.ven.poll()
        self.ven.answer(("good", 0), ("bad", 7), ("nothing", 0))
        self.lab.round()
        self.assertEqual(("opted", "offered"), (self.line("good").state, self.line("bad").state))

    @proves("rule-21")
    def test_ids_that_are_not_expected_are_refused(self) -> None:
        self.lab.ven("ven-2")
        self.lab.event(event_id="theirs", target=EiTarget(ven_ids=("ven-2",)))
        self.assertCode("452", self.ven.answer(("theirs", 0)))
        self.assertCode("452", self.ven.send(OadrPoll(ven_id="VEN-1")))
        self.assertCode("463", self.ven.send(OadrPoll(ven_id="ven-2")))

    @proves("rule-22")
    def test_a_ven_is_sent_only_what_is_targeted_at_it(self) -> None:
        other = self.lab.ven("ven-2")
        self.lab.event(event_id="theirs", target=EiTarget(ven_ids=("ven-2",)))
        self.assertEqual("oadrResponse", self.ven.poll().name())
        self.assertEqual(([], ["theirs"]), (self.ven.order(), other.order()))

    @proves("rule-25")
    def test_a_refusal_of_the_whole_refuses_all_that_was_sent(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.poll()
        self.assertCode("200", self.ven.answer(code="454"))
        self.assertEqual(("refused", "454"), (self.line(event_id).state, self.line(event_id).response_code))

    @proves("rule-30")
    def test_an_event_with_startafter_is_over_when_the_last_ven_has_ended(self) -> None:
        event_id = self.lab.event(start=0, length="PT10M", startafter=Duration("PT5M")).event_id
        self.ven.answer_all(self.ven.poll())
        self.lab.after(14 * 60)
        self.assertEqual("active", self.ven.sees(event_id).event.descriptor.event_status)
        self.lab.after(2 * 60)
        self.assertNotIn("active", self.ven.texts("eventStatus") if self.ven.order() else [])

    @proves("rule-35")
    def test_an_answer_without_answers_answers_nothing(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.poll()
        self.assertCode("200", self.ven.answer())
        self.lab.round()
        self.assertEqual("offered", self.line(event_id).state)
        self.lab.after(10)
        self.assertEqual("oadrDistributeEvent", self.ven.poll().name())

    @proves("rule-36")
    def test_a_cancellation_is_acknowledged_by_either_opt(self) -> None:
        for said in ("optIn", "optOut"):
            event_id = self.lab.event(event_id=said).event_id
            self.ven.answer_all(self.ven.poll())
            self.lab.cancel(event_id)
            self.assertEqual("cancelled", self.ven.poll().events[0].event.descriptor.event_status)
            self.assertCode("200", self.ven.answer((event_id, 1, said)))
            self.assertEqual("oadrResponse", self.ven.poll().name())

    @proves("rule-37")
    def test_all_that_the_vtn_wants_to_say_comes_by_poll(self) -> None:
        self.lab.event()
        self.assertEqual("oadrDistributeEvent", self.ven.poll().name())
        self.ven.register()
        self.assertEqual("oadrRegisterReport", self.ven.poll().name())

    @proves("rule-41")
    def test_one_request_id_may_serve_for_everything(self) -> None:
        for message in (OadrQueryRegistration(request_id="1"), opt(request_id="1"), opt(request_id="1", opt_id="p")):
            self.assertCode("200", self.ven.send(message))

    @proves("rule-42")
    def test_an_answer_is_found_by_its_event_whatever_its_request_id(self) -> None:
        event_id = self.lab.event().event_id
        self.assertTrue(self.ven.poll().request_id)
        self.assertCode("200", self.ven.answer((event_id, 0)))  # its requestIDs are empty
        self.assertEqual("opted", self.line(event_id).state)

    @proves("rule-47")
    def test_an_event_without_end_is_active_until_it_is_cancelled(self) -> None:
        event_id = self.lab.event(start=0, length="PT0S").event_id
        self.ven.answer_all(self.ven.poll())
        self.lab.after(10 * 365 * 86400)
        self.lab.round()
        self.assertEqual("active", self.ven.sees(event_id).event.descriptor.event_status)
        self.lab.cancel(event_id)
        self.assertEqual("cancelled", self.ven.sees(event_id).event.descriptor.event_status)

    @proves("rule-48")
    def test_what_does_not_validate_is_logged_and_answered(self) -> None:
        with Logged() as log:
            self.assertCode("454", self.ven.send(spoilt("oadrCreatedEvent"), "EiEvent"))
        self.assertIn("454", log.lines(level=LogLevel.info)[-1])
        self.assertCode("452", self.ven.answer(("nothing", 0)))

    @proves("rule-53")
    def test_an_answer_has_a_type_and_is_one_piece(self) -> None:
        # The header lines themselves are those of tests/transport; this is what the service hands on.
        self.ven.poll()
        self.assertEqual((200, b"<oadr:oadrPayload"), (self.ven.status, self.ven.xml[:17]))

    @proves("rule-58")
    def test_a_450_of_a_ven_is_kept_and_is_no_opt(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.poll()
        self.assertCode("200", self.ven.answer((event_id, 0, "optIn", "450")))
        line = self.line(event_id)
        self.assertEqual(("refused", "450", None), (line.state, line.response_code, line.opt_type))

    @proves("rule-59")
    def test_a_cancelled_event_is_sent_as_such_with_a_new_number(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.answer_all(self.ven.poll())
        self.lab.cancel(event_id)
        shown = self.ven.poll().events[0].event.descriptor
        self.assertEqual(("cancelled", 1), (shown.event_status, shown.modification_number))

    @proves("rule-61")
    def test_an_answered_event_is_sent_with_each_other_event(self) -> None:
        self.lab.event(event_id="old")
        self.ven.answer_all(self.ven.poll())
        self.lab.event(event_id="new", market_context="http://x.example/new")
        self.assertEqual({"old", "new"}, {one.event.descriptor.event_id for one in self.ven.poll().events})

    @proves("rule-62")
    def test_an_event_that_wants_no_answer_is_sent_twice_and_not_more(self) -> None:
        event_id = self.lab.event(response_required="never").event_id
        self.assertEqual(["oadrDistributeEvent"] * 2 + ["oadrResponse"], self.ven.poll_names(3, every=10))
        self.lab.round()
        self.assertEqual("acknowledged", self.line(event_id).state)
        self.assertEqual("never", self.ven.sees(event_id).response_required)

    @proves("rule-65")
    def test_a_cancelled_event_is_sent_with_its_startafter(self) -> None:
        event_id = self.lab.event(start=0, startafter=Duration("PT5M")).event_id
        self.lab.cancel(event_id)
        self.assertEqual("PT5M", str(self.ven.sees(event_id).event.active_period.properties.startafter))

    @proves("rule-105")
    def test_a_notification_is_in_each_active_period(self) -> None:
        self.lab.event(event_id="e")
        self.lab.event(event_id="f", market_context="http://x.example/f", notification=Duration("PT15M"))
        self.ven.poll()
        self.assertEqual(["PT0S", "PT15M"], sorted(self.ven.texts("x-eiNotification")))

    @proves("rule-116")
    def test_simple_is_a_level(self) -> None:
        with self.assertRaises(InvalidData) as refused:
            self.lab.event(signals=(SignalSpec(signal_type="price", intervals=((HOUR, 1.0),)),))
        self.assertIn("signals[0].signal_type", str(refused.exception))

    @proves("rule-all-events")
    def test_a_poll_brings_the_same_events_as_asking_does(self) -> None:
        for number in range(3):
            self.lab.event(3600 * number, event_id=str(number), length="PT30M")
        polled = [one.event.descriptor.event_id for one in self.ven.poll().events]
        self.assertEqual((["0", "1", "2"], ["0", "1", "2"]), (polled, self.ven.order()))


class OtherRules(LabTestCase):
    config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"), WantedReport(report_name="TELEMETRY_STATUS")))

    def request_id(self, *r_ids: str) -> str:
        """The reportRequestID of what is wanted of a VEN that offers these."""
        [request, *_] = self.ven.offer_reports(*r_ids or ("power",)).report_requests
        return request.report_request_id

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """The readings."""
        return self.lab.sql(f"SELECT {', '.join(columns)} FROM readings ORDER BY r_id, start")

    def metadata(self, **changes: Any) -> OadrRegisterReport:
        """METADATA with some mistakes."""
        fields: dict[str, Any] = {
            "duration": Duration("PT1H"),
            "descriptions": (OadrReportDescription(r_id="power", report_type="usage", reading_type="Mean"),),
            "report_request_id": "0",
            "report_specifier_id": "usage",
            "report_name": "METADATA_TELEMETRY_USAGE",
            "created_date_time": START,
        }
        return OadrRegisterReport(request_id="m", reports=(OadrReport(**fields | changes),))

    @proves("rule-206")
    def test_an_opt_outranks_what_is_answered_later(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.poll()
        self.assertCode("200", self.ven.send(opt((event_id, 0))))
        self.assertCode("200", self.ven.answer((event_id, 0, "optIn")))
        line = self.lab.read(event_rows.line, "ven-1", event_id, 0)
        self.assertEqual(("optOut", "nothing"), (line.opt_type, line.wants))

    @proves("rule-301")
    def test_after_a_registration_the_vtn_offers_its_reports_and_takes_those_of_the_ven(self) -> None:
        self.ven.register()
        self.assertEqual("oadrRegisterReport", self.ven.poll().name())
        self.assertCode("200", self.ven.send(self.metadata()))

    @proves("rule-304")
    def test_an_update_that_nobody_asked_for_is_452_and_nothing_of_it_is_stored(self) -> None:
        asked = self.request_id()
        reports = [
            OadrReport(
                intervals=(reading("power", 1.0),),
                report_request_id=one,
                report_specifier_id="usage",
                created_date_time=START,
            )
            for one in (asked, "nobody asked")
        ]
        self.assertCode("452", self.ven.send(OadrUpdateReport(request_id="u", reports=tuple(reports))))
        self.assertEqual([], self.rows("value"))

    @proves("rule-305")
    def test_each_unit_of_the_schema_is_offered_and_asked_for(self) -> None:
        for unit in ITEM_BASES:
            answer = self.ven.send(
                self.metadata(
                    descriptions=(
                        OadrReportDescription(
                            r_id="power", report_type="usage", reading_type="Mean", item_base=full(unit)
                        ),
                    )
                )
            )
            self.assertCode("200", answer)
            self.assertEqual(1, len(answer.report_requests), unit)

    @proves("rule-306", "rule-327")
    def test_a_request_for_metadata_is_answered_by_the_offer(self) -> None:
        answer = self.ven.send(own_request(wanted("m", "METADATA")))
        self.assertIsInstance(answer, OadrCreatedReport)
        self.assertCode("200", answer)
        self.assertEqual("oadrRegisterReport", self.ven.poll().name())

    @proves("rule-311")
    def test_metadata_under_another_id_than_0_is_taken(self) -> None:
        for report_request_id in ("0", "m", ""):
            self.assertCode("200", self.ven.send(self.metadata(report_request_id=report_request_id)))

    @proves("rule-314")
    def test_intervals_without_a_start_follow_each_other_from_the_start_of_the_report(self) -> None:
        asked = self.request_id()
        steps = [reading("power", value, None, "PT1M") for value in (1.0, 2.0, 3.0)]
        self.ven.report(asked, *steps, dtstart=START + timedelta(hours=1))
        starts = [start for (start,) in self.rows("start")]
        first = int((START + timedelta(hours=1)).timestamp() * 1e6)
        self.assertEqual([first, first + 60_000_000, first + 120_000_000], starts)

    @proves("rule-324")
    def test_a_request_for_one_report_is_done_with_it(self) -> None:
        self.lab.vtn.config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE", report_back_duration=0),))
        asked = self.request_id()
        self.ven.report(asked, reading("power", 1.0))
        self.assertEqual("done", self.lab.read(report_rows.get_request, "ven-1", asked).state)

    @proves("rule-329")
    def test_what_is_still_to_be_delivered_is_listed(self) -> None:
        asked = self.request_id()
        self.ven.send(OadrCreatedReport(response=response(), pending_reports=(asked, "another VTN's")))
        self.assertEqual("accepted", self.lab.read(report_rows.get_request, "ven-1", asked).state)

    @proves("rule-331")
    def test_a_status_is_kept_as_what_it_says(self) -> None:
        asked = self.request_id()
        payload = OadrPayloadResourceStatus(online=True, manual_override=False)
        told = reading("power", 0.0).evolve(payloads=(OadrReportPayload(r_id="power", payload=payload),))
        self.assertCode("200", self.ven.report(asked, told))
        [(value, text)] = self.rows("value", "payload")
        self.assertIsNone(value)
        self.assertIn('"online":true', text)

    @proves("rule-342")
    def test_points_and_intervals_stand_side_by_side(self) -> None:
        asked = self.request_id("power", "energy")
        self.ven.report(asked, reading("power", 1.0, 0), reading("energy", 2.0, 0, "PT1M"))
        self.assertEqual([("energy", 60.0), ("power", None)], self.rows("r_id", "seconds"))

    @proves("rule-metadata-duration")
    def test_metadata_without_a_duration_is_taken(self) -> None:
        answer = self.ven.send(self.metadata(duration=None))
        self.assertCode("200", answer)
        self.assertEqual(1, len(answer.report_requests))

    @proves("rule-404")
    def test_a_first_registration_with_a_registration_id_is_served_and_given_another(self) -> None:
        stranger = self.lab.stranger("ven-2")
        answer = stranger.register(registration_id="made-up")
        self.assertCode("200", answer)
        self.assertNotIn(answer.registration_id, (None, "made-up"))

    @proves("rule-510")
    def test_metadata_status_usage_and_opts_on_events_are_served(self) -> None:
        event_id = self.lab.event().event_id
        status = OadrReportDescription(r_id="s", report_type="x-resourceStatus", reading_type="x-notApplicable")
        offer = self.metadata().reports[0]
        both = offer.evolve(report_specifier_id="s", report_name="METADATA_TELEMETRY_STATUS", descriptions=(status,))
        answer = self.ven.send(OadrRegisterReport(request_id="m", reports=(offer, both)))
        self.assertEqual({"usage", "s"}, {one.report_specifier.report_specifier_id for one in answer.report_requests})
        self.ven.poll()
        self.assertCode("200", self.ven.send(opt((event_id, 0))))

    @proves("rule-511")
    def test_the_services_are_found_at_their_paths(self) -> None:
        for prefix in ("", "/north"):
            root = tree(prefix, self.lab.resources)
            for name in ("EiRegisterParty", "EiEvent", "EiReport", "EiOpt", "OadrPoll"):
                request: Any = DummyRequest(
                    [*prefix.encode().split(b"/")[1:], b"OpenADR2", b"Simple", b"2.0b", name.encode()]
                )
                self.assertIs(self.lab.resources[name], getChildForRequest(root, request))
