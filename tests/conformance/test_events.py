"""What an event is, and how it goes over the wire (section 8.1 of the profile)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from oadrvtn.model.errors import InvalidData, NotAllowed
from oadrvtn.model.event import (
    ITEM_BASES,
    Currency,
    EiEventBaseline,
    EiTarget,
    FeatureCollection,
    Interval,
    PayloadFloat,
    Polygon,
    SignalPayload,
    TransportInterface,
)
from oadrvtn.model.values import Duration
from oadrvtn.storage import events as event_rows
from oadrvtn.vtn import audience, events
from oadrvtn.vtn.specs import SignalSpec
from tests.vtn.house import START, spec
from tests.wire.samples import full

from .lab import LabTestCase, opt
from .matrix import proves

MINUTE = 60
AREA = FeatureCollection(id="north", polygon=Polygon(pos_list=(50.0, 8.0, 51.0, 8.0, 51.0, 9.0, 50.0, 8.0)))
LINE = TransportInterface(point_of_receipt="a", point_of_delivery="b")
STEPS = ((Duration("PT20M"), 1.0), (Duration("PT20M"), 2.0), (Duration("PT20M"), 3.0))


def program(name: object) -> str:
    """A market context."""
    return f"http://example.com/{name}"


class EventTests(LabTestCase):
    """Each paragraph of what an event means."""

    def status(self, event_id: str, at: float) -> str:
        """The status that is sent at so many seconds from the start of the lab."""
        self.lab.after(START.timestamp() + at - self.lab.clock.seconds())
        return self.ven.sees(event_id).event.descriptor.event_status

    def value(self, event_id: str) -> float | None:
        """The currentValue of the first signal."""
        return self.ven.sees(event_id).event.event_signals.signals[0].current_value

    def line(self, event_id: str, number: int = 0, ven_id: str = "ven-1") -> Any:
        """What the ledger says."""
        return self.lab.read(event_rows.line, ven_id, event_id, number)

    def traits(self, *ven_id: str, **traits: tuple[str, ...]) -> None:
        """An operator says what a VEN may be targeted by."""
        self.lab.write(audience.set_traits, *(ven_id or ("ven-1",)), traits)

    # --- descriptor and period --------------------------------------------------------------------------

    @proves("6.1")
    def test_the_elements_stand_in_the_order_of_the_schema(self) -> None:
        everything: dict[str, Any] = {
            "priority": 1, "test_event": True, "vtn_comment": "why not", "startafter": Duration("PT1M"),
            "ramp_up": Duration("PT1M"), "recovery": Duration("PT1M"),
        }  # fmt: skip
        event_id = self.lab.event(**everything).event_id
        self.lab.modify(event_id, priority=2, modification_reason="weather")
        self.ven.poll()
        names = re.findall(r"<\w+:([\w-]+)", self.ven.xml.decode())
        expected = """
            eventDescriptor eventID modificationNumber modificationDateTime modificationReason priority eiMarketContext
            marketContext createdDateTime eventStatus testEvent vtnComment eiActivePeriod properties dtstart date-time
            duration duration tolerance tolerate startafter x-eiNotification duration x-eiRampUp duration x-eiRecovery
            duration components eiEventSignals eiEventSignal intervals interval duration duration uid text
            signalPayload payloadFloat value signalName signalType signalID currentValue payloadFloat value eiTarget
            oadrResponseRequired
        """
        self.assertEqual(expected.split(), names[names.index("eventDescriptor") :])

    @proves("6.2-near")
    def test_an_event_is_far_then_near_then_active_then_completed(self) -> None:
        event_id = self.lab.event(
            5 * MINUTE, length="PT5M", ramp_up=Duration("PT4M"), recovery=Duration("PT1M")
        ).event_id
        moments = (0, MINUTE - 1, MINUTE, 5 * MINUTE - 1, 5 * MINUTE, 10 * MINUTE - 1, 10 * MINUTE)
        expected = ["far", "far", "near", "near", "active", "active", "completed"]
        self.assertEqual(expected, [self.status(event_id, at) for at in moments])

    @proves("6.2-no-near")
    def test_without_a_ramp_up_there_is_no_near(self) -> None:
        for ramp_up in (None, Duration("PT0S")):
            event_id = self.lab.event(MINUTE, ramp_up=ramp_up, market_context=program(ramp_up)).event_id
            self.lab.clock.rightNow = START.timestamp()
            self.assertEqual(["far", "active"], [self.status(event_id, at) for at in (MINUTE - 1, MINUTE)])

    @proves("6.2-sign")
    def test_a_ramp_up_with_a_sign_is_before_the_start_too(self) -> None:
        event_id = self.lab.event(2 * MINUTE, ramp_up=Duration("-PT1M")).event_id
        self.assertEqual(["far", "near", "active"], [self.status(event_id, at) for at in (59, 60, 120)])

    @proves("6.3")
    def test_a_status_that_the_clock_changes_is_dated_anew_and_counts_nothing(self) -> None:
        event_id = self.lab.event(MINUTE).event_id
        dated = []
        for at in (0, MINUTE + 5):
            self.status(event_id, at)
            shown = self.ven.sees(event_id).event.descriptor
            dated.append(((shown.created_date_time - START).total_seconds(), shown.modification_number))
        self.assertEqual([(0, 0), (MINUTE, 0)], dated)

    @proves("6.4")
    def test_a_change_by_the_clock_is_not_told_unasked(self) -> None:
        event_id = self.lab.event(MINUTE).event_id
        self.ven.answer_all(self.ven.poll())
        self.lab.live(2 * MINUTE)
        self.assertEqual("oadrResponse", self.ven.poll().name())
        self.assertEqual("active", self.ven.sees(event_id).event.descriptor.event_status)

    @proves("6.5")
    def test_startafter_goes_with_the_nominal_start(self) -> None:
        event_id = self.lab.event(MINUTE, startafter=Duration("PT5M")).event_id
        period = self.ven.sees(event_id).event.active_period.properties
        self.assertEqual((START + timedelta(minutes=1), "PT5M"), (period.dtstart, str(period.startafter)))

    @proves("6.6")
    def test_a_notification_is_sent_with_each_event(self) -> None:
        event_id = self.lab.event().event_id
        self.assertEqual("PT0S", str(self.ven.sees(event_id).event.active_period.properties.notification))

    @proves("6.7")
    def test_0_is_the_lowest_priority(self) -> None:
        for priority in (0, 2, 1):
            self.lab.event(0, event_id=str(priority), priority=priority, market_context=program(priority))
        self.assertEqual(["1", "2", "0"], self.ven.order())

    @proves("6.8")
    def test_the_completed_come_last_and_the_cancelled_by_their_start(self) -> None:
        self.lab.event(0, event_id="past", length="PT10M", priority=1, recovery=Duration("PT2H"))
        self.lab.event(MINUTE * 30, event_id="cancelled", priority=3, market_context=program("b"))
        self.lab.event(MINUTE * 45, event_id="pending", priority=2, market_context=program("c"))
        self.lab.event(MINUTE * 15, event_id="active", market_context=program("d"))
        self.lab.cancel("cancelled")
        self.lab.after(MINUTE * 20)
        self.assertEqual(["active", "cancelled", "pending", "past"], self.ven.order())

    @proves("6.9")
    def test_a_reply_limit_takes_the_first(self) -> None:
        for number in range(3):
            self.lab.event(3600 * (3 - number), event_id=str(number), length="PT30M")
        for limit, expected in ((1, ["2"]), (2, ["2", "1"]), (5, ["2", "1", "0"]), (0, [])):
            shown = [one.event.descriptor.event_id for one in self.ven.request_event(limit).events]
            self.assertEqual(expected, shown, limit)

    @proves("6.9-kept")
    def test_what_a_reply_limit_cut_off_is_polled(self) -> None:
        self.lab.event(event_id="one")
        self.lab.event(7200, event_id="two")
        self.ven.answer_all(self.ven.request_event(1))
        self.assertEqual(["one", "two"], [one.event.descriptor.event_id for one in self.ven.poll().events])

    # --- delivery ---------------------------------------------------------------------------------------

    @proves("6.10")
    def test_a_cancelled_event_is_sent_until_it_is_acknowledged(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.answer_all(self.ven.poll())
        self.lab.cancel(event_id)
        self.assertEqual(["oadrDistributeEvent"] * 3, self.ven.poll_names(3, every=10))
        self.ven.answer((event_id, 1))
        self.assertEqual(["oadrResponse"] * 3, self.ven.poll_names(3, every=10))
        self.assertEqual([], self.ven.order())

    @proves("6.10-overlap")
    def test_events_of_one_market_context_do_not_overlap(self) -> None:
        here = {"market_context": program("one"), "length": "PT1H"}
        self.lab.event(3600, event_id="first", **here)
        for start, length in ((3600, "PT1H"), (1800, "PT31M"), (7199, "PT1H"), (0, "PT0S"), (4000, "PT1M")):
            with self.assertRaises(NotAllowed) as refused:
                self.lab.event(start, **here | {"length": length})
            self.assertIn("first", str(refused.exception))
        self.lab.event(7200, event_id="next", **here)
        self.assertRaises(NotAllowed, self.lab.modify, "next", dtstart=START + timedelta(seconds=7100))
        self.lab.cancel("first")
        self.lab.event(3600, **here)

    @proves("6.10-contexts")
    def test_events_of_two_market_contexts_may_overlap(self) -> None:
        self.lab.event(event_id="one")
        self.lab.event(event_id="two", market_context=program("other"))
        self.assertEqual(["one", "two"], self.ven.order())

    @proves("6.11-always")
    def test_an_unanswered_event_is_sent_again_and_told_once_its_time_is_over(self) -> None:
        event_id = self.lab.event(3600, notification=Duration("PT30M")).event_id
        self.assertEqual(["oadrDistributeEvent"] * 5, self.ven.poll_names(5, every=10))
        self.lab.live(1800)
        self.assertEqual(
            [("on_event_unanswered", "ven-1", event_id)], [call for call in self.lab.hooks if "event" in call[0]]
        )
        self.assertEqual("oadrDistributeEvent", self.ven.poll().name())

    @proves("6.11-never")
    def test_an_event_that_wants_no_answer_takes_one_all_the_same(self) -> None:
        event_id = self.lab.event(response_required="never").event_id
        self.ven.poll()
        self.assertCode("200", self.ven.answer((event_id, 0, "optOut")))
        self.assertEqual("optOut", self.line(event_id).opt_type)

    @proves("6.12")
    def test_wrong_ids_have_their_codes_and_the_good_answers_count(self) -> None:
        event_id = self.lab.event().event_id
        self.lab.modify(event_id, priority=1)
        self.ven.poll()
        self.assertCode("452", self.ven.answer(("nothing", 0), (event_id, 1)))
        self.assertEqual("opted", self.line(event_id, 1).state)
        self.assertCode("450", self.ven.answer((event_id, 0)))
        self.assertCode("450", self.ven.answer((event_id, 2)))
        self.assertEqual("opted", self.line(event_id, 1).state)

    @proves("6.12-refused")
    def test_a_refused_event_is_no_participation(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.poll()
        self.ven.answer((event_id, 0, "optIn", "500"))
        self.assertEqual(("refused", None), (self.line(event_id).state, self.line(event_id).opt_type))

    @proves("6.13")
    def test_the_opt_of_a_resource_is_not_that_of_the_ven(self) -> None:
        event_id = self.lab.event().event_id
        self.ven.answer_all(self.ven.poll())
        self.assertCode("200", self.ven.send(opt((event_id, 0), target=EiTarget(resource_ids=("boiler",)))))
        device = EiTarget(end_device_assets=("Water_Heater",))
        self.assertCode("200", self.ven.send(opt((event_id, 0), opt_id="p", device_class=device)))
        self.assertEqual("optIn", self.line(event_id).opt_type)

    # --- targets ----------------------------------------------------------------------------------------

    @proves("6.14")
    def test_each_kind_of_target_reaches_whom_it_concerns_and_nobody_else(self) -> None:
        self.lab.ven("ven-2")
        self.lab.write(audience.create_group, "group", "Everybody north", ["ven-1"])
        kinds: dict[str, tuple[Any, tuple[str, ...]]] = {
            "ven_ids": ("ven-1", ()), "group_ids": ("group", ()), "group_names": ("Everybody north", ()),
            "resource_ids": ("boiler", ("boiler",)), "party_ids": ("party", ("party",)),
            "end_device_assets": ("Thermostat", ("Thermostat",)), "meter_assets": ("meter", ("meter",)),
            "pnodes": ("node", ("node",)), "aggregated_pnodes": ("nodes", ("nodes",)),
            "service_delivery_points": ("point", ("point",)), "service_areas": (AREA, ("north",)),
            "service_locations": (AREA, ("north",)), "transport_interfaces": (LINE, ("a>b",)),
        }  # fmt: skip
        self.assertEqual({*kinds}, {field.name for field in EiTarget.__attrs_attrs__})
        for kind, (value, traits) in kinds.items():
            if traits:
                self.traits(**{kind: traits})
            self.lab.event(event_id=kind, market_context=program(kind), target=EiTarget(**{kind: (value,)}))
        [event, *_] = self.lab.sql("SELECT count(*) FROM ledger WHERE ven_id = 'ven-2'")
        self.assertEqual((0,), event)
        self.assertEqual({*kinds}, {*self.ven.order()})
        either = EiTarget(resource_ids=("boiler", "elsewhere"), ven_ids=("ven-2",))
        self.lab.event(event_id="any", market_context=program("any"), target=either)
        self.assertIn("any", self.ven.order())

    @proves("6.14-privacy")
    def test_a_ven_does_not_see_the_targets_of_others(self) -> None:
        self.lab.ven("ven-2")
        self.traits(resource_ids=("boiler",))
        self.traits("ven-2", resource_ids=("secret",))
        target = EiTarget(ven_ids=("ven-1", "ven-2"), resource_ids=("boiler", "secret"))
        event_id = self.lab.event(target=target).event_id
        shown = self.ven.sees(event_id).event.target
        self.assertEqual((("ven-1",), ("boiler",)), (shown.ven_ids, shown.resource_ids))
        self.assertNotIn(b"ven-2", self.ven.xml)
        self.assertNotIn(b"secret", self.ven.xml)

    @proves("6.14-device-class")
    def test_a_signal_is_targeted_by_device_classes(self) -> None:
        signal = SignalSpec(intervals=((Duration("PT1H"), 1.0),), device_classes=("Thermostat", "EVSE"))
        event_id = self.lab.event(signals=(signal,)).event_id
        shown = self.ven.sees(event_id).event.event_signals.signals[0].target
        self.assertEqual(EiTarget(end_device_assets=("Thermostat", "EVSE")), shown)

    @proves("6.14-everybody")
    def test_an_event_without_a_target_is_for_everybody_also_for_who_registers_later(self) -> None:
        event_id = self.lab.event().event_id
        self.assertEqual(EiTarget(), self.ven.sees(event_id).event.target)
        self.assertEqual([event_id], self.lab.ven("late").order())

    # --- signals ----------------------------------------------------------------------------------------

    @proves("6.15")
    def test_several_signals_of_one_length(self) -> None:
        price = SignalSpec(
            signal_name="ELECTRICITY_PRICE", signal_type="priceMultiplier", intervals=((Duration("PT1H"), 1.5),)
        )
        event_id = self.lab.event(signals=(SignalSpec(intervals=STEPS), price)).event_id
        shown = self.ven.sees(event_id).event.event_signals.signals
        self.assertEqual([3, 1], [len(signal.intervals) for signal in shown])
        self.assertEqual(2, len({signal.signal_id for signal in shown}))

    @proves("6.15-convention")
    def test_what_does_not_belong_together_needs_force(self) -> None:
        odd = SignalSpec(
            signal_name="LOAD_DISPATCH", signal_type="price", intervals=((Duration("PT1H"), 1.0),), item_base=None
        )
        with self.assertRaises(InvalidData) as refused:
            self.lab.event(signals=(odd,))
        self.assertIn("force", str(refused.exception))

        def create(txn: Any, now: datetime) -> Any:
            return events.create(txn, spec(signals=(odd,)), "operator", now, force=True)

        made = self.lab.write(create)
        self.assertEqual("price", self.ven.sees(made.event_id).event.event_signals.signals[0].signal_type)

    @proves("6.15-enumeration")
    def test_names_and_types_are_those_of_the_schema(self) -> None:
        wrongs: list[dict[str, Any]] = [{"signal_name": "HEAT"}, {"signal_type": "x-mine"}]
        for wrong in wrongs:
            signal = SignalSpec(intervals=((Duration("PT1H"), 1.0),), **wrong)
            with self.assertRaises(InvalidData) as refused:
                self.lab.event(signals=(signal,))
            self.assertIn(f"signals[0].{next(iter(wrong))}", str(refused.exception))
        self.lab.event(signals=(SignalSpec(intervals=((Duration("PT1H"), 7.0),), signal_name="x-mine"),))

    @proves("6.16")
    def test_the_current_value_is_that_of_the_interval_that_runs(self) -> None:
        event_id = self.lab.event(MINUTE, signals=(SignalSpec(intervals=STEPS),)).event_id
        values = []
        for minute in (0, 1, 20, 21, 41, 61):
            self.lab.clock.rightNow = START.timestamp() + minute * MINUTE
            values.append(self.value(event_id) if self.ven.order() else None)
        self.assertEqual([0.0, 1.0, 1.0, 2.0, 3.0], values[:5])
        self.assertIn(values[5], (0.0, None))
        self.assertEqual(0, self.lab.read(event_rows.get, event_id).modification_number)

    @proves("6.17")
    def test_a_baseline_goes_with_the_signals(self) -> None:
        prices = tuple(
            Interval(
                duration=Duration("PT1H"), uid=str(uid), payloads=(SignalPayload(payload=PayloadFloat(value=price)),)
            )
            for uid, price in enumerate((3.05, 3.08))
        )
        baseline = EiEventBaseline(
            dtstart=START - timedelta(days=1), duration=Duration("PT2H"), intervals=prices,
            baseline_id="b", resource_ids=("one", "two"), baseline_name="yesterday",
        )  # fmt: skip
        event_id = self.lab.event(length="PT2H", baseline=baseline).event_id
        self.assertEqual(baseline, self.ven.sees(event_id).event.event_signals.baseline)

    @proves("6.18")
    def test_an_open_ended_event_outlives_every_round(self) -> None:
        event_id = self.lab.event(0, length="PT0S").event_id
        self.ven.answer_all(self.ven.poll())
        for _ in range(3):
            self.lab.after(400 * 86400)
            self.lab.round()
            self.assertEqual("active", self.status(event_id, self.lab.clock.seconds() - START.timestamp()))
        self.assertEqual(1.0, self.value(event_id))

    @proves("6.19")
    def test_a_market_context_is_a_uri_and_comments_are_free(self) -> None:
        for wrong in ("program", "", "a program://x"):
            with self.assertRaises(InvalidData, msg=wrong) as refused:
                self.lab.event(market_context=wrong)
            self.assertIn("market_context", str(refused.exception))
        comment = "5 < 6 & \u20ac"
        event_id = self.lab.event(market_context="urn:utility:program", vtn_comment=comment).event_id
        shown = self.ven.sees(event_id).event.descriptor
        self.assertEqual(("false", comment), (shown.test_event, shown.vtn_comment))

    @proves("6.20")
    def test_each_unit_goes_over_the_wire(self) -> None:
        for unit in ITEM_BASES:
            item = full(unit)
            if isinstance(item, Currency) and unit.__name__ == "CurrencyPerThm":
                item = item.evolve(item_description="currency")
            signal = SignalSpec(signal_name="x-mine", intervals=((Duration("PT1H"), 1.0),), item_base=item)
            event_id = self.lab.event(signals=(signal,), market_context=program(unit.__name__)).event_id
            self.assertEqual(item, self.ven.sees(event_id).event.event_signals.signals[0].item_base)
