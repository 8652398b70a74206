"""The database as one file, copied while a VTN writes to it, and the way back."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import attrs

from .database import DatabaseError, claim, refuse_newer
from .tables import microseconds


@attrs.frozen
class Contents:
    """What a copy holds; ``size`` in bytes."""

    vens: int
    events: int
    readings: int
    size: int


def back_up(database: Path, file: Path) -> Contents:
    """Copy a database as it is at one moment, whether a VTN runs or not, and check the copy.

    A file that exists is not overwritten, and nothing has the name before it is whole.  Raises DatabaseError.
    """
    with _told(file):
        if file.exists():
            raise DatabaseError(f"{file}: exists already and is not overwritten")
        with _draft(file) as draft:
            _copy(database, draft, "rw")
            contents = _checked(draft, file)
            os.rename(draft, file)
            _sync(file.parent)
    return contents


def restore(file: Path, database: Path, now: datetime) -> tuple[Contents, Path | None]:
    """Put a backup in the place of the database of a VTN that is stopped; what it holds, and where the old one is.

    Nothing is changed where the backup is damaged, of a newer version or no backup at all, or where a VTN
    runs.  Signed messages from before are refused from now on: the backup does not know which of them were here.
    Raises DatabaseError.
    """
    with _told(file), _claimed(database), _draft(database) as draft:
        _copy(file, draft, "ro")
        contents = _checked(draft, file)
        with closing(_connect(draft, "rw")) as connection, connection:
            marks = (("stop", "clean"), ("nonces", str(microseconds(now))))
            connection.executemany("INSERT OR REPLACE INTO house (key, value) VALUES (?, ?)", marks)
        kept = _set_aside(database, now) if database.exists() else None
        os.rename(draft, database)
        _sync(database.parent)
    return contents, kept


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """What goes wrong, for the operator."""
    try:
        yield
    except OSError as error:
        raise DatabaseError(f"{error.filename or file}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise DatabaseError(f"{file}: {error}") from error


@contextmanager
def _draft(file: Path) -> Iterator[Path]:
    """A file beside another, that nobody else can read; gone in the end, unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _claimed(database: Path) -> Iterator[None]:
    """Keep VTNs from starting meanwhile."""
    if database.exists() and database.stat().st_uid != os.geteuid():
        raise DatabaseError(f"{database}: belongs to another user: do this as that user")
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = claim(database)
    except DatabaseError:
        raise DatabaseError(f"{database}: is in use: stop the VTN first") from None
    try:
        yield
    finally:
        os.close(lock)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10)


def _copy(source: Path, draft: Path, mode: str) -> None:
    """All that was committed by now, in one step: a writer beside it goes on, and would make others begin anew."""
    if not source.is_file():
        raise DatabaseError(f"{source}: there is no such file")
    try:
        with closing(_connect(source, mode)) as origin, closing(_connect(draft, "rw")) as target:
            origin.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # else a reader would want files beside it
    except sqlite3.Error as error:
        raise DatabaseError(f"{source}: {error}") from error


def _checked(path: Path, name: Path) -> Contents:
    """What a copy holds, once every page of it was looked at; ``name`` is what it is called in errors."""
    with closing(_connect(path, "rw")) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
        if found != ["ok"]:
            raise DatabaseError(f"{name}: is damaged: {' '.join('; '.join(found).split())}")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= {"alembic_version", "house", "vens", "events", "readings"}:
            raise DatabaseError(f"{name}: is no database of a VTN")
        (schema,) = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
        refuse_newer(name, schema)
        counted = (f"(SELECT count(*) FROM {table})" for table in ("vens", "events", "readings"))
        vens, events, readings = connection.execute(f"SELECT {', '.join(counted)}").fetchone()
    return Contents(vens, events, readings, path.stat().st_size)


def _set_aside(database: Path, now: datetime) -> Path:
    """Give the present state a name of its own, untouched, beside the one that it has."""
    kept = database.with_name(f"{database.name}.before-{now:%Y%m%dT%H%M%S.%fZ}")
    os.link(database, kept)
    # What a kill left in the write-ahead log is a part of it, and must not be taken for a part of the backup.
    with suppress(FileNotFoundError):
        os.rename(f"{database}-wal", f"{kept}-wal")
    Path(f"{database}-shm").unlink(missing_ok=True)
    return kept


def _sync(directory: Path) -> None:
    """Make the names in a directory last."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
