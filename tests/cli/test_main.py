"""The command line as a whole: help, status, a configuration to start from, and which VTN is meant."""

from __future__ import annotations

import errno
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.cli import main
from oadrvtn.console.token import load_token
from oadrvtn.model.config import load
from oadrvtn.security.revocation import Standing

from ..console.office import START
from .case import CliTestCase


class HelpTests(CliTestCase):
    def test_the_version_is_the_packages(self) -> None:
        self.assertEqual(f"oadrvtn {version('oadrvtn')}\n", self.good("--version"))

    def test_help_teaches_with_examples_that_name_commands_and_options_which_exist(self) -> None:
        pages = ["", "ven", "event", "event create", "event modify", "certs", "readings", "ven add", "ven fingerprints"]
        pages += ["group", "report", "report request", "ven traits", "ven change", "ven opts", "availability"]
        pages += ["check", "backup", "event watch", "ven trace", "completion"]
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
                for option in command.params:
                    if isinstance(option, click.Option):
                        self.assertTrue(option.help, (command.name, option.name))
                if isinstance(command, click.Group):
                    groups.append(command)
        self.assertGreater(len(groups), 6)

    def test_output_that_cannot_be_written_is_told_in_a_line(self) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with mock.patch.object(click, "echo", full):
            result = CliRunner().invoke(main, ["status", "--json"], obj=self.office.client(), standalone_mode=False)
        self.assertIsInstance(result.exception, click.ClickException)
        self.assertIn("No space left on device", str(result.exception))

    def test_an_unknown_command_is_a_usage_error(self) -> None:
        self.refused("evnet", code=2)
        self.refused("event", "create", "--lvel", "2", code=2)


class StatusTests(CliTestCase):
    def test_the_status_is_told_in_words_and_in_json(self) -> None:
        self.office.registered()
        self.office.clock.advance(3 * 3600 + 5 * 60 + 7)
        self.has(self.good("status"), "up 3 h 5 min", "1 known, 1 registered, 1 online, 0 waiting")
        self.assertEqual(1, self.shown("status")["vens_registered"])


class CrlTests(CliTestCase):
    def test_the_status_tells_how_crls_stand(self) -> None:
        self.office.api.crls = lambda: [
            Standing("/etc/ca.crl", "CN=utility", "good", "", START, 3),
            Standing(None, "CN=alliance", "missing", "has no CRL"),
        ]
        self.has(self.good("status"), "/etc/ca.crl: good", "authority CN=alliance: missing, has no CRL")
        self.assertEqual(["good", "missing"], [each["state"] for each in self.shown("status")["crls"]])


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

    def test_a_mistake_in_a_configuration_is_told_with_the_file(self) -> None:
        for text in ("no toml", "bogus = 1"):
            Path("vtn.toml").write_text(text)
            self.assertIn("Error: vtn.toml: ", self.fails("status"))

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
