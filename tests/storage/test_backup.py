"""Backups: whole while somebody writes, checked, and put back only where that is safe."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.storage import backup as module
from oadrvtn.storage import nonces
from oadrvtn.storage.backup import back_up, restore
from oadrvtn.storage.database import Database, DatabaseError

from .test_database import NOW, add, names


class BackupTestCase(SynchronousTestCase):
    """A database with ven-1 in it, which is open as a VTN has it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "vtn.sqlite"
        self.file = self.folder / "backup.sqlite"
        self.database = self.opened()
        self.write("ven-1")

    def opened(self) -> Database:
        database = Database(self.path)
        database.start()
        self.addCleanup(database.stop)
        return database

    def write(self, ven_id: str) -> None:
        self.successResultOf(self.database.run("add", add, ven_id))

    def vens(self) -> list[str]:
        """What the VTN has after a start."""
        self.database = self.opened()
        return self.successResultOf(self.database.read("names", names))

    def refused(self, expected: str, function: Any, *arguments: Any) -> None:
        """The operation fails with this, and leaves nothing behind."""
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        error = self.assertRaises(DatabaseError, function, *arguments)
        self.assertIn(expected, str(error))
        self.assertEqual(1, len(str(error).splitlines()))
        after = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        for found in (before, after):
            for passing in ("vtn.sqlite-shm", "vtn.sqlite.lock"):
                found.pop(passing, None)
        self.assertEqual(before, after)


class BackUpTests(BackupTestCase):
    def test_what_was_committed_is_in_one_file_while_a_transaction_is_open(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE vens SET name = 'half'")
            contents = back_up(self.path, self.file)
        self.assertEqual(
            (1, 0, 0, self.file.stat().st_size), (contents.vens, *[contents.events, contents.readings], contents.size)
        )
        with closing(sqlite3.connect(self.file.absolute().as_uri() + "?mode=ro&immutable=1", uri=True)) as copy:
            self.assertEqual([("ven-1",)], copy.execute("SELECT name FROM vens").fetchall())
        self.write("ven-2")
        self.assertEqual(["backup.sqlite"], [path.name for path in self.folder.glob("*backup*")])

    def test_nobody_else_may_read_it(self) -> None:
        back_up(self.path, self.file)
        self.assertEqual(0o600, self.file.stat().st_mode & 0o777)

    def test_a_stopped_vtn_is_backed_up_as_well(self) -> None:
        self.database.stop()
        self.assertEqual(1, back_up(self.path, self.file).vens)

    def test_a_file_that_exists_is_not_overwritten(self) -> None:
        self.file.write_text("mine")
        self.refused("exists already", back_up, self.path, self.file)

    def test_what_cannot_be_copied_leaves_no_file(self) -> None:
        self.refused("nowhere.sqlite: there is no such file", back_up, self.folder / "nowhere.sqlite", self.file)
        self.refused("No such file", back_up, self.path, self.folder / "nowhere" / "backup")

        def broken(source: Path, draft: Path, mode: str) -> None:
            draft.write_bytes(self.path.read_bytes()[:5000])

        self.patch(module, "_copy", broken)
        self.refused("backup.sqlite: ", back_up, self.path, self.file)


class RestoreTests(BackupTestCase):
    def setUp(self) -> None:
        super().setUp()
        back_up(self.path, self.file)
        self.write("ven-2")

    def restore(self) -> Path | None:
        self.database.stop()
        contents, kept = restore(self.file, self.path, NOW)
        self.assertEqual(1, contents.vens)
        return kept

    def test_the_state_is_that_of_the_backup_and_the_one_before_can_be_had_again(self) -> None:
        kept = self.restore()
        assert kept
        self.assertEqual(["ven-1"], self.vens())
        self.database.stop()
        restore(kept, self.path, NOW + timedelta(minutes=1))
        self.assertEqual(["ven-1", "ven-2"], self.vens())

    def test_the_backup_stays_as_it_is_and_the_database_is_nobody_elses_business(self) -> None:
        before = self.file.read_bytes()
        self.restore()
        self.assertEqual(before, self.file.read_bytes())
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_what_a_kill_left_in_the_wal_is_kept_and_not_mixed_into_the_backup(self) -> None:
        self.database.stop()
        state = self.folder / "killed"
        with closing(sqlite3.connect(self.path)) as other:  # who has it open keeps the WAL from being taken in
            other.execute("UPDATE vens SET name = 'late'")
            other.commit()
            state.mkdir()
            for part in ("vtn.sqlite", "vtn.sqlite-wal"):
                (state / part).write_bytes((self.folder / part).read_bytes())
        self.path = state / "vtn.sqlite"
        kept = self.restore()
        assert kept
        self.assertEqual({self.path, kept, Path(f"{kept}-wal"), Path(f"{self.path}.lock")}, {*state.iterdir()})
        self.assertEqual(["ven-1"], self.vens())
        self.database.stop()
        self.assertEqual(2, restore(kept, self.path, NOW + timedelta(minutes=1))[0].vens)
        with closing(sqlite3.connect(self.path)) as again:
            self.assertEqual([("late",)] * 2, again.execute("SELECT name FROM vens").fetchall())

    def test_a_database_that_is_damaged_is_replaced_and_kept_with_its_wal(self) -> None:
        self.database.stop()
        self.path.write_bytes(b"no database" * 500)
        Path(f"{self.path}-wal").write_bytes(b"no log")
        kept = self.restore()
        assert kept
        self.assertEqual(b"no database" * 500, kept.read_bytes())
        self.assertEqual(b"no log", Path(f"{kept}-wal").read_bytes())
        self.assertEqual(["ven-1"], self.vens())

    def test_where_there_is_no_database_yet_it_makes_one(self) -> None:
        self.database.stop()
        self.path = self.folder / "state" / "vtn.sqlite"
        self.assertIs(None, restore(self.file, self.path, NOW)[1])
        self.assertEqual(["ven-1"], self.vens())

    def test_signed_messages_from_before_are_refused_and_the_start_is_a_clean_one(self) -> None:
        self.restore()
        self.database = self.opened()
        self.assertEqual(NOW, self.successResultOf(self.database.read("since", nonces.since)))
        with closing(sqlite3.connect(self.path)) as connection:
            self.assertEqual(1, connection.execute("SELECT count(*) FROM house WHERE key = 'stop'").fetchone()[0])

    def test_a_running_vtn_refuses_it(self) -> None:
        self.refused("vtn.sqlite: is in use: stop the VTN first", restore, self.file, self.path, NOW)

    def test_a_backup_that_is_damaged_none_or_of_a_newer_version_changes_nothing(self) -> None:
        self.database.stop()
        data = self.file.read_bytes()
        other = self.folder / "other"

        def refuse(expected: str, content: bytes) -> None:
            other.write_bytes(content)
            self.refused(expected, restore, other, self.path, NOW)

        refuse("other: file is not a database", b"no database" * 500)
        refuse("other: is no database of a VTN", b"")
        refuse("other: ", data[: len(data) // 2])
        page = data.index(b"CREATE TABLE vens") // 4096 * 4096 + 4096
        refuse("other: ", data[:page] + os.urandom(8192) + data[page + 8192 :])
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        self.refused("backup.sqlite: was made by a newer oadrvtn (schema 9999)", restore, self.file, self.path, NOW)
        self.refused("nowhere: there is no such file", restore, self.folder / "nowhere", self.path, NOW)
        self.refused("there is no such file", restore, self.folder, self.path, NOW)
        self.assertEqual(["ven-1", "ven-2"], self.vens())

    def test_a_database_of_another_user_is_left_to_that_user(self) -> None:
        self.database.stop()
        self.patch(os, "geteuid", lambda: self.path.stat().st_uid + 1)
        self.refused("belongs to another user", restore, self.file, self.path, NOW)
