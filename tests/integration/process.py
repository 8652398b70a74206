"""VTNs as processes of their own: started like users start them, watched, and ended by their pid."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, TypeVar

import attrs
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from oadrvtn.console.client import Client
from oadrvtn.model.config import load
from oadrvtn.security import certificates, fingerprint
from oadrvtn.security.certificates import Credential

T = TypeVar("T")

SCRIPTS = Path(sysconfig.get_path("scripts"))
TWISTD = SCRIPTS / "twistd"
PATIENCE = 30.0
"""Seconds until a test gives up waiting, where it does not say otherwise: for machines that do more than this."""

NO_CHANGES: Mapping[str, str] = {}
NO_FILES: Mapping[int, int] = {}

_CONFIGURATION = """\
vtn_id = "vtn-1"
state_directory = "state"
listen = {{ host = "127.0.0.1", port = {port} }}
api = {{ port = {api_port} }}
registration = {{ poll_frequency = "1s" }}

[tls]
certificates = [
    {{ certificate = "certs/vtn-ec.crt", key = "certs/vtn-ec.key" }},
    {{ certificate = "certs/vtn-rsa.crt", key = "certs/vtn-rsa.key" }},
]
ca = ["certs/ca.crt"]

[[reports]]
report_name = "TELEMETRY_USAGE"
granularity = "1s"
report_back_duration = "1s"
"""


async def until(what: str, condition: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """What ``condition`` returns as soon as that is true; AssertionError if it is not in time."""
    deadline = reactor.seconds() + seconds
    while not (found := condition()):
        assert reactor.seconds() < deadline, f"not within {seconds:g} s: {what}"
        await deferLater(reactor, 0.05)
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Program(ProcessProtocol):
    """A running program; ``output`` is what it wrote so far, to stdout and stderr."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.output = ""
        self.ended: Deferred[int] = Deferred()
        """Fires with the exit code, or with minus the signal that ended it."""

    def outReceived(self, data: bytes) -> None:
        """Something was written."""
        self.output += data.decode("utf-8", "replace")

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and so is all that it wrote."""
        value: Any = reason.value
        self.ended.callback(value.exitCode if value.signal is None else -value.signal)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self.ended.called

    async def says(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """The first match in its output, as soon as it is there."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output)
            assert found or self.running, f"{self.name} ended without saying {pattern!r}:\n{self.output}"
            return found

        return await until(f"{self.name} says {pattern!r}", look, seconds)

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self.transport
        self.transport.signalProcess(number)

    async def end(self, number: int | None = SIGTERM) -> int:
        """Its exit code, or minus the signal that ended it; None waits for an end that it finds itself."""
        if number is not None:
            self.send(number)
        await until(f"{self.name} ends", lambda: not self.running)
        return await self.ended


class Programs:
    """The programs that a test started."""

    def __init__(self) -> None:
        self._started: list[Program] = []

    def start(
        self,
        *command: str | Path,
        cwd: Path,
        env: Mapping[str, str] = NO_CHANGES,
        program: Program | None = None,
        files: Mapping[int, int] = NO_FILES,
    ) -> Program:
        """Start a program; ``env`` is what its environment has that ours has not, ``files`` are open files of ours."""
        program = program or Program(Path(command[0]).name)
        words = [os.fspath(word) for word in command]
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
        streams: dict[int, Any] = {0: "w", 1: "r", 2: "r"}
        reactor.spawnProcess(program, words[0], words, env, os.fspath(cwd), childFDs={**streams, **files})
        self._started.append(program)
        return program

    async def run(self, *command: str | Path, cwd: Path, env: Mapping[str, str] = NO_CHANGES) -> Program:
        """Run a program to its end."""
        program = self.start(*command, cwd=cwd, env=env)
        await program.end(None)
        return program

    async def end(self) -> None:
        """End what still runs, and show all that was written; pytest shows it where the test failed."""
        for program in self._started:
            if program.running:
                with suppress(ProcessExitedAlready):
                    program.send(SIGKILL)
                await program.ended
            print(f"--- {program.name}\n{program.output}")


def programs_of_a_test() -> Iterator[Programs]:
    """The body of a fixture: programs that do not outlive the test."""
    programs = Programs()
    yield programs
    pytest_twisted.blockon(Deferred.fromCoroutine(programs.end()))


@attrs.define
class Vtn:
    """A VTN in a directory of its own: PKI, configuration, state, and the process, if it runs."""

    directory: Path
    programs: Programs
    port: int
    api_port: int
    process: Program | None = None

    @classmethod
    def make(cls, directory: Path, programs: Programs) -> Vtn:
        """One with a PKI and the usual configuration, which knows no VEN."""
        port, api_port = free_ports(2)
        vtn = cls(directory, programs, port, api_port)
        certificates.init(vtn.certs)
        vtn.config.write_text(_CONFIGURATION.format(port=vtn.port, api_port=vtn.api_port))
        return vtn

    @property
    def certs(self) -> Path:
        """Where the certificates are."""
        return self.directory / "certs"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "vtn.toml"

    def issue(self, name: str, *, rsa: bool = False, listed: bool = True) -> Credential:
        """A VEN's certificate in ``certs``; and, if it is to be listed, the VEN in the configuration."""
        credential = certificates.issue(self.certs, name, rsa=rsa)
        if listed:
            with self.config.open("a") as file:
                shown = fingerprint.show(credential.fingerprint)
                file.write(f'\n[[vens]]\nven_id = "{name}"\nfingerprints = ["{shown}"]\n')
        return credential

    async def start(self) -> None:
        """Start the process, or start it again, and wait until it serves."""
        self.process = self.launch()
        await self.process.says(f"starting on {self.api_port}")

    def launch(self) -> Program:
        """``twistd -n oadrvtn`` with this configuration, not waited for."""
        return self.programs.start(TWISTD, "-n", "oadrvtn", "--config", self.config, cwd=self.directory)

    async def kill(self) -> None:
        """End the process as a power cut would."""
        assert self.process
        assert await self.process.end(SIGKILL) == -SIGKILL

    def api(self, method: str, *path: str, **body: Any) -> Any:
        """What the operator's API answers."""
        return self.client.call(method, *path, body=body or None)

    @property
    def client(self) -> Client:
        """Of the operator's API."""
        return Client.of(load(self.config))

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What the database holds, as another process sees it."""
        return rows(load(self.config).database_path, query, *parameters)


def rows(database: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows of a query on a database that a VTN may have open."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(query, parameters).fetchall()
    finally:
        connection.close()
