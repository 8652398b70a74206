"""What is left out of the log of a peer that fills it, and what is said instead."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.vtn import noise
from oadrvtn.vtn.noise import Noise


class NoiseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.noise = Noise(3, self.clock)

    def said(self) -> list[str]:
        with capturedLogs() as events:
            self.noise.sweep()
        return [formatEvent(event) for event in events]

    def test_so_many_lines_of_a_peer_in_a_minute_and_not_one_more(self) -> None:
        self.assertEqual([True, True, True, False, False], [self.noise.lets("a") for _ in range(5)])
        self.assertTrue(self.noise.lets("b"))

    def test_after_a_minute_it_says_how_many_were_left_out_and_begins_anew(self) -> None:
        for _ in range(5):
            self.noise.lets("a")
        for _ in range(3):
            self.noise.lets("b")
        self.clock.advance(59)
        self.assertEqual([], self.said())
        self.clock.advance(1)
        self.assertEqual(["a: 2 more lines within a minute were left out"], self.said())
        self.assertEqual([True, True, True, False], [self.noise.lets("a") for _ in range(4)])
        self.assertEqual([], self.said())

    def test_a_clock_that_goes_back_begins_anew(self) -> None:
        clock = Clock()
        clock.advance(3600)
        noise = Noise(1, clock)
        noise.lets("a")
        clock.rightNow = 0.0
        self.assertTrue(noise.lets("a"))

    def test_many_peers_are_one(self) -> None:
        self.patch(noise, "MOST_PEERS", 2)
        for peer in ("a", "b", "c", "d", "e"):
            self.assertTrue(self.noise.lets(peer))
        self.assertEqual([False, True], [self.noise.lets("f"), self.noise.lets("a")])
