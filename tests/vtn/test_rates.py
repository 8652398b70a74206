"""Token buckets: as many at once as they hold, then at their rate, whatever the clock does."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.vtn.rates import Rate


class BucketTests(SynchronousTestCase):
    def test_what_it_holds_may_be_taken_at_once_and_not_one_more(self) -> None:
        bucket = Rate(2, 3).bucket(100)
        self.assertEqual([0, 0, 0, 0.5], [bucket.take(100) for _ in range(4)])

    def test_then_one_comes_after_the_time_that_was_told_and_not_before(self) -> None:
        bucket = Rate(2, 1).bucket(0)
        bucket.take(0)
        self.assertEqual([0.25, 0, 0.5], [bucket.take(0.25), bucket.take(0.5), bucket.take(0.5)])

    def test_a_token_that_was_given_back_was_never_taken(self) -> None:
        bucket = Rate(1, 1).bucket(0)
        for _ in range(10):
            self.assertEqual(0, bucket.take(0))
            bucket.give_back()
        bucket.give_back()
        self.assertEqual([0, 1], [bucket.take(0), bucket.take(0)], "it holds no more than it may")

    def test_what_is_owed_comes_before_the_next(self) -> None:
        bucket = Rate(2, 3).bucket(0)
        self.assertEqual(0, bucket.take(0))
        bucket.owe(5)
        self.assertEqual([2, 0.5, 0], [bucket.take(0), bucket.take(1.5), bucket.take(2)])

    def test_it_never_holds_more_than_it_may(self) -> None:
        bucket = Rate(1, 2).bucket(0)
        self.assertEqual([0, 0, 1], [bucket.take(1_000_000) for _ in range(3)])

    def test_a_clock_that_goes_back_neither_gives_nor_takes(self) -> None:
        bucket = Rate(1, 2).bucket(3600)
        self.assertEqual([0, 0, 1], [bucket.take(0) for _ in range(3)])
        self.assertEqual([0, 1], [bucket.take(1), bucket.take(1)])

    def test_who_is_sent_a_whole_outbox_may_ask_for_all_of_it_at_once(self) -> None:
        self.assertEqual([1000, 50], [Rate.of(1, 1000).at_once, Rate.of(5, 20).at_once])
