"""How long things take: counted by their length, as a histogram of Prometheus wants it."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds up to which each count goes; there is one more, for all that takes longer."""


class Times:
    """Counts of one kind of thing.  One thread notes, any may look."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        """Seconds that all of them took."""

    def note(self, seconds: float) -> None:
        """One took so long."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def buckets(self) -> list[tuple[str, int]]:
        """How many took at most so long, up to ``+Inf``: all."""
        return list(zip((*map(str, BOUNDS), "+Inf"), accumulate(self._counts), strict=True))
