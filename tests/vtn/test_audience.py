"""Whom events concern: targets, groups and traits, and what happens where they change."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import InvalidData, InvalidID, NotAllowed, VtnError
from oadrvtn.model.event import (
    EiEventBaseline,
    EiTarget,
    FeatureCollection,
    Interval,
    OadrDistributeEvent,
    PayloadFloat,
    Polygon,
    SignalPayload,
    TransportInterface,
)
from oadrvtn.model.values import Duration
from oadrvtn.storage import audience as rows
from oadrvtn.storage import events as event_rows
from oadrvtn.vtn import audience
from oadrvtn.vtn.audience import KINDS, Effect
from oadrvtn.vtn.changes import NOTHING

from .house import START, FakeVen, House

POLL = 10.0
AREA = FeatureCollection(id="north", polygon=Polygon(pos_list=(1.0, 2.0, 3.0, 4.0)))
LINE = TransportInterface(point_of_receipt="a", point_of_delivery="b")


class AudienceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.one = self.house.ven("ven-1")
        self.two = self.house.ven("ven-2")

    def group(self, *ven_ids: str, group_id: str = "g", name: str = "Cold stores") -> rows.Group:
        return self.house.write(audience.create_group, group_id, name, ven_ids)

    def members(self, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
        effects = self.house.write(audience.change_members, "g", add, remove)
        return [(effect.ven_id, effect.event_id, effect.what) for effect in effects]

    def traits(self, ven_id: str, **traits: tuple[str, ...]) -> list[Effect]:
        return self.house.write(audience.set_traits, ven_id, traits)

    def told(self, event_id: str) -> set[str]:
        """Who has a line that is to be told, or was."""
        return {line.ven_id for line in self.house.read(event_rows.current_lines, event_id) if not line.withdrawn}

    def shown(self, ven: FakeVen) -> dict[str, EiTarget]:
        return {one.event.descriptor.event_id: one.event.target for one in ven.request_event().events}

    def line(self, ven_id: str, event_id: str, number: int = 0) -> event_rows.Line:
        return self.house.read(event_rows.line, ven_id, event_id, number)

    def refused(self, kind: type[VtnError], place: str, rule: Any, *arguments: Any) -> None:
        error = self.assertRaises(kind, self.house.write, rule, *arguments)
        self.assertEqual([place], [mistake.place for mistake in error.mistakes])


class TargetTests(AudienceTests):
    def test_every_kind_of_target_finds_the_vens_that_have_it(self) -> None:
        targets: dict[str, Any] = {kind: ("x",) for kind in KINDS if kind not in ("group_ids", "market_contexts")}
        targets |= {"service_areas": (AREA,), "service_locations": (AREA,), "transport_interfaces": (LINE,)}
        written = {"service_areas": "north", "service_locations": "north", "transport_interfaces": "a>b"}
        self.assertLess(8, len(targets))
        for kind, named in targets.items():
            self.traits("ven-2", **{kind: (written.get(kind, "x"),)})
            event = self.house.event(target=EiTarget(**{kind: named}))
            self.assertEqual({"ven-2"}, self.told(event.event_id), kind)
            self.assertEqual(named, getattr(self.shown(self.two)[event.event_id], kind))

    def test_groups_are_found_by_id_and_by_name(self) -> None:
        self.group("ven-2")
        for target in (EiTarget(group_ids=("g",)), EiTarget(group_names=("Cold stores",))):
            event = self.house.event(target=target)
            self.assertEqual({"ven-2"}, self.told(event.event_id))
            self.assertEqual(target, self.shown(self.two)[event.event_id])

    def test_any_of_several_targets_is_enough(self) -> None:
        self.group("ven-1")
        self.traits("ven-2", party_ids=("p",))
        event = self.house.event(target=EiTarget(group_ids=("g",), party_ids=("p", "q")))
        self.assertEqual({"ven-1", "ven-2"}, self.told(event.event_id))

    def test_a_ven_sees_what_concerns_it_alone(self) -> None:
        self.group("ven-1")
        self.traits("ven-1", resource_ids=("fridge", "oven"))
        self.traits("ven-2", resource_ids=("pump",))
        target = EiTarget(
            group_ids=("g",), group_names=("Cold stores",), resource_ids=("pump", "fridge"), ven_ids=("ven-2", "ven-1")
        )
        self.house.event(event_id="e", target=target)
        mine = EiTarget(group_ids=("g",), group_names=("Cold stores",), resource_ids=("fridge",), ven_ids=("ven-1",))
        self.assertEqual(mine, self.shown(self.one)["e"])
        self.assertEqual(EiTarget(resource_ids=("pump",), ven_ids=("ven-2",)), self.shown(self.two)["e"])

    def test_what_nobody_is_known_to_have_is_said_to_the_one_ven_that_is_named(self) -> None:
        self.traits("ven-2", resource_ids=("pump",))
        alone = self.house.event(target=EiTarget(ven_ids=("ven-1",), resource_ids=("new", "pump")))
        both = self.house.event(target=EiTarget(ven_ids=("ven-1", "ven-2"), resource_ids=("new",)))
        shown = self.shown(self.one)
        self.assertEqual(EiTarget(ven_ids=("ven-1",), resource_ids=("new",)), shown[alone.event_id])
        self.assertEqual(EiTarget(ven_ids=("ven-1",)), shown[both.event_id])

    def test_a_ven_sees_no_resources_of_others_in_a_baseline_either(self) -> None:
        self.traits("ven-1", resource_ids=("fridge",))
        self.traits("ven-2", resource_ids=("pump",))
        payload = SignalPayload(payload=PayloadFloat(value=1.0))
        baseline = EiEventBaseline(
            dtstart=START, duration=Duration("PT1H"), baseline_id="b", baseline_name="yesterday",
            intervals=(Interval(duration=Duration("PT1H"), payloads=(payload,)),),
            resource_ids=("fridge", "pump", "elsewhere"),
        )  # fmt: skip
        self.house.event(target=EiTarget(ven_ids=("ven-1", "ven-2")), baseline=baseline)
        self.assertEqual(("fridge", "elsewhere"), self.baseline(self.one.poll()))
        self.assertEqual(("pump", "elsewhere"), self.baseline(self.two.request_event()))
        self.traits("ven-2", resource_ids=("pump", "elsewhere"))
        self.house.after(POLL)
        self.assertEqual(("fridge",), self.baseline(self.one.poll()))

    def baseline(self, sent: OadrDistributeEvent) -> tuple[str, ...]:
        """The resources in the baseline of the only event."""
        [shown] = sent.events
        baseline = shown.event.event_signals.baseline
        assert baseline
        return baseline.resource_ids

    def test_a_withdrawn_ven_sees_itself(self) -> None:
        self.group("ven-1", "ven-2")
        self.house.event(event_id="e", target=EiTarget(group_ids=("g",)))
        self.house.modify("e", target=EiTarget(ven_ids=("ven-1",)))
        self.assertEqual({"e": EiTarget(ven_ids=("ven-2",))}, self.shown(self.two))

    def test_everybody_are_those_of_the_market_context(self) -> None:
        self.traits("ven-1", market_contexts=("http://a/", "http://b/"))
        for context, expected in (("http://a/", {"ven-1", "ven-2"}), ("http://c/", {"ven-2"})):
            event = self.house.event(market_context=context)
            self.assertEqual(expected, self.told(event.event_id))

    def test_who_is_named_gets_it_whatever_its_market_contexts(self) -> None:
        self.traits("ven-1", market_contexts=("http://a/",))
        event = self.house.event(market_context="http://c/", target=EiTarget(ven_ids=("ven-1",)))
        self.assertEqual({"ven-1"}, self.told(event.event_id))

    def test_what_does_not_exist_is_refused_with_its_place(self) -> None:
        target = EiTarget(
            ven_ids=("ven-1", "nobody"), group_ids=("x",), group_names=("y",),
            service_areas=(AREA, AREA.evolve(id=None)),
        )  # fmt: skip
        error = self.assertRaises(InvalidData, self.house.event, target=target)
        self.assertEqual(
            ["target.ven_ids[1]", "target.group_ids[0]", "target.group_names[0]", "target.service_areas[1]"],
            [mistake.place for mistake in error.mistakes],
        )


class GroupTests(AudienceTests):
    def test_a_group_has_a_name_and_members(self) -> None:
        group = self.group("ven-2", "ven-1")
        self.assertEqual([group], self.house.read(rows.groups))
        self.assertEqual(["ven-1", "ven-2"], self.house.read(rows.members, "g"))
        self.assertEqual({"g": 2}, self.house.read(rows.sizes))

    def test_it_gets_an_id_where_none_is_given(self) -> None:
        one, two = (self.house.write(audience.create_group, None, name, ()) for name in ("a", "b"))
        self.assertNotEqual(one.group_id, two.group_id)

    def test_what_cannot_be_is_refused(self) -> None:
        self.group()
        for kind, place, rule, *arguments in (
            (NotAllowed, "group_id", audience.create_group, "g", "other", ()),
            (NotAllowed, "name", audience.create_group, "h", "Cold stores", ()),
            (InvalidData, "name", audience.create_group, "h", " ", ()),
            (InvalidData, "group_id", audience.create_group, "\x00", "x", ()),
            (InvalidData, "ven_ids[1]", audience.create_group, "h", "x", ("ven-1", "nobody")),
            (InvalidData, "add[0]", audience.change_members, "g", ("nobody",), ()),
            (InvalidData, "remove[0]", audience.change_members, "g", (), ("nobody",)),
            (InvalidID, "group_id", audience.change_members, "h", (), ()),
            (InvalidID, "group_id", audience.rename_group, "h", "x"),
            (InvalidID, "group_id", audience.delete_group, "h"),
        ):
            self.refused(kind, place, rule, *arguments)
        self.assertEqual(["g"], [group.group_id for group in self.house.read(rows.groups)])

    def test_it_can_be_renamed_and_deleted(self) -> None:
        self.group("ven-1")
        self.assertEqual("Hot", self.house.write(audience.rename_group, "g", "Hot").name)
        self.assertEqual("Hot", self.house.write(audience.rename_group, "g", "Hot").name)
        self.house.write(audience.delete_group, "g")
        self.assertEqual(([], []), (self.house.read(rows.groups), self.house.read(rows.traits_of, "ven-1")))

    def test_not_while_a_running_event_has_it_as_a_target(self) -> None:
        self.group("ven-1")
        self.house.event(event_id="by id", start=60, length="PT1M", target=EiTarget(group_ids=("g",)))
        self.refused(NotAllowed, "group_id", audience.delete_group, "g")
        self.house.write(audience.rename_group, "g", "Hot")
        self.house.event(event_id="by name", start=60, length="PT1M", target=EiTarget(group_names=("Hot",)))
        self.refused(NotAllowed, "name", audience.rename_group, "g", "Cold")
        self.house.after(120)
        self.house.write(audience.rename_group, "g", "Cold")
        self.house.write(audience.delete_group, "g")


class MemberTests(AudienceTests):
    def setUp(self) -> None:
        super().setUp()
        self.group("ven-1")
        self.house.event(event_id="e", target=EiTarget(group_ids=("g",)))

    def test_who_joins_gets_the_running_events(self) -> None:
        self.assertEqual([("ven-2", "e", "shown")], self.members(add=("ven-2",)))
        self.assertEqual({"e": EiTarget(group_ids=("g",))}, self.shown(self.two))
        self.assertEqual([], self.members(add=("ven-2",)))

    def test_not_those_that_are_over_cancelled_or_deleted(self) -> None:
        for event_id in ("cancelled", "deleted"):
            self.house.event(event_id=event_id, target=EiTarget(group_ids=("g",)))
        self.house.cancel("cancelled")
        self.house.delete("deleted")
        self.house.after(2 * 3600)
        self.assertEqual([], self.members(add=("ven-2",)))

    def test_who_leaves_gets_the_implied_cancel_for_itself_alone(self) -> None:
        self.members(add=("ven-2",))
        for ven in (self.one, self.two):
            ven.answer_all(ven.poll())
        self.assertEqual([("ven-2", "e", "removed")], self.members(remove=("ven-2",)))
        self.assertEqual((), self.two.poll().events)
        self.assertEqual("oadrResponse", self.one.poll().name())
        self.assertEqual({"e": EiTarget(group_ids=("g",))}, self.shown(self.one))
        self.assertEqual(0, self.house.read(event_rows.get, "e").modification_number)

    def test_who_is_meant_in_another_way_too_stays(self) -> None:
        self.house.event(event_id="f", target=EiTarget(group_ids=("g",), ven_ids=("ven-1",)))
        self.assertEqual([("ven-1", "e", "removed")], self.members(remove=("ven-1",)))
        self.assertEqual({"f": EiTarget(ven_ids=("ven-1",))}, self.shown(self.one))

    def test_who_comes_back_is_asked_again(self) -> None:
        self.one.answer_all(self.one.poll(), "optOut")
        self.members(remove=("ven-1",))
        self.assertEqual([("ven-1", "e", "shown")], self.members(add=("ven-1",)))
        line = self.line("ven-1", "e")
        self.assertEqual(("queued", "answer", False, None), (line.state, line.wants, line.removed, line.opt_type))
        self.house.after(POLL)
        self.one.answer_all(self.one.poll())
        self.assertEqual("optIn", self.line("ven-1", "e").opt_type)
        self.assertEqual(["optOut", "optIn"], [a.opt_type for a in self.house.read(event_rows.answers_to, "e")])

    def test_an_answer_that_crosses_the_removal_is_kept_and_ends_nothing(self) -> None:
        self.one.poll()
        self.members(remove=("ven-1",))
        self.assertEqual("200", self.one.answer(("e", 0)).response.response_code)
        self.assertEqual(1, len(self.house.read(event_rows.answers_to, "e")))
        self.assertEqual("delivery", self.line("ven-1", "e").wants)

    def test_a_removal_that_did_not_arrive_outlives_the_next_changes(self) -> None:
        self.members(remove=("ven-1",))
        for change in (partial(self.house.modify, "e", priority=1), partial(self.house.cancel, "e")):
            change()
            self.assertEqual(["oadrDistributeEvent"], self.one.poll_names(1, every=POLL))
            self.assertEqual({}, self.shown(self.one))
        line = self.line("ven-1", "e", 2)
        self.assertEqual(("delivery", True, True), (line.wants, line.withdrawn, line.removed))

    def test_a_ven_that_is_not_registered_joins_and_is_told_when_it_is(self) -> None:
        three = self.house.stranger("ven-3")
        self.members(add=("ven-3",))
        three.register()
        three.take_register_report()
        self.assertEqual(["e"], [one.event.descriptor.event_id for one in three.poll().events])

    def test_a_ven_for_reports_only_is_left_alone(self) -> None:
        self.two.register(report_only=True)
        self.two.take_register_report()
        self.assertEqual([], self.members(add=("ven-2",)))
        self.two.register(report_only=False)
        self.two.take_register_report()
        self.assertEqual({"e"}, set(self.shown(self.two)))


class WithheldTests(AudienceTests):
    """A VEN has one event of a market context at a time."""

    def setUp(self) -> None:
        super().setUp()
        self.group("ven-1")
        self.house.event(event_id="hers", market_context="http://a/", target=EiTarget(ven_ids=("ven-2",)))
        self.house.event(event_id="e", start=5400, market_context="http://a/", target=EiTarget(group_ids=("g",)))
        self.two.answer_all(self.two.poll())
        self.effects = self.members(add=("ven-2",))

    def state(self) -> tuple[str, str]:
        line = self.line("ven-2", "e", self.house.read(event_rows.get, "e").modification_number)
        return line.state, line.wants

    def test_what_overlaps_is_withheld_and_seen_in_the_ledger(self) -> None:
        self.assertEqual([("ven-2", "e", "withheld")], self.effects)
        self.assertEqual(("withheld", "nothing"), self.state())
        self.assertEqual("oadrResponse", self.two.poll().name())
        self.assertEqual({"hers"}, set(self.shown(self.two)))
        tallies = self.house.read(event_rows.tallies, ["e"])
        self.assertIn(("withheld", None, 1), [(tally.state, tally.opt_type, tally.count) for tally in tallies])
        self.assertEqual([], self.members(add=("ven-2",)))

    def test_it_is_told_when_the_other_is_cancelled(self) -> None:
        self.house.cancel("hers")
        self.assertEqual({"hers", "e"}, {one.event.descriptor.event_id for one in self.two.poll().events})

    def test_or_deleted(self) -> None:
        self.house.delete("hers")
        self.assertEqual({"e"}, {one.event.descriptor.event_id for one in self.two.poll().events})

    def test_or_moved(self) -> None:
        self.house.modify("hers", priority=2)
        self.assertEqual("withheld", self.state()[0])
        self.house.modify("hers", dtstart=self.house.read(event_rows.get, "e").ends_at)
        self.assertEqual("queued", self.state()[0])

    def test_or_no_longer_hers(self) -> None:
        self.house.modify("hers", target=EiTarget(ven_ids=("ven-1",)), market_context="http://b/")
        self.assertEqual("queued", self.state()[0])

    def test_or_over(self) -> None:
        self.house.after(2 * 3600 - 1)
        self.house.round()
        self.assertEqual("withheld", self.state()[0])
        self.house.after(1)
        self.house.round()
        self.assertEqual(["e"], [one.event.descriptor.event_id for one in self.two.poll().events])

    def test_a_change_of_it_keeps_it_withheld_or_tells_it(self) -> None:
        self.house.modify("e", priority=3)
        self.assertEqual(("withheld", "nothing"), self.state())
        self.house.modify("e", dtstart=self.house.read(event_rows.get, "hers").ends_at)
        self.assertEqual(("queued", "answer"), self.state())

    def test_its_cancellation_and_its_deletion_are_not_told(self) -> None:
        self.house.cancel("e")
        self.assertEqual("oadrResponse", self.two.poll().name())
        self.house.delete("e")
        self.assertEqual("oadrResponse", self.two.poll().name())

    def test_who_leaves_before_it_was_told_is_told_nothing(self) -> None:
        self.assertEqual([], self.members(remove=("ven-2",)))
        self.house.cancel("hers")
        self.two.answer_all(self.two.poll())
        self.assertEqual(("superseded", "nothing"), self.state())

    def test_an_answer_to_it_is_unknown(self) -> None:
        self.assertEqual("452", self.two.answer(("e", 0)).response.response_code)

    def test_a_removal_that_did_not_arrive_goes_on_where_it_is_withheld_then(self) -> None:
        self.house.event(event_id="f", start=0, market_context="http://b/", target=EiTarget(group_ids=("g",)))
        self.two.answer_all(self.two.poll())
        self.members(remove=("ven-2",))
        self.house.event(event_id="g", start=0, market_context="http://b/", target=EiTarget(ven_ids=("ven-2",)))
        self.assertEqual([("ven-2", "e", "withheld"), ("ven-2", "f", "withheld")], sorted(self.members(add=("ven-2",))))
        line = self.line("ven-2", "f")
        self.assertEqual(("withheld", "delivery", True), (line.state, line.wants, line.removed))
        self.assertNotIn("f", self.shown(self.two))
        self.house.delete("g")
        self.assertIn("f", self.shown(self.two))

    def test_of_two_that_it_joins_at_once_the_first_is_told(self) -> None:
        for event_id, start, resource in (("late", 1800, "a"), ("early", 0, "b")):
            self.house.event(
                event_id=event_id, start=start, market_context="http://n/", target=EiTarget(resource_ids=(resource,))
            )
        effects = self.traits("ven-1", resource_ids=("a", "b"))
        self.assertEqual([("early", "shown"), ("late", "withheld")], [(one.event_id, one.what) for one in effects])

    def test_what_is_past_is_not_looked_at_in_each_round(self) -> None:
        self.house.live(30)
        self.assertNotEqual([], self.house.sql("SELECT * FROM ledger WHERE state = 'withheld' AND deadline > 0"))
        self.house.cancel("e")
        self.house.after(86400)
        self.house.round()
        self.assertEqual([], self.house.sql("SELECT * FROM ledger WHERE state = 'withheld' AND deadline > 0"))


class WithdrawnTests(AudienceTests):
    """A change of target shows ven-2 an event as cancelled; when it joins again, another one is in the way."""

    def setUp(self) -> None:
        super().setUp()
        self.group()
        here: dict[str, Any] = {"market_context": "http://b/", "target": EiTarget(ven_ids=("ven-2",))}
        self.house.event(event_id="e", **here)
        self.two.answer_all(self.two.poll())
        self.house.modify("e", target=EiTarget(group_ids=("g",)))
        self.house.event(event_id="other", **here)

    def state(self) -> tuple[str, str, bool]:
        line = self.line("ven-2", "e", 1)
        return line.state, line.wants, line.removed

    def join(self) -> None:
        self.assertEqual([("ven-2", "e", "withheld")], self.members(add=("ven-2",)))

    def test_its_answer_to_what_it_was_sent_is_taken(self) -> None:
        sent = self.two.poll()
        self.assertEqual(["e", "other"], sorted(one.event.descriptor.event_id for one in sent.events))
        self.join()
        self.assertEqual("200", self.two.answer_all(sent).response.response_code)
        self.assertEqual(("withheld", "delivery", True), self.state())

    def test_what_was_open_goes_on_as_a_removal_until_it_has_arrived(self) -> None:
        self.two.answer(("other", 0))
        self.join()
        self.assertEqual(["oadrDistributeEvent"] * 2 + ["oadrResponse"], self.two.poll_names(3, every=POLL))
        self.house.round()
        self.assertEqual(("withheld", "nothing", True), self.state())
        self.house.delete("other")
        self.assertEqual({"e"}, set(self.shown(self.two)))

    def test_an_answer_that_comes_again_is_taken_and_changes_nothing(self) -> None:
        sent = self.two.poll()
        self.two.answer_all(sent)
        self.join()
        self.assertEqual("200", self.two.answer_all(sent).response.response_code)
        self.assertEqual(("withheld", "nothing", False), self.state())
        self.house.delete("other")
        self.assertEqual({"e"}, set(self.shown(self.two)))

    def test_where_it_leaves_again_the_ledger_says_how_far_the_removal_is(self) -> None:
        self.join()
        self.members(remove=("ven-2",))
        self.assertEqual(("queued", "delivery", True), self.state())
        self.two.poll()
        self.house.round()
        self.join()
        self.members(remove=("ven-2",))
        self.assertEqual(("offered", "delivery", True), self.state())
        self.two.answer(("other", 0))
        self.two.poll_names(2, every=POLL)
        self.house.round()
        self.assertEqual(("acknowledged", "nothing", True), self.state())

    def test_a_change_of_target_does_not_give_it_two_events_at_a_time(self) -> None:
        self.assertRaises(NotAllowed, self.house.modify, "e", target=EiTarget(ven_ids=("ven-2",)))


class TraitTests(AudienceTests):
    def test_only_the_kinds_given_are_replaced(self) -> None:
        self.traits("ven-1", resource_ids=("a", "b"), party_ids=("p",))
        self.traits("ven-1", resource_ids=("b", "c"))
        found = [(trait.kind, trait.value) for trait in self.house.read(rows.traits_of, "ven-1")]
        self.assertEqual([("party_ids", "p"), ("resource_ids", "b"), ("resource_ids", "c")], found)

    def test_what_reports_say_and_what_operators_say_stand_apart(self) -> None:
        self.traits("ven-1", resource_ids=("a", "b"))
        self.house.write(self.from_reports, "b", "c")
        self.house.write(self.from_reports, "c")
        self.assertEqual(
            [("a", "operator"), ("b", "operator"), ("c", "metadata")],
            [(trait.value, trait.source) for trait in self.house.read(rows.traits_of, "ven-1")],
        )

    @staticmethod
    def from_reports(txn: Any, *arguments: Any) -> Any:
        *resources, now = arguments
        return audience.set_traits(txn, "ven-1", {"resource_ids": resources}, now, source="metadata")

    def test_saying_the_same_again_changes_nothing(self) -> None:
        self.traits("ven-1", resource_ids=("a",))

        def again(txn: Any, now: Any) -> Any:
            return audience.set_traits(txn, "ven-1", {"resource_ids": ["a", "a"]}, now)[1], NOTHING

        self.assertIs(NOTHING, self.house.write(again))

    def test_events_come_and_go_with_them(self) -> None:
        self.traits("ven-1", resource_ids=("a",))
        self.house.event(event_id="e", target=EiTarget(resource_ids=("a", "b")))
        self.assertEqual([Effect("ven-2", "e", "shown")], self.traits("ven-2", resource_ids=("b",)))
        self.assertEqual([Effect("ven-1", "e", "removed")], self.traits("ven-1", resource_ids=()))

    def test_so_with_the_programs_that_a_ven_takes_part_in(self) -> None:
        self.house.event(event_id="e", market_context="http://a/")
        self.assertEqual([Effect("ven-1", "e", "removed")], self.traits("ven-1", market_contexts=("http://b/",)))
        self.assertEqual([Effect("ven-1", "e", "shown")], self.traits("ven-1", market_contexts=("http://a/",)))

    def test_what_cannot_be_is_refused(self) -> None:
        for kind, place, ven_id, traits in (
            (InvalidID, "ven_id", "nobody", {}),
            (InvalidData, "group_ids", "ven-1", {"group_ids": ("g",)}),
            (InvalidData, "colours", "ven-1", {"colours": ("red",)}),
            (InvalidData, "resource_ids[1]", "ven-1", {"resource_ids": ("a", "")}),
            (InvalidData, "market_contexts[0]", "ven-1", {"market_contexts": ("1:2",)}),
        ):
            self.refused(kind, place, audience.set_traits, ven_id, traits)
        self.assertEqual([], self.house.read(rows.traits_of, "ven-1"))

    def test_a_newcomer_gets_what_its_traits_say(self) -> None:
        self.house.stranger("ven-3")
        self.traits("ven-3", party_ids=("p",), market_contexts=("http://a/",))
        self.house.event(event_id="party", target=EiTarget(party_ids=("p",)))
        self.house.event(event_id="here", market_context="http://a/")
        self.house.event(event_id="elsewhere", market_context="http://b/")
        three = FakeVen(self.house, "ven-3")
        three.register()
        three.take_register_report()
        self.assertEqual({"party", "here"}, set(self.shown(three)))
