"""Readings by the million: what it costs to store more of them and to look at some, however many there are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from oadrvtn.storage import readings
from oadrvtn.storage.database import Database, Txn
from oadrvtn.storage.tables import microseconds
from oadrvtn.vtn.changes import NOTHING, Changes

from .house import Track, register, result

_NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_MINUTE = 60_000_000
_POINTS = 2
_BATCH = 200_000
_TRIES = 100
_SLICE = 200
_HOUR = 3_600_000_000

# As reports of a minute's values leave them: each VEN has its request, and two data points.
_FILL = """
WITH RECURSIVE
  ven (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM ven WHERE n + 1 < :last),
  point (name) AS (VALUES ('energy'), ('power')),
  minute (n) AS (SELECT :oldest UNION ALL SELECT n - 1 FROM minute WHERE n - 1 > :newest)
INSERT INTO readings (ven_id, report_request_id, r_id, start, seconds, value, data_quality, confidence, received_at)
SELECT 'ven-' || ven.n, printf('%032x', ven.n), point.name, :now - minute.n * 60000000, 60, 1000.5 + minute.n % 997,
  'Quality Good - Non Specific', 100, :now - minute.n * 60000000
FROM ven CROSS JOIN point CROSS JOIN minute
"""


def _fill(txn: Txn, **asked: int) -> tuple[None, Changes]:
    txn.exec_driver_sql(_FILL, {**asked, "now": microseconds(_NOW)})
    return None, NOTHING


def _report(txn: Txn, ven: int, minute: int) -> tuple[None, Changes]:
    """What a VEN reports of 50 minutes: 100 readings."""
    at = microseconds(_NOW)
    rows = [
        (f"ven-{ven}", f"{ven:032x}", point, at + (minute + n) * _MINUTE, 60.0, 1000.5, None, None, 100, None, at)
        for point in ("energy", "power")
        for n in range(50)
    ]
    readings.add_readings(txn, rows)
    return None, NOTHING


def _drop(txn: Txn, before: datetime) -> tuple[None, Changes]:
    readings.drop_before(txn, before, "", 1000, _SLICE)
    return None, NOTHING


def _timed(do: Callable[[int], object]) -> tuple[float, float]:
    """CPU and clock of one of several, in ms."""
    do(0)  # its statement is compiled, and its pages are read
    cpu, began = time.process_time(), time.perf_counter()
    for number in range(1, _TRIES + 1):
        do(number)
    return (time.process_time() - cpu) / _TRIES * 1000, (time.perf_counter() - began) / _TRIES * 1000


def _measure(database: Database, vens: int, turn: int, oldest: int) -> dict[str, Any]:
    """What each thing costs now; each time it is another VEN's turn."""
    day, hour = timedelta(days=1), timedelta(hours=1)
    old = _NOW - timedelta(minutes=oldest) + hour

    def ven(number: int) -> int:
        return (number * 7919 + turn * 13) % vens

    def read(query: Callable[..., Any], *arguments: Any) -> Callable[[int], object]:
        return lambda number: result(database.read("look", query, f"ven-{ven(number)}", *arguments))

    done: dict[str, Callable[[int], object]] = {
        "insert_100": lambda n: result(database.run("report", _report, ven(n), (turn * (_TRIES + 1) + n) * 50)),
        "newest_100": read(readings.readings_of, None, None, None, 100),
        "last_hour": read(readings.readings_of, _NOW - hour, _NOW),
        "day_by_hour": read(readings.resampled, _HOUR, _NOW - day, _NOW),
        "newest_48_hours": read(readings.resampled, _HOUR, None, _NOW, None, 48),
        "count": lambda n: result(database.read("count", readings.counts)),
        "drop": lambda n: result(database.run("drop", _drop, old)),
    }
    figures: dict[str, Any] = {}
    for name, do in done.items():
        cpu, clock = _timed(do)
        figures |= {f"{name}_cpu_ms": round(cpu, 4), f"{name}_ms": round(clock, 4)}
    return figures


def run(directory: Path, sizes: Sequence[int], vens: int, track: Track[Any]) -> dict[str, Any]:
    """The figures at each size, and those of the largest to those of the smallest: at most 1.5."""
    database = Database(directory / "vtn.sqlite")
    database.start()
    known = {f"ven-{n}": hashlib.sha256(b"%d" % n).digest() for n in range(vens)}
    result(database.run("fill", register, known, 10.0, _NOW))
    figures: dict[str, Any] = {"vens": vens}
    newest, measured = 0, []
    for turn, size in enumerate(sizes):
        oldest = -(-size // (vens * _POINTS))
        step = max(1, _BATCH // ((oldest - newest) * _POINTS))
        for first in track(range(0, vens, step), f"{size:,} readings", -(-vens // step)):
            asked = {"first": first, "last": min(first + step, vens), "oldest": oldest, "newest": newest}
            result(database.run("fill", partial(_fill, **asked)))
        newest = oldest
        measured.append(_measure(database, vens, turn, oldest))
        figures |= {f"{name}_at_{size}": value for name, value in measured[-1].items()}
        figures[f"mb_at_{size}"] = round((directory / "vtn.sqlite").stat().st_size / 1e6)
    for name, value in measured[-1].items():
        if name.endswith("_cpu_ms"):
            figures[f"{name.removesuffix('_cpu_ms')}_ratio"] = round(value / measured[0][name], 2)
    database.stop()
    return figures
