"""Fifty VENs beside thousands who do nothing: what they wait for their answers, and what each of the others holds.

Some of the others have shaken hands, polled once, and are silent; as many drip a request, a byte each second.  Both
are programs on the core of the load, for what they cost is not the VTN's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from .house import Track
from .load import Load, Ven, main
from .overload import percentile
from .scenarios import SCENARIOS
from .servers import LoadProcess, Ours, Pki

_GOOD = 50
_RATE = 100.0
"""Polls a second of all the good ones."""
_REQUEST = b"POST /OpenADR2/Simple/2.0b/OadrPoll HTTP/1.1\r\nHost: localhost\r\n"


class Dripping(Load):
    """Connections that are never silent and never have a whole request."""

    _thread: threading.Thread

    def drip(self, _: dict[str, Any]) -> dict[str, Any]:
        """Begin: each of them a byte in a second, one after the other."""
        self._over = threading.Event()
        self.sent = self.cut_off = 0
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()
        return {}

    def end(self, _: dict[str, Any]) -> dict[str, Any]:
        """End: how many bytes were sent, and how many of the connections were cut off."""
        self._over.set()
        self._thread.join()
        return {"bytes": self.sent, "cut_off": self.cut_off}

    def _drip(self) -> None:
        start, still = time.monotonic(), list(self.vens)
        for place in range(len(_REQUEST)):
            for number, ven in enumerate(tuple(still)):
                if self._over.wait(max(0.0, start + place + number / len(still) - time.monotonic())):
                    return
                try:
                    ven.drip(_REQUEST[place : place + 1])
                    self.sent += 1
                except OSError:
                    still.remove(ven)
                    self.cut_off += 1


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
    """The figures, of so many ``others`` that are silent, and as many that drip."""
    scenario = attrs.evolve(SCENARIOS["poll"], vens=_GOOD)
    pki = Pki.make(directory / "certs", 2 * _GOOD, False, track)
    server = Ours(directory, pki, scenario)
    job = {"certs": str(pki.directory), "ca": pki.server["ca"], "port": server.port}
    names = [pki.vens[_GOOD + number % _GOOD] for number in range(others)]
    programs: list[LoadProcess] = []
    good = [Ven(job, scenario, name) for name in pki.vens[:_GOOD]]
    try:
        _polls(good, 2)
        quiet = _polls(good, seconds)
        before = server.resident()
        for _ in track(range(2), "connecting", 2):
            programs.append(LoadProcess(server, names, __name__))
            programs[-1].do("touch")
        held = server.resident() - before
        cpu = server.cpu()
        silent = _polls(good, seconds)
        silent_cpu, cpu = server.cpu() - cpu, server.cpu()
        programs[-1].do("drip")
        slow = _polls(good, seconds)
        slow_cpu = server.cpu() - cpu
        dripped = programs[-1].do("end")
    finally:
        for ven in good:
            ven.close()
        for program in programs:
            program.stop()
        server.stop()
    p99 = {
        name: percentile(found, 0.99) or 0.0 for name, found in (("quiet", quiet), ("silent", silent), ("slow", slow))
    }
    return {
        "silent": others,
        "dripping": others,
        "quiet_p50_ms": percentile(quiet, 0.5),
        **{f"{name}_p99_ms": value for name, value in p99.items()},
        "silent_to_quiet": round(p99["silent"] / p99["quiet"], 2),
        "slow_to_quiet": round(p99["slow"] / p99["quiet"], 2),
        "bytes_dripped": dripped["bytes"],
        "cut_off": dripped["cut_off"],
        "us_per_byte_dripped": round((slow_cpu - silent_cpu) / max(1, dripped["bytes"]) * 1e6, 1),
        "kb_per_connection": round(held / (2 * others) / 1000, 1),
    }


if __name__ == "__main__":
    main(Dripping())
