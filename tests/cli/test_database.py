"""``oadrvtn backup`` and ``oadrvtn restore``: of the VTN that --config means."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.cli import main
from oadrvtn.model.config import load
from oadrvtn.storage.database import Database

from ..storage.test_database import add


class DatabaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.config = self.folder / "vtn.toml"
        self.run_cli("init", str(self.config))
        self.path = load(self.config).database_path
        self.file = self.folder / "[bold]backup"
        self.database = self.opened()
        self.successResultOf(self.database.run("add", add, "ven-1"))

    def opened(self) -> Database:
        database = Database(self.path)
        database.start()
        self.addCleanup(database.stop)
        return database

    def run_cli(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *arguments])

    def good(self, *arguments: str) -> str:
        result = self.run_cli(*arguments)
        self.assertEqual((0, ""), (result.exit_code, result.stderr), result.output)
        return result.stdout

    def refused(self, expected: str, *arguments: str) -> None:
        result = self.run_cli(*arguments)
        self.assertEqual((1, ""), (result.exit_code, result.stdout))
        self.assertEqual(1, len(result.stderr.splitlines()))
        self.assertIn(expected, result.stderr)

    def test_what_was_backed_up_comes_back_and_the_undo_that_is_told_works(self) -> None:
        self.assertIn(f"{self.file} is written and checked: 1 VENs, 0 events, 0", self.good("backup", str(self.file)))
        self.successResultOf(self.database.run("add", add, "ven-2"))
        self.refused("is in use: stop the VTN first", "restore", str(self.file))
        self.database.stop()
        said = self.good("restore", str(self.file))
        self.assertIn(f"{self.path} is now what was in {self.file}: 1 VENs", said)
        undo = said.rpartition("  oadrvtn ")[2].split()
        self.assertIn("is now what was in", self.good(*undo))
        self.assertEqual(2, json.loads(self.good("backup", str(self.folder / "another"), "--json"))["vens"])

    def test_programs_are_told_where_things_are(self) -> None:
        self.assertEqual(str(self.file), json.loads(self.good("backup", str(self.file), "--json"))["file"])
        self.database.stop()
        found = json.loads(self.good("restore", str(self.file), "--json"))
        self.assertEqual((1, str(self.path)), (found["vens"], found["database"]))
        self.assertTrue(Path(found["kept"]).exists())

    def test_what_cannot_be_done_is_one_line(self) -> None:
        self.file.write_text("mine")
        self.refused("exists already and is not overwritten", "backup", str(self.file))
        self.database.stop()
        self.refused("is not a database", "restore", str(self.file))
