"""Fifty VENs beside two thousand who do nothing: what they wait for their answers, and what each of the others holds.

Half of the others have shaken hands, polled once, and are silent; the other half drip a request, a byte each second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from .house import Track
from .load import Ven
from .overload import percentile
from .scenarios import SCENARIOS
from .servers import Ours, Pki

_GOOD = 50
_RATE = 100.0
"""Polls a second of all the good ones."""
_REQUEST = b"POST /OpenADR2/Simple/2.0b/OadrPoll HTTP/1.1\r\nHost: localhost\r\n"


def _polls(vens: Sequence[Ven], seconds: float) -> list[float]:
    """Seconds from when each poll was due to its answer."""
    start = time.monotonic()
    found = []
    for number in range(int(_RATE * seconds)):
        due = start + number / _RATE
        time.sleep(max(0.0, due - time.monotonic()))
        vens[number % len(vens)].touch()
        found.append(time.monotonic() - due)
    return found


def run(directory: Path, others: int, seconds: float, track: Track[Any]) -> dict[str, Any]:
    """The figures."""
    scenario = attrs.evolve(SCENARIOS["poll"], vens=_GOOD)
    pki = Pki.make(directory / "certs", 2 * _GOOD, False, track)
    server = Ours(directory, pki, scenario)
    job = {"certs": str(pki.directory), "ca": pki.server["ca"], "port": server.port}
    connected: list[Ven] = []
    over = threading.Event()
    dripping = threading.Thread()
    try:
        good = [Ven(job, scenario, name) for name in pki.vens[:_GOOD]]
        _polls(good, 2)
        quiet = _polls(good, seconds)
        before = server.resident()
        for number in track(range(others), "connecting", others):
            ven = Ven(job, scenario, pki.vens[_GOOD + number % _GOOD])
            ven.touch()
            connected.append(ven)
        held = server.resident() - before
        silent = _polls(good, seconds)

        def drip() -> None:
            place = 0
            while not over.wait(1):
                for ven in connected[::2]:
                    try:
                        ven.drip(_REQUEST[place : place + 1])
                    except OSError:
                        continue  # cut off, as it should be
                place += 1

        dripping = threading.Thread(target=drip)
        dripping.start()
        slow = _polls(good, seconds)
    finally:
        over.set()
        if dripping.is_alive():
            dripping.join()
        for ven in connected:
            ven.close()
        server.stop()
    p99 = {
        name: percentile(found, 0.99) or 0.0 for name, found in (("quiet", quiet), ("silent", silent), ("slow", slow))
    }
    return {
        "connections": others,
        "quiet_p50_ms": percentile(quiet, 0.5),
        **{f"{name}_p99_ms": value for name, value in p99.items()},
        "silent_to_quiet": round(p99["silent"] / p99["quiet"], 2),
        "slow_to_quiet": round(p99["slow"] / p99["quiet"], 2),
        "kb_per_connection": round(held / others / 1000, 1),
    }
