"""``oadrvtn event watch``: what VENs answer appears as it comes, and it ends when there is no more to come."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import oadrvtn.cli

from .case import CliTestCase

WATCH = sys.modules[f"{oadrvtn.cli.__name__}.watch"]  # the package's name of it is the command


class WatchTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.good("event", "create", "--level", "2", "--event-id", "e")

    def watched(self, *meanwhile: Callable[[], object], options: tuple[str, ...] = ()) -> list[str]:
        """What is shown of an event where these things happen between the looks, and one more look is too many."""
        steps: Iterator[Callable[[], object]] = iter(meanwhile)
        self.slept: list[float] = []

        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.office.clock.advance(2)
            next(steps)()

        self.patch(WATCH, "sleep", sleep)
        lines = self.good("event", "watch", "e", *options).splitlines()
        self.assertEqual([], list(steps))
        return lines

    def test_answers_appear_as_they_come_until_all_have_answered(self) -> None:
        lines = self.watched(
            lambda: self.office.opts("ven-2", "e", "optOut"),
            lambda: None,
            lambda: self.office.opts("ven-1", "e", "optIn"),
        )
        expected = [
            "e is active at modification 0: 2 VENs, 0 were told, 0 have answered, 0 in, 0 out",
            "2026-11-22T12:00:00Z  ven-1  queued",
            "2026-11-22T12:00:00Z  ven-2  queued",
            "e is active at modification 0: 2 VENs, 1 were told, 1 have answered, 0 in, 1 out",
            "2026-11-22T12:00:02Z  ven-2  opted  optOut",
            "e is active at modification 0: 2 VENs, 2 were told, 2 have answered, 1 in, 1 out",
            "2026-11-22T12:00:06Z  ven-1  opted  optIn",
        ]
        self.assertEqual(expected, lines)

    def test_a_modification_begins_anew_and_a_deletion_ends_it(self) -> None:
        lines = self.watched(
            lambda: self.good("event", "modify", "e", "--level", "1"),
            lambda: self.good("event", "delete", "e"),
        )
        self.assertIn("2026-11-22T12:00:02Z  ven-1  queued", lines)
        self.assertTrue(any(line.startswith("e is active at modification 1: ") for line in lines), lines)

    def test_programs_get_an_object_a_line(self) -> None:
        both = (lambda: [self.office.opts(ven_id, "e", "optIn") for ven_id in ("ven-1", "ven-2")],)
        lines = [json.loads(line) for line in self.watched(*both, options=("--json",))]
        self.assertEqual(["queued", "queued", "opted", "opted"], [line["state"] for line in lines])

    def test_a_vtn_that_takes_long_to_answer_is_asked_less_often(self) -> None:
        times = iter((0.0, 0.1, 0.0, 3.0, 0.0, 0.0))
        self.patch(WATCH, "monotonic", lambda: next(times))
        both = lambda: [self.office.opts(ven_id, "e", "optIn") for ven_id in ("ven-1", "ven-2")]  # noqa: E731
        self.watched(lambda: None, both)
        self.assertEqual([2.0, 30.0], self.slept)

    def test_an_event_that_is_not_known_is_told(self) -> None:
        self.has(self.refused("event", "watch", "nothing"), "'nothing' is not known")
