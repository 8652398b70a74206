"""Times are counted in the bucket that they belong to, and in all that are larger."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.storage.times import BOUNDS, Times


class TimesTests(SynchronousTestCase):
    def test_each_counts_in_all_buckets_from_its_own_bound_on(self) -> None:
        times = Times()
        for seconds in (0.0, 0.001, 0.0011, 60.0):
            times.note(seconds)
        counts = dict(times.buckets)
        self.assertEqual((2, 3, 3, 4), (counts["0.001"], counts["0.0025"], counts["5.0"], counts["+Inf"]))
        self.assertEqual(len(BOUNDS) + 1, len(counts))
        self.assertAlmostEqual(60.0021, times.total)
