"""A rule can be tried without effect: the dry run of what operators do."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import NotAllowed
from oadrvtn.vtn import events

from .house import House, result, spec


class RehearsalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def rehearse(self, rule: Any, *arguments: Any) -> Any:
        return result(self.house.vtn.rehearse(rule.__name__, rule, *arguments))

    def test_the_reply_comes_and_nothing_is_on_disk(self) -> None:
        event = self.rehearse(events.create, spec(event_id="e-1"), "operator")
        self.assertEqual("e-1", event.event_id)
        self.assertEqual(
            [(0, 0)], self.house.sql("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM ledger)")
        )
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_what_was_rehearsed_can_be_done(self) -> None:
        self.rehearse(events.create, spec(event_id="e-1"), "operator")
        self.house.event(event_id="e-1")
        self.assertEqual("oadrDistributeEvent", self.ven.poll().name())

    def test_what_would_be_refused_is_refused(self) -> None:
        self.house.event(event_id="e-1")
        self.assertRaises(NotAllowed, self.rehearse, events.create, spec(event_id="e-1"), "operator")
