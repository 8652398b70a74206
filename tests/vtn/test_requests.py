"""What operators ask of a VEN, and what they take back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, WantedReport
from oadrvtn.model.errors import InvalidData, InvalidID, NotAllowed, VtnError
from oadrvtn.model.report import OadrCancelReport, OadrSamplingRate, OadrUpdatedReport
from oadrvtn.model.values import Duration
from oadrvtn.storage import reports
from oadrvtn.vtn import requests
from oadrvtn.vtn.requests import MOST_REQUESTS, RequestSpec

from .house import START, House, offered, reading

POLL = 10.0
RATE = OadrSamplingRate(min_period=Duration("PT10S"), max_period=Duration("PT1H"), on_change=False)
ON_CHANGE = RATE.evolve(on_change=True)


class RequestTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()
        self.ven.offer(
            offered("TELEMETRY_USAGE", "power", "energy", sampling_rate=RATE),
            offered("TELEMETRY_STATUS", "online", specifier="status"),
            offered("HISTORY_USAGE", "power", specifier="history", sampling_rate=RATE),
            offered("TELEMETRY_USAGE", "valve", specifier="valves", sampling_rate=ON_CHANGE),
        )

    def ask(self, *specs: dict[str, Any]) -> list[reports.ReportRequest]:
        made = [RequestSpec(**{"report_specifier_id": "usage", **spec}) for spec in specs]
        return self.house.write(requests.request, "ven-1", made)

    def cancel(self, *ids: str, follow: bool = False) -> list[reports.ReportRequest]:
        return self.house.write(requests.cancel, "ven-1", ids, follow)

    def running(self, **spec: Any) -> str:
        """A periodic request that the VEN has accepted."""
        [request] = self.ask({"granularity": 60.0, "report_back_duration": 300.0, **spec})
        running = (one.report_request_id for one in self.house.read(reports.requests_of, "ven-1", ["accepted"]))
        self.ven.created_report(*running, request.report_request_id, request_id=self.ven.poll().request_id)
        return request.report_request_id

    def state(self, report_request_id: str) -> str:
        return self.house.read(reports.get_request, "ven-1", report_request_id).state


class AskingTests(RequestTestCase):
    def polled(self, **spec: Any) -> Any:
        """What the VEN is asked by the next poll."""
        [request] = self.ask(spec)
        [polled] = self.ven.poll().report_requests
        self.assertEqual(request.report_request_id, polled.report_request_id)
        return polled.report_specifier

    def shape(self, **spec: Any) -> tuple[str, str, Any]:
        """Granularity, reportBackDuration and interval of what is asked."""
        specifier = self.polled(**spec)
        window = specifier.report_interval
        return (
            str(specifier.granularity), str(specifier.report_back_duration),
            window and ((window.dtstart - START).total_seconds(), str(window.duration)),
        )  # fmt: skip

    def test_each_kind_of_request_has_its_shape(self) -> None:
        later, before = START + timedelta(minutes=2), START - timedelta(minutes=30)
        sampled = {"granularity": 60.0, "report_back_duration": 120.0}
        for what, spec, shape in (
            ("one", {}, ("PT0S", "PT0S", None)),
            ("endless", sampled, ("PT1M", "PT2M", (0, "PT0S"))),
            ("for a time", {**sampled, "duration": 600.0}, ("PT1M", "PT2M", (0, "PT10M"))),
            ("from then on", {**sampled, "dtstart": later}, ("PT1M", "PT2M", (120, "PT0S"))),
            ("on change", {"report_specifier_id": "status", "report_back_duration": 60.0},
             ("PT0S", "PT1M", (0, "PT0S"))),
            ("a valve on change", {"report_specifier_id": "valves", "report_back_duration": 60.0},
             ("PT0S", "PT1M", (0, "PT0S"))),
            ("a window", {"report_specifier_id": "history", "dtstart": before, "duration": 1800.0},
             ("PT0S", "PT0S", (-1800, "PT30M"))),
            ("all there is", {"report_specifier_id": "history", "duration": 0.0}, ("PT0S", "PT0S", (0, "PT0S"))),
            ("METADATA", {"report_specifier_id": "METADATA"}, ("PT0S", "PT0S", None)),
            ("METADATA again and again", {"report_specifier_id": "METADATA", "report_back_duration": 60.0},
             ("PT0S", "PT1M", (0, "PT0S"))),
        ):  # fmt: skip
            self.assertEqual(shape, self.shape(**spec), what)

    def test_all_data_points_are_meant_unless_some_are_named(self) -> None:
        for r_ids in ((), ("energy",), ("power", "energy")):
            named = self.polled(r_ids=r_ids).specifier_payloads
            self.assertEqual(r_ids or ("energy", "power"), tuple(point.r_id for point in named))

    def test_metadata_has_the_one_point_that_the_schema_wants(self) -> None:
        [point] = self.polled(report_specifier_id="METADATA").specifier_payloads
        self.assertEqual("x-notApplicable", point.reading_type)

    def test_several_go_in_one_message_and_are_taken_by_one_answer(self) -> None:
        asked = [request.report_request_id for request in self.ask({}, {"report_specifier_id": "status"})]
        polled = self.ven.poll()
        self.assertEqual(asked, [request.report_request_id for request in polled.report_requests])
        self.ven.created_report(request_id=polled.request_id)
        self.assertEqual(["accepted", "accepted"], [self.state(one) for one in asked])

    def test_data_for_one_of_them_says_that_all_have_arrived(self) -> None:
        asked = [request.report_request_id for request in self.ask({}, {"report_specifier_id": "status"})]
        self.ven.report(asked[0], reading("power", 1))
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_a_refusal_is_kept_with_its_code_for_all_of_them(self) -> None:
        asked = [request.report_request_id for request in self.ask({}, {"report_specifier_id": "status"})]
        self.ven.created_report(code="461", request_id=self.ven.poll().request_id)
        for one in asked:
            found = self.house.read(reports.get_request, "ven-1", one)
            self.assertEqual(("refused", "461"), (found.state, found.response_code))

    def test_one_for_a_time_is_done_with_the_report_that_comes_at_its_end(self) -> None:
        asked = self.running(duration=600.0)
        told = []
        for minute in (5, 10):
            self.house.live(300)
            self.ven.report(asked, reading("power", 1.0, 60 * minute))
            told.append(self.state(asked))
        self.assertEqual(["accepted", "done"], told)
        self.assertEqual("200", self.ven.report(asked, reading("power", 2.0, 60)).response.response_code)
        self.assertEqual(3, len(self.house.sql("SELECT * FROM readings")))

    def test_or_when_the_ven_lists_it_no_more_thereafter(self) -> None:
        asked = self.running(duration=600.0)
        self.house.live(600)
        later = self.ask({"granularity": 60.0, "report_back_duration": 300.0})[0].report_request_id
        self.ven.created_report(later, request_id=self.ven.poll().request_id)
        self.assertEqual(("done", "accepted"), (self.state(asked), self.state(later)))

    def test_what_the_ven_does_not_offer_is_refused_with_all_places(self) -> None:
        minute = {"granularity": 60.0, "report_back_duration": 60.0}
        for spec, places in (
            ({"report_specifier_id": "x"},
             {"report_specifier_id": ("history", "status", "usage", "valves", "METADATA")}),
            ({"r_ids": ("x", "power", "power")}, {"r_ids[0]": ("energy", "power"), "r_ids[2]": ()}),
            ({"granularity": 1.5, "report_back_duration": -1.0, "duration": 0.1, "dtstart": START},
             {"granularity": (), "report_back_duration": (), "duration": ()}),
            ({**minute, "granularity": 5.0}, {"granularity": ("10 to 3600 s",)}),
            ({"granularity": 7200.0, "report_back_duration": 7200.0}, {"granularity": ("10 to 3600 s",)}),
            ({"granularity": 120.0, "report_back_duration": 60.0}, {"granularity": ()}),
            ({"report_back_duration": 60.0}, {"granularity": ()}),
            ({**minute, "dtstart": START - timedelta(hours=2), "duration": 3600.0}, {"duration": ()}),
            ({"duration": 60.0}, {"dtstart": ()}),
            ({"duration": 1e20}, {"duration": ()}),
            ({"duration": float("inf")}, {"duration": ()}),
            ({**minute, "duration": 1e10, "dtstart": START.replace(year=9999)}, {"duration": ()}),
            ({"report_specifier_id": "METADATA", "r_ids": ("a",), "granularity": 1.0},
             {"r_ids": (), "granularity": ("0",)}),
        ):  # fmt: skip
            mistakes = self.assertRaises(InvalidData, self.ask, {}, spec).mistakes
            expected = {f"requests[1].{place}": allowed for place, allowed in places.items()}
            self.assertEqual(expected, {mistake.place: mistake.allowed for mistake in mistakes}, spec)
        self.assertEqual([], self.house.sql("SELECT * FROM report_requests"))

    def test_one_message_holds_so_many(self) -> None:
        for many in (0, MOST_REQUESTS + 1):
            [mistake] = self.assertRaises(InvalidData, self.ask, *[{}] * many).mistakes
            self.assertEqual("requests", mistake.place)
        self.assertEqual(MOST_REQUESTS, len(self.ask(*[{}] * MOST_REQUESTS)))

    def test_a_ven_must_be_there_and_registered(self) -> None:
        self.house.stranger("ven-2")
        for ven_id, error in (("ven-2", NotAllowed), ("ven-3", InvalidID)):
            spec = [RequestSpec(report_specifier_id="METADATA")]
            self.assertRaises(error, self.house.write, requests.request, ven_id, spec)

    def test_a_ven_that_offered_nothing_can_be_asked_for_metadata(self) -> None:
        self.house.ven("ven-2")
        self.house.write(requests.request, "ven-2", [RequestSpec(report_specifier_id="METADATA")])


class AgainTests(RequestTestCase):
    """A VEN that registers again."""

    def register(self) -> None:
        self.ven.register()
        self.ven.take_register_report()

    def test_what_it_never_answered_is_asked_again_under_the_same_id(self) -> None:
        [request] = self.ask({})
        self.ven.poll()
        self.register()
        [again] = self.ven.poll().report_requests
        self.assertEqual(request.report_request_id, again.report_request_id)

    def test_so_it_is_after_the_end_of_a_registration_and_what_was_given_up(self) -> None:
        [request] = self.ask({})
        for _ in range(11):
            self.ven.poll()
            self.house.after(POLL)
        self.assertEqual([("given_up",)], self.house.sql("SELECT state FROM outbox WHERE kind = 'create_report'"))
        self.register()
        [again] = self.ven.poll().report_requests
        self.assertEqual(request.report_request_id, again.report_request_id)

    def test_what_ran_is_over(self) -> None:
        running = self.running()
        self.register()
        self.assertEqual("oadrResponse", self.ven.poll().name())
        self.assertEqual("superseded", self.state(running))

    def test_its_new_offer_does_not_take_the_place_of_what_waits(self) -> None:
        running = self.running()
        [request] = self.ask({})
        self.ven.register()
        self.ven.take_register_report()
        self.ven.offer_reports("power")
        [again] = self.ven.poll().report_requests
        self.assertEqual(
            (request.report_request_id, "requested", "superseded"),
            (again.report_request_id, self.state(request.report_request_id), self.state(running)),
        )

    def test_what_it_refused_is_not(self) -> None:
        self.ask({})
        self.ven.created_report(code="452", request_id=self.ven.poll().request_id)
        self.register()
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_more_than_one_message_holds_comes_in_several(self) -> None:
        for _ in range(2):
            self.ask(*[{}] * 15)
        self.register()
        polled = [len(self.ven.poll().report_requests) for _ in range(2)]
        self.assertEqual([20, 10], polled)

    def test_metadata_that_are_sent_each_period_may_change(self) -> None:
        [request] = self.ask({"report_specifier_id": "METADATA", "report_back_duration": 60.0})
        self.ven.created_report(request.report_request_id, request_id=self.ven.poll().request_id)
        other = offered("TELEMETRY_USAGE", "power", "other").evolve(report_request_id=request.report_request_id)
        self.ven.offer(other)
        self.assertEqual("accepted", self.state(request.report_request_id))
        running = self.running()
        self.ven.offer(other)
        self.assertEqual("accepted", self.state(running), "the same METADATA once more end nothing")


class CancellingTests(RequestTestCase):
    def test_a_report_stops_when_the_ven_says_so(self) -> None:
        running = self.running()
        [request] = self.cancel(running)
        self.assertEqual((running, "cancelling"), (request.report_request_id, request.state))
        stop = self.ven.poll()
        self.assertEqual(((running,), False), (stop.report_request_ids, stop.report_to_follow))
        self.ven.canceled_report(request_id=stop.request_id)
        self.assertEqual("cancelled", self.state(running))

    def test_several_stop_by_one_message(self) -> None:
        running = (self.running(), self.running(r_ids=("power",)))
        self.cancel(*running)
        stop = self.ven.poll()
        self.assertEqual(running, stop.report_request_ids)
        self.ven.canceled_report(running[1], request_id=stop.request_id)
        self.assertEqual(["cancelled", "cancelling"], [self.state(one) for one in running])

    def test_what_was_not_asked_yet_is_not_asked_any_more(self) -> None:
        [request] = self.ask({})
        self.cancel(request.report_request_id)
        self.assertIsInstance(self.ven.poll(), OadrCancelReport)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_a_refused_cancel_leaves_it_running_with_the_code(self) -> None:
        running = self.running()
        self.cancel(running)
        self.ven.canceled_report(code="451", request_id=self.ven.poll().request_id)
        request = self.house.read(reports.get_request, "ven-1", running)
        self.assertEqual(("accepted", "451"), (request.state, request.response_code))

    def test_one_that_the_ven_does_not_know_is_over(self) -> None:
        running = self.running()
        self.cancel(running)
        self.ven.canceled_report(code="452", request_id=self.ven.poll().request_id)
        self.assertEqual("cancelled", self.state(running))

    def test_a_last_report_may_follow(self) -> None:
        running = self.running()
        self.cancel(running, follow=True)
        stop = self.ven.poll()
        self.assertTrue(stop.report_to_follow)
        self.ven.canceled_report(running, request_id=stop.request_id)
        self.assertEqual("cancelling", self.state(running))
        self.ven.report(running, reading("power", 1))
        self.assertEqual("cancelled", self.state(running))
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_a_ven_that_goes_on_is_told_three_times_in_all(self) -> None:
        running = self.running()
        self.cancel(running)
        told = 0
        while (message := self.ven.poll()).name() == "oadrCancelReport":
            told += 1
            self.ven.canceled_report(running, request_id=message.request_id)
        self.assertEqual((3, "cancelling"), (told, self.state(running)))

    def test_a_ven_that_never_answers_may_just_stop(self) -> None:
        running = self.running()
        self.cancel(running)
        self.ven.poll()
        self.running(r_ids=("power",))  # its answer lists what runs
        self.assertEqual("cancelled", self.state(running))
        self.house.after(POLL)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_data_that_still_comes_is_answered_with_the_cancel(self) -> None:
        running = self.running()
        self.cancel(running)
        reply = self.ven.report(running, reading("power", 1))
        self.assertIsInstance(reply, OadrUpdatedReport)
        self.assertEqual((running,), reply.cancel_report.report_request_ids)
        self.assertEqual("oadrResponse", self.ven.poll().name(), "it is leased like what a poll brings")
        self.assertIsNone(self.ven.report(running, reading("power", 1, 60)).cancel_report)
        self.house.after(2 * POLL)
        self.assertEqual(reply.cancel_report, self.ven.report(running, reading("power", 1, 120)).cancel_report)
        self.ven.canceled_report(request_id=reply.cancel_report.request_id)
        self.assertEqual("cancelled", self.state(running))

    def test_a_ven_that_does_not_heed_the_answers_to_its_data_is_told_by_a_poll_between_them(self) -> None:
        running = self.running()
        self.cancel(running)
        self.ven.report(running, reading("power", 1))
        self.house.after(0.5 * POLL)
        self.assertEqual("oadrResponse", self.ven.poll().name(), "it is leased")
        self.house.after(0.5 * POLL)
        self.assertIsNone(self.ven.report(running, reading("power", 1, 60)).cancel_report, "a poll comes first")
        self.house.after(0.5 * POLL)
        self.assertEqual("oadrCancelReport", self.ven.poll().name())

    def test_what_a_poll_has_just_brought_is_not_repeated_with_the_data(self) -> None:
        running = self.running()
        self.cancel(running)
        self.ven.poll()
        self.assertIsNone(self.ven.report(running, reading("power", 1)).cancel_report)

    def test_data_of_another_report_does_not_carry_it(self) -> None:
        running, other = self.running(), self.running(r_ids=("power",))
        self.cancel(running)
        self.assertIsNone(self.ven.report(other, reading("power", 1)).cancel_report)

    def test_every_way_counts_as_an_offer(self) -> None:
        running = self.running()
        self.cancel(running)
        carried = 0
        for number in range(25):
            carried += self.ven.report(running, reading("power", 1, 60 * number)).cancel_report is not None
            self.house.after(POLL)
            if number % 4 == 0:
                self.house.round()
        self.assertEqual(10, carried)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_the_answer_to_data_stays_true_where_the_cancel_cannot_be_read(self) -> None:
        running = self.running()
        self.cancel(running)
        entry, read = self.ven.entry, self.house.database.read
        self.patch(self.house.database, "read", lambda name, *rest: read(name, lambda txn, *rest: 1 / 0, *rest[1:]))
        self.patch(self.house.vtn, "identify", lambda full: read("identify", lambda txn: entry))
        self.assertEqual("200", self.ven.report(running, reading("power", 1)).response.response_code)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_unknown_requests_and_those_that_are_over_are_refused_with_their_places(self) -> None:
        running = self.running()
        self.house.ven("ven-2")
        for error, ids, places in (
            (InvalidData, (), ["report_request_ids"]),
            (InvalidID, ("x", running), ["report_request_ids[0]"]),
        ):
            refusal: VtnError = self.assertRaises(error, self.cancel, *ids)
            self.assertEqual(places, [mistake.place for mistake in refusal.mistakes])
        self.assertRaises(InvalidID, self.house.write, requests.cancel, "ven-2", [running], False)
        self.cancel(running)
        self.ven.canceled_report(request_id=self.ven.poll().request_id)
        [mistake] = self.assertRaises(NotAllowed, self.cancel, running).mistakes
        self.assertEqual("report_request_ids[0]", mistake.place)

    def test_data_that_come_on_after_the_word_was_given_up_are_answered_by_it(self) -> None:
        running = self.running()
        self.cancel(running)
        self.assertEqual(["oadrCancelReport"] * 10 + ["oadrResponse"], self.ven.poll_names(11, every=POLL))
        self.house.round()
        self.ven.poll()
        told = self.ven.report(running, reading("power", 1.0)).cancel_report
        self.assertEqual((running,), told.report_request_ids)

    def test_told_again_by_the_operator_only_the_newest_word_is_sent(self) -> None:
        running = self.running()
        self.cancel(running, follow=True)
        self.cancel(running)
        self.assertFalse(self.ven.poll().report_to_follow)
        self.assertEqual("oadrResponse", self.ven.poll().name())


class WishTests(SynchronousTestCase):
    def test_what_a_wish_asks_can_be_taken_back_at_one_ven_until_it_registers_again(self) -> None:
        house = House(Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"),)))
        ven = house.ven()
        [request] = ven.offer_reports("power").report_requests
        house.write(requests.cancel, "ven-1", [request.report_request_id], False)
        ven.canceled_report(request_id=ven.poll().request_id)
        house.open()
        self.assertEqual("oadrResponse", ven.poll().name())
        ven.register()
        ven.take_register_report()
        self.assertEqual(1, len(ven.offer_reports("power").report_requests))
