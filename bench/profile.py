"""Where the CPU time of our reactor's thread goes, by area and by function.

The profiler costs as much again, most where functions are short: shares are to be read, not milliseconds. What runs on
the threads of the storage is one figure.
"""

from __future__ import annotations

import pstats
from collections import Counter
from pathlib import Path
from typing import Any

from .compare import Contender, Length
from .house import Track
from .scenarios import SCENARIOS
from .servers import Ours, Pki

_AREAS = {
    "epoll": "waiting",
    "_openssl": "TLS",
    "OpenSSL/": "TLS",
    "/tls.py": "TLS",
    "twisted/web/": "HTTP",
    "protocols/basic.py": "HTTP",
    "transport/http.py": "HTTP",
    "internet/defer.py": "Deferreds",
    "twisted/python/failure.py": "Deferreds",
    "twisted/logger/": "log",
    "twisted/python/log.py": "log",
    "/logging/": "log",
    "twisted/internet/": "reactor",
    "signxml/": "signatures",
    "security/": "signatures",
    "cryptography/": "signatures",
    "wire/": "codec",
    "oadrvtn/model/": "codec",
    "attrs generated": "codec",
    "oadrvtn/handlers/": "chain",
    "oadrvtn/vtn/": "rules and roster",
    "oadrvtn/storage/": "storage",
    "sqlalchemy/": "storage",
}
"""The first text that is in the place of a function says what it belongs to."""


def _area(place: tuple[str, int, str], function: str) -> str:
    """Whose time it is; ``function`` is what was called at that place."""
    text = f"{function} {place[0]}"
    return next((area for mark, area in _AREAS.items() if mark in text), "other")


def run(directory: Path, name: str, vens: int, length: Length, track: Track[Any]) -> dict[str, Any]:
    """The CPU time of a message, its areas and its functions."""
    scenario = SCENARIOS[name]
    pki = Pki.make(directory / "certs", vens, scenario.rsa, track)
    server = Ours(directory, pki, scenario, profile=True)
    try:
        one = Contender.of(server)
        idle, idle_main, touched = server.cpu(), server.cpu(main_thread=True), one.sent
        one.measure(length.warm_up)
        one.measure(length.seconds)
        spent, main = server.cpu() - idle, server.cpu(main_thread=True) - idle_main
        one.load.stop()
    finally:
        server.stop()
    found: Any = pstats.Stats(str(server.profiled))
    messages = one.sent - touched
    rows = [
        {
            "function": f"{'/'.join(Path(file).parts[-2:])}:{line} {function}",
            "calls": round(calls / messages, 2),
            "own_ms": round(own / messages * 1000, 4),
            "all_ms": round(everything / messages * 1000, 4),
        }
        for (file, line, function), (_, calls, own, everything, _) in found.stats.items()
    ]
    areas: Counter[str] = Counter()
    for place, (_, _, own, _, callers) in found.stats.items():
        # What is written in C counts where it is called.
        shares = {caller: times[2] for caller, times in callers.items()} if place[0] == "~" else {place: own}
        for caller, seconds in shares.items():
            areas[_area(caller, place[2])] += seconds
    return {
        "scenario": name,
        "messages": messages,
        "cpu_ms": round(spent / messages * 1000, 3),
        "other_threads_ms": round((spent - main) / messages * 1000, 3),
        "areas": {area: round(seconds / messages * 1000, 4) for area, seconds in areas.most_common()},
        "functions": sorted(rows, key=lambda row: -row["own_ms"]),
    }
