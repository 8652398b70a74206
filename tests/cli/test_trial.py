"""``--dry-run`` of the commands that make, change and remove: they say what they would, and nothing is done."""

from __future__ import annotations

from ..console.office import certificate, colons
from .case import CliTestCase


class TrialTests(CliTestCase):
    def test_what_is_only_tried_is_shown_without_a_question_and_not_done(self) -> None:
        self.office.registered("ven-1")
        self.office.waits("new")
        self.good("group", "create", "north")
        wish = self.shown("report", "want", "TELEMETRY_STATUS", "--r-id", "x")["wish_id"]
        before = self.state()
        stranger = colons(certificate("new"))
        for words, expected in {
            ("ven", "add", "ven-2", "--fingerprint", "44" * 10): "ven-2",
            ("ven", "change", "ven-1", "--name", "Cellar"): "Cellar",
            ("ven", "approve", stranger, "--ven-id", "ven-7"): "ven-7",
            ("ven", "remove", "ven-1"): "ven-1",
            ("group", "create", "south"): "south",
            ("group", "rename", "north", "Nord"): "Nord",
            ("group", "delete", "north"): "north",
            ("report", "unwant", wish): wish,
        }.items():
            for options in ((), ("--json",)):
                result = self.run_cli(*words, "--dry-run", *options)
                self.assertEqual((0, "Only tried, nothing is done.  It would be:\n"), (result.exit_code, result.stderr))
                self.has(result.stdout, expected)
                self.assertEqual(before, self.state(), words)

    def state(self) -> list[str]:
        lists = (("ven", "list"), ("ven", "waiting"), ("group", "list"), ("report", "wishes"))
        return [self.good(*words, "--json") for words in lists]

    def test_what_cannot_be_done_cannot_be_tried_and_who_does_it_is_still_asked(self) -> None:
        self.has(self.run_cli("ven", "remove", "nobody", "--dry-run").stderr, "'nobody' is not known")
        self.office.registered("ven-1")
        self.assertEqual(1, self.run_cli("ven", "remove", "ven-1", input="n\n").exit_code)
        self.assertEqual(["ven-1"], [ven["ven_id"] for ven in self.shown("ven", "list")["vens"]])
