"""Bad weather: reports at twice the rate that the VTN can bear, what becomes of them, and how soon it is over.

First as fast as they are answered, which is the rate that it bears; then twice that, each at its time, whatever is
answered and although it says when to come back; then polls, until nobody is turned away any more.

The VENs are a program, too: some processes on a core of their own, with a thread for each VEN.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count as numbers
from pathlib import Path
from typing import Any

import attrs

from oadrvtn.console.client import Client

from .house import Track
from .load import Load, Ven, WrongAnswer, main
from .scenarios import SCENARIOS
from .servers import LoadProcess, Ours, Pki

_SCENARIO = "report-100"
_PROCESSES = 2
_FEW = 16
"""VENs of each process that find out what is borne: enough to keep the VTN busy."""
_TRIES = 60
"""So often, a second apart, a VEN's first report is sent until it is taken."""
_CALM = 100.0
"""Polls of each process in a second after the load: what comes then must not be a load itself."""
_GOALS = {
    "sent_late_p99_ms": 100,
    "not_sent": 0,
    "accepted_p99_ms": 1000,
    "recovered_after_seconds": 5,
    "readings_lost": 0,
}
"""What each figure may be at most; the first two say whether the load was one."""
_LEAST = 0.75
"""The part of the rate that is borne that has to be accepted while twice as much comes."""
_STACK = 256 * 1024
"""Bytes of a thread's stack: there are many."""
_SHED = re.compile(rb"HTTP/1.1 503.*retry-after: *([0-9]+)", re.DOTALL | re.IGNORECASE)


@attrs.frozen
class Outcome:
    """What became of a message: when it was due, how long its answer took from then, how late it was sent, and in how
    many seconds it may come again, if it was shed.
    """

    due: float
    seconds: float
    late: float
    retry_after: int | None


def percentile(seconds: Sequence[float], share: float) -> float | None:
    """Milliseconds; None of nothing."""
    found = sorted(seconds)
    return round(found[int(len(found) * share)] * 1000, 1) if found else None


class Crowd(Load):
    """The VENs of a process, each of which waits for its own answers only."""

    def first(self, _: dict[str, Any]) -> list[Any]:
        """A report of each, until it is taken: the first one ends the asking for it, and costs more than the next."""

        def send(_: int, ven: Ven) -> None:
            for more in reversed(range(_TRIES)):
                try:
                    self._report(ven)
                    return
                except WrongAnswer as wrong:
                    if not more or not _SHED.match(wrong.answer):
                        raise
                    time.sleep(1)

        self.together(self.vens, send)
        return []

    def flat_out(self, job: dict[str, Any]) -> list[Any]:
        """Reports of a few for so many ``seconds``, each right after the answer to the one before."""
        end = time.monotonic() + job["seconds"]

        def dues() -> Iterator[float]:
            while (now := time.monotonic()) < end:
                yield now

        return self._all(self.vens[:_FEW], dues, lambda ven, _: self._report(ven))

    def flood(self, job: dict[str, Any]) -> list[Any]:
        """Reports at a ``rate`` from ``start`` for so many ``seconds``, whatever is answered; then ``calm`` and polls.

        Who is free sends the next.  One that nobody is free for in time goes out late, and its time counts from when
        it was due; a report that was not sent when the load ends is not sent.
        """
        start, rate, end = job["start"], job["rate"], job["start"] + job["seconds"]
        reports, turn = int(rate * job["seconds"]), numbers()

        def dues() -> Iterator[float]:
            while (number := next(turn)) < reports + _CALM * job["calm"]:
                if number >= reports:
                    yield end + (number - reports) / _CALM
                elif time.monotonic() < end:
                    yield start + number / rate

        def send(ven: Ven, due: float) -> None:
            if due < end:
                self._report(ven)
            else:
                ven.send(ven.request("OadrPoll", ven.poll), b"oadr")

        return self._all(self.vens, dues, send)

    def _report(self, ven: Ven) -> object:
        return ven.send(ven.message(), self.expected)

    def _all(
        self, vens: Sequence[Ven], dues: Callable[[], Iterator[float]], send: Callable[[Ven, float], object]
    ) -> list[Any]:
        outcomes: list[Any] = []
        failures: list[Exception] = []

        def work(ven: Ven) -> None:
            try:
                for due in dues():
                    time.sleep(max(0.0, due - time.monotonic()))
                    sent, again = time.monotonic(), None
                    try:
                        send(ven, due)
                    except WrongAnswer as wrong:
                        if not (shed := _SHED.match(wrong.answer)):
                            raise
                        again = int(shed[1])
                    outcomes.append((due, time.monotonic() - due, sent - due, again))
            except Exception as failure:
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(ven,)) for ven in vens]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return outcomes


def _each(crowds: Sequence[LoadProcess], command: str, **options: Any) -> list[Outcome]:
    """What all of them answer to a command that they get at the same time."""
    found: list[list[Any]] = []
    failures: list[RuntimeError] = []

    def do(crowd: LoadProcess) -> None:
        try:
            found.extend(crowd.do(command, **options))
        except RuntimeError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=do, args=(crowd,)) for crowd in crowds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [Outcome(*one) for one in found]


def run(directory: Path, count: int, seconds: float, calm: float, track: Track[Any]) -> dict[str, Any]:
    """The figures; a RuntimeError where an answer was neither 200 nor 503, or what was acknowledged is not stored."""
    scenario = SCENARIOS[_SCENARIO]
    pki = Pki.make(directory / "certs", count, False, track)
    server = Ours(directory, pki, scenario)
    crowds: list[LoadProcess] = []
    try:
        for number in track(range(_PROCESSES), "offering reports", _PROCESSES):
            crowds.append(LoadProcess(server, pki.vens[number::_PROCESSES], __name__))
        _each(crowds, "first")
        borne = _each(crowds, "flat_out", seconds=seconds / 2)
        rate = 2 * sum(one.retry_after is None for one in borne) / (seconds / 2)
        start = time.monotonic() + 0.5
        sent = _each(crowds, "flood", start=start, rate=rate / _PROCESSES, seconds=seconds, calm=calm)
        ended = start + seconds
        loaded, after = [one for one in sent if one.due < ended], [one for one in sent if one.due >= ended]
        acknowledged = (count + sum(one.retry_after is None for one in (*borne, *loaded))) * scenario.intervals
        health = Client.of(server.config).call("GET", "status")
    finally:
        for crowd in crowds:
            crowd.stop()
        server.stop()
    connection = sqlite3.connect(f"file:{server.config.database_path}?mode=ro", uri=True)
    [[stored]] = connection.execute("SELECT count(*) FROM readings")
    connection.close()
    if stored != acknowledged:
        raise RuntimeError(f"{acknowledged} readings were acknowledged, {stored} are stored")
    took = [one for one in loaded if one.retry_after is None]
    shed = [one for one in loaded if one.retry_after is not None]
    told = [one.retry_after for one in shed if one.retry_after is not None]
    figures: dict[str, Any] = {
        "vens": count,
        "borne_per_second": round(rate / 2, 1),
        "due_per_second": round(rate, 1),
        "sent_per_second": round(len(loaded) / seconds, 1),
        "sent_late_p99_ms": percentile([one.late for one in loaded], 0.99),
        "not_sent": int(rate * seconds) - len(loaded),
        "accepted_per_second": round(len(took) / seconds, 1),
        "accepted_to_borne": round(len(took) / seconds / (rate / 2), 2),
        "shed_per_second": round(len(shed) / seconds, 1),
        "retry_after_seconds": f"{min(told)} to {max(told)}" if told else "",
        "quiet_p99_ms": percentile([one.seconds for one in borne], 0.99),
        "accepted_p50_ms": percentile([one.seconds for one in took], 0.5),
        "accepted_p99_ms": percentile([one.seconds for one in took], 0.99),
        "shed_p99_ms": percentile([one.seconds for one in shed], 0.99),
        "readings_acknowledged": acknowledged,
        "readings_lost": acknowledged - stored,
        "recovered_after_seconds": round(
            max((one.due + one.seconds - ended for one in after if one.retry_after is not None), default=0.0), 1
        ),
        "polls_p99_ms_after": percentile([one.seconds for one in after if one.due > ended + calm / 2], 0.99),
        "vens_online": health["vens_online"],
    }
    missed = [name for name, most in _GOALS.items() if (figures[name] or 0) > most]
    missed += ["accepted_to_borne"] * (figures["accepted_to_borne"] < _LEAST)
    return {**figures, "goals_missed": ", ".join(missed) or "none"}


if __name__ == "__main__":
    threading.stack_size(_STACK)
    main(Crowd())
