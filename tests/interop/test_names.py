"""The page for those who come from openleadr, against openleadr as it is, and against what is here."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import oadrvtn
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
        """The module or the name in one; a name of the package is loaded at its first use."""
        place, _, last = name.rpartition(".")
        try:
            return import_module(name)
        except ModuleNotFoundError:
            return getattr(oadrvtn if place == "oadrvtn" else import_module(place), last)

    def test_each_handler_of_openleadr_is_one_here(self) -> None:
        handlers = [name for name in literals(cells(r"\*")) if name.startswith("on_")]
        self.assertTrue(handlers)
        self.assertEqual([], [name for name in handlers if name not in NAMES])
