"""Bad weather: reports at twice the rate that the VTN can bear, what becomes of them, and how soon it is over.

First as fast as they are answered, which is the rate that it bears; then twice that, whatever is answered and although
it says when to come back; then a poll of every VEN now and then until nobody is turned away any more.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from oadrvtn.console.client import Client

from .house import Track
from .load import Ven, WrongAnswer
from .scenarios import SCENARIOS, Scenario
from .servers import Ours, Pki

_SCENARIO = "report-100"
_CALM = 10.0
"""Seconds that are looked at after the load."""
_EACH = 0.5
"""Seconds between two polls of a VEN then."""
_SHED = re.compile(rb"HTTP/1.1 503.*retry-after: *([0-9]+)", re.DOTALL | re.IGNORECASE)


@attrs.define
class Outcome:
    """What became of a message: when it was due, how long its answer took, in how many seconds it may come again."""

    due: float
    seconds: float
    retry_after: int | None = None


def percentile(seconds: Sequence[float], share: float) -> float | None:
    """Milliseconds; None of nothing."""
    found = sorted(seconds)
    return round(found[int(len(found) * share)] * 1000, 1) if found else None


def _send(ven: Ven, message: bytes, answer: bytes, due: float) -> Outcome:
    """Send it; 503 with Retry-After is an answer, any other that is not as it must be is a WrongAnswer."""
    try:
        ven.send(message, answer)
    except WrongAnswer as wrong:
        shed = _SHED.match(wrong.answer)
        if not shed:
            raise
        return Outcome(due, time.monotonic() - due, int(shed[1]))
    return Outcome(due, time.monotonic() - due)


def _together(vens: Sequence[Ven], work: Callable[[int, Ven], list[Outcome]]) -> list[Outcome]:
    """What all VENs have to tell, each on a thread of its own."""
    outcomes: list[Outcome] = []
    failures: list[Exception] = []

    def run(number: int, ven: Ven) -> None:
        try:
            outcomes.extend(work(number, ven))
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(vens)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return outcomes


def _at_a_rate(vens: Sequence[Ven], scenario: Scenario, rate: float, seconds: float) -> list[Outcome]:
    """So many messages a second in all, in turns; a VEN whose answer is late sends the next one right after it."""
    start, answer = time.monotonic() + 0.5, scenario.answer.encode()

    def work(number: int, ven: Ven) -> list[Outcome]:
        found = []
        due = start + number / rate
        while due < start + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            found.append(_send(ven, ven.message(), answer, due))
            due = max(due + len(vens) / rate, time.monotonic())
        return found

    return _together(vens, work)


def _as_fast_as_answered(vens: Sequence[Ven], scenario: Scenario, seconds: float) -> list[Outcome]:
    end, answer = time.monotonic() + seconds, scenario.answer.encode()

    def work(_: int, ven: Ven) -> list[Outcome]:
        found = []
        while (now := time.monotonic()) < end:
            found.append(_send(ven, ven.message(), answer, now))
        return found

    return _together(vens, work)


def _polls(vens: Sequence[Ven]) -> list[Outcome]:
    end = time.monotonic() + _CALM

    def work(number: int, ven: Ven) -> list[Outcome]:
        found = []
        due = time.monotonic() + _EACH * number / len(vens)
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            found.append(_send(ven, ven.request("OadrPoll", ven.poll), b"oadr", due))
            due = max(due + _EACH, time.monotonic())
        return found

    return _together(vens, work)


def run(directory: Path, count: int, seconds: float, track: Track[Any]) -> dict[str, Any]:
    """The figures; a RuntimeError where an answer was neither 200 nor 503, or what was acknowledged is not stored."""
    scenario = SCENARIOS[_SCENARIO]
    pki = Pki.make(directory / "certs", count, False, track)
    server = Ours(directory, pki, scenario)
    try:
        job = {"certs": str(pki.directory), "ca": pki.server["ca"], "port": server.port}
        vens = [Ven(job, scenario, name) for name in pki.vens]
        for ven in track(vens, "offering reports", count):
            ven.begin_to_report(offer=True)
        borne = _as_fast_as_answered(vens[:8], scenario, seconds / 2)
        rate = 2 * len(borne) / (seconds / 2)
        loaded = _at_a_rate(vens, scenario, rate, seconds)
        ended = time.monotonic()
        calm = _polls(vens)
        acknowledged = sum(one.retry_after is None for one in (*borne, *loaded)) * scenario.intervals
        for ven in vens:
            ven.close()
        health = Client.of(server.config).call("GET", "status")
    finally:
        server.stop()
    connection = sqlite3.connect(f"file:{server.config.database_path}?mode=ro", uri=True)
    [[stored]] = connection.execute("SELECT count(*) FROM readings")
    connection.close()
    if stored != acknowledged:
        raise RuntimeError(f"{acknowledged} readings were acknowledged, {stored} are stored")
    took = [one for one in loaded if one.retry_after is None]
    shed = [one for one in loaded if one.retry_after is not None]
    late = [one.due + one.seconds - ended for one in calm if one.retry_after is not None]
    told = [one.retry_after for one in shed if one.retry_after is not None]
    return {
        "vens": count,
        "borne_per_second": round(rate / 2, 1),
        "sent_per_second": round(len(loaded) / seconds, 1),
        "accepted_per_second": round(len(took) / seconds, 1),
        "shed_per_second": round(len(shed) / seconds, 1),
        "retry_after_seconds": f"{min(told)} to {max(told)}" if told else "",
        "quiet_p99_ms": percentile([one.seconds for one in borne], 0.99),
        "accepted_p50_ms": percentile([one.seconds for one in took], 0.5),
        "accepted_p99_ms": percentile([one.seconds for one in took], 0.99),
        "shed_p99_ms": percentile([one.seconds for one in shed], 0.99),
        "readings_acknowledged": acknowledged,
        "readings_lost": acknowledged - stored,
        "recovered_after_seconds": round(max(late, default=0.0), 1),
        "polls_p99_ms_after": percentile([one.seconds for one in calm if one.due > ended + 5], 0.99),
        "vens_online": health["vens_online"],
    }
