"""The database: whole functions run in one transaction each, on a thread of their own, one writer at a time.

``run`` is for functions that write: ``function(txn, *args) -> (reply, changes)``.  The writer takes all
that waits into one COMMIT, with a SAVEPOINT around each where one of them fails; only after the COMMIT are
the changes published and the Deferreds fired, so what is acknowledged is on disk.  ``read`` is for
functions that only look: ``function(txn, *args) -> reply``.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
import weakref
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import alembic.command
import attrs
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DatabaseError as SqlError
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from .tables import house
from .times import Times

T = TypeVar("T")
Txn = Connection
"""What a rule or a query is given: a connection within a transaction."""

log = Logger()

_MIGRATIONS = Path(__file__).parent / "migrations"
_BATCH = 200
_READERS = 2
_TRIES = 5
_QUICK_CHECK_SECONDS = 5.0
_STOP = None
_NEW_IN_MEMORY: list[bytes] = []
"""What the migrations make of an empty database in memory, so that a process runs them for one of them only."""


class DatabaseError(Exception):
    """A database that cannot be opened or used, with the reason, for the operator."""


@attrs.define(eq=False)
class _Job:
    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    asked: float = attrs.field(factory=perf_counter)
    begun: bool = False
    deferred: Deferred[Any] = attrs.field(factory=Deferred)

    def run(self, txn: Txn) -> Any:
        return self.function(txn, *self.arguments)


def claim(path: Path) -> int:
    """Take the lock of a database file; what is returned holds it until it is closed.  Raises DatabaseError."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DatabaseError(f"{path}: is in use by another VTN") from None
    return lock


def _schemas() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def refuse_newer(path: Path | None, schema: str | None) -> None:
    """Raise DatabaseError for a file whose schema this version does not know."""
    scripts = ScriptDirectory.from_config(_schemas())
    if schema is not None and schema not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseError(
            f"{path}: was made by a newer oadrvtn (schema {schema}); "
            f"this one knows schemas up to {scripts.get_current_head()}"
        )


class Database:
    """A SQLite file (WAL), or ``path=None`` for one in memory.

    With a ``reactor`` the functions run on threads; without one they run inline, at once, which is what
    unit tests want.  ``publish`` is called with the changes of each committed function.
    """

    def __init__(
        self,
        path: Path | None,
        reactor: IReactorFromThreads | None = None,
        synchronous: str = "FULL",
        publish: Callable[[Any], None] = lambda changes: None,
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._synchronous = synchronous
        self.publish = publish
        self.commits = Times()
        """How long each COMMIT took."""
        self._writing: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reading: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._unwritten: dict[_Job, None] = {}
        self._unread: dict[_Job, None] = {}
        self._pace = 0.0  # seconds of the writer for each function
        self._threads: list[threading.Thread] = []
        self._open = False
        self._lock: int | None = None
        self._engine = self._make_engine("IMMEDIATE")
        self._readers = self._make_engine("DEFERRED", "query_only=ON") if path else self._engine

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring the schema up to date, look for damage after an unclean stop, and start the threads.

        Blocks for as long as that takes.  Raises DatabaseError.
        """
        try:
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._claim(self._path)
            with self._engine.connect() as connection:
                self._migrate(connection)
                self._check(connection)
                self._take_in(connection)
        except (SqlError, sqlite3.Error, OSError) as error:
            self._close()
            reason = error.strerror if isinstance(error, OSError) else getattr(error, "orig", None)
            raise DatabaseError(f"{self._path}: {reason or error}") from error
        except DatabaseError:
            self._close()
            raise
        self._open = True
        if self._reactor:
            loops = [(self._write_loop, "writer")]
            loops += [(self._read_loop, f"reader {number + 1}") for number in range(_READERS)]
            for loop, name in loops:
                thread = threading.Thread(target=loop, name=f"oadrvtn database {name}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def stop(self) -> None:
        """Finish what was asked before, mark the stop as a clean one, and close.  Blocks.

        Whatever is asked after it fails with DatabaseError.
        """
        if self._open:
            self._open = False
            self._writing.put(_STOP)
            for _ in self._threads[1:]:
                self._reading.put(_STOP)
            while self._threads:
                self._threads.pop().join()
            with self._engine.connect() as connection, connection.begin():
                self._mark(connection, "clean")
        self._close()

    def _close(self) -> None:
        self._readers.dispose()
        self._engine.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _claim(self, path: Path) -> None:
        """Keep other processes off the file for as long as this one lives; a kill gives it back."""
        self._lock = claim(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # readings are nobody else's business

    def _make_engine(self, begin: str, *more: str) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}" if self._path else "sqlite://",
            poolclass=StaticPool if self._path is None else None,
            connect_args={"check_same_thread": False, "timeout": 10},
        )

        pragmas = ("journal_mode=WAL", f"synchronous={self._synchronous}", "foreign_keys=ON", *more)

        @event.listens_for(engine, "connect")
        def connected(connection: sqlite3.Connection, record: object) -> None:
            connection.isolation_level = None  # BEGIN is ours: pysqlite's own would come too late for reads
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def began(connection: Connection) -> None:
            connection.exec_driver_sql(f"BEGIN {begin}")

        weakref.finalize(self, engine.dispose)  # one that is dropped without a stop closes its connections, too
        return engine

    def _migrate(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        if self._path is None and _NEW_IN_MEMORY:
            driver.deserialize(_NEW_IN_MEMORY[0])
            return
        config = _schemas()
        config.attributes["connection"] = connection
        with connection.begin():
            if connection.dialect.has_table(connection, "alembic_version"):
                refuse_newer(self._path, connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())
            alembic.command.upgrade(config, "head")
        if self._path is None:
            _NEW_IN_MEMORY.append(driver.serialize())

    def _check(self, connection: Connection) -> None:
        with connection.begin():
            left = connection.execute(select(house.c.value).where(house.c.key == "stop")).scalar()
            self._mark(connection, "running")
        if left != "running":
            return
        driver = connection.connection.driver_connection
        assert driver is not None
        timer = threading.Timer(_QUICK_CHECK_SECONDS, driver.interrupt)
        timer.start()
        try:
            found = [row[0] for row in driver.execute("PRAGMA quick_check(10)")]
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted":
                raise
            log.warn(
                "the last stop was not a clean one; the check of {path} was cut after {seconds:g} s and found nothing",
                path=self._path, seconds=_QUICK_CHECK_SECONDS,
            )  # fmt: skip
            return
        finally:
            timer.cancel()
        if found != ["ok"]:
            raise DatabaseError(f"{self._path}: is damaged: {'; '.join(found)}")
        log.info("the last stop was not a clean one; {path} was checked and is sound", path=self._path)

    def _take_in(self, connection: Connection) -> None:
        """Bring what is in the write-ahead log into the database, lest all that there is be in a log that breaks."""
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _mark(self, connection: Connection, value: str) -> None:
        connection.execute(house.delete().where(house.c.key == "stop"))
        connection.execute(house.insert().values(key="stop", value=value))

    # --- work -------------------------------------------------------------------------------------

    def run(self, name: str, rule: Callable[..., tuple[T, Any]], *arguments: Any) -> Deferred[T]:
        """Run a writing function in one transaction; its reply comes after the COMMIT and the publishing.

        ``name`` says in logs what was done.  The function runs again from the start when the database was
        busy, so it must not have effects of its own.
        """
        job = _Job(name, rule, arguments)
        if not self._open:
            job.deferred.errback(self._is_closed(name))
        elif self._reactor is None:
            self._settle(self._write([job]))
        else:
            self._unwritten[job] = None
            self._writing.put(job)
        return job.deferred

    def read(self, name: str, query: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """Run a function that only reads."""
        job = _Job(name, query, arguments)
        if not self._open:
            job.deferred.errback(self._is_closed(name))
        elif self._reactor is None:
            with self._readers.connect() as connection:
                outcome = self._look(connection, job)
            self._settle_read(job, outcome)
        else:
            self._unread[job] = None
            self._reading.put(job)
        return job.deferred

    @property
    def waiting(self) -> dict[str, int]:
        """How many functions wait for a thread, of those that write and of those that read."""
        return {"writes": self._writing.qsize(), "reads": self._reading.qsize()}

    def behind(self, few: int = 0) -> float:
        """For how many seconds the oldest function waits: to have written, or for its turn to read.

        Or the newest will, which is to write, by the pace of the writer: that is known earlier.  Where only a ``few``
        are there it is 0: then the disk is slow, but there is not much to do.
        """
        if len(self._unwritten) + len(self._unread) <= few:
            return 0.0
        oldest = next(iter(self._unwritten), None)
        waiting = (job for job in islice(self._unread, _READERS + 1) if not job.begun)
        now = perf_counter()
        waits = [now - job.asked for job in (oldest, next(waiting, None)) if job]
        return max(*waits, len(self._unwritten) * self._pace, 0.0)

    def _is_closed(self, name: str) -> DatabaseError:
        return DatabaseError(f"{self._path}: is not open, {name!r} cannot be done")

    def _write_loop(self) -> None:
        assert self._reactor is not None
        while (job := self._writing.get()) is not _STOP:
            jobs = [job]
            stopping = False
            while len(jobs) < _BATCH:
                try:
                    more = self._writing.get_nowait()
                except queue.Empty:
                    break
                if more is _STOP:
                    stopping = True
                    break
                jobs.append(more)
            began = perf_counter()
            outcomes = self._write(jobs)
            self._pace += (perf_counter() - began - self._pace * len(jobs)) / _BATCH
            self._reactor.callFromThread(self._settle, outcomes)
            if stopping:
                return

    def _read_loop(self) -> None:
        assert self._reactor is not None
        with self._readers.connect() as connection:
            while (job := self._reading.get()) is not _STOP:
                self._reactor.callFromThread(self._settle_read, job, self._look(connection, job))

    def _write(self, jobs: list[_Job]) -> list[tuple[_Job, Any]]:
        """Run the jobs in one transaction; each with its (reply, changes) or its Failure.

        Where one of several fails all run again, each in a savepoint.  Those take time that few need.
        """
        apart, tried = False, 0
        while True:
            try:
                with self._engine.connect() as connection:
                    with connection.begin():
                        outcomes = [(job, self._write_one(connection, job, apart)) for job in jobs]
                        commits_at = perf_counter()
                    self.commits.note(perf_counter() - commits_at)
                return outcomes
            except _Undo as undo:
                if len(jobs) == 1:
                    return [(jobs[0], undo.failure)]
                apart = True
            except Exception as error:
                tried += 1
                if tried == _TRIES or not _busy(error):
                    failure = Failure()
                    return [(job, failure) for job in jobs]
                log.debug("{names} met a busy database, once more", names=[job.name for job in jobs])

    def _write_one(self, connection: Connection, job: _Job, apart: bool) -> Any:
        # The driver's own SAVEPOINT: SQLAlchemy's costs more than a transaction.
        driver = connection.connection.driver_connection
        assert driver is not None
        if apart:
            driver.execute("SAVEPOINT job")
        try:
            result = job.run(connection)
        except Exception as error:
            if _busy(error):
                raise
            result = Failure()
            if not apart:
                raise _Undo(result) from None
            driver.execute("ROLLBACK TO job")
        if apart:
            driver.execute("RELEASE job")
        return result

    def _look(self, connection: Connection, job: _Job) -> Any:
        job.begun = True
        try:
            with connection.begin():
                return job.run(connection)
        except Exception:
            return Failure()

    def _settle(self, outcomes: list[tuple[_Job, Any]]) -> None:
        for job, outcome in outcomes:
            self._unwritten.pop(job, None)
            if isinstance(outcome, Failure):
                job.deferred.errback(outcome)
                continue
            reply, changes = outcome
            try:
                self.publish(changes)
            except Exception:
                log.failure("the changes of {name} are on disk, but could not be published", name=job.name)
            job.deferred.callback(reply)

    def _settle_read(self, job: _Job, outcome: Any) -> None:
        self._unread.pop(job, None)
        (job.deferred.errback if isinstance(outcome, Failure) else job.deferred.callback)(outcome)


def _busy(error: Exception) -> bool:
    return isinstance(error, OperationalError | sqlite3.OperationalError) and "locked" in str(error)


class _Undo(Exception):
    """Carries a job's own failure out of the transaction, which is thereby rolled back."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure
