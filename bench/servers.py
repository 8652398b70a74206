"""The servers that are compared, as programs on a core of their own, and what the system says they use."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from oadrvtn.console.client import Client
from oadrvtn.model.config import load
from oadrvtn.security import certificates, fingerprint
from oadrvtn.storage.database import Database
from oadrvtn.ven.swarm import Job
from tests.peers import openleadr

from .house import Track, register, result
from .scenarios import Scenario

_TICKS = os.sysconf("SC_CLK_TCK")
_PIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execv(sys.argv[2], sys.argv[2:])"
_PROFILED = """import cProfile, functools, time
from twisted.scripts.twistd import run
cProfile.Profile = functools.partial(cProfile.Profile, time.thread_time)  # not the clock: others run here too
run()"""
_PATIENCE = 60.0

_CONFIGURATION = """\
vtn_id = "vtn"
state_directory = "{directory}/state"
listen = {{ host = "127.0.0.1", port = {port} }}
api = {{ port = {api_port} }}

[tls]
certificates = [{{ certificate = "{certificate}", key = "{key}" }}]
ca = ["{ca}"]

[limits]  # all VENs have one address here, and each of them sends for many
connections_per_address = 10000
message_rate = 100000
address_rate = 100000
"""
_REPORTS = """
[[reports]]
report_name = "TELEMETRY_USAGE"
granularity = "1m"
report_back_duration = "1h"
"""


def cores() -> tuple[int, int]:
    """The core of the servers and that of the load; the same one where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pinned(core: int, *command: str | Path) -> list[str]:
    """A command that runs on one core."""
    return [sys.executable, "-c", _PIN, str(core), *(os.fspath(word) for word in command)]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


@attrs.frozen
class Pki:
    """A CA, a VTN's certificate and those of VENs, in a directory, with keys of one kind."""

    directory: Path
    rsa: bool
    vens: Sequence[str]
    fingerprints: dict[str, bytes]

    @classmethod
    def make(cls, directory: Path, count: int, rsa: bool, track: Track[Any]) -> Pki:
        """One with so many VENs; RSA keys take a tenth of a second each."""
        certificates.init(directory)
        names = [f"ven-{number}" for number in range(count)]
        issued = certificates.issue_each(directory, names, rsa)
        made = track(issued, f"{'RSA' if rsa else 'EC'} certificates", count)
        found = {name: credential.fingerprint for name, credential in zip(names, made, strict=True)}
        return cls(directory, rsa, names, found)

    @property
    def server(self) -> dict[str, str]:
        """The files of the VTN, by what they are."""
        name = "vtn-rsa" if self.rsa else "vtn-ec"
        files = {"certificate": f"{name}.crt", "key": f"{name}.key", "ca": "ca.crt"}
        return {what: str(self.directory / file) for what, file in files.items()}


class Server:
    """A server in a directory of its own, started by its class, with ``news`` to make its event new for all VENs.

    ``profile``: where it can, it runs under a profiler.
    """

    name = ""
    tells = False
    """Whether what it prints is for us, not for its log."""

    def __init__(self, directory: Path, pki: Pki, scenario: Scenario, profile: bool = False) -> None:
        self.profile = profile
        self.directory, self.pki, self.scenario = directory / self.name, pki, scenario
        self.port = free_port()
        self.directory.mkdir()
        self._log = (self.directory / "log").open("wb")
        self._command = self.command()
        self.launch()

    def launch(self) -> None:
        """Start it, for the first time or once more, and wait until it takes connections."""
        self._process = subprocess.Popen(
            pinned(cores()[0], *self._command),
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if self.tells else self._log,
            stderr=self._log,
        )
        self.wait()

    def command(self) -> list[str | Path]:
        """What starts it; makes the files that it needs."""
        raise NotImplementedError

    def options(self, **more: Any) -> Path:
        """A file with what a program of ours is to know."""
        file = self.directory / "options.json"
        file.write_text(json.dumps({"port": self.port, "signs": self.scenario.signed, **self.pki.server, **more}))
        return file

    def wait(self) -> None:
        """Until it takes connections."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start:\n{(self.directory / 'log').read_text()[-4000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        if self.scenario.signed:
            time.sleep(1)  # a timestamp has whole seconds: this one began before the server, which refuses such polls

    def news(self) -> None:
        """Have an event, or a modification of it, that no VEN has seen."""

    def job(self, **more: Any) -> Job:
        """What a swarm of all its VENs has to know."""
        return Job(
            url=f"https://localhost:{self.port}",
            ca=self.pki.server["ca"],
            directory=str(self.pki.directory),
            names=self.pki.vens,
            apart=True,
            **more,
        )

    def cpu(self, main_thread: bool = False) -> float:
        """Seconds of CPU time so far, user and system: of all its threads, or of the one that runs the reactor."""
        place = f"task/{self._process.pid}/stat" if main_thread else "stat"
        fields = Path(f"/proc/{self._process.pid}/{place}").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident(self) -> int:
        """Bytes in memory."""
        fields = Path(f"/proc/{self._process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.communicate(timeout=_PATIENCE)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate(timeout=_PATIENCE)
        self._log.close()


class Ours(Server):
    """``twistd oadrvtn`` as it is installed: SQLite, every default, and the VENs registered."""

    name = "ours"
    _event = ""
    _told = 0

    def command(self) -> list[str | Path]:
        """twistd."""
        self.config_file = self.directory / "vtn.toml"
        text = _CONFIGURATION.format(directory=self.directory, port=self.port, api_port=free_port(), **self.pki.server)
        self.config_file.write_text(text + (_REPORTS if self.scenario.intervals else ""))
        self.config = load(self.config_file)
        database = Database(self.config.database_path)
        database.start()
        frequency = self.config.registration.poll_frequency
        result(database.run("fill", register, self.pki.fingerprints, frequency, datetime.now(UTC)))
        database.stop()
        twistd = Path(sysconfig.get_path("scripts"), "twistd")
        pid = self.directory / "twistd.pid"
        start: list[str | Path] = [twistd]
        if self.profile:
            start = [
                sys.executable,
                "-c",
                _PROFILED,
                "--profiler=cprofile",
                "--savestats",
                f"--profile={self.profiled}",
            ]
        return [*start, "-n", f"--pidfile={pid}", "oadrvtn", "--config", self.config_file]

    @property
    def profiled(self) -> Path:
        """Where a profile of the reactor's thread is, once it has ended."""
        return self.directory / "profile"

    def news(self) -> None:
        """By the operator's API."""
        client = Client.of(self.config)
        self._told += 1
        if self._event:
            client.call("PATCH", "events", self._event, body={"priority": self._told})
            return
        event = {
            "market_context": "http://example.com/bench",
            "dtstart": "now",
            "signals": [{"intervals": [{"duration": "PT12H", "value": 1}]}],
        }
        self._event = client.call("POST", "events", body=event)["event_id"]


class Theirs(Server):
    """openleadr's VTN from PyPI."""

    name = "theirs"
    tells = True

    def command(self) -> list[str | Path]:
        """Its program, in its environment."""
        vens = {name: fingerprint.show(fingerprint.short(full)) for name, full in self.pki.fingerprints.items()}
        return [openleadr().python, Path(__file__).with_name("peer_vtn.py"), self.options(vens=vens)]

    def news(self) -> None:
        """By a line on stdin."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line == b"told\n":
                return
        raise RuntimeError("openleadr's VTN has ended")


class Floor(Server):
    """The bare protocol; ``Floor.answer`` is the document that it encodes for each message."""

    name = "floor"
    answer = Path()

    def command(self) -> list[str | Path]:
        """Our interpreter."""
        return [sys.executable, "-m", "bench.floor", self.options(answer=str(self.answer))]


class LoadProcess:
    """The VENs of one server, on the other core: all of its scenario, or ``vens``; ``module`` is the program."""

    def __init__(self, server: Server, vens: Sequence[str] | None = None, module: str = "bench.load") -> None:
        scenario, pki, self._name = server.scenario, server.pki, server.name
        self._process = subprocess.Popen(
            pinned(cores()[1], sys.executable, "-m", module),
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.vens = pki.vens[: scenario.vens] if vens is None else vens
        self.do(
            "start",
            scenario=scenario.name,
            port=server.port,
            certs=str(pki.directory),
            ca=pki.server["ca"],
            vens=self.vens,
            offer=not isinstance(server, Floor),
        )

    def do(self, command: str, **options: Any) -> Any:
        """What it answers to a command; raises RuntimeError with what it says where it ended."""
        assert self._process.stdin and self._process.stdout and self._process.stderr
        try:
            self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the load of {self._name} has ended:\n{self._process.stderr.read()[-4000:]}")
        return json.loads(line)

    def stop(self) -> None:
        """End it."""
        self._process.communicate(timeout=_PATIENCE)


def conditions() -> dict[str, Any]:
    """What a figure of this machine depends on."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    versions = subprocess.run(
        [shutil.which("uname") or "uname", "-sr"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cpu": model[0].partition(":")[2].strip() if model else "unknown",
        "system": versions,
        "python": sys.version.split()[0],
        "cores": list(cores()),
    }
