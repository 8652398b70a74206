"""Fleets that grow: VENs on kept connections that poll and report, and an event for one in a hundred of them.

The simulated VENs run on the same cores as the VTN. They register first; what counts is the time after that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oadrvtn.console.client import Client
from oadrvtn.ven.figures import Figures
from oadrvtn.ven.swarm import Swarm

from .house import Track
from .scenarios import Scenario
from .servers import Ours, Pki

_SCENARIO = Scenario(name="fleet", title="fleet", intervals=1, rate=0)  # so that the VTN wants reports
_COME = 50
"""So many VENs register in a second."""
_PATIENCE = 120.0
_SHARE = 100
"""One VEN of so many gets the event."""
P99_MS = 250.0
"""What 99 of 100 messages are to be answered within."""


def run(
    directory: Path, sizes: Sequence[int], processes: int, poll: float, report: float, seconds: float, track: Track[Any]
) -> list[dict[str, Any]]:
    """The figures of each size; ``holds``: without an error, the event answered by all, and fast enough."""
    pki = Pki.make(directory / "pki", max(sizes), False, track)
    found = []
    for size in track(sizes, "fleets", len(sizes)):
        place = directory / f"{size}"
        place.mkdir()
        some = pki.vens[:size]
        known = {name: pki.fingerprints[name] for name in some}
        found.append(_fleet(place, Pki(pki.directory, False, some, known), processes, poll, report, seconds))
    return found


def _fleet(directory: Path, pki: Pki, processes: int, poll: float, report: float, seconds: float) -> dict[str, Any]:
    vens, few = len(pki.vens), pki.vens[:: min(_SHARE, len(pki.vens))]
    server = Ours(directory, pki, _SCENARIO)
    empty = server.resident()
    job = server.job(poll=poll, report_period=report, gap=1 / _COME)
    swarm = Swarm(job, processes)
    try:
        came = swarm.everybody(vens / _COME + _PATIENCE)
        for _ in swarm.beats(2 * poll):
            pass
        came_errors, swarm.figures = swarm.figures.failed, Figures()
        client, cpu, began = Client.of(server.config), server.cpu(), time.monotonic()
        event = {
            "market_context": "http://example.com/bench",
            "dtstart": "now",
            "signals": [{"intervals": [{"duration": "PT1H", "value": 1}]}],
            "target": {"ven_ids": few},
        }
        event_id = client.call("POST", "events", body=event)["event_id"]
        for _ in swarm.beats(seconds):
            pass
        elapsed, cpu = time.monotonic() - began, server.cpu() - cpu
        summary = swarm.figures.summary(elapsed)
        answered = client.call("GET", "events", event_id)["counts"]["answered"]
        resident = server.resident()
    finally:
        swarm.stop()
        server.stop()
    kinds = {kind["message"]: kind for kind in summary["kinds"]}
    good = not summary["errors"] and answered == len(few) and summary["p99_ms"] < P99_MS
    return {
        "vens": vens,
        "holds": came is not None and good,
        "processes": processes,
        "came_errors": came_errors,
        "seconds": round(elapsed, 1),
        "messages_per_second": summary["rate"],
        "reports": kinds.get("oadrUpdateReport", {"count": 0})["count"],
        "event_for": len(few),
        "event_answered": answered,
        "errors": summary["errors"],
        "errors_by_kind": {f"{k['message']}: {e}": n for k in kinds.values() for e, n in k["errors"].items()},
        "p50_ms": summary["p50_ms"],
        "p99_ms": summary["p99_ms"],
        "p99_ms_by_kind": {name: kind["p99_ms"] for name, kind in kinds.items()},
        "vtn_cpu_percent": round(cpu / elapsed * 100, 1),
        "vtn_cpu_ms_per_message": round(cpu / summary["messages"] * 1000, 3) if summary["messages"] else None,
        "vtn_mb": round(resident / 1e6, 1),
        "kb_per_ven": round((resident - empty) / vens / 1e3, 1),
    }
