"""``oadrvtn check``: the verdict on a message in a file, without any VTN."""

from __future__ import annotations

from pathlib import Path

from oadrvtn.cli import messages
from oadrvtn.model.event import OadrRequestEvent
from oadrvtn.model.party import OadrPoll
from oadrvtn.wire import encode

from ..handlers.house import made
from .case import CliTestCase

POLL = encode(OadrPoll(ven_id="ven-1"))
REQUEST = encode(OadrRequestEvent(request_id="r", ven_id="ven-1"))
NUMBERLESS = REQUEST.replace(b"<pyld:requestID>r</pyld:requestID>", b"")
BARE = encode(OadrPoll(ven_id="ven-1"), bare=True)
HOPELESS = BARE.replace(b"ven-1<", b"ven-1</ei:venID><ei:pony></ei:pony><ei:venID>ven-1<")


class CheckTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def file(self, data: bytes, name: str = "it.xml") -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def verdict(self, data: bytes, *options: str, code: int = 1) -> str:
        """What is said of a document."""
        result = self.run_cli("check", self.file(data), *options)
        self.assertEqual((code, ""), (result.exit_code, result.stderr), result.output)
        return result.stdout

    def test_the_samples_are_what_they_are_called(self) -> None:
        self.assertNotEqual(REQUEST, NUMBERLESS)
        self.assertNotEqual(BARE, HOPELESS)

    def test_a_valid_message_is_told_by_its_name(self) -> None:
        self.has(self.verdict(POLL, code=0), "it.xml: oadrPoll, valid\n")

    def test_a_fault_is_told_with_its_place_the_bend_and_the_narrowest_profile(self) -> None:
        said = self.verdict(NUMBERLESS)
        self.has(said, "oadrRequestEvent, not valid: oadrRequestEvent/eiRequestEvent", "requestID")
        self.has(said, 'leniency "standard" by missing_request_id\n')

    def test_a_message_that_is_its_own_root_needs_more_than_standard(self) -> None:
        self.has(self.verdict(BARE), 'leniency "bare" by bare_root')
        self.verdict(BARE, "--leniency", "standard")
        self.verdict(BARE, "--leniency", "bare", code=0)

    def test_data_under_the_name_of_its_offer_needs_the_bend_that_the_schema_does_not_know(self) -> None:
        data = made("oadrUpdateReport")
        named = data.reports[0].evolve(report_name="METADATA_TELEMETRY_USAGE")
        said = self.verdict(encode(data.evolve(reports=(named,))))
        self.has(said, "METADATA_TELEMETRY_USAGE", 'leniency "neighbours" by metadata_name')

    def test_what_no_leniency_mends_is_told_with_what_is_left(self) -> None:
        said = self.verdict(HOPELESS, "--leniency", "lenient")
        self.has(said, "cannot be read: the root is", "\n  and, mended: oadrPoll/pony: is not known here")

    def test_what_is_no_message_is_told(self) -> None:
        self.has(self.verdict(b"<"), "cannot be read: not well-formed XML")
        self.has(self.verdict(b"<a/>"), "cannot be read: the root is 'a'")
        self.has(self.verdict(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "document type declaration")
        self.patch(messages, "MOST", 10)
        self.has(self.verdict(POLL), "larger than 10 bytes")

    def test_escape_sequences_of_a_message_do_not_reach_the_terminal(self) -> None:
        self.assertNotIn("\x9b", self.verdict("<a\x9b31m/>".encode()))

    def test_several_files_and_stdin_are_judged_each_and_one_is_enough_to_fail(self) -> None:
        good, bad = self.file(POLL, "good.xml"), self.file(NUMBERLESS, "bad.xml")
        result = self.run_cli("check", good, "-", bad, input=POLL.decode())
        self.assertEqual(1, result.exit_code)
        first, second, third, _ = result.stdout.splitlines()
        self.has(first, "good.xml: oadrPoll, valid")
        self.has(second, "stdin: oadrPoll, valid")
        self.has(third, "bad.xml: oadrRequestEvent, not valid")
        self.good("check", good, bad, "--leniency", "standard")

    def test_programs_get_the_verdicts_as_a_list(self) -> None:
        file = self.file(NUMBERLESS)
        [found] = self.shown("check", file, "--leniency", "standard")
        self.assertIn("requestID", found.pop("fault"))
        self.assertEqual(
            {
                "file": file,
                "message": "oadrRequestEvent",
                "signed": False,
                "leniency": "standard",
                "bends": ["missing_request_id"],
                "unmended": None,
            },
            found,
        )

    def test_a_file_that_cannot_be_read_is_one_line(self) -> None:
        self.has(self.refused("check", str(self.folder / "nowhere.xml")), "nowhere.xml: No such file")
        self.has(self.refused("check", str(self.folder)), "Is a directory")
        self.refused("check", code=2)
