"""The duties note how late the reactor is, as long as they run."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .house import House


class LagTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.house.duties.startService()

    def noted(self) -> tuple[int, float]:
        """How often it was looked, and the seconds in all."""
        lag = self.house.vtn.lag
        return lag.buckets[-1][1], lag.total

    def test_a_reactor_in_time_is_not_late_and_one_that_was_held_up_is(self) -> None:
        self.house.clock.pump([1.0, 1.0])
        self.assertEqual((2, 0.0), self.noted())
        self.house.clock.advance(3.5)
        self.assertEqual((3, 2.5), self.noted())
        self.house.clock.advance(1)
        self.assertEqual((4, 2.5), self.noted())

    def test_nothing_is_noted_after_the_end(self) -> None:
        self.successResultOf(self.house.duties.stopService())
        self.assertEqual([], self.house.clock.getDelayedCalls())
        self.house.duties.startService()
        self.house.clock.advance(1)
        self.assertEqual(1, self.noted()[0])
