"""Replay protection: what is old, early or heard before is refused, for ever, and memory stays small."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.security.replay import Nonces, Window
from oadrvtn.security.signature import SignatureRefused

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = START + timedelta(hours=1)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class Windows(SynchronousTestCase):
    def test_a_minute_behind_and_a_minute_ahead(self) -> None:
        window = Window()
        for good in (-60, -1, 0, 1, 60):
            window.check(START + seconds(good), START)
        for offset, told in ((-60.001, "60 s old"), (-3600.0, "3600 s old"), (60.001, "60 s ahead"), (1e9, "s ahead")):
            error = self.assertRaises(SignatureRefused, window.check, START + seconds(offset), START)
            self.assertIn(told, error.reason)

    def test_either_side_can_be_set(self) -> None:
        window = Window(past=seconds(5), future=seconds(0))
        window.check(START - seconds(5), START)
        self.assertRaises(SignatureRefused, window.check, START - seconds(6), START)
        self.assertRaises(SignatureRefused, window.check, START + seconds(1), START)

    def test_any_time_of_the_calendar(self) -> None:
        for moment in (datetime.min, datetime.max):
            self.assertRaises(SignatureRefused, Window().check, moment.replace(tzinfo=UTC), START)


class Polls(SynchronousTestCase):
    """Signed polls of VENs."""

    def setUp(self) -> None:
        self.nonces = Nonces(Window(), START)

    def refused(self, reason: str, timestamp: datetime, nonce: str, now: datetime, ven_id: str = "ven1") -> None:
        error = self.assertRaises(SignatureRefused, self.nonces.use, ven_id, timestamp, nonce, now)
        self.assertIn(reason, error.reason)

    def test_the_same_one_again(self) -> None:
        self.nonces.use("ven1", LATER, "a", LATER)
        for after in (0, 1, 59, 60):
            self.refused("used before", LATER, "a", LATER + seconds(after))
        self.refused("61 s old", LATER, "a", LATER + seconds(61))

    def test_others_are_none_of_its_business(self) -> None:
        self.nonces.use("ven1", LATER, "a", LATER)
        self.nonces.use("ven2", LATER, "a", LATER)
        self.nonces.use("ven1", LATER, "b", LATER)
        self.nonces.use("ven1", LATER + seconds(1), "a", LATER)

    def test_one_from_the_future_again_when_it_is_past(self) -> None:
        early = LATER + seconds(60)
        self.nonces.use("ven1", early, "a", LATER)
        for after in range(0, 121, 5):
            self.nonces.use("ven1", LATER + seconds(after), f"{after}", LATER + seconds(after))
            self.refused("used before", early, "a", LATER + seconds(after))
        self.refused("61 s old", early, "a", LATER + seconds(121))

    def test_out_of_order(self) -> None:
        for before in (0, 30, 59, 10):
            self.nonces.use("ven1", LATER - seconds(before), "a", LATER)
            self.refused("used before", LATER - seconds(before), "a", LATER)

    def test_after_a_start_nothing_from_before_it(self) -> None:
        before, after = LATER - seconds(1), LATER
        self.nonces.use("ven1", before, "a", before)
        restarted = self.nonces = Nonces(Window(), LATER)
        self.refused("of which nothing is known", before, "a", LATER + seconds(1))
        restarted.use("ven1", after, "b", LATER + seconds(1))
        self.refused("used before", after, "b", LATER + seconds(2))

    def test_a_clock_that_is_set_back_brings_nothing_back(self) -> None:
        self.nonces.use("ven1", LATER, "a", LATER)
        ahead = LATER + timedelta(hours=1)
        self.nonces.use("ven1", ahead, "b", ahead)  # the first one is forgotten
        self.assertEqual(1, len(self.nonces))
        self.refused("of which nothing is known", LATER, "a", LATER)
        self.nonces.use("ven1", LATER + seconds(15), "c", LATER + seconds(15))  # the VEN's clock was right

    def test_a_flood_of_one_ven_is_its_own_loss(self) -> None:
        for number in range(100):
            self.nonces.use("ven1", LATER, f"{number}", LATER)
        self.refused("more than 100", LATER, "one more", LATER)
        self.refused("used before", LATER, "0", LATER)
        self.nonces.use("ven2", LATER, "a", LATER)
        self.nonces.use("ven1", LATER + seconds(10), "later", LATER + seconds(10))

    def test_memory_holds_what_the_window_needs(self) -> None:
        for number in range(1000):
            now = LATER + seconds(10 * number)
            for offset in (-60, 0, 60):
                self.nonces.use("ven1", now + seconds(offset), f"{number}", now)
            self.assertLess(len(self.nonces), 3 * 14)

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(-90, 90), st.integers(-70, 70), st.sampled_from("ab"), st.sampled_from(["ven1", "ven2"])
            ),
            max_size=60,
        )
    )
    def test_nothing_is_ever_accepted_twice(self, events: list[tuple[int, int, str, str]]) -> None:
        """Whatever the clocks do; and with a clock that only goes on, what is in the window is accepted once."""
        for steady in (False, True):
            nonces, now = Nonces(Window(), START), LATER
            accepted: set[tuple[str, datetime, str]] = set()
            for step, offset, nonce, ven_id in events:
                now += seconds(abs(step) if steady else step)
                message = ven_id, now + seconds(offset), nonce
                try:
                    nonces.use(*message, now)
                except SignatureRefused:
                    if steady:
                        self.assertTrue(abs(offset) > 60 or message in accepted)
                else:
                    self.assertNotIn(message, accepted)
                    self.assertLessEqual(abs(offset), 60)
                    accepted.add(message)
