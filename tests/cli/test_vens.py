"""VENs at the command line."""

from __future__ import annotations

from pathlib import Path

from oadrvtn.model.config import Config
from oadrvtn.vtn import registration

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
