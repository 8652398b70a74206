"""Events: what operators make of them, what VENs are shown, and what they answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config
from oadrvtn.model.config import Events as EventsConfig
from oadrvtn.model.errors import InvalidData, InvalidID, NotAllowed, OutOfSequence
from oadrvtn.model.event import (
    EiEventBaseline,
    EiTarget,
    Interval,
    PayloadFloat,
    PowerAttributes,
    PowerReal,
    SignalPayload,
)
from oadrvtn.model.party import OadrCancelPartyRegistration
from oadrvtn.model.signals import DEVICE_CLASSES
from oadrvtn.model.values import Duration
from oadrvtn.storage import events as rows
from oadrvtn.storage.database import Txn
from oadrvtn.vtn import events
from oadrvtn.vtn.changes import NOTHING
from oadrvtn.vtn.events import SignalSpec, build, spec_of
from oadrvtn.vtn.specs import deadline, turns
from oadrvtn.wire.codec import to_xml

from .house import START, House, spec

GRID = PowerAttributes(hertz=Decimal(50), voltage=Decimal(230), ac=True)
KILOWATT = PowerReal(item_units="W", si_scale_code="k", power_attributes=GRID)


def simple(*intervals: tuple[str, float], **more: Any) -> SignalSpec:
    return SignalSpec(intervals=tuple((Duration(length), value) for length, value in intervals), **more)


class BuildTests(SynchronousTestCase):
    def refused(self, text: str, **changes: Any) -> None:
        error = self.assertRaises(InvalidData, build, spec(**changes), "e", 0, START)
        self.assertIn(text, error.description)

    def test_intervals_count_from_zero_and_the_duration_is_their_sum(self) -> None:
        event = build(spec(signals=(simple(("PT10M", 1), ("PT20M", 2)),)), "e", 0, START)
        self.assertEqual(["0", "1"], [interval.uid for interval in event.event_signals.signals[0].intervals])
        self.assertEqual(Duration("PT30M"), event.active_period.properties.duration)

    def test_notification_is_always_there(self) -> None:
        self.assertEqual(Duration("PT0S"), build(spec(), "e", 0, START).active_period.properties.notification)

    def test_what_breaks_a_rule_is_refused_with_its_place(self) -> None:
        self.refused("rule 9", signals=(simple(("PT1H", 4)),))
        self.refused("rule 116", signals=(simple(("PT1H", 1), signal_type="delta"),))
        self.refused("signals[0].intervals: end at", duration=Duration("PT2H"))
        self.refused("rule 8", signals=(simple(("PT1H", 1)), simple(("PT2H", 1))))
        self.refused("signals: ", signals=())
        self.refused("signals[0].intervals: ", signals=(simple(),))
        for text in ("program", "", "urn:", "http://x y", " http://x/", "http://x/\n", "1:2"):
            self.refused("market_context", market_context=text)
        build(spec(market_context="mailto:dr@example.com"), "e", 0, START)
        self.refused("rule 8", duration=Duration("PT0S"))
        for lengths in (("PT0S", "PT1H"), ("PT1H", "PT0S"), ("PT0S", "PT0S")):
            number = lengths.index("PT0S")
            place = f"signals[0].intervals[{number}].duration: is zero"
            self.refused(place, signals=(simple(*((length, 1) for length in lengths)),))
        self.refused("is not the only one", signals=(simple(("PT1H", 1), signal_id="signal-1"), simple(("PT1H", 1))))
        self.refused("negative", signals=(simple(("PT1H", 1), ("-PT1H", 1)),))
        self.refused("signalName", signals=(simple(("PT1H", 1), signal_name="NOISE"),))

    def test_all_that_is_wrong_is_said_at_once(self) -> None:
        signals = (
            simple(("PT1H", 1), ("PT1H", 7), signal_id="s"),
            simple(("PT1H", 1), signal_name="NOISE", signal_type="loud", signal_id="s"),
        )
        wrong = spec(
            signals=signals, market_context="a b", priority=-1, response_required="sometimes", vtn_comment="\x00"
        )
        error = self.assertRaises(InvalidData, build, wrong, "e", 0, START)
        found = {mistake.place: mistake.allowed for mistake in error.mistakes}
        self.assertEqual(
            {
                "vtn_comment", "priority", "response_required", "market_context", "signals[0].intervals[1].value",
                "signals[0].signal_id", "signals[1].signal_name", "signals[1].signal_type", "signals[1].signal_id",
                "signals[1].intervals",
            },
            set(found),
        )  # fmt: skip
        self.assertEqual(("always", "never"), found["response_required"])
        self.assertEqual(("0", "1", "2", "3"), found["signals[0].intervals[1].value"])
        self.assertIn("setpoint", found["signals[1].signal_type"])

    def test_a_baseline_adds_up_too(self) -> None:
        hour = Interval(duration=Duration("PT1H"), uid="0", payloads=(SignalPayload(payload=PayloadFloat(value=3.05)),))
        baseline = EiEventBaseline(
            dtstart=START - timedelta(days=1), duration=Duration("PT2H"), intervals=(hour, hour.evolve(uid="1")),
            baseline_id="b", resource_ids=("r", "s"), baseline_name="yesterday",
        )  # fmt: skip
        built = build(spec(baseline=baseline), "e", 0, START)
        self.assertEqual(baseline, built.event_signals.baseline)
        self.refused("baseline.intervals", baseline=baseline.evolve(duration=Duration("PT3H")))
        self.refused("baseline.duration", baseline=baseline.evolve(duration=Duration("P9990Y")))

    def test_times_beyond_the_calendar_are_refused(self) -> None:
        for name in ("ramp_up", "recovery", "startafter"):
            self.refused("calendar", **{name: Duration("P9990Y")})
        self.refused("calendar", length="P9990Y")

    def test_a_spec_survives_the_way_there_and_back(self) -> None:
        house = House()
        event = house.event(
            signals=(
                simple(("PT10M", 1), signal_id="s"),
                simple(
                    ("PT10M", 5), signal_id="t", signal_name="LOAD_DISPATCH", signal_type="setpoint", item_base=KILOWATT
                ),
            ),
            duration=Duration("PT10M"), event_id="e", priority=3, test_event=True, vtn_comment="hot",
            ramp_up=Duration("PT5M"), recovery=Duration("PT6M"), startafter=Duration("PT7M"), response_required="never",
        )  # fmt: skip
        self.assertEqual(event.document, to_xml(build(spec_of(event), "e", 0, START)))


class OperatorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.one = self.house.ven("ven-1")
        self.two = self.house.ven("ven-2")

    def audience(self, event_id: str) -> list[tuple[str, int, str, bool]]:
        lines = self.house.read(rows.lines_of_event, event_id)
        return [(line.ven_id, line.modification_number, line.wants, line.withdrawn) for line in lines]

    def test_an_event_is_for_every_ven_that_is_registered(self) -> None:
        self.house.stranger("ven-3")
        event = self.house.event()
        self.assertEqual(0, event.modification_number)
        self.assertEqual([("ven-1", 0, "answer", False), ("ven-2", 0, "answer", False)], self.audience(event.event_id))

    def test_or_for_those_it_names(self) -> None:
        self.house.event(target=EiTarget(ven_ids=("ven-2",), resource_ids=("r",)))
        self.assertEqual("oadrResponse", self.one.poll().name())
        [shown] = self.two.poll().events
        self.assertEqual(EiTarget(ven_ids=("ven-2",), resource_ids=("r",)), shown.event.target)

    def test_a_ven_sees_no_other_ven_among_the_targets(self) -> None:
        self.house.event(target=EiTarget(ven_ids=("ven-1", "ven-2")))
        [shown] = self.one.poll().events
        self.assertEqual(("ven-1",), shown.event.target.ven_ids)

    def test_a_ven_for_reports_only_gets_no_events(self) -> None:
        self.one.register(report_only=True)
        self.one.take_register_report()
        self.house.event()
        self.house.event(target=EiTarget(ven_ids=("ven-1",)))
        self.assertEqual("oadrResponse", self.one.poll().name())

    def test_what_cannot_be_is_refused(self) -> None:
        self.house.event(event_id="e")
        for kind, changes in (
            (NotAllowed, {"event_id": "e"}),
            (InvalidData, {"target": EiTarget(ven_ids=("nobody",))}),
            (InvalidData, {"start": -7200}),
            (InvalidData, {"response_required": "sometimes"}),
        ):
            self.assertRaises(kind, self.house.event, **changes)
        self.assertEqual([("e",)], self.house.sql("SELECT event_id FROM events"))

    def test_two_events_of_a_market_context_do_not_meet_at_a_ven(self) -> None:
        here: dict[str, Any] = {"market_context": "http://a/"}
        self.house.event(event_id="e", target=EiTarget(ven_ids=("ven-1",)), **here)
        for start, length in ((3600, "PT1H"), (0, "PT3H"), (7199, "PT1S"), (1, "PT0S")):
            error = self.assertRaises(NotAllowed, self.house.event, start, length=length, **here)
            self.assertEqual("dtstart", error.mistakes[0].place)
            self.assertIn("'e'", error.description)
            self.assertIn("ven-1", error.description)
        self.house.event(start=7200, **here)
        self.house.event(start=0, **here)
        self.house.event(market_context="http://b/")
        self.house.event(target=EiTarget(ven_ids=("ven-2",)), start=3700, length="PT1M", market_context="http://c/")

    def test_nor_by_a_change(self) -> None:
        for event_id, start in (("e", 0), ("f", 3600)):
            self.house.event(event_id=event_id, start=start, market_context="http://a/")
        self.assertRaises(NotAllowed, self.house.modify, "e", signals=(simple(("PT61M", 1)),))
        self.assertEqual(0, self.house.read(rows.get, "e").modification_number)
        self.house.cancel("f")
        self.house.modify("e", signals=(simple(("PT61M", 1)),))

    def test_where_two_meet_already_what_moves_neither_goes(self) -> None:
        """As in a database from before overlaps were refused."""
        for event_id in ("e", "f"):
            self.house.event(event_id=event_id)
        moved = "UPDATE events SET market_context = 'http://a/'"
        self.house.write(lambda txn, now: (txn.exec_driver_sql(moved), NOTHING))
        self.assertRaises(
            NotAllowed, self.house.modify, "e", dtstart=START + timedelta(minutes=30), market_context="http://a/"
        )
        self.house.modify("e", market_context="http://a/", priority=3)
        self.assertEqual("answer", self.house.read(rows.line, "ven-1", "e", 1).wants)

    def test_an_open_ended_event_leaves_no_room_after_it(self) -> None:
        self.house.event(length="PT0S", market_context="http://a/")
        self.assertRaises(NotAllowed, self.house.event, start=10**6, market_context="http://a/")
        self.house.event(start=0, market_context="http://a/")

    def test_what_only_convention_forbids_can_be_forced(self) -> None:
        odd = (
            simple(("PT1H", 1), signal_name="LOAD_DISPATCH", signal_type="setpoint"),
            simple(("PT1H", 0.5), signal_name="LOAD_DISPATCH", signal_type="level", device_classes=("Toaster",)),
            simple(("PT1H", 0.5), signal_name="ELECTRICITY_PRICE", signal_type="delta"),
            simple(("PT1H", 1), item_base=KILOWATT),
            simple(("PT1H", 9), signal_name="x-own", signal_type="delta"),
        )
        error = self.assertRaises(InvalidData, self.house.event, signals=odd)
        self.assertEqual(
            [
                ("signals[0].item_base", ("powerReal", "powerApparent", "powerReactive")),
                ("signals[1].device_classes[0]", DEVICE_CLASSES),
                ("signals[1].intervals[0].value", ()),
                ("signals[2].signal_type", ("price", "priceRelative", "priceMultiplier")),
                ("signals[3].item_base", ()),
            ],
            [(mistake.place, mistake.allowed) for mistake in error.mistakes],
        )
        self.assertIn("force accepts it", error.description)
        forced = self.house.write(partial(events.create, force=True), spec(event_id="e", signals=odd), "operator")
        self.house.modify("e", priority=1)
        self.assertRaises(InvalidData, self.house.modify, "e", signals=odd[:1])
        self.house.write(partial(events.modify, force=True), "e", {"signals": odd[:1]}, None)
        self.assertEqual(2, self.house.cancel(forced.event_id).modification_number - 1)

    def test_a_change_counts_one_up_and_asks_everybody_again(self) -> None:
        event = self.house.event(event_id="e")
        self.one.answer_all(self.one.poll())
        changed = self.house.modify("e", priority=2, modification_reason="more")
        self.assertEqual((0, 1), (event.modification_number, changed.modification_number))
        self.assertEqual(
            [("ven-1", 0, "nothing", False), ("ven-1", 1, "answer", False),
             ("ven-2", 0, "nothing", False), ("ven-2", 1, "answer", False)],
            self.audience("e"),
        )  # fmt: skip
        descriptor = self.one.poll().events[0].event.descriptor
        self.assertEqual(("more", START, 2), (descriptor.modification_reason, descriptor.modification_date_time,
                                              descriptor.priority))  # fmt: skip

    def test_a_reason_is_for_one_change_only(self) -> None:
        self.house.event(event_id="e")
        self.house.modify("e", priority=2, modification_reason="more")
        self.assertIsNone(spec_of(self.house.modify("e", priority=3)).modification_reason)

    def test_no_change_changes_nothing(self) -> None:
        self.house.event(event_id="e", priority=2)
        for same in (
            {"priority": 2}, {"signals": (simple(("PT1H", 1)),)}, {"duration": Duration("PT1H")},
            {"modification_reason": "none"}, {"response_required": "always", "test_event": False},
        ):  # fmt: skip
            self.assertEqual(0, self.house.modify("e", **same).modification_number, same)
        self.assertEqual([("ven-1", 0, "answer", False), ("ven-2", 0, "answer", False)], self.audience("e"))

    def test_whether_an_answer_is_due_is_no_part_of_the_event(self) -> None:
        self.house.event(event_id="e")
        self.one.answer_all(self.one.poll())
        self.assertEqual(0, self.house.modify("e", response_required="never").modification_number)
        self.assertEqual([("ven-1", 0, "nothing", False), ("ven-2", 0, "delivery", False)], self.audience("e"))
        for _ in range(2):
            self.two.poll()
            self.house.after(10)
        self.house.round()
        self.assertEqual(0, self.house.modify("e", response_required="always").modification_number)
        self.assertEqual([("ven-1", 0, "nothing", False), ("ven-2", 0, "answer", False)], self.audience("e"))
        self.assertEqual("always", self.two.poll().events[0].response_required)

    def test_who_knows_that_an_event_is_off_is_not_asked_again(self) -> None:
        self.house.event(event_id="e", response_required="never")
        self.house.modify("e", target=EiTarget(ven_ids=("ven-1",)))
        for _ in range(2):
            self.two.poll()
            self.house.after(10)
        self.house.round()
        self.house.modify("e", response_required="always")
        self.assertEqual("oadrResponse", self.two.poll().name())
        self.assertEqual("answer", self.house.read(rows.line, "ven-1", "e", 1).wants)

    def test_new_signals_make_a_new_duration(self) -> None:
        self.house.event(event_id="e")
        changed = self.house.modify("e", signals=(simple(("PT20M", 1)),))
        self.assertEqual(Duration("PT20M"), spec_of(changed).duration)

    def test_a_stale_modification_number_changes_nothing(self) -> None:
        self.house.event(event_id="e")
        self.house.modify("e", priority=2)
        self.assertRaises(OutOfSequence, self.house.write, events.modify, "e", {"priority": 3}, 0)
        self.assertRaises(OutOfSequence, self.house.write, events.cancel, "e", 0, None)
        self.assertRaises(InvalidID, self.house.cancel, "nothing")

    def test_a_change_into_the_past_is_refused(self) -> None:
        self.house.event(event_id="e")
        self.assertRaises(InvalidData, self.house.modify, "e", dtstart=START - timedelta(days=1))

    def test_a_cancelled_event_is_shown_until_it_is_answered(self) -> None:
        self.house.event(event_id="e")
        self.one.answer_all(self.one.poll())
        self.house.cancel("e")
        [shown] = self.one.poll().events
        self.assertEqual(
            ("cancelled", 1), (shown.event.descriptor.event_status, shown.event.descriptor.modification_number)
        )
        self.one.answer(("e", 1))
        self.assertEqual((), self.one.request_event().events)
        self.assertRaises(NotAllowed, self.house.cancel, "e")
        self.assertRaises(NotAllowed, self.house.modify, "e", priority=1)

    def test_a_deleted_event_is_missing_from_what_vens_are_shown(self) -> None:
        self.house.event(event_id="e")
        self.house.event(event_id="f")
        for ven in (self.one, self.two):
            ven.answer_all(ven.poll())
        deleted = self.house.delete("e")
        self.assertEqual((0, START), (deleted.modification_number, deleted.deleted_at))
        for ven in (self.one, self.two):
            self.assertEqual(["f"], [shown.event.descriptor.event_id for shown in ven.poll().events])

        def found(txn: Txn, now: datetime, all_of_them: bool = False) -> list[rows.Event]:
            return list(rows.found(txn, now, all_of_them=all_of_them))

        self.assertEqual(["f"], [event.event_id for event in self.house.read(found, START)])
        self.assertEqual({"e", "f"}, {event.event_id for event in self.house.read(found, START, True)})

    def test_what_is_deleted_stays_so(self) -> None:
        self.house.event(event_id="e")
        self.assertRaises(OutOfSequence, self.house.write, events.delete, "e", 1)
        self.house.delete("e")
        for change in (self.house.delete, self.house.cancel, self.house.modify):
            self.assertRaises(NotAllowed, change, "e")
        self.assertRaises(NotAllowed, self.house.event, event_id="e")
        self.assertRaises(InvalidID, self.house.delete, "f")

    def test_a_cancelled_event_can_be_deleted(self) -> None:
        self.house.event(event_id="e")
        self.one.answer_all(self.one.poll())
        self.house.cancel("e")
        self.one.answer_all(self.one.poll())
        self.house.delete("e")
        self.assertEqual([("ven-1", 1, "nothing", False), ("ven-2", 1, "delivery", True)], self.audience("e")[1::2])
        self.assertEqual("oadrResponse", self.one.poll().name())
        self.assertEqual((), self.two.poll().events)

    def told(self, event_id: str) -> dict[str, tuple[str, int]]:
        found = self.house.read(events.told, self.house.read(rows.get, event_id))
        return {told.ven_id: (told.what, told.modification_number) for told in found}

    def test_whom_a_change_would_reach_can_be_seen(self) -> None:
        self.house.event(event_id="e", target=EiTarget(ven_ids=("ven-1",)))
        self.assertEqual({"ven-1": ("new", 0)}, self.told("e"))
        self.one.answer_all(self.one.poll())
        self.assertEqual({"ven-1": ("unchanged", 0)}, self.told("e"))
        self.house.modify("e", target=EiTarget())
        self.assertEqual({"ven-1": ("modified", 1), "ven-2": ("new", 1)}, self.told("e"))
        self.house.modify("e", target=EiTarget(ven_ids=("ven-2",)))
        self.assertEqual({"ven-1": ("cancelled", 2), "ven-2": ("modified", 2)}, self.told("e"))
        self.one.answer_all(self.one.poll())
        self.house.cancel("e")
        self.assertEqual({"ven-2": ("cancelled", 3)}, self.told("e"))
        self.house.delete("e")
        self.assertEqual({"ven-2": ("removed", 3)}, self.told("e"))

    def test_what_is_over_cannot_be_cancelled(self) -> None:
        self.house.event(event_id="e", start=0)
        self.house.after(3600)
        self.assertRaises(NotAllowed, self.house.cancel, "e")

    def test_an_open_ended_event_lasts_until_it_is_cancelled(self) -> None:
        event = self.house.event(event_id="e", start=0, length="PT0S")
        self.assertIsNone(event.gone_at)
        self.house.after(10 * 86400)
        [shown] = self.one.poll().events
        self.assertEqual("active", shown.event.descriptor.event_status)
        self.assertEqual(1, shown.event.event_signals.signals[0].current_value)
        cancelled = self.house.cancel("e")
        self.assertIsNotNone(cancelled.gone_at)

    def test_a_ven_that_is_no_longer_meant_sees_the_event_cancelled_once(self) -> None:
        self.house.event(event_id="e")
        for ven in (self.one, self.two):
            ven.answer_all(ven.poll())
        self.house.modify("e", target=EiTarget(ven_ids=("ven-1",)))
        self.assertEqual("cancelled", self.two.poll().events[0].event.descriptor.event_status)
        self.assertEqual("far", self.one.poll().events[0].event.descriptor.event_status)
        self.two.answer(("e", 1))
        self.house.modify("e", priority=1)
        self.assertEqual((), self.two.request_event().events)

    def test_a_withdrawal_that_did_not_arrive_outlives_the_next_change(self) -> None:
        self.house.event(event_id="e")
        self.house.modify("e", target=EiTarget(ven_ids=("ven-1",)))
        self.house.modify("e", priority=1)
        [shown] = self.two.poll().events
        self.assertEqual(
            ("cancelled", 2), (shown.event.descriptor.event_status, shown.event.descriptor.modification_number)
        )

    def test_who_is_meant_again_sees_it_again(self) -> None:
        self.house.event(event_id="e")
        self.house.modify("e", target=EiTarget(ven_ids=("ven-1",)))
        self.house.modify("e", target=EiTarget())
        self.assertEqual("far", self.two.poll().events[0].event.descriptor.event_status)

    def test_a_ven_that_was_away_when_an_event_changed_gets_it_when_it_is_back(self) -> None:
        self.house.event(event_id="e")
        self.one.answer_all(self.one.poll())
        self.one.send(OadrCancelPartyRegistration(request_id="x", registration_id=self.one.registration_id))
        self.house.modify("e", priority=1)
        self.house.event(event_id="f")
        self.one.registration_id = None
        self.one.register()
        self.one.take_register_report()
        shown = {one.event.descriptor.event_id: one.event.descriptor.event_status for one in self.one.poll().events}
        self.assertEqual({"e": "far", "f": "far"}, shown)

    def test_a_newcomer_gets_the_events_for_everyone(self) -> None:
        self.house.event(event_id="all")
        self.house.event(event_id="some", target=EiTarget(ven_ids=("ven-1",)))
        self.house.event(event_id="off")
        self.house.cancel("off")
        late = self.house.ven("ven-3")
        self.assertEqual(["all"], [shown.event.descriptor.event_id for shown in late.poll().events])


class ShownTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def shown(self) -> list[Any]:
        return [shown.event for shown in self.ven.request_event().events]

    def test_the_status_goes_by_the_clock(self) -> None:
        self.house.event(
            start=600, length="PT10M", ramp_up=Duration("PT5M"), startafter=Duration("PT2M"), recovery=Duration("PT3M")
        )
        seen = []
        for _ in range(26):
            found = self.shown()
            seen.append(found[0].descriptor.event_status if found else "gone")
            self.house.after(60)
        expected = ["far"] * 5 + ["near"] * 5 + ["active"] * 12 + ["completed"] * 3 + ["gone"]
        self.assertEqual(expected, seen)

    def test_without_a_ramp_up_nothing_is_near(self) -> None:
        self.house.event(start=60)
        self.house.after(59)
        self.assertEqual("far", self.shown()[0].descriptor.event_status)
        self.house.after(1)
        self.assertEqual("active", self.shown()[0].descriptor.event_status)

    def test_a_ramp_up_may_be_said_in_weeks(self) -> None:
        made = build(spec(ramp_up=Duration("1W"), notification=Duration("1W")), "e", 0, START)
        period = made.active_period.properties
        self.assertEqual((period.dtstart - timedelta(weeks=1), "near"), turns(period)[0])
        self.assertEqual(period.dtstart - timedelta(weeks=1), deadline(period))

    def test_a_ramp_up_counts_before_the_start_whatever_its_sign(self) -> None:
        self.house.event(start=600, ramp_up=Duration("-PT9M"))
        self.house.after(60)
        self.assertEqual("near", self.shown()[0].descriptor.event_status)

    def test_the_current_value_is_that_of_the_running_interval(self) -> None:
        self.house.event(start=60, signals=(
            simple(("PT1M", 1), ("PT1M", 2)),
            simple(
                ("PT1M", 10), ("PT1M", 20), signal_name="LOAD_DISPATCH", signal_type="setpoint", item_base=KILOWATT
            ),
        ), startafter=Duration("PT1M"))  # fmt: skip
        values = []
        for _ in range(4):
            values.append([signal.current_value for signal in self.shown()[0].event_signals.signals])
            self.house.after(60)
        self.assertEqual([[0, None], [1, 10], [2, 20], [0, None]], values)

    def test_a_level_is_0_before_and_after_under_either_name_of_simple(self) -> None:
        self.house.event(start=60, signals=(simple(("PT1M", 2), signal_name="simple"),), startafter=Duration("PT1M"))
        values = []
        for _ in range(3):
            values.append(self.shown()[0].event_signals.signals[0].current_value)
            self.house.after(60)
        self.assertEqual([0, 2, 0], values)

    def test_the_creation_time_is_that_of_version_or_status(self) -> None:
        self.house.event(start=60)
        self.assertEqual(START, self.shown()[0].descriptor.created_date_time)
        self.house.after(90)
        self.assertEqual(START + timedelta(seconds=60), self.shown()[0].descriptor.created_date_time)

    def test_what_comes_by_the_clock_is_no_modification(self) -> None:
        self.house.event(event_id="e", start=60, signals=(simple(("PT1M", 1), ("PT1M", 2)),), ramp_up=Duration("PT30S"))
        seen = set()
        for _ in range(20):
            descriptor = self.shown()[0].descriptor
            seen.add((descriptor.event_status, descriptor.modification_number))
            self.house.after(6)
        self.assertEqual({("far", 0), ("near", 0), ("active", 0)}, seen)

    def test_every_field_reaches_the_ven(self) -> None:
        made = spec(
            event_id="e", test_event=True, vtn_comment="hot", priority=4, notification=Duration("PT10M"),
            startafter=Duration("PT1M"), ramp_up=Duration("PT2M"), recovery=Duration("PT3M"), signals=(
                simple(("PT1H", 2), device_classes=("Thermostat", "Sauna")),
                simple(("PT1H", 3.14), signal_name="LOAD_DISPATCH", signal_type="delta", item_base=KILOWATT),
            ),
        )  # fmt: skip
        self.house.write(events.create, made, "operator")
        [shown] = self.shown()
        period, descriptor = shown.active_period.properties, shown.descriptor
        self.assertEqual(("true", "hot", 4), (descriptor.test_event, descriptor.vtn_comment, descriptor.priority))
        self.assertEqual(
            ["PT10M", "PT1M", "PT2M", "PT3M"],
            list(map(str, (period.notification, period.startafter, period.ramp_up, period.recovery))),
        )
        one, two = shown.event_signals.signals
        self.assertEqual(EiTarget(end_device_assets=("Thermostat", "Sauna")), one.target)
        self.assertEqual((KILOWATT, None, "signal-1"), (two.item_base, two.target, two.signal_id))

    def test_the_active_come_first_by_priority_then_the_rest_by_start(self) -> None:
        for event_id, start, priority in (
            ("later", 500, 1), ("done", -100, 1), ("zero", 1, 0), ("two", 3, 2), ("two-b", 2, 2), ("one", 4, 1),
            ("soon", 400, 9),
        ):  # fmt: skip
            more = {"length": "PT101S", "recovery": Duration("PT1H")} if event_id == "done" else {}
            self.house.event(event_id=event_id, start=start, priority=priority, **more)
        self.house.after(10)
        self.assertEqual(
            ["one", "two-b", "two", "zero", "soon", "later", "done"],
            [event.descriptor.event_id for event in self.shown()],
        )

    @settings(max_examples=15)
    @given(st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 3)), max_size=8), st.integers(0, 10))
    def test_a_reply_limit_takes_from_the_front(self, made: list[tuple[int, int]], limit: int) -> None:
        house = House()
        ven = house.ven()
        for start, priority in made:
            house.event(start=start * 60, priority=priority)
        house.after(1)
        everything = [shown.event.descriptor.event_id for shown in ven.request_event().events]
        some = [shown.event.descriptor.event_id for shown in ven.request_event(reply_limit=limit).events]
        self.assertEqual(len(made), len(everything))
        self.assertEqual(everything[:limit], some)


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()
        self.house.event(event_id="e")
        self.ven.poll()

    def line(self, number: int = 0) -> rows.Line:
        return self.house.read(rows.line, "ven-1", "e", number)

    def history(self) -> list[tuple[int, str, str]]:
        said = self.house.read(rows.answers_to, "e")
        return [(answer.modification_number, answer.opt_type, answer.response_code) for answer in said]

    def code(self, *answers: tuple[Any, ...]) -> str:
        return self.ven.answer(*answers).response.response_code

    def test_an_answer_is_recorded(self) -> None:
        self.assertEqual("200", self.code(("e", 0, "optOut")))
        line = self.line()
        self.assertEqual(
            ("opted", "nothing", "optOut", START), (line.state, line.wants, line.opt_type, line.answered_at)
        )

    def test_every_change_of_mind_is_kept_and_repetition_is_not(self) -> None:
        for opt in ("optIn", "optIn", "optOut", "optOut", "optIn"):
            self.code(("e", 0, opt))
        self.assertEqual([(0, "optIn", "200"), (0, "optOut", "200"), (0, "optIn", "200")], self.history())

    def test_an_unknown_event_is_452_and_the_good_answers_count(self) -> None:
        reply = self.ven.answer(("nothing", 0), ("e", 0))
        self.assertEqual("452", reply.response.response_code)
        self.assertIn("'nothing'", reply.response.response_description)
        self.assertEqual("opted", self.line().state)

    def test_the_event_of_another_ven_is_unknown(self) -> None:
        self.house.ven("ven-2")
        self.house.event(event_id="theirs", target=EiTarget(ven_ids=("ven-2",)))
        self.assertEqual("452", self.code(("theirs", 0)))

    def test_an_old_modification_is_450_kept_and_the_event_stays_open(self) -> None:
        self.house.modify("e", priority=1)
        self.assertEqual("450", self.code(("e", 0)))
        self.assertEqual(([(0, "optIn", "200")], "answer"), (self.history(), self.line(1).wants))
        self.assertEqual("450", self.code(("e", 7)))
        self.assertEqual("200", self.code(("e", 1)))

    def test_an_error_is_an_answer_and_no_participation(self) -> None:
        self.code(("e", 0, "optIn"))
        self.assertEqual("200", self.code(("e", 0, "optIn", "460")))
        line = self.line()
        self.assertEqual(
            ("refused", None, "460", "nothing"), (line.state, line.opt_type, line.response_code, line.wants)
        )
        self.assertEqual([(0, "optIn", "200"), (0, "optIn", "460")], self.history())

    def test_a_refusal_of_the_whole_message_answers_what_was_sent(self) -> None:
        self.house.round()
        self.house.after(1)
        self.house.event(event_id="unsent")
        self.ven.answer(code="454")
        self.assertEqual(("refused", "454"), (self.line().state, self.line().response_code))
        self.assertEqual("answer", self.house.read(rows.line, "ven-1", "unsent", 0).wants)

    def test_a_refusal_answers_what_was_sent_a_moment_ago(self) -> None:
        self.house.event(event_id="unsent")
        self.ven.answer(code="460")
        self.assertEqual(("refused", "460"), (self.line().state, self.line().response_code))
        self.assertEqual("answer", self.house.read(rows.line, "ven-1", "unsent", 0).wants)

    def test_an_empty_message_says_nothing(self) -> None:
        self.assertEqual("200", self.ven.answer().response.response_code)
        self.assertEqual("answer", self.line().wants)

    def test_a_late_answer_still_counts(self) -> None:
        self.house.after(86400)
        self.house.round()
        self.assertEqual("given_up", self.line().state)
        self.assertEqual("200", self.code(("e", 0)))
        self.assertEqual("opted", self.line().state)

    def test_each_fault_is_named_and_the_first_gives_the_code(self) -> None:
        self.house.modify("e", priority=1)
        reply = self.ven.answer(("e", 0), ("x", 0))
        self.assertEqual("450", reply.response.response_code)
        self.assertIn("'x'", reply.response.response_description)


class DeadlineTests(SynchronousTestCase):
    """When answers are due, and what becomes of their lack."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def late(self) -> list[tuple[Any, ...]]:
        self.house.round()
        return [call for call in self.house.hooks if call[0] == "on_event_unanswered"]

    def test_without_a_notification_period_a_setting_says_when(self) -> None:
        self.house.event(event_id="e")
        self.ven.poll()
        self.house.live(299)
        self.assertEqual([], self.late())
        self.house.after(1)
        self.assertEqual([("on_event_unanswered", "ven-1", "e")], self.late())
        self.assertEqual(1, self.house.read(rows.counts, self.house.vtn.now())["answers_overdue"])
        self.house.after(10)
        self.assertEqual(1, len(self.late()), "it is noted once")
        self.assertEqual("oadrDistributeEvent", self.ven.poll().name(), "it goes on being offered")
        self.ven.answer(("e", 0))
        self.assertEqual(0, self.house.read(rows.counts, self.house.vtn.now())["answers_overdue"])
        line = self.house.read(rows.line, "ven-1", "e", 0)
        self.assertEqual((START + timedelta(seconds=300), "opted"), (line.unanswered_at, line.state))

    def test_a_notification_period_says_when(self) -> None:
        self.house.event(event_id="e", start=3600, notification=Duration("PT20M"))
        self.house.live(2390)
        self.assertEqual([], self.late())
        self.house.after(10)
        self.assertEqual([("on_event_unanswered", "ven-1", "e")], self.late())

    def test_one_that_has_begun_already_does_not(self) -> None:
        self.house.event(event_id="e", start=600, notification=Duration("PT20M"))
        self.house.after(299)
        self.assertEqual([], self.late())
        self.house.after(1)
        self.assertEqual(1, len(self.late()))

    def test_each_version_has_its_own(self) -> None:
        self.house.event(event_id="e")
        self.house.after(300)
        self.assertEqual(1, len(self.late()))
        self.house.modify("e", priority=1)
        self.house.after(299)
        self.assertEqual(1, len(self.late()))
        self.house.cancel("e")
        self.house.after(300)
        self.assertEqual(2, len(self.late()))

    def test_what_needs_no_answer_has_none(self) -> None:
        self.house.event(event_id="never", response_required="never")
        self.house.event(event_id="answered")
        self.ven.answer(("answered", 0))
        self.house.event(event_id="deleted")
        self.house.delete("deleted")
        self.house.after(1000)
        self.assertEqual([], self.late())

    def test_who_is_not_asked_is_not_late(self) -> None:
        self.house.event(event_id="e")
        self.ven.register(report_only=True)
        self.house.after(1000)
        self.assertEqual([], self.late())

    def test_the_setting_can_be_another(self) -> None:
        house = House(Config(events=EventsConfig(answer_within=60)))
        house.ven()
        house.event(event_id="e")
        house.live(60)
        self.assertIn(("on_event_unanswered", "ven-1", "e"), house.hooks)
