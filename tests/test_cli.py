"""The command line: against an API in memory, and on files of its own."""

from __future__ import annotations

import json
import os
import stat
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.cli import main
from oadrvtn.console.token import load_token
from oadrvtn.model.config import Config, WantedReport, load
from oadrvtn.security.certificates import describe, load_certificates
from oadrvtn.vtn import registration

from .console.office import Office, certificate, colons


class CliTestCase(SynchronousTestCase):
    """Runs commands; they find the office, whatever the machine holds."""

    def setUp(self) -> None:
        self.office = Office(Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"),)))

    def run_cli(self, *arguments: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, obj=self.office.client(), input=input)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def good(self, *arguments: str, input: str | None = None) -> str:
        result = self.run_cli(*arguments, input=input)
        self.assertEqual((0, ""), (result.exit_code, result.stderr), result.output)
        return result.stdout

    def shown(self, *arguments: str) -> Any:
        return json.loads(self.good(*arguments, "--json"))

    def refused(self, *arguments: str, code: int = 1, input: str | None = None) -> str:
        """What stderr says of a command that fails: where it is no usage error, one line."""
        result = self.run_cli(*arguments, input=input)
        self.assertEqual(code, result.exit_code, result.output)
        self.assertEqual("", result.stdout)
        if code == 1:
            self.assertEqual(1, len(result.stderr.splitlines()), result.stderr)
        return result.stderr

    def has(self, text: str, *expected: str) -> None:
        for part in expected:
            self.assertIn(part, text)


class HelpTests(CliTestCase):
    def test_the_version_is_the_packages(self) -> None:
        self.assertEqual(f"oadrvtn {version('oadrvtn')}\n", self.good("--version"))

    def test_help_teaches_with_examples_that_name_commands_and_options_which_exist(self) -> None:
        pages = ["", "ven", "event", "event create", "event modify", "certs", "readings", "ven add", "ven fingerprints"]
        for page in pages:
            text = self.good(*page.split(), "--help")
            examples = [line.split() for line in text.splitlines() if line.startswith("    oadrvtn ")]
            self.assertTrue(examples, page)
            for _, *words in examples:
                command: Any = main
                while isinstance(command, click.Group):
                    command = command.commands[words.pop(0)]
                known = {option for parameter in command.params for option in parameter.opts}
                self.assertLessEqual({word for word in words if word.startswith("--")}, known)

    def test_every_command_says_what_it_does(self) -> None:
        groups: list[click.Group] = [main]
        for group in groups:
            for command in group.commands.values():
                self.assertTrue(command.help, command.name)
                if isinstance(command, click.Group):
                    groups.append(command)
        self.assertEqual(4, len(groups))

    def test_an_unknown_command_is_a_usage_error(self) -> None:
        self.refused("evnet", code=2)
        self.refused("event", "create", "--lvel", "2", code=2)


class StatusTests(CliTestCase):
    def test_the_status_is_told_in_words_and_in_json(self) -> None:
        self.office.registered()
        self.office.clock.advance(3 * 3600 + 5 * 60 + 7)
        self.has(self.good("status"), "up 3 h 5 min", "1 known, 1 registered, 1 online, 0 waiting")
        self.assertEqual(1, self.shown("status")["vens_registered"])


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


class EventTests(CliTestCase):
    def event(self, *arguments: str) -> Any:
        return self.shown("event", "create", *arguments)

    def test_the_short_form_makes_an_event_of_15_minutes_from_now_on(self) -> None:
        self.office.registered()
        self.has(
            self.good("event", "create", "--level", "2", "--event-id", "e"),
            "event e is made",
            "SIMPLE level 2",
            "1 queued",
        )
        found = self.shown("event", "show", "e")
        self.assertEqual(
            ("active", "2026-11-22T12:00:00Z", "PT15M"), tuple(found[k] for k in ("status", "dtstart", "duration"))
        )

    def test_options_say_everything_that_is_simple(self) -> None:
        for ven_id in ("ven-1", "ven-2", "ven-3"):
            self.office.registered(ven_id)
        found = self.event(
            "--level", "1", "--duration", "1h30m", "--start", "+10m", "--market-context", "http://x/",
            "--ven", "ven-1", "--ven", "ven-2", "--group", "north", "--resource", "r", "--priority", "1", "--test",
            "--comment", "a comment", "--response", "never", "--notification", "5m", "--ramp-up", "2m",
            "--recovery", "3m", "--startafter", "1m", "--event-id", "e",
        )  # fmt: skip
        expected = {
            "event_id": "e", "dtstart": "2026-11-22T12:10:00Z", "duration": "PT1H30M", "market_context": "http://x/",
            "target": {"ven_ids": ["ven-1", "ven-2"], "group_ids": ["north"], "resource_ids": ["r"]},
            "priority": 1, "test_event": True, "vtn_comment": "a comment", "response_required": "never",
            "notification": "PT5M", "ramp_up": "PT2M", "recovery": "PT3M", "startafter": "PT1M",
            "answers": {"queued": 2}, "status": "far",
        }  # fmt: skip
        self.assertEqual(expected, {name: found[name] for name in expected})

    def test_a_price_is_one_per_kwh_in_a_currency(self) -> None:
        (signal,) = self.event("--price", "0.35", "--currency", "USD")["signals"]
        self.assertEqual(
            ("ELECTRICITY_PRICE", "price", 0.35),
            (signal["signal_name"], signal["signal_type"], signal["intervals"][0]["value"]),
        )
        self.assertEqual(("currencyPerKWh", "USD"), (signal["item_base"]["name"], signal["item_base"]["item_units"]))

    def test_a_file_says_the_rest_and_options_count_more(self) -> None:
        signals = [{"intervals": [{"duration": "5m", "value": 1}, {"duration": "5m", "value": 2}]}]
        fields = {"signals": signals, "market_context": "http://file/", "priority": 3}
        file = Path(self.mktemp())
        file.write_text(json.dumps(fields))
        found = self.event("--file", str(file), "--priority", "1")
        self.assertEqual(
            ("PT10M", "http://file/", 1), tuple(found[k] for k in ("duration", "market_context", "priority"))
        )
        made = json.loads(self.good("event", "create", "--file", "-", "--json", input=json.dumps(fields)))
        self.assertEqual(3, made["priority"])

    def test_a_file_that_says_nothing_is_a_usage_error(self) -> None:
        for content in ("", "nonsense", "[]"):
            self.has(self.refused("event", "create", "--file", "-", code=2, input=content), "--file")

    def test_an_event_that_asks_for_nothing_is_a_usage_error(self) -> None:
        self.has(self.refused("event", "create", "--duration", "5m", code=2), "--level 2")
        self.refused("event", "create", "--level", "4", code=2)

    def test_what_the_vtn_refuses_is_told_with_its_place(self) -> None:
        self.has(self.refused("event", "create", "--level", "1", "--start", "soon"), "dtstart: 'soon' is not a time")
        self.has(self.refused("event", "create", "--level", "1", "--ven", "nobody"), "target.ven_ids: 'nobody'")

    def test_events_are_listed_and_shown_with_every_answer(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.event("--level", "2", "--event-id", "e-1")
        self.event("--level", "1", "--event-id", "e-2", "--duration", "1m", "--ven", "ven-2")
        self.office.opts("ven-1", "e-1", "optOut")
        self.has(self.good("event", "list"), "e-1", "everybody", "1 optOut, 1 queued", "e-2", "ven-2")
        self.has(self.good("event", "show", "e-1"), "ven-1", "optOut", "opted", "ven-2", "queued", "All answers")
        self.office.clock.advance(60)
        self.assertNotIn("e-2", self.good("event", "list"))
        self.assertIn("e-2", self.good("event", "list", "--all"))

    def test_a_change_keeps_what_is_not_named(self) -> None:
        self.office.registered()
        before = self.event("--level", "2", "--price", "0.3", "--ven", "ven-1", "--event-id", "e")
        self.has(
            self.good("event", "modify", "e", "--level", "1", "--reason", "milder"), "modification 1", "SIMPLE level 1"
        )
        after = self.shown("event", "modify", "e", "--duration", "1h", "--group", "north")
        self.assertEqual([1, 0.3], [signal["intervals"][0]["value"] for signal in after["signals"]])
        self.assertEqual(("PT1H", {"ven_ids": ["ven-1"], "group_ids": ["north"]}), (after["duration"], after["target"]))
        self.assertEqual(*(row["market_context"] for row in (before, after)))

    def test_a_change_that_cannot_be_said_by_options_points_to_the_file(self) -> None:
        self.event("--price", "0.3", "--event-id", "e")
        self.has(self.refused("event", "modify", "e", "--level", "1"), "no signal SIMPLE", "--file")
        several = {"signals": [{"intervals": [{"duration": "5m", "value": 1}] * 2}]}
        self.good("event", "modify", "e", "--file", "-", input=json.dumps(several))
        self.has(self.refused("event", "modify", "e", "--duration", "1h"), "several intervals", "--file")
        self.has(self.refused("event", "modify", "e", code=2), "--level 1")

    def test_a_change_does_not_overwrite_another(self) -> None:
        self.event("--level", "2", "--event-id", "e")
        look = self.office.client().call

        def slow(*what: Any, **more: Any) -> Any:
            found = look(*what, **more)
            look("PATCH", "events", "e", body={"priority": 9})
            return found

        client = self.office.client()
        self.patch(client, "call", lambda *what, **more: (slow if what[0] == "GET" else look)(*what, **more))
        result = CliRunner().invoke(main, ["event", "modify", "e", "--level", "1"], obj=client)
        self.assertEqual(1, result.exit_code)
        self.assertIn("the event is at 1", result.stderr)

    def test_an_event_is_cancelled_once(self) -> None:
        self.event("--level", "2", "--event-id", "e")
        self.has(self.good("event", "cancel", "e", "--reason", "storm is over"), "e is cancelled")
        self.assertEqual("storm is over", self.shown("event", "show", "e")["modification_reason"])
        self.has(self.refused("event", "cancel", "e"), "is cancelled")
        self.has(self.refused("event", "cancel", "x"), "is not known")


class ReadingTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.registered()
        self.office.reports("ven-1", {"power": [1, 2.5, 3]})

    def test_readings_are_a_table_json_or_csv(self) -> None:
        self.has(self.good("readings", "ven-1", "--since", "-1h"), "power", "2.5", "12:01:00Z")
        self.assertEqual(3, len(self.shown("readings", "ven-1")["readings"]))
        lines = self.good("readings", "ven-1", "--csv").splitlines()
        self.assertEqual(4, len(lines))
        self.has(lines[0], "r_id,start,seconds,value")

    def test_a_range_and_a_data_point_narrow_them(self) -> None:
        found = self.shown("readings", "ven-1", "--since", "+1m", "--until", "+2m", "--r-id", "power")
        self.assertEqual([2.5], [reading["value"] for reading in found["readings"]])

    def test_what_is_left_out_is_told_beside_the_output(self) -> None:
        for form in ([], ["--csv"], ["--json"]):
            result = self.run_cli("readings", "ven-1", "--limit", "2", *form)
            self.assertEqual(0, result.exit_code)
            self.assertIn("only the newest 2", result.stderr)
            self.assertNotIn("only", result.stdout)

    def test_a_mistake_is_told(self) -> None:
        self.has(self.refused("readings", "ven-1", "--since", "soon"), "since: 'soon' is not a time")
        self.has(self.refused("readings", "nobody"), "'nobody' is not known")
        self.has(self.refused("readings", "ven-1", "--csv", "--json", code=2), "choose one")


class WhichVtnTests(SynchronousTestCase):
    """Without an office: what a person meets who has not started anything."""

    def setUp(self) -> None:
        here = Path(self.mktemp()).absolute()
        here.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(here)
        self.patch(os, "environ", {"XDG_STATE_HOME": str(here)})

    def fails(self, *arguments: str) -> str:
        result = CliRunner().invoke(main, arguments)
        self.assertEqual(1, result.exit_code, result.output)
        self.assertEqual(1, len(result.stderr.splitlines()), result.stderr)
        return result.stderr

    def test_without_any_vtn_it_says_how_to_get_one(self) -> None:
        self.assertIn("twistd -n oadrvtn --demo", self.fails("status"))

    def test_a_configuration_that_is_not_there_is_named(self) -> None:
        self.assertIn("nowhere.toml: No such file", self.fails("--config", "nowhere.toml", "status"))

    def test_a_vtn_that_never_ran_has_no_token(self) -> None:
        CliRunner().invoke(main, ["init"])
        self.assertIn("at its first start", self.fails("status"))

    def test_a_vtn_that_does_not_run_is_told(self) -> None:
        CliRunner().invoke(main, ["init"])
        config = load("vtn.toml")
        load_token(config.token_path)
        refuse = ConnectionRefusedError(111, "Connection refused")

        def no_connection(*arguments: Any, **more: Any) -> None:
            raise refuse

        self.patch(__import__("socket"), "create_connection", no_connection)
        self.assertIn("nothing listens at http://127.0.0.1:8080", self.fails("status"))


class InitTests(CliTestCase):
    def test_the_configuration_it_writes_is_good_and_stays(self) -> None:
        file = Path(self.mktemp())
        self.has(self.good("init", str(file)), str(file), "oadrvtn certs init", f"twistd -n oadrvtn --config {file}")
        self.assertEqual("oadrvtn", load(file).vtn_id)
        file.write_text("mine")
        self.has(self.refused("init", str(file)), "not overwritten")
        self.assertEqual("mine", file.read_text())

    def test_a_place_that_cannot_be_written_is_told(self) -> None:
        self.has(self.refused("init", str(Path(self.mktemp()) / "a" / "vtn.toml")), "No such file or directory")


class CertsTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())

    def certs(self, *arguments: str) -> str:
        return self.good("certs", *arguments, "--directory", str(self.directory))

    def test_init_makes_a_pki_for_the_names_that_are_given(self) -> None:
        self.certs("init", "--name", "vtn.example.org", "--name", "192.0.2.1")
        for name in ("vtn-ec", "vtn-rsa"):
            (certificate, *_) = load_certificates(self.directory / f"{name}.crt")
            self.assertEqual(("vtn.example.org", "192.0.2.1"), describe(certificate).names)
            self.assertEqual(0o600, stat.S_IMODE((self.directory / f"{name}.key").stat().st_mode))

    def test_nothing_is_overwritten(self) -> None:
        self.certs("init")
        self.has(self.refused("certs", "init", "--directory", str(self.directory)), "not overwritten")
        self.certs("issue", "ven-1")
        self.has(self.refused("certs", "issue", "ven-1", "--directory", str(self.directory)), "not overwritten")

    def test_issue_says_how_to_let_the_ven_in(self) -> None:
        self.certs("init")
        text = self.certs("issue", "ven-1")
        fingerprint = self.good("certs", "fingerprint", str(self.directory / "ven-1.crt")).strip()
        self.has(text, fingerprint, f"oadrvtn ven add ven-1 --certificate {self.directory / 'ven-1.crt'}")
        self.certs("issue", "ven-2", "--rsa")
        (certificate, *_) = load_certificates(self.directory / "ven-2.crt")
        self.assertEqual("RSA 2048", describe(certificate).key)

    def test_a_name_that_is_no_file_name_is_a_usage_error(self) -> None:
        self.certs("init")
        self.has(
            self.refused("certs", "issue", "../ven", "--directory", str(self.directory), code=2), "cannot be a name"
        )

    def test_without_an_authority_nothing_is_issued(self) -> None:
        self.has(self.refused("certs", "issue", "ven-1", "--directory", str(self.directory)), "ca.crt")

    def test_show_tells_what_is_in_a_certificate(self) -> None:
        self.certs("init", "--name", "vtn.example.org")
        file = str(self.directory / "vtn-ec.crt")
        self.has(self.good("certs", "show", file), "vtn.example.org", "EC secp256r1", "Fingerprint")
        (shown,) = self.shown("certs", "show", file)
        self.assertEqual((False, ["vtn.example.org"]), (shown["authority"], shown["names"]))
        self.has(self.refused("certs", "show", str(self.directory / "vtn-ec.key")), "no readable PEM certificate")
