"""The audit log: what operators did, in rows that are only ever appended, each with a hash of all before it.

The hash of a row is the SHA-256 of the hash before it and of the row's content: a JSON array, without blanks and in
ASCII, of number, microseconds since 1970, who, address, action, object, the request's SHA-256 in hex, status and
left_out.  Before the first row stand 32 zero bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import attrs
from sqlalchemy import create_engine, insert, select
from sqlalchemy.exc import DatabaseError as SqlError

from .database import DatabaseError, Txn
from .paging import Cursor, page
from .tables import audit, microseconds

PIECE = 5000
"""So many rows are verified in one go."""


@attrs.frozen(kw_only=True)
class Action:
    """What somebody did, or was refused.

    ``who`` is the name of a token, "local" for the one in the file, "program" for one that runs the VTN in itself,
    empty where no token was known; ``asked`` the SHA-256 of the request; ``status`` what HTTP says of the result.
    ``left_out`` counts refused requests just before, of which there were too many to write each.
    """

    who: str
    address: str = ""
    action: str
    object: str = ""
    asked: bytes
    status: int
    left_out: int = 0


@attrs.frozen(kw_only=True)
class Row(Action):
    """An action as the log has it."""

    number: int
    at: datetime
    hash: bytes


@attrs.frozen
class Head:
    """The last row of the log, or the one up to which it was looked at: its number and its hash."""

    number: int = 0
    hash: bytes = bytes(32)

    def __str__(self) -> str:
        return f"{self.number}-{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of ``str``.  Raises ValueError with a text for the person who wrote it."""
        found = re.fullmatch(r"([0-9]{1,18})-([0-9a-f]{64})", text.strip())
        if not found:
            raise ValueError(f"{text!r} is no head of the audit log: a number, a dash and 64 hex digits")
        return cls(int(found[1]), bytes.fromhex(found[2]))


@attrs.frozen
class Broken:
    """The first row that is not as it was written, and what is wrong with it."""

    number: int
    reason: str


_CHAINED = ("who", "address", "action", "object")
_LAST = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)


def _link(before: bytes, content: Iterable[Any]) -> bytes:
    """The hash of a row; what a damaged one may hold of bytes is no reason to fail."""
    text = json.dumps(list(content), separators=(",", ":"), default=lambda value: value.hex())
    return hashlib.sha256(before + text.encode()).digest()


def head(txn: Txn) -> Head:
    """The last row."""
    row = txn.execute(_LAST).first()
    return Head(row[0], row[1]) if row else Head()


def append(txn: Txn, action: Action, now: datetime) -> None:
    """Write what was done, in the transaction that does it."""
    last = head(txn)
    number = last.number + 1
    texts = (getattr(action, name) for name in _CHAINED)
    content = (number, microseconds(now), *texts, action.asked, action.status, action.left_out)
    values = attrs.asdict(action)
    txn.execute(insert(audit).values(number=number, at=now, hash=_link(last.hash, content), **values))


_ROW = select(*(audit.c[field.name] for field in attrs.fields(Row)))


def found(
    txn: Txn,
    cursor: Cursor | None,
    most: int,
    since: datetime | None = None,
    refused: bool | None = None,
    **equal: str | None,
) -> list[Row]:
    """A page of the log, from its newest row back: from an instant on, what was refused (not), with such fields."""
    query = _ROW if since is None else _ROW.where(audit.c.at >= since)
    if refused is not None:
        query = query.where(audit.c.status >= 400 if refused else audit.c.status < 400)
    for name, value in equal.items():
        if value is not None:
            query = query.where(audit.c[name] == value)
    return [Row(**row._mapping) for row in txn.execute(page(query, [audit.c.number], cursor, most, newest=True))]


# As bytes, for what somebody wrote there need not be text.
_RAW = (
    f"SELECT number, at, {', '.join(f'CAST({name} AS BLOB)' for name in _CHAINED)}, asked, status, left_out, hash"
    " FROM audit WHERE number >= ? ORDER BY number LIMIT ?"
)
_LEAST = -(2**63)
"""The lowest number that somebody could write there."""


def verify(txn: Txn, after: Head, known: Head | None = None) -> tuple[Head, Broken | None, bool]:
    """Look at the next ``PIECE`` rows: how far they are good, the first that is not, and whether that is all.

    ``known`` is a head of before, from the log: without one it cannot be seen that rows are missing at the end, or
    that all was written anew.
    """
    least = after.number + 1 if after.number else _LEAST
    rows = txn.exec_driver_sql(_RAW, (least, PIECE)).fetchall()
    for number, at, *middle, asked, status, left_out, stored in rows:
        if number < 1:
            return after, Broken(number, "is none that the log begins with"), True
        if number != after.number + 1:
            return after, Broken(after.number + 1, "is missing"), True
        texts = (text and text.decode("utf-8", "surrogateescape") for text in middle)
        link = _link(after.hash, (number, at, *texts, asked, status, left_out))
        if link != stored:
            return after, Broken(number, "is not as it was written, or does not belong behind the one before"), True
        after = Head(number, link)
        if known and known.number == number and known.hash != link:
            return after, Broken(number, "is not the one of this head: the log was written anew"), True
    done = len(rows) < PIECE
    if done and known and known.number > after.number:
        return after, Broken(after.number + 1, f"is missing, and all up to {known.number}: the log was cut"), True
    return after, None, done


def verify_file(path: Path, known: Head | None = None) -> tuple[Head, Broken | None]:
    """Verify the log in a database file, whether a VTN runs or not; also in a backup.  Raises DatabaseError."""
    if not path.exists():
        raise DatabaseError(f"{path}: there is no such file")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True, timeout=10))
    try:
        with engine.connect() as txn:
            txn.exec_driver_sql("BEGIN")
            good, broken, done = verify(txn, Head(), known)
            while not done:
                good, broken, done = verify(txn, good, known)
            return good, broken
    except SqlError as error:
        raise DatabaseError(f"{path}: {error.orig}") from error
    finally:
        engine.dispose()
