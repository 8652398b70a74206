"""VENs at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

from oadrvtn.cli import screen, vens
from oadrvtn.console.client import ApiError
from oadrvtn.model.config import Config
from oadrvtn.storage.audience import GROUP
from oadrvtn.vtn import registration
from oadrvtn.vtn.audience import KINDS

from ..console.office import certificate, colons
from .case import CliTestCase


class VenTests(CliTestCase):
    def test_a_ven_is_added_by_its_certificate(self) -> None:
        directory = Path(self.mktemp())
        self.good("certs", "init", "--directory", str(directory))
        self.good("certs", "issue", "ven-1", "--directory", str(directory))
        file = directory / "ven-1.crt"
        fingerprint = self.good("certs", "fingerprint", str(file)).strip()
        self.has(
            self.good("ven", "add", "ven-1", "--certificate", str(file), "--name", "Cold store"),
            "Cold store",
            fingerprint,
        )
        whole = self.good("certs", "fingerprint", str(file), "--full").strip()
        self.assertEqual(whole, self.shown("ven", "show", "ven-1")["fingerprints"][0]["sha256"])

    def test_a_ven_without_a_certificate_is_a_usage_error(self) -> None:
        self.has(self.refused("ven", "add", "ven-1", code=2), "--certificate")

    def test_a_certificate_that_cannot_be_read_is_told(self) -> None:
        self.has(self.refused("ven", "add", "v", "--certificate", "nowhere.crt"), "nowhere.crt", "No such file")

    def test_vens_are_listed_and_shown(self) -> None:
        self.office.registered("ven-1")
        self.office.reports("ven-1", {"power": [1]})
        self.good("ven", "add", "ven-2", "--fingerprint", "00" * 10)
        self.good("event", "create", "--level", "1", "--event-id", "e-1")
        self.has(self.good("ven", "list"), "ven-1", "online", "ven-2", "not registered")
        self.assertEqual(["ven-1", "ven-2"], [row["ven_id"] for row in self.shown("ven", "list")["vens"]])
        self.has(
            self.good("ven", "show", "ven-1"),
            "TELEMETRY_USAGE", "power", "kW", "accepted", "e-1", "queued", "register_report",
            colons(certificate("ven-1")[-10:]),
        )  # fmt: skip

    def test_lists_follow_the_pages_and_are_narrowed(self) -> None:
        self.patch(screen, "_PAGE", 2)
        for number in range(5):
            self.good("ven", "add", f"v{number}", "--fingerprint", f"{number:020x}")
        self.office.registered("online")
        ids = [row["ven_id"] for row in self.shown("ven", "list")["vens"]]
        self.assertEqual(["online", "v0", "v1", "v2", "v3", "v4"], ids)
        self.assertEqual(["v3"], [row["ven_id"] for row in self.shown("ven", "list", "V3")["vens"]])
        self.assertEqual(["online"], [row["ven_id"] for row in self.shown("ven", "list", "--state", "online")["vens"]])
        self.assertEqual([], self.shown("ven", "list", "--state", "offline")["vens"])
        for number in range(5):
            self.good("event", "create", "--event-id", f"e{number}", "--start", f"+{number}m", "--level", "1",
                      "--market-context", f"urn:{number}")  # fmt: skip
        events = self.shown("event", "list")["events"]
        self.assertEqual(["e0", "e1", "e2", "e3", "e4"], [row["event_id"] for row in events])
        active = self.shown("event", "list", "--status", "active", "--market-context", "urn:0")["events"]
        self.assertEqual(["e0"], [row["event_id"] for row in active])

    def test_vens_are_exported_and_imported_again(self) -> None:
        self.good("group", "create", "North", "--group-id", "g")
        self.office.registered("ven-1")
        self.good("ven", "add", "ven-2", "--fingerprint", "00" * 10, "--name", 'The "old", one')
        self.good("ven", "change", "ven-2", "--poll-frequency", "30s", "--leniency", "bare")
        self.good("group", "add", "g", "ven-2")
        signing = colons(certificate("signing"))
        self.good("ven", "change", "ven-2", "--signatures", "require", "--signing-fingerprint", signing)
        awkward = ("a;b", '["x"]', "a, b", "it's")
        self.good("ven", "traits", "ven-2", *(f"{kind}={text}" for kind in KINDS[:4] for text in awkward))
        self.good("ven", "traits", "ven-1", *(f"{kind}=urn:one" for kind in KINDS if kind != GROUP))
        before = self.shown("ven", "list")["vens"]
        directory = Path(self.mktemp())
        directory.mkdir()
        for form in ("csv", "json"):
            file = str(directory / f"vens.{form}")
            self.has(self.good("ven", "export", file), "2 VENs")
            self.has(self.refused("ven", "export", file), "exists already")
            self.has(self.refused("ven", "import", file), "'ven-1' exists", "'ven-2' exists")
            for ven_id in ("ven-1", "ven-2"):
                self.good("ven", "remove", ven_id, "--yes")
            self.has(self.good("ven", "import", file, "--dry-run"), "2 VENs could come in")
            self.assertEqual([], self.shown("ven", "list")["vens"])
            self.assertEqual({"imported": 2}, self.shown("ven", "import", file))
            said = (
                "ven_id", "name", "fingerprints", "wanted_poll_frequency", "leniency", "signatures",
                "signing_fingerprint", *KINDS,
            )  # fmt: skip
            after = self.shown("ven", "list")["vens"]
            self.assertEqual(*([[row.get(k) for k in said] for row in rows] for rows in (before, after)))

    def test_an_export_that_fails_leaves_no_file_in_the_way_of_the_next(self) -> None:
        file = Path(self.mktemp()).with_suffix(".csv")
        self.office.registered("ven-1")

        def fails(*_: object, **__: object) -> None:
            raise ApiError("nothing listens")

        with mock.patch.object(vens, "ask_all", fails):
            self.refused("ven", "export", str(file))
        self.has(self.good("ven", "export", str(file)), "1 VENs")

    def test_an_import_tells_each_line_that_is_wrong(self) -> None:
        file = Path(self.mktemp()).with_suffix(".csv")
        file.write_text("ven_id,fingerprints\nv1,xx\nv2,\n")
        told = self.refused("ven", "import", str(file))
        self.has(told, "line 2, fingerprints[0]: 'xx' is no fingerprint", "line 3, fingerprints: is missing")
        self.has(self.refused("ven", "import", "vens.xml", code=2), "neither .csv nor .json")
        self.has(self.refused("ven", "import", "nowhere.csv"), "No such file")

    def test_an_import_with_very_many_mistakes_tells_each_with_its_place_before_it_says_so(self) -> None:
        rows = [{"ven_id": "v", "fingerprints": ["xx"]}] * 30
        texts = {".csv": "ven_id,fingerprints\n" + "v,xx\n" * 30, ".json": json.dumps(rows)}
        for (kind, text), last in zip(texts.items(), ("line 31, /fingerprints/0", "/29/fingerprints/0"), strict=True):
            file = Path(self.mktemp()).with_suffix(kind)
            file.write_text(text)
            result = self.run_cli("ven", "import", str(file))
            *each, said = result.stderr.splitlines()
            self.assertEqual((1, 30), (result.exit_code, len(each)))
            self.assertEqual(f"{last}: 'xx' is no fingerprint: it holds more than pairs of hex digits", each[-1])
            self.has(said, "30 mistakes", "fingerprints[0]: 'xx'", " ...")

    def test_a_name_from_the_wire_is_no_markup_and_no_escape_sequence(self) -> None:
        self.office.registered()
        self.has(self.good("ven", "show", "ven-1"), "The [bold]cellar[/bold]")
        self.good("ven", "add", "ven-2", "--fingerprint", "00" * 10, "--name", "a\x9b31mb\u202ec")
        self.has(self.good("ven", "list"), "a\\x9b31mb\\u202ec")
        self.has(self.refused("ven", "show", "x\x1b[31m"), "\\x1b")

    def test_a_ven_is_changed(self) -> None:
        self.office.registered()
        self.has(
            self.good("ven", "change", "ven-1", "--poll-frequency", "1m", "--leniency", "bare", "--name", "Cellar"),
            "10 s, will be told 60 s", "bare", "Cellar",
        )  # fmt: skip
        found = self.shown("ven", "change", "ven-1", "--poll-frequency", "default", "--leniency", "default")
        self.assertEqual((None, None), (found["wanted_poll_frequency"], found["leniency"]))
        full = ":".join(["AB"] * 32)
        said = self.good("ven", "change", "ven-1", "--signatures", "require", "--signing-fingerprint", full)
        self.has(said, "require", "AB:AB")
        found = self.shown("ven", "change", "ven-1", "--signatures", "default", "--signing-fingerprint", "default")
        self.assertEqual((None, None), (found["signatures"], found["signing_fingerprint"]))
        self.has(self.refused("ven", "change", "ven-1", code=2), "--poll-frequency 30s")
        self.has(self.refused("ven", "change", "ven-1", "--poll-frequency", "often"), "poll_frequency: 'often'")
        self.has(self.refused("ven", "change", "ven-1", "--leniency", "generous"), "leniency: 'generous'")

    def test_bends_are_shown_with_how_often_and_when_last(self) -> None:
        self.office.registered()
        entry = self.successResultOf(self.office.vtn.identify(certificate("ven-1")))
        assert entry is not None
        entry.bends["missing_request_id"] += 3
        self.office.vtn.seen(entry)
        self.has(self.good("ven", "show", "ven-1"), "missing_request_id 3 times, last 2026-11-22T12:00:00Z")

    def test_fingerprints_are_shown_and_set(self) -> None:
        self.office.registered()
        old, new = colons(certificate("ven-1")), colons(certificate("new"))
        self.has(self.good("ven", "fingerprints", "ven-1"), old)
        self.has(self.good("ven", "fingerprints", "ven-1", old, new), old, new)
        self.assertEqual([new], [known["sha256"] for known in self.shown("ven", "fingerprints", "ven-1", new)])

    def test_who_waits_is_listed_and_approved(self) -> None:
        full = certificate("new")
        remember = self.office.vtn.write("remember", registration.remember, Config(), full, "CN=new", None, "Shop")
        self.successResultOf(remember)
        short = colons(full[-10:])
        self.has(self.good("ven", "waiting"), short, "CN=new", "Shop")
        self.has(self.good("ven", "approve", short, "--ven-id", "ven-9"), "ven-9", "Shop")
        self.assertEqual([], self.shown("ven", "waiting")["candidates"])

    def test_removing_asks_first(self) -> None:
        self.office.registered()
        self.assertEqual(1, self.run_cli("ven", "remove", "ven-1", input="n\n").exit_code)
        self.assertEqual(1, self.run_cli("ven", "remove", "ven-1").exit_code)
        self.good("ven", "show", "ven-1")
        self.good("ven", "remove", "ven-1", "--yes")
        self.has(self.refused("ven", "show", "ven-1"), "'ven-1' is not known")

    def test_a_ven_is_asked_to_register_again_or_told_that_it_ends(self) -> None:
        self.office.registered()
        self.good("ven", "reregister", "ven-1")
        self.good("ven", "cancel-registration", "ven-1")
        kinds = [entry["kind"] for entry in self.shown("ven", "show", "ven-1")["outbox"]]
        self.assertEqual(["cancel_registration", "request_reregistration", "register_report"], kinds)

    def test_whatever_is_done_to_a_ven_can_be_told_as_json(self) -> None:
        self.office.registered()
        for command in ("reregister", "cancel-registration"):
            self.assertEqual("ven-1", self.shown("ven", command, "ven-1")["ven_id"])
        self.assertEqual({"removed": "ven-1"}, self.shown("ven", "remove", "ven-1", "--yes"))

    def test_a_ven_with_many_data_points_does_not_flood_the_screen(self) -> None:
        """The table is cut, and says so; JSON has them all."""
        self.office.registered()
        self.office.reports("ven-1", {f"r{number}": [1.0] for number in range(60)})
        self.has(self.good("ven", "show", "ven-1"), "... and 10 more")
        reports = self.shown("ven", "show", "ven-1")["capabilities"]["reports"]
        self.assertEqual(60, sum(len(report["data_points"]) for report in reports))
