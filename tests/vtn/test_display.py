"""What VENs are shown of their events is the same whether it was looked up and written just now or before."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import VtnError
from oadrvtn.model.event import EiTarget, OadrDistributeEvent
from oadrvtn.model.values import Duration
from oadrvtn.storage.database import Txn
from oadrvtn.vtn import audience, display
from oadrvtn.vtn.specs import SignalSpec
from oadrvtn.wire import decode, encode
from oadrvtn.wire.codec import _KEPT
from tests.vtn.house import START, FakeVen, House

VENS = ("ven-1", "ven-2", "ven-3")
GROUPS = ("north", "south")
TARGETS = (
    EiTarget(),
    EiTarget(ven_ids=("ven-1",)),
    EiTarget(ven_ids=("ven-1", "ven-2")),
    EiTarget(group_ids=("north",)),
    EiTarget(group_ids=GROUPS),
    EiTarget(ven_ids=("ven-2",), group_names=("north",)),
)


class SameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.vens = [self.house.ven(ven_id) for ven_id in VENS]
        for group_id in GROUPS:
            self.house.write(audience.create_group, group_id, group_id, ())
        self.events: list[str] = []
        self.random = random.Random(7)

    def uncached(self, ven_id: str) -> list[Any]:
        """What a VEN is to be shown now, looked up now and made now, in protocol order."""
        now = self.house.vtn.now()

        def look(txn: Txn) -> list[Any]:
            seen = [one for one in display.look(txn, ven_id, now) if not one.line.removed]
            shown = [display._shown(one.event, one.line.withdrawn, one.target, one.resources, now) for one in seen]
            return sorted(shown, key=display._order)

        return self.house.read(look)

    def compare(self, ven: FakeVen, message: OadrDistributeEvent) -> None:
        self.assertEqual(self.uncached(ven.ven_id), list(message.events))
        written = encode(message)
        read = decode(written, allowed=()).message
        self.assertEqual(message, read)
        self.assertEqual(encode(read), written)

    def step(self) -> None:
        """Something happens."""
        choose, house = self.random.choice, self.house
        event_id = choose(self.events) if self.events else ""
        step = self.random.randrange(10)
        if step < 2 or not self.events:
            intervals = ((Duration("PT10M"), 1.0), (Duration("PT20M"), 2.0), (Duration("PT30M"), 3.0))
            start = (house.vtn.now() - START).total_seconds() + choose((-60, 0, 30, 900))
            more = {"ramp_up": Duration("PT5M"), "response_required": choose(("always", "never"))}
            made = house.event(start, signals=(SignalSpec(intervals=intervals),), target=choose(TARGETS), **more)
            self.events.append(made.event_id)
        elif step == 2:
            house.modify(event_id, priority=self.random.randrange(5))
        elif step == 3:
            house.modify(event_id, target=choose(TARGETS))
        elif step == 4:
            choose((house.cancel, house.delete))(event_id)
        elif step < 7:
            change = [(choose(VENS),), ()]
            self.random.shuffle(change)
            house.write(audience.change_members, choose(GROUPS), *change)
        elif step == 7:
            house.round()
        else:
            house.after(choose((1, 10, 299, 301, 600, 1200)))

    def test_through_whatever_happens(self) -> None:
        compared = 0
        for _ in range(200):
            try:
                self.step()
            except VtnError:  # it is cancelled, or over
                continue
            for ven in self.vens:
                polled = ven.poll(clean=self.random.random() < 0.8)
                if not isinstance(polled, OadrDistributeEvent):
                    continue
                compared += 1
                self.compare(ven, polled)
                if self.random.random() < 0.3:
                    ven.answer_all(polled)
                if self.random.random() < 0.1:
                    self.compare(ven, ven.request_event())
        self.assertGreater(compared, 100)

    def test_what_is_known_of_vens_changes_what_they_see_though_nothing_else_happens(self) -> None:
        ven = self.vens[0]
        for group_id in GROUPS:
            self.house.write(audience.change_members, group_id, (ven.ven_id,), ())
        self.house.event(target=EiTarget(group_ids=GROUPS))
        seen = []
        for group_id in ("", "south"):
            if group_id:
                self.assertEqual([], self.house.write(audience.change_members, group_id, (), (ven.ven_id,)))
            message = ven.poll()
            self.compare(ven, message)
            seen.append(message.events[0].event.target.group_ids)
            self.house.after(10)
        self.assertEqual([GROUPS, ("north",)], seen)

    def test_at_each_turn_of_the_clock_and_beside_it(self) -> None:
        intervals = ((Duration("PT10M"), 1.0), (Duration("PT20M"), 2.0))
        self.house.event(600, signals=(SignalSpec(intervals=intervals),), ramp_up=Duration("PT5M"))
        told = []
        for minute in (0, 5, 10, 20, 40):
            for beside in (-0.001, 0, 0.001):
                self.house.after(
                    (START + timedelta(minutes=minute, seconds=beside) - self.house.vtn.now()).total_seconds()
                )
                message = self.vens[0].request_event()
                self.compare(self.vens[0], message)
                for shown in message.events:
                    signal = shown.event.event_signals.signals[0]
                    told.append((shown.event.descriptor.event_status, signal.current_value))
        far, near, first, second = ("far", 0.0), ("near", 0.0), ("active", 1.0), ("active", 2.0)
        self.assertEqual([far] * 4 + [near] * 3 + [first] * 3 + [second] * 3, told)


class OnceTests(SynchronousTestCase):
    def test_an_event_is_written_once_for_all_who_see_the_same_of_it(self) -> None:
        house = House()
        vens = [house.ven(f"ven-{number}") for number in range(5)]
        house.event()
        first, *others = [ven.poll() for ven in vens]
        for other in others:
            self.assertIs(first.events[0], other.events[0])
            self.assertNotEqual(first.request_id, other.request_id)
        self.assertIn(id(first.events[0]), _KEPT)

    def test_what_is_kept_is_bounded(self) -> None:
        house = House()
        ven = house.ven()
        for number in range(300):
            house.event(target=EiTarget(ven_ids=("ven-1",)))
            if not number % 50:
                ven.poll()
                house.after(10)
        self.assertEqual(300, len(ven.request_event().events))
        self.assertEqual(256, len(_KEPT))

    def test_an_event_for_all_is_looked_up_for_many_at_once(self) -> None:
        house = House()
        vens = [house.ven(f"ven-{number}") for number in range(50)]
        for ven in vens:
            ven.poll()
        house.event()
        reads: list[str] = []
        read = house.database.read

        def noted(name: str, *arguments: Any) -> Any:
            reads.append(name)
            return read(name, *arguments)

        self.patch(house.database, "read", noted)
        self.assertEqual({"oadrDistributeEvent"}, {ven.poll().name() for ven in vens})
        self.assertEqual(["due"], reads)
