"""Market contexts at the command line."""

from __future__ import annotations

from .case import CliTestCase


class MarketContextTests(CliTestCase):
    def test_vens_are_put_in_and_taken_out_and_told_what_that_means(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.good("event", "create", "--level", "1", "--event-id", "e", "--market-context", "urn:other")
        command = ("market-context", "add", "http://x/dr", "ven-1")
        self.has(self.good(*command, "--dry-run"), "http://x/dr", "ven-1", "e", "has it no longer")
        self.assertEqual(["urn:other"], [c["market_context"] for c in self.contexts()])
        self.good(*command)
        self.assertEqual(["ven-1"], self.shown("market-context", "show", "http://x/dr")["ven_ids"])
        self.has(self.good("market-context", "list", "x/dr"), "http://x/dr", "1", "2")
        self.has(self.good("market-context", "remove", "http://x/dr", "ven-1"), "none by name", "is sent it")
        self.has(self.refused("market-context", "show", "http://x/dr"), "not known")

    def contexts(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.shown("market-context", "list")["market_contexts"]
        return found
