"""A large fleet of simulated VENs in several processes, and the one that starts them and adds up what they count.

``python -m oadrvtn.ven.swarm`` is such a process.  Its stdin has a ``Job`` as a line of JSON, then lines with one word:
``mark`` begins to count anew which VENs are heard, ``stop`` (or the end of stdin) ends it.  Once in a second, and at
the end, it says on stdout as a line of JSON what happened since it last did.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner

from ..machine import SPARE, allow_files
from ..model.event import EiEvent
from ..security.certificates import Credential, load_certificates
from ..security.tls import client_policies
from .client import connect
from .figures import Figures
from .fleet import BACK_OFF, POLL, Decide, SimulatedVen

_BEAT = 1.0
_GOODBYE = 30.0
"""Seconds that a process may take to end."""


@attrs.frozen(kw_only=True)
class Job:
    """What VENs do, and where: ``names`` have NAME.crt and NAME.key in ``directory``; times are in seconds.

    ``ca``: who vouches for the VTN.  ``poll`` and ``report_period`` are in place of what the VTN asks, where they are
    given.  ``opts_per_hour``: schedules of opts that a VEN sends.  ``opt_out``: the share of events that it opts out
    of.  VEN after VEN begins, ``gap`` apart, the first after ``delay``.  ``fresh``: a connection for each message.
    ``registered``: they were so before, by their names as IDs.  ``apart``: each VEN has a loopback address of its own,
    as it would be at a site of its own.
    """

    url: str
    ca: str
    directory: str
    names: Sequence[str]
    poll: float | None = None
    report_period: float | None = None
    opts_per_hour: float = 0.0
    opt_out: float = 0.0
    gap: float = 0.0
    delay: float = 0.0
    fresh: bool = False
    apart: bool = False
    registered: bool = False

    def parts(self, count: int) -> Iterator[Job]:
        """The same for so many processes, whose VENs take turns to begin."""
        for number in range(min(count, len(self.names))):
            names = self.names[number::count]
            yield attrs.evolve(self, names=names, gap=self.gap * count, delay=self.delay + self.gap * number)


def loopback(name: str) -> str:
    """A loopback address for a VEN, hardly ever that of another: on Linux all that begin with 127 are this machine."""
    return str(ip_address(0x7F_01_00_00 + crc32(name.encode()) % 0xFD_FF_FF))


def _decide(name: str, opt_out: float) -> Decide:
    """Opts out of this share of events."""
    random = Random(f"opts of {name}")

    def decide(event: EiEvent) -> str:
        return "optOut" if random.random() < opt_out else "optIn"

    return decide


# --- one of the processes -------------------------------------------------------------------------------


class Part(MultiService):
    """The VENs of a job, and what became of their exchanges since this was last told."""

    def __init__(self, job: Job, reactor: Any) -> None:
        super().__init__()
        self.figures = Figures()
        self.heard: set[str] = set()
        """The VENs that had an answer since the last mark."""
        allow_files(len(job.names) + SPARE)
        policy = client_policies(load_certificates(job.ca))
        for number, name in enumerate(job.names):
            credential = Credential.load(Path(job.directory, f"{name}.crt"), Path(job.directory, f"{name}.key"))
            idle = 0.0 if job.fresh else 2 * (job.poll or 60.0)
            address = loopback(name) if job.apart else None
            client = connect(reactor, job.url, policy(credential), name, idle=idle, address=address)
            client.watch = self._watch
            ven = SimulatedVen(
                client,
                decide=_decide(name, job.opt_out),
                delay=job.delay + number * job.gap,
                poll_frequency=timedelta(seconds=job.poll) if job.poll else None,
                report_period=timedelta(seconds=job.report_period) if job.report_period else None,
                opts_per_hour=job.opts_per_hour,
                longest_pause=min(BACK_OFF[1], 2 * (job.poll or POLL.total_seconds())),
            )
            if job.registered:
                ven.resume(name, name)
            ven.setServiceParent(self)

    def _watch(self, ven_name: str, kind: str, seconds: float, error: str | None) -> None:
        if not self.running:
            return  # it was cut off
        self.figures.note(kind, seconds, error)
        if error is None:
            self.heard.add(ven_name)

    def told(self) -> dict[str, Any]:
        """What happened since the last time."""
        figures, self.figures = self.figures, Figures()
        registered = sum(ven.registered for ven in self if isinstance(ven, SimulatedVen))
        return {"figures": figures.as_json(), "heard": len(self.heard), "registered": registered}


class _Process:
    """Does what stdin says, and tells on stdout."""

    def __init__(self, reactor: Any) -> None:
        self.failed: str | None = None
        """Why the job cannot be begun."""
        self._reactor = reactor
        self._beat = LoopingCall(self._tell)
        self._part: Part | None = None

    def begin(self, line: str) -> None:
        """Do a job."""
        try:
            self._part = Part(Job(**json.loads(line)), self._reactor)
        except Exception as error:
            self.failed = str(error) or type(error).__name__
            self._reactor.stop()
            return
        self._part.startService()
        self._beat.start(_BEAT)

    def mark(self) -> None:
        """Begin to count anew which VENs are heard."""
        if self._part:
            self._part.heard.clear()

    def end(self) -> None:
        """Stop the VENs, tell what is left to tell."""
        Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        if self._part:
            self._beat.stop()
            await self._part.stopService()
            self._tell()
        self._reactor.stop()

    def _tell(self) -> None:
        assert self._part
        print(json.dumps(self._part.told()), flush=True)

    def listen(self) -> None:
        """Read stdin, on a thread of its own."""
        self._reactor.callFromThread(self.begin, sys.stdin.readline())
        for line in sys.stdin:
            if line.strip() != "mark":
                break
            self._reactor.callFromThread(self.mark)
        self._reactor.callFromThread(self.end)


def main() -> None:
    """Do the job that stdin has."""
    from twisted.internet import reactor

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this one says when it is over
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    process = _Process(reactor)
    threading.Thread(target=process.listen, daemon=True).start()
    reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]
    sys.exit(process.failed)


# --- who starts them ------------------------------------------------------------------------------------


class SwarmError(Exception):
    """A process of a fleet that has ended by itself; the text is what it said last."""


@attrs.frozen
class Beat:
    """What one process told: what happened in a second, and how many of its VENs are registered and were heard."""

    number: int
    figures: Figures
    heard: int
    registered: int


class Swarm:
    """A job done by several processes; ``beats`` are what they tell, ``figures`` all that they told so far."""

    def __init__(self, job: Job, processes: int) -> None:
        self.figures = Figures()
        self.parts = list(job.parts(processes))
        self._beats: queue.SimpleQueue[Beat | SwarmError] = queue.SimpleQueue()
        self._processes = [self._start(number, part) for number, part in enumerate(self.parts)]
        self._threads = [
            threading.Thread(target=self._listen, args=one, daemon=True) for one in enumerate(self._processes)
        ]
        for thread in self._threads:
            thread.start()
        self._ending = False

    def _start(self, number: int, job: Job) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "oadrvtn.ven.swarm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us
        )
        assert process.stdin
        process.stdin.write(json.dumps(attrs.asdict(job)) + "\n")
        process.stdin.flush()
        return process

    def _listen(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout and process.stderr
        for line in process.stdout:
            told = json.loads(line)
            figures = Figures.of(told.pop("figures"))
            self._beats.put(Beat(number, figures, **told))
        if process.wait() or not self._ending:
            last = process.stderr.read().strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            self._beats.put(SwarmError(f"a process of the fleet has ended: {last[0]}"))

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [process.pid for process in self._processes]

    def beats(self, seconds: float) -> Iterator[Beat]:
        """What is told within this time, as it comes.  Raises SwarmError."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                beat = self._beats.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(beat, SwarmError):
                raise beat
            self.figures.add(beat.figures)
            yield beat

    def mark(self) -> None:
        """Have all count anew which VENs are heard."""
        self._say("mark")

    def everybody(self, seconds: float) -> float | None:
        """How long it takes until all VENs were heard since the last mark; None where they are not within this time.

        Raises SwarmError.
        """
        began, heard = time.monotonic(), [0] * len(self.parts)
        for beat in self.beats(seconds):
            if time.monotonic() - began < 2 * _BEAT:
                continue  # it may be from before the mark
            heard[beat.number] = beat.heard
            if sum(heard) == sum(len(part.names) for part in self.parts):
                return time.monotonic() - began
        return None

    def stop(self) -> list[Beat]:
        """End all, and what they told last."""
        self._ending = True
        self._say("stop")
        for process, thread in zip(self._processes, self._threads, strict=True):
            try:
                process.wait(_GOODBYE)
            except subprocess.TimeoutExpired:
                process.kill()
            thread.join()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe
                with suppress(OSError):  # what was still to be said
                    pipe.close()
        told = []
        while not self._beats.empty():
            told.append(self._beats.get())
        return [beat for beat in told if isinstance(beat, Beat)]

    def _say(self, word: str) -> None:
        for process in self._processes:
            assert process.stdin
            with suppress(OSError):  # has ended
                process.stdin.write(word + "\n")
                process.stdin.flush()


if __name__ == "__main__":
    main()
