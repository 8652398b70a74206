"""What runs for each message, without SQLAlchemy around it: that takes longer than SQLite does.

The queries are SQLAlchemy's all the same; they are compiled once, when they are made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, Select
from sqlalchemy.dialects import sqlite

from .database import Txn
from .tables import Instant, instant, microseconds

_READS: dict[type, Callable[[Any], Any]] = {Instant: instant, Boolean: bool}
"""What SQLite has of another type than Python; the rest is the same in both."""


def driver(txn: Txn) -> sqlite3.Connection:
    """The driver's own connection, within the transaction."""
    found = txn.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


class Prepared:
    """A query; called with a transaction and the query's parameters it answers with its rows."""

    def __init__(self, query: Select[Any]) -> None:
        compiled = query.compile(dialect=sqlite.dialect())
        self._sql = str(compiled)
        self._names = compiled.positiontup or ()
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._instants = [name for name, one in compiled.binds.items() if isinstance(one.type, Instant)]
        types = (type(column.type) for column in query.selected_columns)
        self._reads = [(position, _READS[of]) for position, of in enumerate(types) if of in _READS]

    def __call__(self, txn: Txn, **parameters: Any) -> list[list[Any]]:
        """The rows, each a list of its columns."""
        parameters |= self._constants
        for name in self._instants:
            parameters[name] = microseconds(parameters[name])
        rows = list(map(list, driver(txn).execute(self._sql, [parameters[name] for name in self._names])))
        for position, read in self._reads:
            for row in rows:
                if (value := row[position]) is not None:
                    row[position] = read(value)
        return rows
