"""What the duties make of a VTN that has more to do than it can."""

from __future__ import annotations

from functools import partial
from operator import add
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.vtn import duties

from .house import House


def online(txn: Any) -> list[str]:
    """The VENs that count as online."""
    return [ven_id for (ven_id,) in txn.exec_driver_sql("SELECT ven_id FROM vens WHERE online")]


class JumpTests(SynchronousTestCase):
    def test_whoever_sets_the_clock_takes_no_ven_offline(self) -> None:
        house = House()
        house.ven("ven-1")
        for apart in (3600.0, -3600.0, 0.0):
            self.assertEqual(["ven-1"], house.read(online))
            house.vtn.wall = partial(add, apart, house.clock.seconds())
            house.round()
            self.assertEqual(["ven-1"], house.read(online))

    def test_who_is_silent_by_the_steady_clock_still_goes_offline_after_it(self) -> None:
        house = House()
        house.ven("ven-1")
        house.vtn.wall = lambda: house.clock.seconds() - 3600
        house.round()
        for _ in range(10):
            house.clock.advance(duties.INTERVAL)
            house.round()
        self.assertEqual([], house.read(online))


class OverrunTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.house.ven()
        self.house.duties.startService()
        self.addCleanup(lambda: self.successResultOf(self.house.duties.stopService()))

    def online_after(self, seconds: float, step: float) -> bool:
        """Whether the VEN, which says nothing, is online; the reactor wakes up once in a ``step``."""
        for _ in range(int(seconds / step)):
            self.house.clock.advance(step)
        [(online,)] = self.house.sql("SELECT online FROM vens")
        return bool(online)

    def test_who_is_silent_is_offline(self) -> None:
        self.assertFalse(self.online_after(60, 1))

    def test_who_was_turned_away_has_the_time_to_come_again(self) -> None:
        self.house.vtn.limited["overload"] += 1
        self.assertTrue(self.online_after(50, 1))
        self.assertFalse(self.online_after(60, 1))

    def test_nobody_is_while_the_vtn_has_no_time_to_hear(self) -> None:
        self.assertTrue(self.online_after(300, 2.5))

    def test_who_is_still_silent_after_that_is_offline(self) -> None:
        self.online_after(300, 2.5)
        self.assertTrue(self.online_after(20, 1))
        self.assertFalse(self.online_after(40, 1))
