"""The page on security: each test that it names is there, and each command that gives a figure can be given."""

from __future__ import annotations

import ast
import re

from twisted.trial.unittest import SynchronousTestCase

from bench.__main__ import main

from .test_docs import CHECKOUT, page

TESTS = CHECKOUT / "tests"


def functions(file: str) -> set[str]:
    """The test functions of a file, also those within classes."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


class ThreatTests(SynchronousTestCase):
    def setUp(self) -> None:
        text = page("security")
        table = text.partition("   * - Who does what")[2].partition("\nWhat is not")[0]
        self.rows = re.split(r"^   \* - ", table, flags=re.MULTILINE)

    def test_each_threat_has_an_answer_and_tests_that_are_there(self) -> None:
        self.assertGreater(len(self.rows), 20)
        for row in self.rows[1:]:
            _, answer, shown = row.split("\n     - ")
            self.assertTrue(answer.strip())
            named = re.findall(r"``(\S+\.py)::(test_\w+)``", shown)
            self.assertTrue(named, row)
            self.assertEqual(len(named), shown.count("``") // 2, row)
            for file, name in named:
                self.assertIn(name, functions(file), file)

    def test_the_files_in_the_proof_are_there(self) -> None:
        commands = re.findall(r"^    python -m (\S+) (.*)$", page("security"), re.MULTILINE)
        self.assertEqual(6, len(commands))
        for module, rest in commands:
            if module == "pytest":
                self.assertTrue((CHECKOUT / rest.split()[-1]).exists())
            else:
                self.assertTrue((CHECKOUT / module.replace(".", "/") / "__main__.py").exists())
            if module == "bench":
                self.assertIn(rest, main.commands)
