"""The audit log at the command line: listed, and verified through the API and on a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from oadrvtn.storage.audit import Head

from .case import CliTestCase


class AuditTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("anna", "bert"):
            self.good("token", "create", name, "--scope", "read")
        self.refused("token", "revoke", "nobody")

    def copy(self) -> Path:
        """The database as a file."""
        path = Path(self.mktemp()).absolute()
        with self.office.database._engine.connect() as connection, closing(sqlite3.connect(path)) as file:
            connection.connection.driver_connection.backup(file)  # type: ignore[union-attr]
        return path

    def test_it_is_listed_and_filtered(self) -> None:
        self.has(self.good("audit", "list"), "POST /tokens", "anna", "bert", "DELETE /tokens/{name}", "404")
        self.assertEqual(["anna"], [row["object"] for row in self.shown("audit", "list", "--object", "anna")["audit"]])
        self.assertEqual([404], [row["status"] for row in self.shown("audit", "list", "--refused")["audit"]])
        self.assertEqual([201, 201], [row["status"] for row in self.shown("audit", "list", "--done")["audit"]])
        self.has(self.good("audit", "list", "--limit", "1"), "earlier ones")

    def test_a_log_as_it_was_written_is_said_to_be_with_its_head(self) -> None:
        head = self.shown("audit", "verify")["head"]
        self.has(self.good("audit", "verify", "--head", head), "3 rows", head)
        self.has(self.good("audit", "verify", "--head", head, "--file", str(self.copy())), "3 rows", head)

    def test_a_broken_one_ends_with_an_error_that_names_the_row(self) -> None:
        path = self.copy()
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("DROP TRIGGER audit_is_not_deleted")
            file.execute("DELETE FROM audit WHERE number = 2")
        self.has(self.refused("audit", "verify", "--file", str(path)), "row 2 is missing")

    def test_a_log_that_was_cut_is_seen_by_the_head(self) -> None:
        beyond = str(Head(7, bytes(32)))
        for more in ((), ("--file", str(self.copy()))):
            self.has(self.refused("audit", "verify", "--head", beyond, *more), "row 4 is missing", "was cut")

    def test_what_is_no_head_is_a_wrong_usage(self) -> None:
        self.has(self.refused("audit", "verify", "--head", "12", code=2), "--head")

    def test_a_file_that_is_not_there_is_told(self) -> None:
        self.has(self.refused("audit", "verify", "--file", "nowhere.sqlite"), "nowhere.sqlite", "no such file")
