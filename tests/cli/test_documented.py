"""Each command line of the documents is run, in their order, or the table below names the test that runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

from oadrvtn import encode
from oadrvtn.model.party import OadrPoll

from ..console.office import certificate, colons
from ..test_docs import PAGES, lines
from .case import CliTestCase

ELSEWHERE = {
    ("event", "watch"): "cli/test_watch.py: test_answers_appear_as_they_come_until_all_have_answered",
    ("trace", "--follow"): "cli/test_trace.py: test_who_follows_sees_what_comes_once_each",
    ("backup",): "integration/test_backup.py: test_a_backup_of_a_vtn_at_work_is_what_it_was_then",
    ("restore",): "integration/test_backup.py: test_a_backup_of_a_vtn_at_work_is_what_it_was_then",
    ("--offline",): "integration/test_operators.py: "
    "test_the_audit_log_outlives_a_kill_and_shows_what_was_done_to_its_file",
    ("fleet",): "integration/test_fleet.py: test_ctrl_c_ends_a_fleet_with_its_summary_and_no_process_is_left",
    ("--url", "--token-file", "--ca"): "integration/test_operators.py: "
    "test_the_command_line_speaks_https_to_the_certificate_that_it_knows_or_whose_authority_it_knows",
}
"""Words of commands that want a database in a file, TLS, or time that passes; and the tests that have that."""
_TESTS = Path(__file__).parents[1]
_STRANGER = "AA:BB:CC:DD:EE:FF:00:11:22:33"
_PLACES = {"/etc/oadrvtn/": "", "~/.local/state/oadrvtn/": ""}


def elsewhere(words: list[str]) -> bool:
    return any(set(few) <= set(words) for few in ELSEWHERE)


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``oadrvtn`` of what is run here, with files in the folder where that is done."""
    for program, *words in lines(text):
        if Path(program).name == "oadrvtn" and not elsewhere(words):
            for place, here in _PLACES.items():
                words = [word.replace(place, here) for word in words]
            yield words[: words.index(">")] if ">" in words else words


class DocumentedTests(CliTestCase):
    def setUp(self) -> None:
        """A VTN, and what the documents suppose that is there beside it."""
        super().setUp()
        here = Path(self.mktemp())
        here.mkdir()
        self.enterContext(chdir(here))
        for ven_id in ("ven-2", "ven-3", "house"):
            self.office.registered(ven_id)
        self.office.waits("new")
        self.good("certs", "init", "--directory", "demo/certs")
        for name in ("ven-1", "old", "new"):
            self.good("certs", "issue", name, "--directory", "demo/certs")
            Path(f"{name}.crt").write_bytes(Path(f"demo/certs/{name}.crt").read_bytes())
        Path("fleet.csv").write_text(f"ven_id,fingerprints\nfleet-1,{'44' * 10}\n")
        Path("message.xml").write_bytes(encode(OadrPoll(ven_id="ven-1")))
        self.known = {_STRANGER: colons(certificate("new")), "SPECIFIER": "load"}

    def run_page(self, name: str) -> int:
        """Run each command of a page; how many those are."""
        ran = 0
        for words in commands(PAGES[name]):
            if {"create", "EVENT_ID"} & set(words):
                self.office.clock.advance(2 * 3600)  # the event of the example before is over
            if "EVENT_ID" in words:
                self.known["EVENT_ID"] = self.shown("event", "create", "--level", "2", "--in", "1h")["event_id"]
            if "WISH_ID" in words:
                wishes = self.shown("report", "wishes")["wishes"]
                [self.known["WISH_ID"]] = [wish["wish_id"] for wish in wishes if wish["group_id"] == "north"]
            result = self.run_cli(*(self.known.get(word, word) for word in words))
            self.assertEqual((0, ""), (result.exit_code, result.stderr), (name, words))
            if words[:3] == ["ven", "add", "ven-1"]:
                self.registers()
            ran += 1
        return ran

    def registers(self) -> None:
        """ven-1 is there with a certificate of the new authority, and tells what it can report."""
        self.good("certs", "issue", "ven-1")
        self.good("ven", "fingerprints", "ven-1", colons(certificate("ven-1")))
        self.office.registers("ven-1")
        self.known["REQUEST_ID"] = self.office.offers("ven-1", "power").report_requests[0].report_request_id

    def test_what_the_readme_shows_can_be_done(self) -> None:
        self.assertGreater(self.run_page("README.rst"), 8)

    def test_what_the_page_on_certificates_shows_can_be_done(self) -> None:
        self.assertEqual(3, self.run_page("certs/README.rst"))

    def test_what_the_page_on_operating_shows_can_be_done_from_top_to_bottom(self) -> None:
        self.assertGreater(self.run_page("docs/operating.rst"), 50)

    def test_no_other_page_shows_commands(self) -> None:
        shown = {name for name, text in PAGES.items() if any(commands(text))}
        self.assertEqual({"README.rst", "certs/README.rst", "docs/operating.rst"}, shown)

    def test_what_is_run_elsewhere_is_run_there(self) -> None:
        for words, place in ELSEWHERE.items():
            file, test = place.split(": ")
            text = (_TESTS / file).read_text("utf-8")
            for part in (f"def {test}(", *(f'"{word}"' for word in words)):
                self.assertIn(part, text, place)
