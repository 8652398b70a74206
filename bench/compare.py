"""oadrvtn beside openleadr's VTN and beside the floor: CPU time of a message, latency, memory.

Each server is a process on one core, the load runs on another; ours stores everything with its defaults, openleadr's
stores nothing. They take turns, after a warm-up of each, and what counts is the ratio of their CPU times in one run.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256

from oadrvtn.security.certificates import Credential
from tests.peers import REQUIREMENT

from .house import Track
from .scenarios import SCENARIOS, Scenario
from .servers import Floor, LoadProcess, Ours, Pki, Server, Theirs, conditions

_FIRST = 2
"""Messages of the first round: the later ones are as many as take ``_ROUND`` seconds."""
_ROUND = 1.5
"""Seconds of a round.  All of it is signed before, and openleadr takes what was signed up to five seconds ago."""
_AT_MOST = 20_000
_AFTER = 0.05
"""Seconds until what a server does after its last answer is counted too."""


@attrs.frozen
class Length:
    """How long it is measured: seconds each, and how often."""

    warm_up: float = 5.0
    seconds: float = 10.0
    repetitions: int = 3
    latency: float = 10.0


@attrs.define
class Contender:
    """A server with its load, and what was measured of them."""

    server: Server
    load: LoadProcess
    empty: int
    full: int = 0
    sent: int = 0
    milliseconds: list[float] = attrs.field(factory=list)
    busy: list[float] = attrs.field(factory=list)
    latencies: list[float] = attrs.field(factory=list)
    answer: str = ""
    _count: int = _FIRST

    @classmethod
    def of(cls, server: Server) -> Contender:
        """One that has its connections, where they are kept, and has seen every VEN."""
        empty = server.resident()
        made = cls(server, LoadProcess(server), empty)
        made.load.do("touch")
        made.full = server.resident()
        return made

    def _round(self, count: int, rate: float | None) -> tuple[float, float, list[float]]:
        """CPU seconds, seconds and latencies of so many messages."""
        if self.server.scenario.event:
            self.server.news()
        self.load.do("prepare", count=count)
        before = self.server.cpu()
        done = self.load.do("go", rate=rate)
        time.sleep(_AFTER)
        self.answer = done["answer"]
        self.sent += count
        return self.server.cpu() - before, done["seconds"], done["latencies"]

    def _most(self) -> int:
        return len(self.load.vens) if self.server.scenario.event else _AT_MOST

    def measure(self, seconds: float) -> None:
        """Send for so long, as fast as it is answered."""
        self.load.do("touch")
        cpu = spent = 0.0
        messages = 0
        while spent < seconds:
            count = min(self._count, self._most())
            used, took, _ = self._round(count, None)
            cpu, spent, messages = cpu + used, spent + took, messages + count
            self._count = max(1, min(int(count / took * _ROUND), count * 4, int(count / took * (seconds - spent)) + 1))
        self.milliseconds.append(cpu / messages * 1000)
        self.busy.append(cpu / spent)

    def forget(self) -> None:
        """What was measured was the warm-up."""
        self.milliseconds.clear()
        self.busy.clear()

    def time(self, seconds: float) -> None:
        """Send at the scenario's rate, whatever is answered."""
        self.load.do("touch")
        rate = self.server.scenario.rate
        left = max(1, int(rate * seconds))
        most = min(self._most(), max(1, int(rate * _ROUND)))  # fresh signatures for each of the rounds
        while left > 0:
            count = min(left, most)
            ends = time.monotonic() + count / rate
            self.latencies += self._round(count, rate)[2]
            left -= count
            time.sleep(max(0.0, ends - time.monotonic()))

    def figures(self) -> dict[str, Any]:
        """What it came to."""
        latencies = sorted(self.latencies)
        return {
            "cpu_ms": round(statistics.median(self.milliseconds), 4),
            "cpu_ms_each": [round(one, 4) for one in self.milliseconds],
            "busy": round(statistics.median(self.busy), 2),
            "messages": self.sent,
            "p50_ms": round(latencies[len(latencies) // 2] * 1000, 2),
            "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 2),
            "rss_mb": round(self.server.resident() / 2**20, 1),
            "kb_per_ven": round((self.full - self.empty) / 1000 / len(self.load.vens), 1),
        }


def run(
    directory: Path, names: Sequence[str], vens: int, length: Length, track: Track[Any]
) -> Iterable[dict[str, Any]]:
    """The figures of one scenario after the other; a RuntimeError where an answer is not as it must be."""
    pkis: dict[bool, Pki] = {}
    for name in names:
        scenario = SCENARIOS[name]
        if scenario.rsa not in pkis:
            # RSA keys take long to make, and openleadr's VTN longer to sign with.
            count = min(vens, scenario.vens) if scenario.rsa else vens
            pkis[scenario.rsa] = Pki.make(directory / f"certs-{scenario.rsa}", count, scenario.rsa, track)
        place = directory / name
        place.mkdir()
        yield _compare(place, pkis[scenario.rsa], scenario, length, track)


def _compare(directory: Path, pki: Pki, scenario: Scenario, length: Length, track: Track[Any]) -> dict[str, Any]:
    with ExitStack() as stack:

        def contender(cls: type[Server]) -> Contender:
            server = cls(directory, pki, scenario)
            stack.callback(server.stop)
            made = Contender.of(server)
            stack.callback(made.load.stop)
            return made

        ours, theirs = contender(Ours), contender(Theirs)
        ours.measure(0.1)
        Floor.answer = directory / "answer.xml"
        Floor.answer.write_text(ours.answer)
        all_three = [ours, theirs, contender(Floor)]
        steps = [(one, step) for step in range(length.repetitions + 2) for one in all_three]
        for one, step in track(steps, scenario.title, len(steps)):
            if step == 0:
                one.measure(length.warm_up)
                one.forget()
            elif step <= length.repetitions:
                one.measure(length.seconds)
            else:
                one.time(length.latency)
        if scenario.intervals:
            _check_stored(ours)
        figures = {one.server.name: one.figures() for one in all_three}
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "ratio": round(_median_of_pairs(theirs, ours), 2),
        "goal": scenario.goal,
        "stretch": scenario.stretch,
        "to_floor": round(_median_of_pairs(ours, all_three[2]), 2),
        "to_floor_goal": scenario.to_floor,
        "rate": scenario.rate,
        **figures,
        **({"bare_signature_ms": bare_signature(pki)} if scenario.signed else {}),
        "conditions": {
            **conditions(),
            "oadrvtn": version("oadrvtn"),
            "peer": REQUIREMENT,
            "vens": len(pki.vens),
            **attrs.asdict(length),
        },
    }


def _median_of_pairs(above: Contender, below: Contender) -> float:
    """The ratio of two in each repetition, where they ran one after the other."""
    return statistics.median(a / b for a, b in zip(above.milliseconds, below.milliseconds, strict=True))


def _check_stored(ours: Contender) -> None:
    """Every reading of every report that was answered is there."""
    assert isinstance(ours.server, Ours)
    connection = sqlite3.connect(f"file:{ours.server.config.database_path}?mode=ro", uri=True)
    [[stored]] = connection.execute("SELECT count(*) FROM readings")
    connection.close()
    sent = ours.sent * ours.server.scenario.intervals
    if stored != sent:
        raise RuntimeError(f"{sent} readings were acknowledged, {stored} are stored")


def bare_signature(pki: Pki) -> float:
    """CPU milliseconds of a signature by the VTN's key, of a text as long as a SignedInfo, and nothing else."""
    key: Any = Credential.load(pki.server["certificate"], pki.server["key"]).key
    options = (ec.ECDSA(SHA256()),) if isinstance(key, ec.EllipticCurvePrivateKey) else (padding.PKCS1v15(), SHA256())
    text, count = b"x" * 900, 300
    started = time.process_time()
    for _ in range(count):
        key.sign(text, *options)
    return round((time.process_time() - started) / count * 1000, 4)
