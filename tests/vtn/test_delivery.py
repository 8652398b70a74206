"""What a VEN gets that polls, when, how often, and what ends it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, Offer, OfferedPoint, Registration, WantedReport
from oadrvtn.model.errors import InvalidID
from oadrvtn.model.event import OadrDistributeEvent
from oadrvtn.model.party import OadrRequestReregistration, OadrResponse
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
)
from oadrvtn.storage import events as event_rows
from oadrvtn.storage.vens import get as ven_row
from oadrvtn.vtn import outbox, registration, requests
from oadrvtn.vtn.changes import Changes
from oadrvtn.vtn.duties import INTERVAL
from oadrvtn.vtn.requests import RequestSpec
from oadrvtn.wire.codec import to_xml

from .house import House, response

POLL = 10.0


class LeaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def test_an_idle_poll_gets_an_oadr_response(self) -> None:
        reply = self.ven.poll()
        self.assertIsInstance(reply, OadrResponse)
        self.assertEqual(("200", "ven-1"), (reply.response.response_code, reply.ven_id))

    def test_an_unanswered_event_is_not_sent_again_before_its_lease_is_over(self) -> None:
        self.house.event()
        self.assertEqual(["oadrDistributeEvent", *["oadrResponse"] * 8], self.ven.poll_names(9, every=0.9))
        self.assertEqual(["oadrDistributeEvent"], self.ven.poll_names(1))

    def test_a_ven_that_polls_in_its_interval_gets_what_it_did_not_answer_each_time(self) -> None:
        self.house.event()
        self.assertEqual(["oadrDistributeEvent"] * 3, self.ven.poll_names(3, every=POLL))

    def test_a_new_event_is_not_held_back_by_the_lease_of_an_older_one(self) -> None:
        self.house.event(event_id="old")
        self.ven.poll()
        self.house.after(1)
        self.house.event(event_id="new")
        self.assertEqual(2, len(self.ven.poll().events))
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_an_answer_to_the_newest_event_does_not_end_the_lease_of_the_older(self) -> None:
        self.house.event(event_id="old")
        self.house.after(1)
        self.house.event(event_id="new")
        self.ven.poll()
        self.ven.answer(("new", 0))
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_a_changed_event_is_sent_at_once(self) -> None:
        event = self.house.event()
        self.ven.poll()
        self.house.after(1)
        self.house.modify(event.event_id, priority=1)
        [shown] = self.ven.poll().events
        self.assertEqual(1, shown.event.descriptor.modification_number)

    def test_no_events_come_while_all_of_them_are_answered(self) -> None:
        self.house.event()
        self.ven.answer_all(self.ven.poll())
        self.assertEqual(["oadrResponse"] * 20, self.ven.poll_names(20, every=POLL))

    def test_an_answered_event_comes_along_when_another_is_sent(self) -> None:
        self.house.event(event_id="first")
        self.ven.answer_all(self.ven.poll())
        self.house.after(1)
        self.house.event(event_id="second")
        self.assertEqual({"first", "second"}, {shown.event.descriptor.event_id for shown in self.ven.poll().events})

    def test_asking_for_events_leases_them_like_a_poll(self) -> None:
        self.house.event()
        self.assertEqual(1, len(self.ven.request_event().events))
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.house.after(POLL)
        self.assertEqual(["oadrDistributeEvent"], self.ven.poll_names(1))

    def test_a_cut_off_reply_leases_nothing(self) -> None:
        self.house.event(event_id="one")
        self.house.event(event_id="two")
        self.assertEqual(1, len(self.ven.request_event(reply_limit=1).events))
        self.assertEqual(2, len(self.ven.poll().events))

    def test_asking_for_events_is_always_answered_by_oadr_distribute_event(self) -> None:
        reply = self.ven.request_event()
        assert reply.response
        self.assertEqual(((), "200", "ask"), (reply.events, reply.response.response_code, reply.response.request_id))

    def test_polled_events_carry_no_ei_response(self) -> None:
        self.house.event()
        self.assertIsNone(self.ven.poll().response)

    def test_a_poll_with_nothing_to_deliver_asks_the_database_nothing(self) -> None:
        self.ven.poll()
        asked: list[str] = []
        for way in ("run", "read"):
            self.patch(self.house.database, way, lambda name, *arguments: asked.append(name))
        for _ in range(5):
            self.ven.poll()
        self.assertEqual([], asked)


class NeverTests(SynchronousTestCase):
    """Events to which no answer is due."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()
        self.event = self.house.event(response_required="never")

    def line(self) -> event_rows.Line:
        return self.house.read(event_rows.line, "ven-1", self.event.event_id, 0)

    def test_a_ven_that_registers_anew_is_shown_it_twice_again_whatever_was_counted_before(self) -> None:
        """What reached it before was to somebody who has forgotten: flushed by then, or not."""
        for flushed in (False, True):
            self.assertEqual(["oadrDistributeEvent"] * 2, self.ven.poll_names(2, every=POLL))
            if flushed:
                self.house.round()
            self.ven.register()
            self.house.round()
            self.ven.take_register_report()
            names = self.ven.poll_names(3, every=POLL)
            self.assertEqual(["oadrDistributeEvent"] * 2 + ["oadrResponse"], names)
            self.setUp()

    def test_two_clean_sendings_a_lease_apart_are_enough(self) -> None:
        names = self.ven.poll_names(5, every=POLL)
        self.assertEqual(["oadrDistributeEvent"] * 2 + ["oadrResponse"] * 3, names)
        self.house.round()
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.assertEqual(("acknowledged", "nothing", 2, 2), self.told())

    def told(self) -> tuple[Any, ...]:
        line = self.line()
        return line.state, line.wants, line.offers, line.deliveries

    def test_it_is_the_same_where_the_counts_go_to_disk_in_between(self) -> None:
        names = []
        for _ in range(4):
            names += self.ven.poll_names(1, every=POLL)
            self.house.round()
        self.assertEqual(["oadrDistributeEvent"] * 2 + ["oadrResponse"] * 2, names)

    def test_a_sending_that_did_not_leave_whole_does_not_count(self) -> None:
        for _ in range(5):
            self.assertIsInstance(self.ven.poll(clean=False), OadrDistributeEvent)
            self.house.after(POLL)
        self.house.round()
        self.assertEqual(("offered", "delivery", 5, 0), self.told())

    def test_two_sendings_at_once_count_as_one(self) -> None:
        self.ven.poll()
        self.ven.request_event()
        self.house.round()
        self.assertEqual(("offered", "delivery", 2, 1), self.told())

    def test_an_older_one_that_goes_out_again_with_a_new_one_is_not_delivered_twice(self) -> None:
        self.ven.poll()
        self.house.after(1)
        self.house.event(event_id="new", response_required="never")
        self.ven.poll()
        self.house.round()
        self.assertEqual(("offered", "delivery", 2, 1), self.told())

    def test_a_new_one_counts_for_itself(self) -> None:
        self.ven.poll_names(3, every=POLL)
        self.house.event(event_id="new", response_required="never")
        self.assertEqual(["oadrDistributeEvent"] * 2 + ["oadrResponse"], self.ven.poll_names(3, every=POLL))

    def test_a_kill_may_cost_one_more_sending_and_no_less(self) -> None:
        self.ven.poll()
        self.house.open()
        self.assertEqual(["oadrDistributeEvent"] * 2 + ["oadrResponse"], self.ven.poll_names(3, every=POLL))


class RemovalTests(SynchronousTestCase):
    """Events that are gone for a VEN: it learns that from an oadrDistributeEvent without them."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()
        self.house.event(event_id="e")
        self.house.event(event_id="f")
        self.ven.answer_all(self.ven.poll())
        self.house.after(1)

    def polled(self, times: int) -> list[Any]:
        """What so many polls in their interval get: the events shown, None where it is no oadrDistributeEvent."""
        found: list[Any] = []
        for _ in range(times):
            message = self.ven.poll()
            distributed = isinstance(message, OadrDistributeEvent)
            found.append([one.event.descriptor.event_id for one in message.events] if distributed else None)
            self.house.after(POLL)
        return found

    def line(self, event_id: str = "e") -> tuple[Any, ...]:
        line = self.house.read(event_rows.line, "ven-1", event_id, 0)
        return line.state, line.wants, line.offers, line.deliveries

    def test_two_clean_sendings_are_enough_and_an_empty_one_is_sent_too(self) -> None:
        self.house.delete("e")
        self.assertEqual([["f"], ["f"], None], self.polled(3))
        self.house.round()
        self.house.delete("f")
        self.assertEqual([[], [], None], self.polled(3))
        self.house.round()
        self.assertEqual([("acknowledged", "nothing", 2, 2)] * 2, [self.line("e"), self.line("f")])

    def test_what_did_not_leave_whole_does_not_count(self) -> None:
        self.house.delete("e")
        for _ in range(3):
            self.assertIsInstance(self.ven.poll(clean=False), OadrDistributeEvent)
            self.house.after(POLL)
        self.assertEqual([["f"], ["f"], None], self.polled(3))

    def test_after_ten_offers_it_is_given_up(self) -> None:
        self.house.delete("e")
        for number in range(10):
            self.assertIsInstance(self.ven.poll(clean=False), OadrDistributeEvent, number)
            self.house.after(POLL)
        self.house.round()
        self.assertEqual(("given_up", "nothing", 10, 0), self.line())
        self.assertEqual([None], self.polled(1))

    def test_or_when_the_event_would_be_over(self) -> None:
        self.house.delete("e")
        self.house.after(2 * 3600)
        self.house.round()
        self.assertEqual(("given_up", "nothing", 0, 0), self.line())

    def test_nothing_is_removed_that_is_over(self) -> None:
        self.house.after(2 * 3600)
        self.house.round()
        self.house.hooks.clear()
        self.house.delete("e")
        self.assertEqual([None], self.polled(1))
        self.house.round()
        self.assertEqual([], self.house.hooks)

    def test_sendings_of_before_do_not_count(self) -> None:
        self.house.event(event_id="n", response_required="never")
        self.ven.poll()
        self.house.delete("n")
        self.house.round()
        self.assertEqual(("queued", "delivery", 0, 0), self.line("n"))
        self.assertEqual([["e", "f"], ["e", "f"], None], self.polled(3))

    def test_an_open_ended_event_is_removed_too(self) -> None:
        self.house.event(event_id="o", length="PT0S")
        self.polled(2)
        self.house.delete("o")
        self.assertEqual([["e", "f"]], self.polled(1))

    def test_asking_for_events_counts_and_a_cut_off_reply_does_not(self) -> None:
        self.house.delete("e")
        self.ven.request_event(reply_limit=1)
        self.house.round()
        self.assertEqual(("queued", "delivery", 0, 0), self.line())
        for _ in range(2):
            self.ven.request_event()
            self.house.after(POLL)
        self.assertEqual([None], self.polled(1))

    def test_a_kill_may_cost_one_more_sending_and_no_less(self) -> None:
        self.house.delete("e")
        self.ven.poll()
        self.house.open()
        self.assertEqual([["f"], ["f"], None], self.polled(3))

    def test_a_refusal_of_the_whole_message_leaves_it_open(self) -> None:
        self.house.delete("e")
        self.ven.poll()
        self.ven.answer(code="454")
        self.house.round()
        self.assertEqual("delivery", self.line()[1])

    def test_a_new_registration_is_shown_what_there_is(self) -> None:
        self.house.delete("e")
        self.ven.register()
        self.ven.take_register_report()
        self.assertEqual([["f"], ["f"], None], self.polled(3))


class QueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.stranger()
        self.ven.register()

    def put(self, kind: str, message: Any, **more: Any) -> None:
        def queue(txn: Any, now: Any) -> tuple[None, Changes]:
            outbox.put(txn, ven_row(txn, "ven-1"), kind, message, now, **more)  # type: ignore[arg-type]
            return None, Changes.of("ven-1")

        self.house.write(queue)

    def put_cancel(self, reference: str) -> None:
        message = OadrCancelReport(request_id=f"c-{reference}", report_request_ids=(reference,), report_to_follow=False)
        self.put("cancel_report", message, request_id=f"c-{reference}", reference=reference)

    def states(self, kind: str) -> list[str]:
        return [state for (state,) in self.house.sql(f"SELECT state FROM outbox WHERE kind = '{kind}' ORDER BY id")]

    def test_the_first_poll_gets_oadr_register_report_then_come_the_events_then_the_rest_by_age(self) -> None:
        self.put_cancel("a")
        self.house.write(registration.request_reregistration, "ven-1")
        self.house.event()
        self.assertEqual(
            [
                "oadrRegisterReport",
                "oadrDistributeEvent",
                "oadrCancelReport",
                "oadrRequestReregistration",
                "oadrResponse",
            ],
            self.ven.poll_names(5),
        )

    def test_what_is_never_answered_does_not_block_what_is_behind_it(self) -> None:
        self.house.event()
        self.put_cancel("a")
        names = self.ven.poll_names(6, every=POLL)
        self.assertEqual(["oadrRegisterReport", "oadrDistributeEvent", "oadrCancelReport"] * 2, names)

    def test_what_is_never_answered_is_given_up_after_ten_offers(self) -> None:
        names = self.ven.poll_names(12, every=POLL)
        self.assertEqual(["oadrRegisterReport"] * 10 + ["oadrResponse"] * 2, names)
        self.assertEqual(["given_up"], self.states("register_report"))

    def test_offers_are_counted_across_flushes(self) -> None:
        names = []
        for _ in range(12):
            names += self.ven.poll_names(1, every=POLL)
            self.house.round()
        self.assertEqual(["oadrRegisterReport"] * 10 + ["oadrResponse"] * 2, names)
        self.assertEqual([(10,)], self.house.sql("SELECT offers FROM outbox"))

    def test_an_offer_counts_that_was_answered_before_the_counts_were_written(self) -> None:
        self.ven.take_register_report()
        self.house.round()
        self.assertEqual([("done", 1)], self.house.sql("SELECT state, offers FROM outbox"))

    def test_a_kill_loses_counts_only(self) -> None:
        self.ven.poll_names(3, every=POLL)
        self.house.round()
        self.ven.poll_names(4, every=POLL)
        self.house.open()
        names = self.ven.poll_names(9, every=POLL)
        self.assertEqual(["oadrRegisterReport"] * 7 + ["oadrResponse"] * 2, names)

    def test_an_empty_request_id_is_that_of_the_one_open_entry(self) -> None:
        self.ven.poll()
        self.ven.send(OadrRegisteredReport(response=response(request_id="")))
        self.assertEqual(["done"], self.states("register_report"))

    def test_so_is_an_invented_one(self) -> None:
        self.ven.poll()
        self.ven.send(OadrRegisteredReport(response=response(request_id="0")))
        self.assertEqual(["done"], self.states("register_report"))

    def test_neither_is_that_of_what_never_went_out(self) -> None:
        for request_id in ("", "0"):
            self.ven.send(OadrRegisteredReport(response=response(request_id=request_id)))
        self.assertEqual(["queued"], self.states("register_report"))

    def test_of_several_it_is_that_of_the_last_that_went_out(self) -> None:
        self.ven.take_register_report()
        self.put_cancel("a")
        self.put_cancel("b")
        self.assertEqual("c-a", self.ven.poll().request_id)
        self.ven.send(OadrCanceledReport(response=response()))
        self.assertEqual(["done", "queued"], self.states("cancel_report"))

    def test_that_is_known_before_and_after_the_counts_are_written(self) -> None:
        self.ven.take_register_report()
        for round_first in (False, True):
            self.put_cancel("a")
            self.ven.poll()
            self.house.after(1)
            self.put_cancel("b")
            self.ven.poll()
            if round_first:
                self.house.round()
            self.ven.send(OadrCanceledReport(response=response()))
            self.assertEqual(
                ["offered", "done"] if round_first else ["queued", "done"], self.states("cancel_report")[-2:]
            )
            self.ven.send(OadrCanceledReport(response=response()))
            self.assertEqual(["done", "done"], self.states("cancel_report")[-2:])

    def test_an_error_code_refuses_and_is_kept(self) -> None:
        offered = self.ven.poll()
        self.ven.send(OadrRegisteredReport(response=response("459", offered.request_id)))
        self.assertEqual([("refused", "459")], self.house.sql("SELECT state, response_code FROM outbox"))
        self.house.after(POLL)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_an_answer_to_what_is_closed_has_no_effect(self) -> None:
        offered = self.ven.poll()
        for code in ("200", "459", "200"):
            reply = self.ven.send(OadrRegisteredReport(response=response(code, offered.request_id)))
            self.assertEqual("200", reply.response.response_code)
        self.assertEqual(["done"], self.states("register_report"))

    def test_an_id_that_was_never_issued_is_unknown(self) -> None:
        with self.assertRaises(InvalidID):
            self.ven.send(OadrCanceledReport(response=response(request_id="stranger")))

    def test_an_empty_id_is_never_unknown(self) -> None:
        reply = self.ven.send(OadrCanceledReport(response=response(request_id="")))
        self.assertEqual("200", reply.response.response_code)

    def test_an_ambiguous_answer_closes_nothing(self) -> None:
        self.put_cancel("a")
        self.put_cancel("b")
        self.ven.send(OadrCanceledReport(response=response()))
        self.assertEqual(["queued", "queued"], self.states("cancel_report"))
        self.ven.send(OadrCanceledReport(response=response(request_id="c-b")))
        self.assertEqual(["queued", "done"], self.states("cancel_report"))

    def test_a_cancel_of_what_the_ven_does_not_know_is_done(self) -> None:
        self.put_cancel("a")
        self.ven.send(OadrCanceledReport(response=response("452", "c-a")))
        self.assertEqual(["done"], self.states("cancel_report"))

    def test_an_answer_of_another_ven_is_not_this_ones(self) -> None:
        other = self.house.ven("ven-2")
        offered = self.ven.poll()
        other.send(OadrRegisteredReport(response=response(request_id=offered.request_id)))
        self.assertEqual(["queued", "done"], self.states("register_report"))

    def test_a_new_registration_starts_anew(self) -> None:
        self.house.event()
        self.put_cancel("a")
        self.ven.poll_names(3)
        self.ven.register()
        self.assertEqual(["superseded"], self.states("cancel_report"))
        self.assertEqual(["oadrRegisterReport", "oadrDistributeEvent", "oadrResponse"], self.ven.poll_names(3))

    def test_answered_events_are_shown_again_after_a_new_registration_and_the_opt_stays(self) -> None:
        event = self.house.event()
        self.ven.take_register_report()
        self.ven.answer_all(self.ven.poll(), "optOut")
        self.ven.register()
        self.ven.take_register_report()
        self.assertEqual("oadrDistributeEvent", self.ven.poll().name())
        line = self.house.read(event_rows.line, "ven-1", event.event_id, 0)
        self.assertEqual(("opted", "optOut"), (line.state, line.opt_type))
        self.ven.answer((event.event_id, 0, "optOut"))
        self.house.after(POLL)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_the_reply_that_could_not_be_rendered_is_tried_again_after_its_lease(self) -> None:
        database, broken = self.house.database, [True]
        read = database.read

        def failing(name: str, *arguments: Any) -> Any:
            if name == "render" and broken:
                return read(name, lambda txn: 1 / 0)
            return read(name, *arguments)

        self.patch(database, "read", failing)
        with self.assertRaises(ZeroDivisionError):
            self.ven.poll()
        broken.clear()
        self.assertEqual("oadrResponse", self.ven.poll().name())
        self.house.after(POLL)
        self.assertEqual("oadrRegisterReport", self.ven.poll().name())


class ReportRequestTests(SynchronousTestCase):
    """Requests within oadrRegisteredReport have been offered once."""

    def setUp(self) -> None:
        self.house = House(Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"),)))
        self.ven = self.house.ven()
        [request] = self.ven.offer_reports("power").report_requests
        self.asked = request.report_request_id

    def test_a_poll_gets_one_only_if_it_stays_unanswered_for_a_lease(self) -> None:
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.house.after(POLL)
        polled = self.ven.poll()
        self.assertIsInstance(polled, OadrCreateReport)
        self.assertEqual([self.asked], [request.report_request_id for request in polled.report_requests])

    def test_it_is_answered_by_its_report_request_id(self) -> None:
        self.ven.send(OadrCreatedReport(response=response(request_id="whatever"), pending_reports=(self.asked,)))
        self.house.after(POLL)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_it_is_offered_ten_times_in_all(self) -> None:
        self.house.after(POLL)
        self.assertEqual(["oadrCreateReport"] * 9 + ["oadrResponse"], self.ven.poll_names(10, every=POLL))

    def test_pending_reports_that_are_known_say_nothing_of_a_new_request(self) -> None:
        self.ven.send(OadrCreatedReport(response=response(), pending_reports=(self.asked,)))
        self.ven.offer_reports("power")
        self.ven.send(OadrCreatedReport(response=response(), pending_reports=(self.asked,)))
        self.house.after(POLL)
        self.assertEqual(["oadrCancelReport", "oadrCreateReport"], self.ven.poll_names(2))

    def test_a_repeated_refusal_says_nothing_of_a_new_request(self) -> None:
        self.house.after(POLL)
        polled = self.ven.poll()
        refusal = OadrCreatedReport(response=response("461", polled.request_id))
        self.ven.send(refusal)
        self.ven.offer_reports("power")
        self.ven.send(refusal)
        self.house.after(POLL)
        self.assertEqual(["oadrCreateReport"], self.ven.poll_names(1))


class UnregisteredPollTests(SynchronousTestCase):
    def test_a_ven_may_be_asked_to_register_again_once_a_lease(self) -> None:
        house = House(Config(registration=Registration(unregistered_poll="reregister")))
        ven = house.stranger()
        self.assertIsInstance(ven.poll(), OadrRequestReregistration)
        self.assertEqual(["oadrResponse"] * 2, ven.poll_names(2))
        house.after(POLL)
        self.assertIsInstance(ven.poll(), OadrRequestReregistration)


def broken(txn: Any) -> Any:
    """A rule with a fault."""
    raise ZeroDivisionError


class RoundTests(SynchronousTestCase):
    def test_flushed_counts_say_when_it_was(self) -> None:
        house = House()
        ven = house.ven()
        event = house.event()
        ven.poll()
        offered = house.vtn.now()
        house.after(INTERVAL - 1)
        house.round()
        line = house.read(event_rows.line, "ven-1", event.event_id, 0)
        self.assertEqual((offered, offered, "offered"), (line.first_offered, line.last_offered, line.state))

    def test_a_round_that_fails_is_logged_and_the_next_one_comes(self) -> None:
        house = House()
        house.ven()
        run = house.database.run
        self.patch(house.database, "run", lambda *arguments: run("broken", broken))
        house.duties.startService()
        house.after(INTERVAL)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        house.after(INTERVAL)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_bends_are_added_up_and_those_of_a_removed_ven_are_dropped(self) -> None:
        house = House()
        ven, gone_entry = house.ven("ven-1"), house.ven("ven-2").entry
        house.write(registration.remove, "ven-2")
        for entry in (ven.entry, ven.entry, gone_entry):
            entry.bends["missing_request_id"] += 2
            house.vtn.roster.dirty.add(entry)
            house.round()
        self.assertEqual([("ven-1", "missing_request_id", 4)], house.sql("SELECT ven_id, bend, count FROM bends"))

    def test_events_that_end_unanswered_are_given_up(self) -> None:
        house = House()
        ven = house.ven()
        event = house.event(start=60, length="PT1M")
        ven.poll()
        house.after(121)
        house.round()
        line = house.read(event_rows.line, "ven-1", event.event_id, 0)
        self.assertEqual(("given_up", "nothing", 1), (line.state, line.wants, line.offers))
        self.assertEqual(["oadrResponse"], ven.poll_names(1))
        self.assertEqual("200", ven.answer((event.event_id, 0)).response.response_code)


class ShownTimesTests(SynchronousTestCase):
    """Embedded VENs read whole seconds more readily than fractions."""

    def test_what_the_vtn_dates_it_dates_without_fractions_of_a_second(self) -> None:
        offer = Offer(report_specifier_id="tariff", data_points=(OfferedPoint(r_id="price", value=0.25),))
        wanted = WantedReport(report_name="TELEMETRY_USAGE", granularity=60.0, report_back_duration=60.0)
        house = House(Config(offers=(offer,), reports=(wanted,)))
        house.after(0.25)
        ven = house.stranger()
        ven.register()
        heard = [ven.poll(), ven.offer_reports("power")]
        house.event(event_id="e")
        heard.append(ven.poll())
        house.modify("e", priority=1)
        heard.append(ven.poll())
        house.cancel("e")
        heard.append(ven.poll())
        wish = RequestSpec(report_specifier_id="usage", granularity=60.0, report_back_duration=60.0)
        house.write(requests.request, "ven-1", [wish])
        heard.append(ven.poll())
        shown = [to_xml(message).decode() for message in heard]
        for text, said in zip(shown, ("createdDateTime", "dtstart", *["createdDateTime"] * 3, "dtstart"), strict=True):
            self.assertIn(said, text)
            self.assertNotRegex(text, r":\d\d\.\d+Z")
