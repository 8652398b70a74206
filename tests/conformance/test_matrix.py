"""The matrix itself: each row has its test, each test its row, and the page tells what there is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .matrix import MATRIX, PAGE, ROWS, TESTS, each_test, page


class MatrixTests(SynchronousTestCase):
    def test_each_row_that_is_tested_has_one_test_and_no_other_row_has_any(self) -> None:
        counts = Counter(row for test in each_test() for row in test.rows)
        self.assertEqual({id: int(row.state == "tested") for id, row in ROWS.items()}, {id: counts[id] for id in ROWS})

    def test_each_test_is_for_rows_that_there_are(self) -> None:
        for test in each_test():
            self.assertTrue(test.rows, f"{test.name} is for no row")
            self.assertLessEqual(set(test.rows), ROWS.keys(), test.name)

    def test_each_module_with_tests_is_looked_at(self) -> None:
        modules = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
        self.assertEqual({*TESTS}, modules - {"test_matrix"})

    def test_no_id_stands_twice_and_what_is_not_tested_says_why(self) -> None:
        rows = [row for section in MATRIX.values() for row in section]
        self.assertEqual(len(rows), len(ROWS))
        for row in rows:
            self.assertIn(row.state, ("tested", "later", "untestable"))
            self.assertEqual(row.state != "tested", bool(row.why), row.id)

    def test_the_page_is_what_the_command_writes(self) -> None:
        self.assertEqual(page(), PAGE.read_text("utf-8"), "stale: run python -m tests.conformance")
