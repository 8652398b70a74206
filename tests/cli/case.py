"""What tests of the command line share: an office that the commands find, whatever the machine holds."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.cli import main
from oadrvtn.model.config import Config, WantedReport

from ..console.office import Office


class CliTestCase(SynchronousTestCase):
    """Runs commands; they find the office, whatever the machine holds."""

    config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"), WantedReport(report_name="TELEMETRY_STATUS")))

    def setUp(self) -> None:
        self.office = Office(self.config)

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
        """What a command tells programs."""
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
