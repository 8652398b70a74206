"""Simulated VENs: each behaviour that a VTN may rely on."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from oadrvtn.model.event import EiEvent, OadrCreatedEvent, OadrDistributeEvent
from oadrvtn.model.opt import OadrCreatedOpt, OadrCreateOpt
from oadrvtn.model.party import (
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatePartyRegistration,
    OadrPoll,
    OadrQueryRegistration,
    OadrRequestReregistration,
    OadrResponse,
)
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReportRequest,
    OadrUpdatedReport,
    OadrUpdateReport,
)
from oadrvtn.model.schema import Message
from oadrvtn.ven import fleet
from oadrvtn.ven.fleet import Fleet, SimulatedVen

from .vtn import CardboardVtn, at, clock, distribute, event, ok, registered, wanted


@implementer(ILogObserver)
class Log(list[LogEvent]):
    """What was logged, from ``info`` on."""

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"] == fleet.__name__ and event["log_level"] >= LogLevel.info:
            self.append(event)

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self]


class ClosablePool:
    """The part of a connection pool that a VenClient uses."""

    closed = False

    def closeCachedConnections(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class VenTestCase(SynchronousTestCase):
    """A VEN that has not begun yet, and a VTN that says 200 to everything."""

    def setUp(self) -> None:
        self.clock = clock()
        self.vtn = CardboardVtn()
        self.ven = SimulatedVen(self.vtn.client(self.clock))
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        self.addCleanup(self.no_timer_is_left)

    def no_timer_is_left(self) -> None:
        self.successResultOf(self.ven.stopService())
        self.assertEqual([], self.clock.getDelayedCalls())

    def begin(self, *queue: Message) -> None:
        """Register, and let the first polls get these."""
        self.vtn.queue = list(queue)
        self.ven.startService()
        self.clock.advance(0)

    def tell(self, *queue: Message, within: int = 12) -> None:
        """Let the next polls get these."""
        self.vtn.queue = list(queue)
        self.wait(within)

    def wait(self, seconds: int) -> None:
        self.clock.pump([1] * seconds)

    def kinds(self) -> list[type[Message]]:
        return [type(message) for message in self.vtn.heard]


class RegistrationTests(VenTestCase):
    def test_it_asks_registers_without_ids_polls_and_offers_its_reports(self) -> None:
        self.begin()
        self.assertEqual(
            [OadrQueryRegistration, OadrCreatePartyRegistration, OadrPoll, OadrRegisterReport], self.kinds()
        )
        [create] = self.vtn.got(OadrCreatePartyRegistration)
        self.assertEqual((None, None, "site"), (create.ven_id, create.registration_id, create.ven_name))
        self.assertEqual("ven-1", self.vtn.got(OadrPoll)[0].ven_id)
        self.assertIn("site: registered as 'ven-1', polls every 10 s", self.log.lines)

    def test_it_polls_as_often_as_asked_never_sooner_and_at_most_a_tenth_later(self) -> None:
        self.vtn.answers[OadrCreatePartyRegistration] = registered("PT20S")
        self.begin()
        times: list[float] = []
        for second in range(200):
            before = len(self.vtn.got(OadrPoll))
            self.clock.advance(1)
            times += [second] * (len(self.vtn.got(OadrPoll)) - before)
        gaps = [later - sooner for sooner, later in pairwise(times)]
        self.assertTrue(gaps and all(19 <= gap <= 23 for gap in gaps), gaps)

    def test_without_a_frequency_or_with_none_it_polls_every_ten_seconds(self) -> None:
        for frequency in (None, "PT0S"):
            self.vtn.answers[OadrCreatePartyRegistration] = registered(frequency)
            self.begin()
            polls = len(self.vtn.got(OadrPoll))
            self.wait(56)
            self.assertEqual(polls + 5, len(self.vtn.got(OadrPoll)))
            self.successResultOf(self.ven.stopService())
            self.ven.registered = False

    def test_it_polls_again_at_once_until_nothing_is_left(self) -> None:
        self.begin(OadrRegisterReport(request_id="r"), distribute(), distribute())
        self.assertEqual(4, len(self.vtn.got(OadrPoll)))

    def test_it_answers_the_offer_of_the_vtn_before_it_makes_its_own(self) -> None:
        self.begin(OadrRegisterReport(request_id="r"))
        kinds = self.kinds()
        self.assertEqual([OadrPoll, OadrRegisteredReport, OadrRegisterReport, OadrPoll], kinds[2:])
        self.assertEqual("r", self.vtn.got(OadrRegisteredReport)[0].response.request_id)

    def test_it_registers_again_with_its_ids_when_asked_to(self) -> None:
        self.begin()
        self.tell(OadrRequestReregistration(ven_id="ven-1"))
        self.assertEqual(1, len(self.vtn.got(OadrResponse)))
        again = self.vtn.got(OadrCreatePartyRegistration)[1]
        self.assertEqual(("ven-1", "reg-1"), (again.ven_id, again.registration_id))
        self.assertEqual(1, len(self.vtn.got(OadrQueryRegistration)))
        self.assertEqual(2, len(self.vtn.got(OadrRegisterReport)))

    def test_it_registers_again_even_if_its_yes_is_lost(self) -> None:
        self.begin()
        self.vtn.answers[OadrResponse] = b"lost"
        self.tell(OadrRequestReregistration(ven_id="ven-1"), within=20)
        self.assertEqual(2, len(self.vtn.got(OadrCreatePartyRegistration)))

    def test_it_says_goodbye_when_the_vtn_cancels_and_is_silent_from_then_on(self) -> None:
        self.begin()
        self.tell(OadrCancelPartyRegistration(request_id="c", registration_id="reg-1"))
        [answer] = self.vtn.got(OadrCanceledPartyRegistration)
        self.assertEqual(("c", "reg-1", "ven-1"), (answer.response.request_id, answer.registration_id, answer.ven_id))
        before = len(self.vtn.heard)
        self.wait(600)
        self.assertEqual(before, len(self.vtn.heard))
        self.assertFalse(self.ven.registered)

    def test_after_a_goodbye_it_offers_nothing(self) -> None:
        self.begin(OadrCancelPartyRegistration(request_id="c", registration_id="reg-1"))
        self.assertEqual([OadrPoll, OadrCanceledPartyRegistration], self.kinds()[2:])

    def test_a_vtn_that_does_not_know_it_is_registered_with_anew_without_ids(self) -> None:
        for code in ("452", "463"):
            self.begin()
            before = len(self.vtn.got(OadrCreatePartyRegistration))
            self.tell(OadrResponse(response=ok(code)), within=20)
            [again] = self.vtn.got(OadrCreatePartyRegistration)[before:]
            self.assertEqual((None, None), (again.ven_id, again.registration_id))
            self.successResultOf(self.ven.stopService())

    def test_a_refused_registration_is_tried_ever_more_rarely(self) -> None:
        self.vtn.answers[OadrCreatePartyRegistration] = registered(response=ok("463", "not yet approved"))
        self.begin()
        self.wait(600)
        self.assertIn(len(self.vtn.got(OadrCreatePartyRegistration)), (9, 10))
        self.assertIn("463 'not yet approved'", self.log.lines[-1])
        self.vtn.answers[OadrCreatePartyRegistration] = registered()
        self.wait(330)
        self.assertTrue(self.ven.registered)

    def test_a_registration_answered_by_something_else_is_tried_again(self) -> None:
        self.vtn.answers[OadrCreatePartyRegistration] = OadrResponse(response=ok())
        self.begin()
        self.assertFalse(self.ven.registered)
        self.wait(10)
        self.assertGreater(len(self.vtn.got(OadrCreatePartyRegistration)), 2)


class TroubleTests(VenTestCase):
    def test_no_connection_makes_a_few_lines_and_pauses_that_grow(self) -> None:
        self.begin()
        self.vtn.down = True
        self.vtn.tries = 0
        self.wait(3600)
        self.assertLess(self.vtn.tries, 25)
        self.assertGreater(self.vtn.tries, 12)
        warnings = [event for event in self.log if event["log_level"] is LogLevel.warn]
        self.assertEqual(self.vtn.tries, len(warnings))
        self.assertFalse(any("log_failure" in event for event in self.log))
        self.assertNotIn("\n", "".join(self.log.lines))

    def test_it_comes_back_and_the_next_failure_begins_with_a_short_pause(self) -> None:
        self.begin()
        self.vtn.down = True
        self.wait(600)
        self.vtn.down = False
        self.wait(330)
        self.vtn.heard.clear()
        self.vtn.down = True
        self.wait(12)
        self.assertIn("goes on in 1 s", self.log.lines[-1])

    def test_a_mistake_of_its_own_is_logged_and_not_the_end(self) -> None:
        def decide(event: EiEvent) -> str:
            raise ZeroDivisionError

        self.ven.decide = decide
        self.begin(distribute(event()))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        before = len(self.vtn.got(OadrPoll))
        self.wait(3)
        self.assertGreater(len(self.vtn.got(OadrPoll)), before)

    def test_a_message_it_has_no_use_for_is_named_and_does_not_make_it_poll_again(self) -> None:
        self.begin(OadrCreatedOpt(response=ok(), opt_id="o"))
        self.assertEqual(1, len(self.vtn.got(OadrPoll)))
        self.assertIn("oadrCreatedOpt", "".join(self.log.lines))

    def test_stopping_cuts_off_an_exchange_under_way_without_a_word(self) -> None:
        self.begin()
        self.vtn.silent = True
        self.wait(12)
        before = len(self.log)
        self.successResultOf(self.ven.stopService())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(before, len(self.log))

    def test_stopping_ends_a_pause_at_once(self) -> None:
        self.vtn.down = True
        self.begin()
        self.successResultOf(self.ven.stopService())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stopping_closes_the_kept_connections(self) -> None:
        pool = ClosablePool()
        self.ven.client.pool = pool  # type: ignore[assignment]
        self.begin()
        self.successResultOf(self.ven.stopService())
        self.assertTrue(pool.closed)

    def test_it_can_be_started_again_and_goes_on_where_it_was(self) -> None:
        self.begin()
        self.successResultOf(self.ven.stopService())
        self.begin()
        self.wait(12)
        self.assertEqual(1, len(self.vtn.got(OadrCreatePartyRegistration)))
        self.assertEqual(2, len(self.vtn.got(OadrPoll)))


class EventTests(VenTestCase):
    def answers(self) -> list[tuple[str, int, str, str]]:
        return [
            (r.qualified_event_id.event_id, r.qualified_event_id.modification_number, r.response_code, r.opt_type)
            for message in self.vtn.got(OadrCreatedEvent)
            for r in message.event_responses
        ]

    def test_it_opts_in_to_all_events_in_one_answer_under_the_requestid_of_the_message(self) -> None:
        self.begin(distribute(event("a"), event("b"), request_id="d7"))
        [answer] = self.vtn.got(OadrCreatedEvent)
        self.assertEqual([("a", 0, "200", "optIn"), ("b", 0, "200", "optIn")], self.answers())
        self.assertEqual({"d7"}, {response.request_id for response in answer.event_responses})
        self.assertIn("site: opted in to event 'a', modification 0", self.log.lines)

    def test_an_event_that_wants_no_answer_gets_none_and_is_acted_on(self) -> None:
        self.begin(distribute(event(), required="never"))
        self.assertEqual([], self.vtn.got(OadrCreatedEvent))
        self.assertEqual(["e"], list(self.ven.events))

    def test_an_empty_message_gets_no_answer(self) -> None:
        self.begin(distribute())
        self.assertEqual([], self.vtn.got(OadrCreatedEvent))

    def test_the_opt_can_be_decided_and_is_asked_for_once_per_modification(self) -> None:
        asked: list[int] = []

        def decide(event: EiEvent) -> str:
            asked.append(event.descriptor.modification_number)
            return "optOut"

        self.ven.decide = decide
        self.begin(distribute(event()), distribute(event(status="active")), distribute(event(number=1)))
        self.assertEqual([0, 1], asked)
        self.assertEqual([(number, "200", "optOut") for number in (0, 0, 1)], [one[1:] for one in self.answers()])

    def test_an_older_modification_is_out_of_sequence_and_changes_nothing(self) -> None:
        self.begin(distribute(event(number=3)), distribute(event(number=2)))
        self.assertEqual(("e", 2, "450", "optIn"), self.answers()[1])
        self.assertEqual(3, self.ven.events["e"].event.descriptor.modification_number)

    def test_a_cancellation_is_acknowledged_with_opt_in_and_the_load_returns(self) -> None:
        self.ven.decide = lambda event: "optOut"
        self.begin(distribute(event(number=1, status="cancelled")))
        self.assertEqual([("e", 1, "200", "optIn")], self.answers())
        self.assertEqual(self.ven.load(at(1)), self.ven.power(at(1)))

    def test_an_event_that_is_missing_is_cancelled(self) -> None:
        self.begin(distribute(event("a"), event("b")), distribute(event("b")))
        self.assertEqual(["b"], list(self.ven.events))
        self.assertIn("site: event 'a' is withdrawn", self.log.lines)

    def test_the_load_drops_while_an_event_is_active_and_only_then(self) -> None:
        self.begin(distribute(event(dtstart=at(60), duration="PT1M", level=3.0)))
        load, power = self.ven.load, self.ven.power
        self.assertEqual(load(at(59)), power(at(59)))
        self.assertAlmostEqual(0.4 * load(at(60)), power(at(60)))
        self.assertEqual(load(at(120)), power(at(120)))

    def test_a_tolerance_delays_it_by_chance_and_a_modification_keeps_the_delay(self) -> None:
        self.begin(distribute(event(startafter="PT10M")))
        delay = self.ven.events["e"].delay
        self.assertTrue(0 < delay.total_seconds() < 600)
        self.tell(distribute(event(number=1, startafter="PT10M")))
        self.assertEqual(delay, self.ven.events["e"].delay)

    def test_a_refused_answer_does_not_make_it_poll_in_a_loop(self) -> None:
        self.vtn.answers[OadrCreatedEvent] = OadrResponse(response=ok("452"))
        self.begin(*[distribute(event())] * 50)
        self.assertEqual(1, len(self.vtn.got(OadrPoll)))

    def test_wire_text_is_escaped_in_the_log(self) -> None:
        self.begin(distribute(event("e\nsite: registered as root")))
        self.assertNotIn("\n", "".join(self.log.lines))


class OfferTests(VenTestCase):
    def test_it_offers_usage_status_and_history_as_metadata(self) -> None:
        self.begin()
        usage, status, history = self.vtn.got(OadrRegisterReport)[0].reports
        self.assertEqual("METADATA_HISTORY_USAGE", history.report_name)
        self.assertEqual(usage.descriptions, history.descriptions)
        self.assertEqual("METADATA_TELEMETRY_USAGE", usage.report_name)
        self.assertEqual("METADATA_TELEMETRY_STATUS", status.report_name)
        self.assertEqual(["power", "energy"], [one.r_id for one in usage.descriptions])
        self.assertEqual(["W", "Wh"], [one.item_base.item_units for one in usage.descriptions])
        self.assertEqual(["status"], [one.r_id for one in status.descriptions])
        on_change = [one.sampling_rate.on_change for report in (usage, status) for one in report.descriptions]
        self.assertEqual([False, False, True], on_change)
        for report in (usage, status, history):
            self.assertEqual("0", report.report_request_id)
            self.assertTrue(report.duration)
            for one in report.descriptions:
                self.assertEqual(("site_site",), one.data_source.resource_ids)
                self.assertTrue(one.sampling_rate)

    def test_it_serves_what_the_answer_to_the_offer_asks_for_and_says_so(self) -> None:
        self.vtn.answers[OadrRegisterReport] = OadrRegisteredReport(
            response=ok(request_id="o"), report_requests=(wanted("q"), wanted("s"))
        )
        self.begin()
        [created] = self.vtn.got(OadrCreatedReport)
        self.assertEqual(("q", "s"), created.pending_reports)
        self.wait(31)
        self.assertEqual(2, len(self.vtn.got(OadrUpdateReport)))

    def test_an_answer_that_asks_for_nothing_is_not_acknowledged(self) -> None:
        self.begin()
        self.assertEqual([], self.vtn.got(OadrCreatedReport))

    def test_a_refused_offer_is_made_again(self) -> None:
        self.vtn.answers[OadrRegisterReport] = OadrRegisteredReport(response=ok("461"))
        self.begin()
        self.wait(12)
        self.assertGreater(len(self.vtn.got(OadrRegisterReport)), 1)

    def test_a_request_for_metadata_brings_the_offer_once_more(self) -> None:
        self.begin()
        request = wanted("m", specifier="METADATA", r_ids=("x",), back="PT0S")
        self.tell(OadrCreateReport(request_id="r", report_requests=(request,)))
        self.assertEqual(2, len(self.vtn.got(OadrRegisterReport)))
        self.assertEqual((), self.vtn.got(OadrCreatedReport)[0].pending_reports)

    def test_a_periodic_request_for_metadata_brings_it_each_period_until_its_end(self) -> None:
        self.begin()
        request = wanted("m", specifier="METADATA", r_ids=("x",), back="PT1M", window=(0, "PT3M"))
        self.tell(OadrCreateReport(request_id="r", report_requests=(request,)))
        self.assertEqual(("m",), self.vtn.got(OadrCreatedReport)[0].pending_reports)
        counts = []
        for _ in range(5):
            self.wait(60)
            counts.append(len(self.vtn.got(OadrRegisterReport)))
        self.assertEqual([2, 3, 4, 4, 4], counts)


class ReportTests(VenTestCase):
    def ask(self, *requests: OadrReportRequest) -> None:
        """Register, and get these requests with the first poll."""
        self.begin(OadrCreateReport(request_id="r", report_requests=requests))

    def sent(self, clock: Clock, seconds: int) -> list[tuple[int, Any]]:
        """The reports of the next ``seconds``, each with its second."""
        found: list[tuple[int, Any]] = []
        for second in range(1, seconds + 1):
            self.vtn.heard.clear()
            clock.advance(1)
            found += [(second, report) for message in self.vtn.got(OadrUpdateReport) for report in message.reports]
        return found

    def starts(self, report: Any) -> list[float]:
        return [(interval.dtstart - at(0)).total_seconds() for interval in report.intervals]

    def test_it_reports_each_period_with_a_reading_per_granularity(self) -> None:
        self.ask(wanted(r_ids=("power", "energy")))
        reports = self.sent(self.clock, 65)
        self.assertEqual([30, 60], [second for second, _ in reports])
        first, second = (report for _, report in reports)
        self.assertEqual([0, 10, 20], self.starts(first))
        self.assertEqual([30, 40, 50], self.starts(second))
        self.assertEqual(("q", "telemetry_usage"), (first.report_request_id, first.report_specifier_id))
        self.assertEqual("TELEMETRY_USAGE", first.report_name)
        power, energy = (payload.payload.value for payload in first.intervals[1].payloads)
        self.assertAlmostEqual(self.ven.power(at(10)), power, 2)
        self.assertAlmostEqual(power * 10 / 3600, energy, 2)
        self.assertEqual(at(0), first.dtstart)

    def test_history_is_that_of_the_window_or_all_there_is(self) -> None:
        windows = {"q": (-1800, "PT30M"), "s": (0, "PT0S")}
        self.ask(*(wanted(one, specifier="history_usage", granularity="PT10M", back="PT0S", window=window)
                   for one, window in windows.items()))  # fmt: skip
        reports = {one.reports[0].report_request_id: one.reports[0] for one in self.vtn.got(OadrUpdateReport)}
        self.assertEqual([*range(-1800, 0, 600)], self.starts(reports["q"]))
        self.assertEqual([*range(-3600, 0, 600)], self.starts(reports["s"]))
        self.assertEqual("HISTORY_USAGE", reports["q"].report_name)
        self.assertEqual((), self.ven.pending_reports)

    def test_history_that_is_not_over_is_sent_when_it_is(self) -> None:
        self.ask(wanted(specifier="history_usage", granularity="PT10S", back="PT0S", window=(-10, "PT20S")))
        self.assertEqual([10], [second for second, _ in self.sent(self.clock, 30)])

    def test_a_status_on_change_is_sent_once_and_when_it_is_another(self) -> None:
        self.ven.decide = lambda event: "optOut"
        self.ask(wanted(specifier="telemetry_status", r_ids=("status",), granularity="PT0S", back="PT10S"))
        self.assertEqual([10], [second for second, _ in self.sent(self.clock, 35)])
        self.tell(distribute(event(dtstart=at(0))))
        [(_, report)] = self.sent(self.clock, 35)
        self.assertTrue(report.intervals[0].payloads[0].payload.manual_override)

    def test_it_acknowledges_a_request_with_all_that_is_pending(self) -> None:
        self.ask(wanted("a"))
        self.tell(OadrCreateReport(request_id="r2", report_requests=(wanted("b"),)))
        first, second = self.vtn.got(OadrCreatedReport)
        self.assertEqual([("a",), ("a", "b")], [first.pending_reports, second.pending_reports])
        self.assertEqual(["r", "r2"], [first.response.request_id, second.response.request_id])

    def test_what_is_not_offered_is_refused_and_the_rest_is_served(self) -> None:
        self.ask(wanted("a", specifier="nothing"), wanted("b", r_ids=("power", "magic")), wanted("c"))
        [created] = self.vtn.got(OadrCreatedReport)
        self.assertEqual(("452", ("c",)), (created.response.response_code, created.pending_reports))

    def test_a_report_back_duration_of_zero_means_one_report_at_once(self) -> None:
        self.ask(wanted(back="PT0M"))
        [update] = self.vtn.got(OadrUpdateReport)
        self.assertEqual([-10], self.starts(update.reports[0]))
        self.assertEqual(("q",), self.vtn.got(OadrCreatedReport)[0].pending_reports)
        self.assertEqual((), self.ven.pending_reports)
        self.assertEqual([], self.sent(self.clock, 60))

    def test_a_single_report_may_be_wanted_later(self) -> None:
        self.ask(wanted(back="PT0S", window=(20, "PT0S")))
        self.assertEqual([20], [second for second, _ in self.sent(self.clock, 60)])

    def test_a_window_begins_and_ends_the_reports(self) -> None:
        self.ask(wanted(window=(15, "PT60S")))
        reports = self.sent(self.clock, 200)
        self.assertEqual([45, 75], [second for second, _ in reports])
        self.assertEqual((), self.ven.pending_reports)

    def test_a_window_that_ends_within_a_period_ends_with_a_shorter_report(self) -> None:
        self.ask(wanted(window=(0, "PT45S")))
        reports = self.sent(self.clock, 100)
        self.assertEqual([(30, [0, 10, 20]), (45, [30, 40])], [(t, self.starts(report)) for t, report in reports])
        self.assertEqual("PT5S", reports[-1][1].intervals[-1].duration.text)

    def test_a_window_shorter_than_a_period_ends_with_its_only_report(self) -> None:
        self.ask(wanted(window=(0, "PT20S")))
        self.assertEqual([20], [second for second, _ in self.sent(self.clock, 100)])

    def test_a_window_that_ends_while_nothing_can_be_sent_is_made_up_for(self) -> None:
        self.ask(wanted(window=(0, "PT60S")))
        self.vtn.down = True
        self.sent(self.clock, 100)
        self.vtn.down = False
        [(_, report)] = self.sent(self.clock, 200)
        self.assertEqual([0, 10, 20, 30, 40, 50], self.starts(report))

    def test_after_a_long_pause_one_report_makes_up_for_all_that_were_missed(self) -> None:
        self.ask(wanted())
        self.vtn.down = True
        self.sent(self.clock, 600)
        self.vtn.down = False
        _, report = self.sent(self.clock, 330)[0]
        self.assertLess((report.created_date_time - report.intervals[-1].dtstart).total_seconds(), 40)

    def test_readings_stand_at_whole_seconds(self) -> None:
        self.clock.advance(0.25)
        self.ask(wanted())
        [(_, report)] = self.sent(self.clock, 31)
        self.assertEqual({0}, {interval.dtstart.microsecond for interval in report.intervals})

    def test_a_window_of_duration_zero_has_no_end(self) -> None:
        self.ask(wanted(window=(0, "PT0S")))
        self.assertEqual(20, len(self.sent(self.clock, 600)))

    def test_a_window_that_began_in_the_past_keeps_its_rhythm(self) -> None:
        self.ask(wanted(window=(-100, "PT0S")))
        self.assertEqual([], self.vtn.got(OadrUpdateReport))
        self.assertEqual([20, 50], [second for second, _ in self.sent(self.clock, 60)])

    def test_a_window_that_is_past_is_not_served(self) -> None:
        self.ask(wanted(window=(-100, "PT60S")))
        [created] = self.vtn.got(OadrCreatedReport)
        self.assertEqual(("200", ()), (created.response.response_code, created.pending_reports))

    def test_without_a_granularity_each_report_has_one_reading(self) -> None:
        self.ask(wanted("q", specifier="telemetry_status", r_ids=("status",), granularity="PT0S"))
        [(_, report)] = self.sent(self.clock, 31)
        [interval] = report.intervals
        payload = interval.payloads[0].payload
        self.assertEqual((True, False), (payload.online, payload.manual_override))
        self.assertEqual("TELEMETRY_STATUS", report.report_name)

    def test_the_status_is_overridden_while_an_event_it_opted_out_of_is_active(self) -> None:
        self.ven.decide = lambda event: "optOut"
        request = wanted("q", specifier="telemetry_status", r_ids=("status",))
        self.begin(distribute(event()), OadrCreateReport(request_id="r", report_requests=(request,)))
        [(_, report)] = self.sent(self.clock, 31)
        self.assertTrue(report.intervals[0].payloads[0].payload.manual_override)

    def test_periods_that_are_absurd_are_bent_to_what_can_be_counted(self) -> None:
        self.ask(wanted("fast", back="-PT5S", granularity="-PT5S"), wanted("slow", back="P9000Y", granularity="P9000Y"))
        self.assertEqual(("fast", "slow"), self.ven.pending_reports)
        self.assertEqual(10, len(self.sent(self.clock, 10)))

    def test_a_cancel_stops_the_reports_at_once_and_tells_what_remains(self) -> None:
        self.ask(wanted("a"), wanted("b"))
        self.tell(OadrCancelReport(request_id="c", report_request_ids=("a",), report_to_follow=False))
        [answer] = self.vtn.got(OadrCanceledReport)
        self.assertEqual(("200", "c"), (answer.response.response_code, answer.response.request_id))
        self.assertEqual(("b",), answer.pending_reports)
        self.assertEqual({"b"}, {report.report_request_id for _, report in self.sent(self.clock, 60)})

    def test_a_cancel_with_a_report_to_follow_brings_one_more_when_it_is_due(self) -> None:
        self.ask(wanted("a"))
        self.tell(OadrCancelReport(request_id="c", report_request_ids=("a",), report_to_follow=True))
        self.assertEqual(("a",), self.vtn.got(OadrCanceledReport)[0].pending_reports)
        self.assertEqual([18], [second for second, _ in self.sent(self.clock, 120)])
        self.assertEqual((), self.ven.pending_reports)

    def test_a_cancel_of_something_unknown_is_an_invalid_id(self) -> None:
        self.ask(wanted("a"))
        self.tell(OadrCancelReport(request_id="c", report_request_ids=("a", "z"), report_to_follow=False))
        [answer] = self.vtn.got(OadrCanceledReport)
        self.assertEqual(("452", ()), (answer.response.response_code, answer.pending_reports))

    def test_a_cancel_inside_the_answer_to_a_report_counts(self) -> None:
        self.vtn.answers[OadrUpdateReport] = OadrUpdatedReport(
            response=ok(),
            cancel_report=OadrCancelReport(request_id="c", report_request_ids=("q",), report_to_follow=False),
        )
        self.ask(wanted())
        self.assertEqual(1, len(self.sent(self.clock, 120)))
        self.assertEqual((), self.ven.pending_reports)

    def test_a_report_that_the_vtn_never_asked_for_is_dropped(self) -> None:
        self.vtn.answers[OadrUpdateReport] = OadrUpdatedReport(response=ok("452"))
        self.ask(wanted())
        self.assertEqual(1, len(self.sent(self.clock, 120)))
        self.assertEqual((), self.ven.pending_reports)

    def test_readings_that_could_not_be_sent_go_with_a_later_report(self) -> None:
        self.ask(wanted())
        self.vtn.down = True
        self.sent(self.clock, 70)
        self.vtn.down = False
        _, report = self.sent(self.clock, 130)[0]
        starts = self.starts(report)
        self.assertEqual(list(range(0, int(starts[-1]) + 10, 10)), starts)
        self.assertGreaterEqual(starts[-1], 50)

    def test_a_single_report_that_could_not_be_sent_is_sent_later(self) -> None:
        self.ask(wanted(back="PT0S", window=(20, "PT0S")))
        self.vtn.answers[OadrUpdateReport] = b"lost"
        self.sent(self.clock, 25)
        self.vtn.answers[OadrUpdateReport] = OadrUpdatedReport(response=ok())
        self.assertEqual(1, len(self.sent(self.clock, 60)))
        self.assertEqual((), self.ven.pending_reports)

    def test_it_keeps_an_hour_of_readings_and_no_more(self) -> None:
        self.ask(wanted(granularity="PT1M", back="PT10M"))
        self.vtn.down = True
        self.clock.pump([60] * 180)
        self.vtn.down = False
        self.clock.pump([60] * 11)
        first = self.vtn.got(OadrUpdateReport)[0].reports[0]
        self.assertEqual(60, len(first.intervals))

    def test_a_new_registration_ends_what_was_requested_before(self) -> None:
        self.ask(wanted())
        self.tell(OadrRequestReregistration(ven_id="ven-1"))
        self.assertEqual((), self.ven.pending_reports)

    def test_the_data_of_a_vtn_is_taken_note_of(self) -> None:
        self.begin(OadrUpdateReport(request_id="u"))
        self.assertEqual("u", self.vtn.got(OadrUpdatedReport)[0].response.request_id)

    def test_the_first_report_of_a_request_is_told_and_the_others_are_not(self) -> None:
        self.ask(wanted(r_ids=("power", "energy")))
        self.wait(120)
        told = [line for line in self.log.lines if "readings" in line]
        self.assertEqual(["site: sent 6 readings of telemetry_usage, and will every 30 s"], told)

    def test_events_show_in_the_readings(self) -> None:
        self.begin(distribute(event(level=3.0)), OadrCreateReport(request_id="r", report_requests=(wanted(),)))
        [(_, report)] = self.sent(self.clock, 31)
        self.assertAlmostEqual(0.4 * self.ven.load(at(10)), report.intervals[1].payloads[0].payload.value, 2)


class FleetTests(SynchronousTestCase):
    def test_the_vens_begin_one_after_the_other_and_stop_together(self) -> None:
        time = clock()
        vtn = CardboardVtn()
        many = Fleet([vtn.client(time, ven_name=f"site{n}") for n in range(3)], gap=2.0)
        many.startService()
        counts = []
        for _ in range(6):
            time.advance(1)
            counts.append(len(vtn.got(OadrCreatePartyRegistration)))
        self.assertEqual([1, 2, 2, 3, 3, 3], counts)
        self.successResultOf(many.stopService())
        self.assertEqual([], time.getDelayedCalls())

    def test_stopping_reaches_those_that_have_not_begun(self) -> None:
        time = clock()
        vtn = CardboardVtn()
        many = Fleet([vtn.client(time, ven_name=f"site{n}") for n in range(3)], gap=60.0)
        many.startService()
        self.successResultOf(many.stopService())
        time.pump([60] * 5)
        self.assertEqual([], vtn.heard)

    def test_each_ven_has_its_own_load_and_the_same_one_every_time(self) -> None:
        time = clock()
        vtn = CardboardVtn()
        one, two = (
            [ven.power(at(0)) for ven in Fleet([vtn.client(time, ven_name=name) for name in ("a", "b")]).vens]
            for _ in range(2)
        )
        self.assertEqual(one, two)
        self.assertNotEqual(one[0], one[1])

    def test_a_decision_is_that_of_all(self) -> None:
        time = clock()
        vtn = CardboardVtn()
        many = Fleet([vtn.client(time)], decide=lambda event: "optOut")
        vtn.queue = [distribute(event())]
        many.startService()
        time.advance(0)
        self.assertEqual("optOut", vtn.got(OadrCreatedEvent)[0].event_responses[0].opt_type)
        self.successResultOf(many.stopService())


class ScriptTests(VenTestCase):
    """A VEN that is led step by step."""

    def does(self, step: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(step))

    def test_it_does_one_step_at_a_time_and_says_what_a_poll_brought(self) -> None:
        self.does(self.ven.register())
        self.vtn.queue = [distribute(event())]
        self.assertIsInstance(self.does(self.ven.poll()), OadrDistributeEvent)
        self.assertEqual(["e"], [*self.ven.events])
        self.assertIsInstance(self.does(self.ven.poll()), OadrResponse)
        self.clock.advance(100)
        self.assertEqual(2, len(self.vtn.got(OadrPoll)))

    def test_a_report_is_waited_for(self) -> None:
        self.does(self.ven.register())
        self.vtn.queue = [OadrCreateReport(request_id="r", report_requests=(wanted(back="PT30S"),))]
        self.does(self.ven.poll())
        sending = Deferred.fromCoroutine(self.ven.report())
        self.clock.advance(29)
        self.assertEqual([], self.vtn.got(OadrUpdateReport))
        self.clock.advance(1)
        self.successResultOf(sending)
        self.assertEqual(1, len(self.vtn.got(OadrUpdateReport)))


class DispatchTests(SynchronousTestCase):
    def test_everything_that_a_poll_may_bring_has_an_answer(self) -> None:
        brings = {
            OadrDistributeEvent, OadrCreateReport, OadrRegisterReport, OadrCancelReport, OadrUpdateReport,
            OadrCancelPartyRegistration, OadrRequestReregistration,
        }  # fmt: skip
        self.assertEqual(brings, set(fleet.ANSWERS))


class OwnWayTests(VenTestCase):
    """What a simulation may have in place of what the VTN asks for."""

    def test_its_own_poll_frequency(self) -> None:
        self.ven.poll_frequency = timedelta(seconds=3)
        self.begin()
        self.wait(60)
        self.assertTrue(14 <= len(self.vtn.got(OadrPoll)) <= 21, len(self.vtn.got(OadrPoll)))

    def test_its_own_report_period(self) -> None:
        self.ven.report_period = timedelta(seconds=5)
        self.begin(OadrCreateReport(request_id="r", report_requests=(wanted("q", back="PT30S"),)))
        self.wait(31)
        self.assertEqual(6, len(self.vtn.got(OadrUpdateReport)))

    def test_the_first_report_of_such_a_period_comes_after_a_part_of_it(self) -> None:
        self.ven.report_period = timedelta(seconds=1000)
        self.begin(OadrCreateReport(request_id="r", report_requests=(wanted("q", back="PT30S"),)))
        times: list[int] = []
        for second in range(0, 3000, 10):
            self.wait(10)
            times += [second] * (len(self.vtn.got(OadrUpdateReport)) - len(times))
        self.assertEqual([1000, 1000], [later - before for before, later in pairwise(times)])
        self.assertTrue(0 < times[0] < 1000, times)

    def test_it_sends_opts_as_often_as_it_is_told_and_always_the_same_one(self) -> None:
        self.ven.opts_per_hour = 36.0
        self.begin()
        self.wait(3600)
        opts = self.vtn.got(OadrCreateOpt)
        self.assertTrue(20 <= len(opts) <= 55, len(opts))
        self.assertEqual({("site_tomorrow", 1)}, {(opt.opt_id, len(opt.available)) for opt in opts})
        self.assertEqual({"optIn", "optOut"}, {opt.opt_type for opt in opts})

    def test_its_own_longest_pause_after_failures(self) -> None:
        self.ven.longest_pause = 4.0
        self.vtn.down = True
        self.begin()
        self.wait(100)
        before = self.vtn.tries
        self.wait(100)
        self.assertTrue(20 <= self.vtn.tries - before <= 30, self.vtn.tries - before)

    def test_it_goes_on_with_a_registration_of_before(self) -> None:
        self.ven.resume("ven-7", "reg-7")
        self.begin()
        self.wait(25)
        self.assertEqual({OadrPoll}, set(self.kinds()))
        self.assertEqual({"ven-7"}, {poll.ven_id for poll in self.vtn.got(OadrPoll)})

    def test_without_that_it_sends_none(self) -> None:
        self.begin()
        self.wait(600)
        self.assertEqual([], self.vtn.got(OadrCreateOpt))
