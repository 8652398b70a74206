"""The page for those who come from openleadr, against openleadr as it is, and against what is here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.vtn.hooks import NAMES
from tests.peers import openleadr

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.rst").read_text("utf-8")
TABLE = PAGE.partition("list-table::")[2]


def cells(mark: str) -> list[str]:
    """The first or second cells of the table's rows."""
    found = re.findall(rf"^ {{3}}{mark} - ((?:.*\n)(?: {{7}}.*\n)*)", TABLE, re.MULTILINE)
    return [" ".join(cell.split()) for cell in found][1:]


def literals(texts: list[str]) -> list[str]:
    return [literal for text in texts for literal in re.findall("``(.+?)``", text)]


class NameTests(SynchronousTestCase):
    def test_the_table_has_each_public_name_of_openleadr_once_and_no_other(self) -> None:
        script = Path(__file__).with_name("openleadr_names.py")
        there = json.loads(subprocess.check_output([openleadr().python, script], text=True))
        self.assertGreater(len(there), 100)
        self.assertEqual(sorted(literals(cells(r"\*"))), sorted(there))

    def test_each_row_says_what_it_is_here_and_that_is_there(self) -> None:
        here = cells(" ")
        self.assertEqual(len(cells(r"\*")), len(here))
        named = [literal for literal in literals(here) if literal.startswith("oadrvtn.")]
        self.assertGreater(len(named), 10)
        for name in named:
            self.assertIsNotNone(self.found(name), name)

    def found(self, name: str) -> Any:
        """A module, a name in one, or an attribute of a class there."""
        module, _, last = name.rpartition(".")
        try:
            return import_module(name)
        except ModuleNotFoundError:
            return getattr(self.found(module), last)

    def test_pyopenadr_is_another_name_for_openleadr(self) -> None:
        there = self.mktemp()
        python = openleadr().python
        install = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", there, "pyopenadr==0.5.30")
        subprocess.run([sys.executable, *install], check=True, capture_output=True, timeout=60)
        script = (
            "import sys, json; sys.path.append(sys.argv[1]); import openleadr, pyopenadr; "
            "print(json.dumps([sorted(n for n in vars(each) if n[0] != '_') for each in (pyopenadr, openleadr)]))"
        )
        its, those = json.loads(subprocess.check_output([python, "-c", script, there], text=True))
        self.assertEqual(those, its)

    def test_each_handler_of_openleadr_is_one_here(self) -> None:
        handlers = [name for name in literals(cells(r"\*")) if name.startswith("on_")]
        self.assertTrue(handlers)
        self.assertEqual([], [name for name in handlers if name not in NAMES])
