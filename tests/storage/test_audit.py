"""The audit log: only appended to, and each way to tamper with its file is seen, by what is promised to see it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.storage import audit, backup
from oadrvtn.storage.audit import Action, Broken, Head
from oadrvtn.storage.database import Database, DatabaseError, Txn

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROWS = 8
ALL = "number, at, who, address, action, object, asked, status, left_out, hash"
TRIGGERS = ("audit_is_not_inserted", "audit_is_not_updated", "audit_is_not_deleted")


def _append(txn: Txn, number: int) -> tuple[None, None]:
    action = Action(
        who="anna", address="192.0.2.1", action="POST /events", object=f"e-{number}", asked=bytes(32), status=201
    )
    audit.append(txn, action, NOW)
    return None, None


class AuditTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.database = Database(self.path)
        self.database.start()
        self.addCleanup(self.database.stop)
        self.write(*range(1, ROWS + 1))

    def write(self, *numbers: int) -> None:
        for number in numbers:
            self.successResultOf(self.database.run("append", _append, number))

    def head(self) -> Head:
        return self.successResultOf(self.database.read("head", audit.head))


class AppendedTests(AuditTestCase):
    def test_no_statement_changes_or_takes_away_a_row(self) -> None:
        statements = (
            "UPDATE audit SET status = 403 WHERE number = 3",
            "DELETE FROM audit WHERE number = 3",
            "DELETE FROM audit",
            f"INSERT OR REPLACE INTO audit SELECT {ALL} FROM audit WHERE number = 3",
            f"INSERT INTO audit SELECT 100, {ALL.partition(', ')[2]} FROM audit WHERE number = 3",
            f"INSERT INTO audit SELECT NULL, {ALL.partition(', ')[2]} FROM audit WHERE number = 3",
        )
        for statement in statements:

            def change(txn: Txn, statement: str = statement) -> Any:
                return txn.exec_driver_sql(statement), None

            failure = self.failureResultOf(self.database.run("change", change))
            self.assertIn("only appended to", str(failure.check(IntegrityError) and failure.value), statement)
        self.assertEqual((self.head(), None), audit.verify_file(self.path))
        self.assertEqual(ROWS, self.head().number)

    def test_what_is_rolled_back_leaves_no_row(self) -> None:
        def fails(txn: Txn) -> Any:
            _append(txn, 9)
            raise RuntimeError

        self.failureResultOf(self.database.run("fails", fails), RuntimeError)
        self.write(9)
        self.assertEqual((self.head(), None), audit.verify_file(self.path))
        self.assertEqual(ROWS + 1, self.head().number)

    def test_the_hash_of_a_row_is_what_the_module_says(self) -> None:
        """Another program may verify, too."""
        before = bytes(32)
        with closing(sqlite3.connect(self.path)) as connection:
            for *content, asked, status, left_out, stored in connection.execute(f"SELECT {ALL} FROM audit"):
                said = json.dumps([*content, asked.hex(), status, left_out], separators=(",", ":"))
                before = hashlib.sha256(before + said.encode("ascii")).digest()
                self.assertEqual(before, stored)


class TamperingTests(AuditTestCase):
    """Somebody who may write to the file, and drops the triggers first."""

    def setUp(self) -> None:
        super().setUp()
        self.known = self.head()
        self.database.stop()

    def tamper(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for trigger in TRIGGERS:
                connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
            for statement in statements:
                connection.execute(statement)

    def found(self, known: Head | None = None) -> Broken | None:
        return audit.verify_file(self.path, known)[1]

    def test_a_log_that_nobody_touched_is_whole(self) -> None:
        self.assertEqual((self.known, None), audit.verify_file(self.path))
        self.assertEqual((self.known, None), audit.verify_file(self.path, self.known))

    def test_a_changed_row_is_named_whatever_was_changed_of_it(self) -> None:
        original = self.path.read_bytes()
        for name, value in (
            ("at", "at + 1"), ("who", "'bert'"), ("address", "'192.0.2.2'"), ("action", "'DELETE /events'"),
            ("object", "x'ff00'"), ("asked", "x'00'"), ("status", "500"), ("left_out", "7"), ("hash", "x'00'"),
            ("who", "CAST('anna ' AS TEXT)"), ("status", "'two hundred'"),
        ):  # fmt: skip
            self.path.write_bytes(original)
            self.tamper(f"UPDATE audit SET {name} = {value} WHERE number = 3")
            broken = self.found()
            self.assertEqual(3, broken and broken.number, name)

    def test_a_row_before_the_first_is_named(self) -> None:
        original = self.path.read_bytes()
        for number in (0, -1, -(2**63)):
            self.path.write_bytes(original)
            self.tamper(f"INSERT INTO audit SELECT {number}, {ALL.partition(', ')[2]} FROM audit WHERE number = 3")
            for known in (None, self.known):
                broken = self.found(known)
                self.assertEqual(number, broken and broken.number)

    def test_a_field_without_a_value_is_a_change(self) -> None:
        self.tamper(
            f"CREATE TABLE copy AS SELECT {ALL} FROM audit",
            "UPDATE copy SET who = NULL WHERE number = 3",
            "DROP TABLE audit",
            "ALTER TABLE copy RENAME TO audit",
        )
        broken = self.found()
        self.assertEqual(3, broken and broken.number)

    def test_a_row_that_is_gone_from_the_middle_is_named(self) -> None:
        self.tamper("DELETE FROM audit WHERE number IN (4, 5)")
        self.assertEqual(Broken(4, "is missing"), self.found())

    def test_rows_that_moved_up_into_a_gap_are_seen(self) -> None:
        self.tamper("DELETE FROM audit WHERE number = 4", "UPDATE audit SET number = number - 1 WHERE number > 4")
        broken = self.found()
        self.assertEqual(4, broken and broken.number)

    def test_rows_that_changed_places_are_seen(self) -> None:
        self.tamper(
            "UPDATE audit SET number = 100 WHERE number = 3",
            "UPDATE audit SET number = 3 WHERE number = 4",
            "UPDATE audit SET number = 4 WHERE number = 100",
        )
        broken = self.found()
        self.assertEqual(3, broken and broken.number)

    def test_the_first_row_cannot_be_left_out(self) -> None:
        self.tamper("DELETE FROM audit WHERE number = 1")
        self.assertEqual(Broken(1, "is missing"), self.found())

    def test_a_tail_that_was_cut_is_seen_against_a_head_only(self) -> None:
        self.tamper("DELETE FROM audit WHERE number > 5")
        self.assertIsNone(self.found())
        broken = self.found(self.known)
        self.assertEqual(6, broken and broken.number)
        self.assertIn("was cut", broken.reason if broken else "")

    def test_a_log_that_was_emptied_is_seen_against_a_head_only(self) -> None:
        self.tamper("DELETE FROM audit")
        self.assertIsNone(self.found())
        self.assertEqual(1, getattr(self.found(self.known), "number", None))

    def test_a_log_that_was_written_anew_is_seen_against_a_head_only(self) -> None:
        self.path.unlink()
        self.database = Database(self.path)
        self.database.start()
        self.write(*range(11, ROWS + 11))
        self.assertIsNone(self.found())
        broken = self.found(self.known)
        self.assertEqual(ROWS, broken and broken.number)
        self.assertIn("anew", broken.reason if broken else "")

    def test_a_head_of_before_is_good_for_a_log_that_went_on(self) -> None:
        self.database = Database(self.path)
        self.database.start()
        self.write(9, 10)
        self.assertEqual((self.head(), None), audit.verify_file(self.path, self.known))

    def test_the_pieces_in_which_it_is_looked_at_hang_together(self) -> None:
        self.patch(audit, "PIECE", 3)
        self.assertEqual((self.known, None), audit.verify_file(self.path, self.known))
        self.tamper("UPDATE audit SET who = 'bert' WHERE number = 7")
        good, broken = audit.verify_file(self.path)
        self.assertEqual((6, 7), (good.number, broken and broken.number))


class FileTests(AuditTestCase):
    def test_a_backup_and_what_is_restored_of_it_keep_the_chain(self) -> None:
        copy = self.path.with_name(f"{self.path.name}-copy")
        backup.back_up(self.path, copy)
        at_backup = self.head()
        self.assertEqual((at_backup, None), audit.verify_file(copy, at_backup))
        self.write(9)
        later = self.head()
        self.database.stop()
        backup.restore(copy, self.path, NOW)
        self.assertEqual((at_backup, None), audit.verify_file(self.path, at_backup))
        broken = audit.verify_file(self.path, later)[1]
        self.assertEqual(9, broken and broken.number)  # what came after the backup is lost, and said to be
        self.database = Database(self.path)
        self.database.start()
        self.write(10)
        self.assertEqual((self.head(), None), audit.verify_file(self.path, at_backup))

    def test_a_file_that_is_no_database_of_ours_is_told(self) -> None:
        other = self.path.with_name(f"{self.path.name}-other")
        cases: list[Callable[[], object]] = [
            lambda: None,
            lambda: other.write_bytes(b""),
            lambda: other.write_bytes(b"not a database" * 100),
        ]
        for make in cases:
            make()
            self.assertIn(str(other), str(self.assertRaises(DatabaseError, audit.verify_file, other)))


class HeadTests(SynchronousTestCase):
    def test_a_head_is_read_as_it_is_written(self) -> None:
        head = Head(12, bytes(range(32)))
        self.assertEqual(head, Head.parse(str(head)))
        self.assertEqual(Head(), Head.parse(f" {Head()}\n"))

    def test_what_is_no_head_is_told(self) -> None:
        for text in ("", "12", "12-", "12-ab", "-" + "00" * 32, "x-" + "00" * 32, "1-" + "00" * 33, "1-" + "0G" * 32):
            self.assertRaises(ValueError, Head.parse, text)
