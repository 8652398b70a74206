"""What a process asks of the operating system."""

from __future__ import annotations

from resource import RLIM_INFINITY
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn import machine


class FilesTests(SynchronousTestCase):
    def allowed(self, wanted: int, soft: int, hard: int) -> tuple[int, tuple[int, int]]:
        """What is told, and the limits after that."""
        limits = [(soft, hard)]
        with (
            patch.object(machine.resource, "getrlimit", lambda _: limits[-1]),
            patch.object(machine.resource, "setrlimit", lambda _, new: limits.append(new)),
        ):
            return machine.allow_files(wanted), limits[-1]

    def test_a_limit_that_is_too_low_is_raised_as_far_as_it_may(self) -> None:
        self.assertEqual((5000, (5000, 9000)), self.allowed(5000, 1024, 9000))
        self.assertEqual((9000, (9000, 9000)), self.allowed(50_000, 1024, 9000))
        self.assertEqual((50_000, (50_000, RLIM_INFINITY)), self.allowed(50_000, 1024, RLIM_INFINITY))

    def test_one_that_is_high_enough_stays(self) -> None:
        self.assertEqual((8000, (8000, 9000)), self.allowed(5000, 8000, 9000))
        self.assertEqual((5000, (RLIM_INFINITY, RLIM_INFINITY)), self.allowed(5000, RLIM_INFINITY, RLIM_INFINITY))
