"""Opts by oadrCreateOpt, and how they go with oadrCreatedEvent."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import InvalidData, InvalidID, OutOfSequence, TargetMismatch
from oadrvtn.model.event import EiTarget, Properties, QualifiedEventID
from oadrvtn.model.opt import OadrCancelOpt, OadrCreateOpt
from oadrvtn.model.values import Duration
from oadrvtn.storage import events, opts

from .house import START, House

AVAILABLE = (Properties(dtstart=START, duration=Duration("PT1H")),)


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
        values: dict[str, Any] = {
            "opt_id": opt_id, "opt_type": opt_type, "opt_reason": "economic", "ven_id": "ven-1", "request_id": "r",
            "created_date_time": START, "qualified_event_id": qualified, "target": EiTarget(),
        }  # fmt: skip
        return self.ven.send(OadrCreateOpt(**{**values, **more}))

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

    def test_an_unknown_opt_cannot_be_cancelled_nor_one_twice(self) -> None:
        self.assertRaises(InvalidID, self.cancel)
        self.create()
        self.cancel()
        self.assertRaises(InvalidID, self.cancel)
        self.create()
        self.assertEqual(["o"], self.standing())
