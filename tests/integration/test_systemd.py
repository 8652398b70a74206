"""Under systemd: sockets that it hands over, and what it is told of the VTN's life, as a process without systemd."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from .process import TWISTD, Program, Programs, Vtn, programs_of_a_test, until
from .test_process import asks


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


class Systemd:
    """Listens where the VTN is to be reached, and hears what the VTN says of itself."""

    def __init__(self, vtn: Vtn, *api: tuple[str, int]) -> None:
        self.vtn = vtn
        self.ven_side = socket.create_server(("127.0.0.1", vtn.port))
        self.api_side = socket.create_server(*(api or [("127.0.0.1", vtn.api_port)]))
        self.path = vtn.directory / "notify"
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.ear.bind(str(self.path))
        self.heard: list[str] = []

    def start(self) -> Program:
        environ = {
            "NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": "300000",
            "LISTEN_FDS": "2", "LISTEN_FDNAMES": "listen:api",
        }  # fmt: skip
        command = f"LISTEN_PID=$$ exec {TWISTD} --nodaemon --pidfile= oadrvtn --config {self.vtn.config}"
        files = {3: self.ven_side.fileno(), 4: self.api_side.fileno()}
        return self.vtn.programs.start("/bin/sh", "-c", command, cwd=self.vtn.directory, env=environ, files=files)

    def hears(self, state: str, times: int = 1) -> bool:
        while True:
            try:
                self.heard.append(self.ear.recv(100).decode())
            except BlockingIOError:
                return self.heard.count(state) >= times

    def close(self) -> None:
        for one in (self.ven_side, self.api_side, self.ear):
            one.close()


@pytest.fixture
def systemd(tmp_path: Path, programs: Programs) -> Iterator[Systemd]:
    vtn = Vtn.make(tmp_path, programs)
    vtn.issue("ven-1")
    systemd = Systemd(vtn)
    yield systemd
    systemd.close()


@pytest_twisted.ensureDeferred
async def test_the_vtn_serves_on_the_sockets_that_it_is_given_and_says_that_it_is_ready_alive_and_stopping(
    systemd: Systemd,
) -> None:
    waiting = deferToThread(asks, systemd.vtn, "ven-1")  # before anybody is there
    process = systemd.start()
    assert (await waiting)[0] == "200"
    await until("it is ready", lambda: systemd.hears("READY=1"))
    await until("it lives", lambda: systemd.hears("WATCHDOG=1", 3))
    assert (await deferToThread(systemd.vtn.api, "GET", "status"))["vens"] == 1
    assert systemd.heard[0] in ("READY=1", "WATCHDOG=1") and "STOPPING=1" not in systemd.heard
    await process.end(SIGTERM)
    assert systemd.hears("STOPPING=1")

    again = deferToThread(asks, systemd.vtn, "ven-1")  # while it restarts
    systemd.start()
    assert (await again)[0] == "200"


@pytest_twisted.ensureDeferred
async def test_a_socket_for_the_api_that_others_can_reach_is_refused_without_a_certificate(
    tmp_path: Path, programs: Programs
) -> None:
    systemd = Systemd(Vtn.make(tmp_path, programs), ("0.0.0.0", 0))
    try:
        refused = systemd.start()
        assert await refused.end(None) == 1
        assert "systemd's socket is not on loopback" in refused.output and "api.certificate" in refused.output
        assert not systemd.hears("READY=1")
    finally:
        systemd.close()
