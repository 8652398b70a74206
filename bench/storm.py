"""All VENs come back at once after the VTN was killed (SIGKILL): how soon, and whether any was marked offline."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from oadrvtn.console.client import Client
from oadrvtn.ven.figures import Figures
from oadrvtn.ven.swarm import Swarm

from .house import Track
from .scenarios import Scenario
from .servers import Ours, Pki

_SCENARIO = Scenario(name="storm", title="storm", rate=0)
_PATIENCE = 240.0
_SOON = 60.0
"""Seconds within which all are to be back."""
_GIVEN_UP = 180.0
"""Seconds after the kill after which nobody is waited for any more."""
_COME = 100
"""So many VENs connect in a second at first."""


def run(
    directory: Path, vens: int, processes: int, poll: float, outage: float, fresh: bool, track: Track[Any]
) -> dict[str, Any]:
    """The figures; ``holds``: all were back in time and none was marked offline.

    ``back_seconds`` counts from when the VTN was started again and listens.
    """
    pki = Pki.make(directory / "pki", vens, False, track)
    server = Ours(directory, pki, _SCENARIO)
    job = server.job(poll=poll, gap=max(poll / vens, 1 / _COME), registered=True, fresh=fresh)
    swarm = Swarm(job, processes)
    steps = track(("they come", "the VTN is down", "they come back"), "storm", 3)
    try:
        next(steps)
        came = swarm.everybody(_PATIENCE)
        for _ in swarm.beats(2 * poll):
            pass
        before = server.resident()
        next(steps)
        server.kill()
        died = time.monotonic()
        log = server.directory / "log"
        told = log.stat().st_size  # who comes late at first counts as offline until then
        time.sleep(outage)
        killed = time.monotonic()
        server.launch()
        started = time.monotonic() - killed
        next(steps)
        swarm.mark()
        swarm.figures = Figures()
        patience = max(0.0, died + _GIVEN_UP - time.monotonic())
        back = swarm.everybody(patience)
        load = os.getloadavg()[0]
        summary = swarm.figures.summary(back or patience)
        for _ in swarm.beats(4 * poll):  # who did not come in time would be offline by now
            pass
        status = Client.of(server.config).call("GET", "status")
        resident = [sum(map(_resident, swarm.pids)), server.resident()]
    finally:
        swarm.stop()
        for _ in steps:
            pass
        server.stop()
    offline = log.read_bytes()[told:].count(b"is offline")
    return {
        "vens": vens,
        "holds": back is not None and back <= _SOON and not offline and status["vens_online"] == vens,
        "processes": processes,
        "came_seconds": came and round(came, 1),
        "start_seconds": round(started, 1),
        "back_seconds": back and round(back, 1),
        "online": status["vens_online"],
        "offline": offline,
        "errors": summary["errors"],
        "errors_by_kind": {f"{k['message']}: {e}": n for k in summary["kinds"] for e, n in k["errors"].items()},
        "p99_ms": summary["p99_ms"],
        "vtn_mb": round(before / 1e6, 1),
        "vtn_mb_after": round(resident[1] / 1e6, 1),
        "kb_per_simulated_ven": round(resident[0] / vens / 1e3, 1),
        "load_average": load,
    }


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
