"""``oadrvtn ven trace``: what went over the wire, and what was wrong with it."""

from __future__ import annotations

import json
import sys
from typing import Any

import oadrvtn.cli
from oadrvtn.vtn.traces import who

from ..console.office import certificate, colons
from .case import CliTestCase

TRACE = sys.modules[f"{oadrvtn.cli.__name__}.trace"]  # the package's name of it is the command


class TraceTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.registered("ven-1")

    def came(self, ven: str | None = "ven-1", direction: Any = "in", **told: Any) -> None:
        vtn = self.office.vtn
        entry = vtn.roster.get(ven) if ven else None
        fields = {"peer": "192.0.2.1", "service": "EiEvent", "name": "oadrCreatedEvent", "code": "200"} | told
        vtn.traces.note(who(entry.ven if entry else None, certificate("stranger")), direction, b"<a>\x1b</a>", **fields)

    def test_a_fault_is_shown_with_its_place(self) -> None:
        self.came(code="454", place="a/b[2]", verdict="\x1b is \u202e too many", bends=("bare_root",), signed=True)
        self.came(direction="out", name="oadrResponse", code="454")
        lines = self.good("ven", "trace", "ven-1").splitlines()
        self.assertEqual(
            [
                "2026-11-22T12:00:00Z  <-  oadrCreatedEvent  454  8 bytes  EiEvent  192.0.2.1  signed  bare_root",
                r"    a/b[2]: \x1b is \u202e too many",
                "2026-11-22T12:00:00Z  ->  oadrResponse  454  8 bytes  EiEvent  192.0.2.1",
            ],
            lines,
        )

    def test_documents_are_shown_where_they_are_wanted(self) -> None:
        self.came()
        self.assertIn(r"    <a>\x1b</a>", self.good("ven", "trace", "ven-1", "--documents").splitlines())

    def test_polls_that_found_nothing_are_told_as_their_number(self) -> None:
        entry = self.office.vtn.roster.get("ven-1")
        assert entry
        entry.idle_polls = 1234
        self.assertEqual("nothing is remembered\n1,234 polls found nothing\n", self.good("ven", "trace", "ven-1"))

    def test_programs_get_what_the_api_says(self) -> None:
        self.came()
        found = self.shown("ven", "trace", "ven-1")
        self.assertEqual(["oadrCreatedEvent"], [message["name"] for message in found["messages"]])

    def test_who_follows_sees_what_comes_once_each(self) -> None:
        looks = iter((lambda: self.came(name="oadrPoll"), lambda: None, self.interrupt))
        self.patch(TRACE, "sleep", lambda seconds: next(looks)())
        self.came()
        result = self.run_cli("ven", "trace", "ven-1", "--follow", "--json")
        names = [json.loads(line)["name"] for line in result.stdout.splitlines()]
        self.assertEqual(["oadrCreatedEvent", "oadrPoll"], names)

    def interrupt(self) -> None:
        raise KeyboardInterrupt

    def test_that_of_a_certificate_is_asked_for_by_its_fingerprint(self) -> None:
        self.came(None, code="463")
        shown = self.good("ven", "trace", "--fingerprint", colons(certificate("stranger")[-10:]))
        self.has(shown, "463")

    def test_it_is_one_ven_or_one_certificate(self) -> None:
        self.refused("ven", "trace", code=2)
        self.refused("ven", "trace", "ven-1", "--fingerprint", "00", code=2)
        self.has(self.refused("ven", "trace", "nobody"), "'nobody' is not known")
