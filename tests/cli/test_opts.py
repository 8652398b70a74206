"""Availability at the command line."""

from __future__ import annotations

from .case import CliTestCase


class OptTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.office.is_available("ven-1", "optOut", 60, "PT0S", "cooler")
        self.office.is_available("ven-1", "optOut", 0, "PT2H")

    def test_a_timeline_is_shown(self) -> None:
        self.has(self.good("ven", "opts", "ven-1"), "optOut", "2026-11-22T14:00:00Z", "mustRun", "cooler", "open")
        self.assertEqual(1, len(self.shown("ven", "opts", "ven-1", "--until", "+30m")["opts"]))
        self.has(self.refused("ven", "opts", "ven-1", "--until", "soon"), "until: 'soon' is not a time")

    def test_vens_are_counted(self) -> None:
        found = self.shown("availability", "--until", "+1h")
        self.assertEqual((2, 1, 1), tuple(found[name] for name in ("registered", "unavailable", "unstated")))
        self.has(self.good("availability", "--since", "+1h", "--until", "+3h"), "For a part of it", "1")
        self.good("group", "create", "G", "--group-id", "g")
        found = self.shown("availability", "--group", "g", "--market-context", "urn:x")
        self.assertEqual(0, found["registered"])
