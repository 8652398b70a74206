"""Idle polls: CPU time of each, and what memory they leave behind."""

from __future__ import annotations

import gc
import resource
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .house import House, Track, result


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _poll(house: House, rounds: Iterable[int]) -> None:
    for _ in rounds:
        for certificate in house.certificates:
            house.poll(certificate)
        house.clock.advance(house.config.registration.poll_frequency)
        result(house.duties.round())


def run(directory: Path, vens: int, polls: int, track: Track[Any]) -> dict[str, Any]:
    """The figures; memory is compared after a first tenth of the polls, when all caches are filled."""
    house = House(directory, vens, track)
    rounds = max(1, polls // vens)
    first = max(1, rounds // 10)
    _poll(house, range(first))
    started = time.process_time()
    _poll(house, track(range(rounds), "polling", rounds))
    spent = time.process_time() - started
    tracemalloc.start()
    _poll(house, range(first))
    gc.collect()
    held, before = tracemalloc.get_traced_memory()[0], resident()
    _poll(house, track(range(rounds), "polling, and counting memory", rounds))
    gc.collect()
    grown, resident_grown = tracemalloc.get_traced_memory()[0] - held, resident() - before
    tracemalloc.stop()
    house.close()
    return {
        "vens": vens,
        "polls": rounds * vens,
        "polls_cpu_seconds": round(spent, 4),
        "poll_cpu_ms": round(spent / (rounds * vens) * 1000, 4),
        "bytes_grown": grown,
        "resident_bytes_grown": resident_grown,
        "bytes_grown_per_poll": round(grown / (rounds * vens), 3),
    }
