"""What the duties make of a VTN that has more to do than it can."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .house import House


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

    def test_nobody_is_while_the_vtn_has_no_time_to_hear(self) -> None:
        self.assertTrue(self.online_after(300, 2.5))

    def test_who_is_still_silent_after_that_is_offline(self) -> None:
        self.online_after(300, 2.5)
        self.assertTrue(self.online_after(20, 1))
        self.assertFalse(self.online_after(40, 1))
