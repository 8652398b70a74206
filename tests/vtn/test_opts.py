"""Opts by oadrCreateOpt, and how they go with oadrCreatedEvent."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import InvalidData, InvalidID, NotAllowed, OutOfSequence, TargetMismatch
from oadrvtn.model.event import EiTarget, Properties, QualifiedEventID
from oadrvtn.model.opt import OadrCancelOpt, OadrCreateOpt
from oadrvtn.model.values import Duration
from oadrvtn.storage import events, opts
from oadrvtn.storage.opts import Span
from oadrvtn.storage.tables import microseconds
from oadrvtn.vtn import audience, registration
from oadrvtn.vtn import opts as rules
from oadrvtn.vtn.changes import NOTHING
from oadrvtn.vtn.opts import Availability, Period
from oadrvtn.wire.codec import to_xml
from tests.effort import MOMENT, effort

from .house import START, FakeVen, House

AVAILABLE = (Properties(dtstart=START, duration=Duration("PT1H")),)
PROGRAM = "http://example.com/program"


def create_opt(opt_id: str, opt_type: str, **more: Any) -> OadrCreateOpt:
    """A VEN's oadrCreateOpt."""
    values: dict[str, Any] = {
        "opt_id": opt_id, "opt_type": opt_type, "opt_reason": "economic", "ven_id": "", "request_id": "r",
        "created_date_time": START, "target": EiTarget(),
    }  # fmt: skip
    return OadrCreateOpt(**{**values, **more})


def hours(*periods: tuple[float, float]) -> tuple[Properties, ...]:
    """Periods of a schedule: their start, in hours after the house opened, and their length in hours."""
    return tuple(
        Properties(dtstart=START + timedelta(hours=start), duration=Duration.of(length * 3600))
        for start, length in periods
    )


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


class OptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()
        self.house.event(event_id="e")
        self.ven.poll()

    def create(
        self, opt_id: str = "o", opt_type: str = "optOut", event: tuple[str, int] | None = ("e", 0), **more: Any
    ) -> Any:
        qualified = QualifiedEventID(event_id=event[0], modification_number=event[1]) if event else None
        return self.ven.send(create_opt(opt_id, opt_type, **{"qualified_event_id": qualified, **more}))

    def cancel(self, opt_id: str = "o") -> Any:
        return self.ven.send(OadrCancelOpt(request_id="r", opt_id=opt_id, ven_id="ven-1"))

    def opted(self, number: int = 0) -> str | None:
        return self.house.read(events.line, "ven-1", "e", number).opt_type

    def standing(self) -> list[str]:
        return [opt.opt_id for opt in self.house.read(opts.of_ven, "ven-1")]

    def test_a_schedule_is_kept(self) -> None:
        reply = self.create(event=None, available=AVAILABLE)
        self.assertEqual(("200", "r", "o"), (reply.response.response_code, reply.response.request_id, reply.opt_id))
        self.assertEqual((["o"], None), (self.standing(), self.opted()))

    def test_exactly_one_of_event_and_schedule_is_given(self) -> None:
        self.assertRaises(InvalidData, self.create, event=None)
        self.assertRaises(InvalidData, self.create, available=AVAILABLE)

    def test_the_event_is_known_to_the_ven_and_at_this_modification(self) -> None:
        self.house.ven("ven-2")
        self.house.event(event_id="theirs", target=EiTarget(ven_ids=("ven-2",)))
        self.assertRaises(InvalidID, self.create, event=("nothing", 0))
        self.assertRaises(InvalidID, self.create, event=("theirs", 0))
        self.assertRaises(OutOfSequence, self.create, event=("e", 1))
        self.assertEqual([], self.standing())

    def test_the_targets_are_the_vens_own(self) -> None:
        self.assertRaises(TargetMismatch, self.create, target=EiTarget(ven_ids=("ven-2",)))
        self.create(target=EiTarget(ven_ids=("ven-1",)))

    def test_a_group_or_a_party_is_no_target_of_a_ven(self) -> None:
        for kind in ("group_ids", "group_names", "party_ids"):
            self.assertRaises(TargetMismatch, self.create, target=EiTarget(**{kind: ("north",)}))
        self.create(target=EiTarget(group_ids=("",), ven_ids=("",)))

    def test_its_resources_are_the_vens_own_where_they_are_known(self) -> None:
        self.create("a", target=EiTarget(resource_ids=("pump",)))
        self.house.write(audience.set_traits, "ven-1", {"resource_ids": ["pump"]})
        self.create("b", target=EiTarget(resource_ids=("pump",)))
        error = self.assertRaises(InvalidID, self.create, "c", target=EiTarget(resource_ids=("pump", "fan")))
        self.assertIn("'fan'", error.description)
        self.assertEqual(["a", "b"], self.standing())

    def test_an_opt_on_an_event_outranks_what_is_answered(self) -> None:
        self.ven.answer(("e", 0, "optIn"))
        self.create()
        self.assertEqual("optOut", self.opted())
        self.ven.answer(("e", 0, "optIn"))
        self.assertEqual("optOut", self.opted())

    def test_its_end_brings_back_the_last_answer(self) -> None:
        self.create()
        self.ven.answer(("e", 0, "optIn"))
        self.assertEqual("o", self.cancel().opt_id)
        self.assertEqual("optIn", self.opted())

    def test_or_none_where_there_was_no_answer(self) -> None:
        self.create()
        self.cancel()
        self.assertIsNone(self.opted())

    def test_an_opt_for_a_resource_or_a_device_class_leaves_the_events_opt(self) -> None:
        self.ven.answer(("e", 0, "optIn"))
        self.create("a", target=EiTarget(resource_ids=("pump",)))
        self.create("b", device_class=EiTarget(end_device_assets=("Thermostat",)))
        self.assertEqual(("optIn", ["a", "b"]), (self.opted(), self.standing()))

    def test_an_opt_of_a_known_id_revises_it(self) -> None:
        self.create(opt_type="optOut")
        self.create(opt_type="optIn")
        self.assertEqual(("optIn", ["o"]), (self.opted(), self.standing()))
        self.create(event=None, available=AVAILABLE)
        self.assertEqual((None, ["o"]), (self.opted(), self.standing()))

    def test_an_event_that_a_revision_leaves_goes_back_to_its_answer(self) -> None:
        self.house.event(9000, event_id="f")
        self.ven.answer(("e", 0, "optIn"), ("f", 0, "optIn"))
        self.create(event=("e", 0))
        self.create(event=("f", 0))
        opted = [self.house.read(events.line, "ven-1", event_id, 0).opt_type for event_id in ("e", "f")]
        self.assertEqual(["optIn", "optOut"], opted)

    def test_a_refused_revision_leaves_the_opt_as_it_was(self) -> None:
        self.create(opt_type="optOut")
        self.assertRaises(OutOfSequence, self.create, opt_type="optIn", event=("e", 7))
        self.assertEqual(("optOut", ["o"]), (self.opted(), self.standing()))

    def test_a_revision_counts_as_newer_than_what_came_between(self) -> None:
        self.create("a", "optOut")
        self.create("b", "optOut")
        self.create("a", "optIn")
        self.assertEqual("optIn", self.opted())

    def test_operators_see_who_opted_and_for_which_part_of_it(self) -> None:
        self.create("a", target=EiTarget(resource_ids=("pump", "")), opt_reason="mustRun")
        self.create("b", "optIn", device_class=EiTarget(end_device_assets=("Thermostat",)))
        self.create("gone")
        self.cancel("gone")
        found = [
            (one.ven_id, one.opt_id, one.opt_type, one.opt_reason, one.resource_ids, one.device_classes)
            for one in self.house.read(rules.of_event, "e")
        ]
        self.assertEqual(
            [
                ("ven-1", "a", "optOut", "mustRun", ("pump",), ()),
                ("ven-1", "b", "optIn", "economic", (), ("Thermostat",)),
            ],
            found,
        )

    def test_the_newest_of_several_counts_and_its_end_brings_back_the_one_before(self) -> None:
        self.create("a", "optOut")
        self.create("b", "optIn")
        self.assertEqual("optIn", self.opted())
        self.cancel("b")
        self.assertEqual("optOut", self.opted())

    def test_an_opt_stands_through_a_change_of_the_event_and_a_new_registration(self) -> None:
        self.create()
        self.house.modify("e", priority=1)
        self.ven.answer(("e", 1, "optIn"))
        self.assertEqual("optOut", self.opted(1))
        self.ven.register()
        self.assertEqual(["o"], self.standing())

    def test_and_nobody_need_answer_for_it_to_be_seen(self) -> None:
        self.house.modify("e", response_required="never")
        self.create()
        self.house.modify("e", priority=1)
        self.assertEqual("optOut", self.opted(1))
        self.cancel()
        self.house.modify("e", priority=2)
        self.assertIsNone(self.opted(2))

    def test_it_stands_where_the_ven_leaves_and_comes_back(self) -> None:
        self.house.write(audience.create_group, "g", "Group", ["ven-1"])
        self.house.event(9000, event_id="f", target=EiTarget(group_ids=("g",)))
        self.create(event=("f", 0))
        self.create("part", "optIn", event=("f", 0), target=EiTarget(resource_ids=("pump",)))
        self.house.write(audience.change_members, "g", [], ["ven-1"])
        self.house.write(audience.change_members, "g", ["ven-1"], [])
        line = self.house.read(events.line, "ven-1", "f", 0)
        self.assertEqual(("queued", "answer", "optOut"), (line.state, line.wants, line.opt_type))

    def test_an_unknown_opt_cannot_be_cancelled_nor_one_twice(self) -> None:
        self.assertRaises(InvalidID, self.cancel)
        self.create()
        self.cancel()
        self.assertRaises(InvalidID, self.cancel)
        self.create()
        self.assertEqual(["o"], self.standing())


class WithheldTests(SynchronousTestCase):
    def test_a_ven_has_no_say_on_an_event_that_is_withheld_from_it(self) -> None:
        house = House()
        ven = house.ven()
        house.write(audience.create_group, "g", "Group", [])
        house.event(event_id="hers", market_context=PROGRAM, target=EiTarget(ven_ids=("ven-1",)))
        house.event(event_id="e", market_context=PROGRAM, target=EiTarget(group_ids=("g",)))
        house.write(audience.change_members, "g", ["ven-1"], [])
        for event_id, allowed in (("hers", True), ("e", False)):
            message = create_opt(
                event_id, "optOut", qualified_event_id=QualifiedEventID(event_id=event_id, modification_number=0)
            )
            if allowed:
                ven.send(message)
            else:
                self.assertRaises(InvalidID, ven.send, message)


class TimelineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def plan(self, opt_id: str, opt_type: str, *periods: tuple[float, float], **more: Any) -> Any:
        return self.ven.send(create_opt(opt_id, opt_type, available=hours(*periods), **more))

    def timeline(self, since: float = 0, until: float = 100) -> list[Period]:
        return self.house.read(rules.timeline, "ven-1", hour(since), hour(until))

    def spans(self, since: float = 0, until: float = 100) -> list[tuple[str, float, float | None]]:
        return [
            (
                period.opt_id,
                (period.start - START).total_seconds() / 3600,
                (period.end - START).total_seconds() / 3600 if period.end else None,
            )
            for period in self.timeline(since, until)
        ]

    def test_a_period_tells_all_that_was_said_of_it(self) -> None:
        self.plan(
            "a", "optOut", (1, 2), market_context=PROGRAM, opt_reason="x-holiday",
            target=EiTarget(resource_ids=("pump",)), device_class=EiTarget(end_device_assets=("Thermostat",)),
        )  # fmt: skip
        self.assertEqual(
            [Period(hour(1), hour(3), "optOut", "a", "x-holiday", PROGRAM, ("pump",), ("Thermostat",))], self.timeline()
        )

    def test_periods_come_by_their_start_and_those_that_touch_the_time_only(self) -> None:
        self.plan("b", "optIn", (5, 1), (1, 2))
        self.plan("a", "optOut", (2, 1), market_context="")
        self.assertEqual([("b", 1, 3), ("a", 2, 3), ("b", 5, 6)], self.spans())
        self.assertEqual([("b", 1, 3), ("a", 2, 3)], self.spans(2.5, 5))
        self.assertEqual([], self.spans(3, 5))
        self.assertIsNone(self.timeline()[1].market_context)

    def test_a_period_without_duration_is_open_ended(self) -> None:
        self.plan("a", "optIn", (1, 0))
        self.assertEqual([("a", 1, None)], self.spans(90, 100))
        self.assertEqual([], self.spans(0, 1))

    def test_a_revision_replaces_all_periods_and_an_end_takes_them_away(self) -> None:
        self.plan("a", "optIn", (1, 1), (3, 1))
        self.plan("a", "optOut", (7, 1))
        self.assertEqual([("a", 7, 8)], self.spans())
        self.ven.send(OadrCancelOpt(request_id="r", opt_id="a", ven_id="ven-1"))
        self.assertEqual([], self.spans())
        self.plan("a", "optIn", (2, 1))
        self.assertEqual([("a", 2, 3)], self.spans())

    def test_a_schedule_that_becomes_an_opt_on_an_event_is_none_any_more(self) -> None:
        self.plan("a", "optIn", (1, 1))
        self.house.event(event_id="e")
        qualified = QualifiedEventID(event_id="e", modification_number=0)
        self.ven.send(create_opt("a", "optIn", qualified_event_id=qualified))
        self.assertEqual([], self.spans())

    def test_a_period_that_is_no_time_is_refused_with_its_place(self) -> None:
        for length in ("-PT1H", "P9999Y"):
            bad = Properties(dtstart=START, duration=Duration(length))
            error = self.assertRaises(InvalidData, self.ven.send, create_opt("a", "optIn", available=(*AVAILABLE, bad)))
            self.assertIn("available[2]/properties/duration", error.description)
        self.assertEqual([], self.spans())

    def test_a_schedule_stays_through_a_new_registration_and_goes_with_its_ven(self) -> None:
        self.plan("a", "optIn", (1, 1))
        self.ven.register()
        self.assertEqual([("a", 1, 2)], self.spans())
        self.house.write(registration.remove, "ven-1")
        self.assertEqual([(0,)], self.house.sql("SELECT count(*) FROM opt_periods"))

    def test_what_one_ven_may_have_kept_is_bounded_and_what_it_cancelled_goes_first(self) -> None:
        self.patch(rules, "MOST", 4)
        self.plan("a", "optIn", (1, 1), (2, 1))
        self.plan("b", "optIn", (3, 1), (4, 1))
        error = self.assertRaises(NotAllowed, self.plan, "c", "optIn", (5, 1))
        self.assertIn("4 opts and periods", error.description)
        self.plan("a", "optOut", (1, 1), (2, 1))
        self.house.ven("ven-2").send(create_opt("c", "optIn", available=AVAILABLE))
        self.ven.send(OadrCancelOpt(request_id="r", opt_id="b", ven_id="ven-1"))
        self.plan("c", "optIn", (5, 1))
        self.assertEqual([("a", 1, 2), ("a", 2, 3), ("c", 5, 6)], self.spans())
        self.assertRaises(InvalidID, self.ven.send, OadrCancelOpt(request_id="r", opt_id="b", ven_id="ven-1"))


class AvailabilityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()

    def ven(self, ven_id: str, *plans: tuple[Any, ...], **more: Any) -> FakeVen:
        """A VEN that said ``(opt_type, *periods)`` each."""
        ven = self.house.ven(ven_id)
        for number, (opt_type, *periods) in enumerate(plans):
            ven.send(create_opt(f"o{number}", opt_type, available=hours(*periods), **more))
        return ven

    def asked(self, since: float = 10, until: float = 12, **more: Any) -> Availability:
        return self.house.read(rules.availability, hour(since), hour(until), *more.values())

    def verdict(self, *plans: tuple[Any, ...], **more: Any) -> str:
        """What is said of a VEN that said this, from 10 to 12 o'clock."""
        house, self.house = self.house, House()
        self.ven("ven-1", *plans, **more)
        found = attrs.asdict(self.asked())
        self.house = house
        self.assertEqual(1, found.pop("registered"))
        [(name, _)] = [(name, count) for name, count in found.items() if count]
        return name

    def test_who_said_it_for_the_whole_time_is_available_or_not(self) -> None:
        for opt_type, expected in (("optIn", "available"), ("optOut", "unavailable")):
            self.assertEqual(expected, self.verdict((opt_type, (10, 2))))
            self.assertEqual(expected, self.verdict((opt_type, (0, 0))))
            self.assertEqual(expected, self.verdict((opt_type, (9, 2), (11, 3))))

    def test_who_said_it_for_a_part_or_different_things_is_so_partly(self) -> None:
        for opt_type in ("optIn", "optOut"):
            self.assertEqual("partly", self.verdict((opt_type, (10, 1))))
            self.assertEqual("partly", self.verdict((opt_type, (9, 2), (11.5, 2))))
        self.assertEqual("partly", self.verdict(("optIn", (10, 1)), ("optOut", (11, 1))))

    def test_who_said_nothing_of_that_time_is_unstated(self) -> None:
        self.assertEqual("unstated", self.verdict())
        self.assertEqual("unstated", self.verdict(("optOut", (8, 2), (12, 2))))

    def test_of_two_that_overlap_the_newer_counts(self) -> None:
        self.assertEqual("available", self.verdict(("optOut", (0, 100)), ("optIn", (10, 2))))
        self.assertEqual("unavailable", self.verdict(("optIn", (10, 2)), ("optOut", (0, 100))))
        self.assertEqual("partly", self.verdict(("optIn", (10, 2)), ("optOut", (11, 0.5))))

    def test_what_is_said_of_a_part_of_a_ven_says_nothing_of_it(self) -> None:
        for more in (
            {"target": EiTarget(resource_ids=("pump",))},
            {"target": EiTarget(meter_assets=("m",))},
            {"device_class": EiTarget(end_device_assets=("Thermostat",))},
        ):
            self.assertEqual("unstated", self.verdict(("optOut", (0, 100)), **more))

    def test_only_registered_vens_that_take_part_in_events_are_counted(self) -> None:
        self.ven("ven-1", ("optIn", (0, 100)))
        self.ven("ven-2", ("optIn", (0, 100))).register(report_only=True)
        self.house.stranger("ven-3")
        self.assertEqual(Availability(1, 1, 0, 0, 0), self.asked())

    def test_a_market_context_leaves_out_who_is_elsewhere_and_what_was_said_of_others(self) -> None:
        self.ven("all", ("optOut", (0, 100)))
        self.ven("this", ("optOut", (0, 100)), market_context=PROGRAM)
        self.ven("other", ("optOut", (0, 100)), market_context="http://example.com/other")
        self.ven("elsewhere", ("optOut", (0, 100)))
        self.house.write(audience.set_traits, "elsewhere", {"market_contexts": ["http://example.com/other"]})
        self.assertEqual(Availability(3, 0, 2, 0, 1), self.asked(market_context=PROGRAM))
        self.assertEqual(Availability(4, 0, 4, 0, 0), self.asked())

    def test_a_group_counts_its_members(self) -> None:
        self.ven("ven-1", ("optIn", (0, 100)))
        self.ven("ven-2", ("optOut", (0, 100)))
        self.ven("ven-3")
        self.house.write(audience.create_group, "north", "North", ["ven-2", "ven-3"])
        self.assertEqual(Availability(2, 0, 1, 0, 1), self.asked(market_context=None, group_id="north"))
        self.assertRaises(InvalidID, self.asked, market_context=None, group_id="south")

    def test_a_time_has_a_length(self) -> None:
        self.assertEqual("until", self.assertRaises(InvalidData, self.asked, 12, 12).mistakes[0].place)

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.sampled_from(["optIn", "optOut"])), max_size=8))
    def test_agrees_with_a_look_at_each_moment(self, plans: list[tuple[int, int, str]]) -> None:
        spans = [
            Span("v", number, opt_type, hour(start), hour(start + length))
            for number, (start, length, opt_type) in enumerate(plans)
        ]
        told: list[str | None] = [None] * 20
        for start, length, opt_type in plans:
            told[start : start + length] = [opt_type] * length
        touching = [span for span in spans if span.starts_at < hour(8) and span.ends_at and span.ends_at > hour(2)]
        touching.sort(key=lambda span: span.starts_at)
        self.assertEqual(frozenset(told[2:8]), rules._said(touching, hour(2), hour(8)))

    def test_ten_thousand_vens_are_counted_at_once(self) -> None:
        document = to_xml(create_opt("o", "optOut"))
        ids = [f"v{number:05}" for number in range(10_000)]
        rows: dict[str, list[tuple[Any, ...]]] = {
            "vens (ven_id, name, source, created_at, registration_id, epoch, report_only, xml_signature,"
            " poll_frequency, online)": [(ven_id, "", "operator", 0, ven_id, 1, 0, 0, 10, 1) for ven_id in ids],
            "opts (id, ven_id, opt_id, opt_type, whole_ven, document, received_at)": [
                (number, ven_id, opt_id, opt_type, 1, document, 0)
                for number, (ven_id, (opt_id, opt_type)) in enumerate(product(ids, (("a", "optOut"), ("b", "optIn"))))
            ],
            "opt_periods (opt, number, starts_at, ends_at)": [
                (number, day, microseconds(hour(24 * day)), microseconds(hour(24 * day + 12)))
                for number, day in product(range(20_000), range(3))
            ],
        }

        def fill(txn: Any, now: datetime) -> tuple[None, Any]:
            for table, values in rows.items():
                marks = ", ".join("?" for _ in values[0])
                txn.exec_driver_sql(f"INSERT INTO {table} VALUES ({marks})", values)
            return None, NOTHING

        self.house.write(fill)

        def asked() -> None:
            self.assertEqual(Availability(10_000, 10_000, 0, 0, 0), self.asked(24, 36))

        self.assertLess(effort(asked), MOMENT)
