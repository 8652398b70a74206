"""The database: transactions, threads, starts and stops, and what is said of a file that cannot be used."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.storage import database as module
from oadrvtn.storage import events, reports, vens
from oadrvtn.storage.database import Database, DatabaseError, Txn
from oadrvtn.storage.tables import instant, metadata, microseconds

from .threads import PATIENCE, FromThreads

NOW = instant(1_780_000_000_000_000)


def add(txn: Txn, ven_id: str) -> tuple[str, str]:
    vens.add(txn, ven_id, ven_id, "operator", 10, NOW)
    return ven_id, f"{ven_id} came"


def names(txn: Txn) -> list[str]:
    return [ven.ven_id for ven in vens.listed(txn)]


def add_and_fail(txn: Txn, ven_id: str) -> tuple[None, None]:
    add(txn, ven_id)
    raise ZeroDivisionError(ven_id)


def failing(*arguments: Any) -> Any:
    raise ZeroDivisionError


class InlineTests(SynchronousTestCase):
    """In memory, without threads."""

    def setUp(self) -> None:
        self.database = Database(None)
        self.database.start()
        self.addCleanup(self.database.stop)

    def test_each_commit_is_timed_and_a_rollback_is_none(self) -> None:
        before = self.database.commits.buckets[-1][1]
        self.database.run("add", add, "a")
        self.failureResultOf(self.database.run("fail", add_and_fail, "b"), ZeroDivisionError)
        self.assertEqual(before + 1, self.database.commits.buckets[-1][1])
        self.assertEqual({"writes": 0, "reads": 0}, self.database.waiting)

    def test_what_is_written_can_be_read(self) -> None:
        self.assertEqual("a", self.successResultOf(self.database.run("add", add, "a")))
        self.assertEqual(["a"], self.successResultOf(self.database.read("names", names)))

    def test_a_function_that_fails_leaves_nothing_and_publishes_nothing(self) -> None:
        published: list[Any] = []
        self.database.publish = published.append
        self.failureResultOf(self.database.run("fail", add_and_fail, "a"), ZeroDivisionError)
        self.assertEqual([], self.successResultOf(self.database.read("names", names)))
        self.assertEqual([], published)

    def test_changes_are_published_after_the_commit_and_before_the_reply(self) -> None:
        order: list[Any] = []

        def publish(changes: Any) -> None:
            order.append((changes, self.successResultOf(self.database.read("names", names))))

        self.database.publish = publish
        self.database.run("add", add, "a").addCallback(order.append)
        self.assertEqual([("a came", ["a"]), "a"], order)

    def test_a_publisher_that_fails_does_not_undo_what_is_on_disk(self) -> None:
        self.database.publish = failing
        self.assertEqual("a", self.successResultOf(self.database.run("add", add, "a")))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_a_reader_that_fails_says_so(self) -> None:
        self.failureResultOf(self.database.read("fail", failing), ZeroDivisionError)
        self.assertEqual([], self.successResultOf(self.database.read("names", names)))

    def test_a_callback_may_use_the_database(self) -> None:
        done = self.database.read("names", names).addCallback(lambda _: self.database.run("add", add, "a"))
        self.assertEqual("a", self.successResultOf(done))

    def test_before_the_start_and_after_the_stop_nothing_can_be_done(self) -> None:
        database = Database(None)
        for change in (lambda: None, database.stop, database.start, database.stop, database.stop):
            change()
            if change != database.start:
                self.failureResultOf(database.run("add", add, "a"), DatabaseError)
                self.failureResultOf(database.read("names", names), DatabaseError)

    def test_foreign_keys_hold(self) -> None:
        def orphan(txn: Txn) -> tuple[int, None]:
            return reports.add_capability(txn, "nobody", b"", NOW), None

        self.failureResultOf(self.database.run("orphan", orphan))

    def test_the_migrations_make_the_tables(self) -> None:
        def differences(txn: Txn) -> list[Any]:
            context = MigrationContext.configure(txn, opts={"compare_type": True, "compare_server_default": True})
            return compare_metadata(context, metadata)

        self.assertEqual([], self.successResultOf(self.database.read("compare", differences)))

    def test_the_migrations_make_the_partial_index(self) -> None:
        def made(txn: Txn) -> str:
            query = "SELECT sql FROM sqlite_master WHERE name = 'ix_ledger_open'"
            return txn.exec_driver_sql(query).scalar_one()

        self.assertIn("WHERE wants != 'nothing'", self.successResultOf(self.database.read("made", made)))

    def test_what_is_open_is_found_without_a_look_at_what_is_past(self) -> None:
        plans: list[str] = []

        def look(txn: Txn) -> tuple[None, None]:
            statements: list[str] = []
            connection: Any = txn.connection.driver_connection
            connection.set_trace_callback(statements.append)
            events.wanted(txn, ["ven-1"], NOW)
            events.give_up(txn, NOW)
            events.note_unanswered(txn, timedelta(minutes=5), NOW)
            events.withheld_from(txn, NOW)
            events.applicable(txn, ["ven-1"], NOW)
            connection.set_trace_callback(None)
            for statement in statements:
                if "ledger" in statement:
                    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}")
                    plans.append("; ".join(row[-1] for row in rows))
            return None, None

        self.successResultOf(self.database.run("look", look))
        ways = ("SEARCH open", "SCAN open", *["SEARCH deadline"] * 2, "SEARCH withheld", "SEARCH shown")
        for way, plan in zip(ways, plans, strict=True):
            how, index = way.split()
            self.assertIn(f"{how} ledger USING INDEX ix_ledger_{index}", plan.replace("COVERING ", ""))

    def test_instants_keep_their_microseconds(self) -> None:
        for stored in (0, 1, 1_780_000_000_123_456, -62_135_596_800_000_000):
            self.assertEqual(stored, microseconds(instant(stored)))


class ThreadedTests(SynchronousTestCase):
    """On a file, with threads."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "deep" / "vtn.sqlite"
        self.reactor = FromThreads()
        self.published: list[Any] = []
        self.database = self.opened()

    def opened(self) -> Database:
        database = Database(self.path, self.reactor, publish=self.published.append)
        database.start()
        self.addCleanup(database.stop)
        return database

    def names(self) -> list[str]:
        [found] = self.reactor.wait(self.database.read("names", names))
        return found

    def queued(self, *jobs: tuple[Any, ...]) -> list[Any]:
        """The outcomes of jobs that wait together behind one that is under way, and so share a transaction."""
        begun, gate = threading.Event(), threading.Event()

        def hold(txn: Txn) -> tuple[None, None]:
            begun.set()
            assert gate.wait(PATIENCE)
            return None, None

        first = self.database.run("hold", hold)
        self.assertTrue(begun.wait(PATIENCE))
        waiting: list[Deferred[Any]] = [self.database.run(job[0].__name__, *job) for job in jobs]
        gate.set()
        return self.reactor.wait(first, *waiting)[1:]

    def count_commits(self) -> list[Any]:
        commits: list[Any] = []
        event.listen(self.database._engine, "commit", commits.append)
        return commits

    def test_functions_run_on_another_thread_and_replies_come_on_the_reactors(self) -> None:
        def where(txn: Txn) -> tuple[str, None]:
            return threading.current_thread().name, None

        here: list[str] = []
        done = self.database.run("where", where)

        def arrived(name: str) -> str:
            here.append(threading.current_thread().name)
            return name

        self.assertEqual(["oadrvtn database writer"], self.reactor.wait(done.addCallback(arrived)))
        self.assertEqual([threading.current_thread().name], here)
        [reader] = self.reactor.wait(self.database.read("where", lambda txn: threading.current_thread().name))
        self.assertIn("reader", reader)

    def test_it_is_behind_while_something_is_not_written_or_waits_for_its_turn_to_read(self) -> None:
        gate = threading.Event()

        def hold(txn: Txn, begun: threading.Event) -> tuple[None, None]:
            begun.set()
            assert gate.wait(PATIENCE)
            return None, None

        def started(work: Any) -> Deferred[Any]:
            begun = threading.Event()
            done: Deferred[Any] = work("hold", hold, begun)
            self.assertTrue(begun.wait(PATIENCE))
            return done

        self.assertEqual(0.0, self.database.behind())
        reads = [started(self.database.read) for _ in range(2)]
        self.assertEqual(0.0, self.database.behind(), "to read long makes nobody wait")
        reads.append(self.database.read("names", names))
        self.assertGreater(self.database.behind(), 0.0)
        gate.set()
        self.reactor.wait(*reads)
        self.assertEqual(0.0, self.database.behind())
        gate.clear()
        written = started(self.database.run)
        self.assertGreater(self.database.behind(), 0.0)
        gate.set()
        self.reactor.wait(written)
        self.assertEqual(0.0, self.database.behind())

    def test_a_few_that_wait_for_a_slow_disk_are_not_much_to_do(self) -> None:
        gate = threading.Event()

        def hold(txn: Txn) -> tuple[None, None]:
            assert gate.wait(PATIENCE)
            return None, None

        jobs: list[Deferred[Any]] = [self.database.run("hold", hold) for _ in range(3)]
        self.assertEqual(0.0, self.database.behind(few=3))
        jobs.append(self.database.run("hold", hold))
        self.assertGreater(self.database.behind(few=3), 0.0)
        gate.set()
        self.reactor.wait(*jobs)

    def test_what_will_wait_is_known_by_the_pace_of_the_writer(self) -> None:
        gate, begun = threading.Event(), threading.Event()

        def hold(txn: Txn) -> tuple[None, None]:
            begun.set()
            assert gate.wait(PATIENCE)
            return None, None

        self.database._pace = 100.0
        jobs = [self.database.run("hold", hold) for _ in range(3)]
        self.assertTrue(begun.wait(PATIENCE))
        self.assertEqual(300.0, self.database.behind())
        gate.set()
        self.reactor.wait(*jobs)
        self.assertEqual(0.0, self.database.behind())
        self.assertLess(self.database._pace, 100.0)

    def test_what_waits_shares_a_commit_and_keeps_its_order(self) -> None:
        commits = self.count_commits()
        self.assertEqual(["a", "b", "c"], self.queued((add, "a"), (add, "b"), (add, "c")))
        self.assertEqual(2, len(commits))
        self.assertEqual([None, "a came", "b came", "c came"], self.published)

    def test_one_that_fails_does_not_harm_the_others(self) -> None:
        outcomes = self.queued((add, "a"), (add_and_fail, "b"), (add, "a"), (add, "c"))
        self.assertEqual("a", outcomes[0])
        self.assertTrue(outcomes[1].check(ZeroDivisionError))
        self.assertIsInstance(outcomes[2], Failure)
        self.assertEqual("c", outcomes[3])
        self.assertEqual(["a", "c"], self.names())

    def test_nor_does_one_with_bad_sql(self) -> None:
        def bad(txn: Txn) -> None:
            txn.exec_driver_sql("SELECT * FROM no_such_table")

        first, second, third = self.queued((add, "a"), (bad,), (add, "b"))
        self.assertEqual(("a", "b"), (first, third))
        self.assertIn("no such table", second.getErrorMessage())
        self.assertEqual(["a", "b"], self.names())

    def test_a_commit_that_fails_fails_all_and_publishes_none(self) -> None:
        commits = self.count_commits()

        def commit(connection: Any) -> None:
            if len(commits) == 2:
                raise sqlite3.OperationalError("disk I/O error")

        event.listen(self.database._engine, "commit", commit)
        outcomes = self.queued((add, "a"), (add, "b"))
        self.assertEqual([True, True], [isinstance(outcome, Failure) for outcome in outcomes])
        self.assertEqual([None], self.published)
        self.assertEqual([], self.names())
        self.assertEqual(["c"], self.reactor.wait(self.database.run("add", add, "c")))

    def test_a_busy_database_is_tried_again_from_the_start(self) -> None:
        tries: list[str] = []

        def busy_twice(txn: Txn) -> tuple[int, None]:
            add(txn, "a")
            tries.append("a")
            if len(tries) < 3:
                raise module.OperationalError("", None, sqlite3.OperationalError("database is locked"))
            return len(tries), None

        self.assertEqual([3], self.reactor.wait(self.database.run("busy", busy_twice)))
        self.assertEqual(["a"], self.names())

    def test_a_conflict_costs_those_who_share_the_transaction_nothing(self) -> None:
        tries: list[str] = []

        locked = sqlite3.OperationalError("database is locked")
        busy = [locked, module.OperationalError("", None, locked)]

        def busy_at_first(txn: Txn) -> tuple[str, None]:
            tries.append("")
            if busy:
                raise busy.pop()
            return "done", None

        self.assertEqual(["a", "done", "b"], self.queued((add, "a"), (busy_at_first,), (add, "b")))
        self.assertEqual(["a", "b"], self.names())
        self.assertEqual(3, len(tries))

    def test_one_that_stays_busy_fails_in_the_end(self) -> None:
        def busy(txn: Txn) -> Any:
            raise module.OperationalError("", None, sqlite3.OperationalError("database is locked"))

        [outcome] = self.reactor.wait(self.database.run("busy", busy))
        self.assertIsInstance(outcome, Failure)
        self.assertEqual([], self.names())

    def test_readers_see_nothing_of_a_transaction_under_way_and_do_not_wait_for_it(self) -> None:
        begun, gate = threading.Event(), threading.Event()

        def slow(txn: Txn) -> tuple[None, None]:
            add(txn, "a")
            begun.set()
            assert gate.wait(PATIENCE)
            return None, None

        writing = self.database.run("slow", slow)
        self.assertTrue(begun.wait(PATIENCE))
        self.assertEqual([], self.names())
        gate.set()
        self.reactor.wait(writing)
        self.assertEqual(["a"], self.names())

    def test_readers_cannot_write(self) -> None:
        [outcome] = self.reactor.wait(self.database.read("add", add, "a"))
        self.assertIn("readonly", outcome.getErrorMessage())
        self.assertEqual([], self.names())

    def test_a_stop_finishes_what_was_asked(self) -> None:
        jobs = [self.database.run("add", add, f"ven-{number:03}") for number in range(500)]
        looks = [self.database.read("names", names) for _ in range(20)]
        self.database.stop()
        outcomes = self.reactor.wait(*jobs, *looks)
        self.assertFalse([outcome for outcome in outcomes if isinstance(outcome, Failure)])
        self.database = self.opened()
        self.assertEqual(500, len(self.names()))

    def test_what_was_acknowledged_is_in_the_file(self) -> None:
        self.reactor.wait(self.database.run("add", add, "a"))
        with sqlite3.connect(self.path) as other:
            self.assertEqual([("a",)], other.execute("SELECT ven_id FROM vens").fetchall())
        other.close()


class Insistent:
    """A timer that goes off at once, and again until it is cancelled: whenever the check begins, it is cut."""

    def __init__(self, seconds: float, function: Any) -> None:
        self._function = function
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._go_off, daemon=True)
        self.start = self._thread.start

    def _go_off(self) -> None:
        while not self._cancelled.wait(0.001):
            self._function()

    def cancel(self) -> None:
        self._cancelled.set()
        self._thread.join()


class OpeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def start(self, synchronous: str = "FULL") -> Database:
        database = Database(self.path, synchronous=synchronous)
        database.start()
        self.addCleanup(database._engine.dispose)
        self.addCleanup(database._readers.dispose)
        return database

    def kill(self, database: Database) -> None:
        """What the end of its process does to a database: nothing but to give the file back."""
        assert database._lock is not None
        os.close(database._lock)
        database._lock = None

    def refused(self) -> str:
        database = Database(self.path)
        self.addCleanup(database._engine.dispose)
        return str(self.assertRaises(DatabaseError, database.start))

    def pragma(self, database: Database, name: str) -> Any:
        def ask(txn: Txn) -> tuple[Any, None]:
            return txn.exec_driver_sql(f"PRAGMA {name}").scalar(), None

        return self.successResultOf(database.run("pragma", ask))

    def test_the_settings_are_really_set(self) -> None:
        for synchronous, number in (("FULL", 2), ("NORMAL", 1)):
            database = self.start(synchronous)
            self.assertEqual(number, self.pragma(database, "synchronous"))
            self.assertEqual(("wal", 1), (self.pragma(database, "journal_mode"), self.pragma(database, "foreign_keys")))
            database.stop()

    def test_data_outlive_a_stop_and_a_kill(self) -> None:
        first = self.start()
        self.successResultOf(first.run("add", add, "a"))
        first.stop()
        second = self.start()
        self.successResultOf(second.run("add", add, "b"))
        self.kill(second)
        third = self.start()
        self.assertEqual(["a", "b"], self.successResultOf(third.read("names", names)))

    def checks(self) -> list[str]:
        heard: list[str] = []
        for name in ("info", "warn"):
            self.patch(module.log, name, lambda text, **values: heard.append(text.format(**values)))
        self.start().stop()
        return heard

    def test_it_is_checked_after_an_unclean_stop_only(self) -> None:
        self.start().stop()
        self.assertEqual([], self.checks())
        self.kill(self.start())
        [said] = self.checks()
        self.assertIn("checked and is sound", said)
        self.assertEqual([], self.checks())

    def test_a_check_that_takes_too_long_is_cut(self) -> None:
        database = self.start()
        many = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
            " INSERT INTO house SELECT 'key-' || i, hex(randomblob(40)) FROM n"
        )
        self.successResultOf(database.run("fill", lambda txn: (txn.exec_driver_sql(many).rowcount, None)))
        self.kill(database)
        self.patch(module.threading, "Timer", Insistent)
        [said] = self.checks()
        self.assertIn("was cut after 5 s", said)

    def test_a_second_vtn_is_kept_off_the_file(self) -> None:
        first = self.start()
        self.assertIn("in use by another VTN", self.refused())
        first.stop()
        self.start().stop()

    def test_what_could_not_be_opened_is_given_back(self) -> None:
        self.path.write_bytes(b"a shopping list\n" * 100)
        self.assertIn("not a database", self.refused())
        self.path.unlink()
        self.start().stop()

    def test_a_schema_of_the_future_is_a_clear_error(self) -> None:
        database = self.start()
        newer = "UPDATE alembic_version SET version_num = '9999'"
        self.successResultOf(database.run("age", lambda txn: (txn.exec_driver_sql(newer).rowcount, None)))
        database.stop()
        said = self.refused()
        self.assertIn("newer oadrvtn (schema 9999)", said)
        self.assertIn(str(self.path), said)

    def test_a_file_that_is_no_database_is_a_clear_error_and_stays_as_it_was(self) -> None:
        self.path.write_bytes(b"a shopping list\n" * 100)
        said = self.refused()
        self.assertIn("not a database", said)
        self.assertIn(str(self.path), said)
        self.assertEqual(b"a shopping list\n" * 100, self.path.read_bytes())

    def test_damage_is_a_clear_error(self) -> None:
        database = self.start()
        for number in range(200):
            self.successResultOf(database.run("add", add, f"ven-{number}-{'x' * 200}"))
        self.kill(database)
        checkpoint = sqlite3.connect(self.path)
        checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        checkpoint.close()
        content = bytearray(self.path.read_bytes())
        for page in range(len(content) // 8192 * 4096, len(content), 4096):
            content[page : page + 64] = b"\xa5" * 64
        self.path.write_bytes(content)
        said = self.refused()
        self.assertIn(str(self.path), said)
        self.assertRegex(said, "damaged|malformed")

    def test_a_place_where_no_file_can_be_is_a_clear_error(self) -> None:
        self.path.mkdir()
        self.assertIn("Is a directory", self.refused())
        (self.path / "file").write_text("")
        self.path = self.path / "file" / "vtn.sqlite"
        self.assertIn(str(self.path), self.refused())
