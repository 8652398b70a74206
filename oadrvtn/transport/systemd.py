"""What systemd hands over and is told: sockets that it listens on, that the VTN is ready, and that it is alive.

All of it is found in the environment, and without it nothing happens.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorSocket
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..vtn.duties import breath
from ..vtn.vtn import Vtn

log = Logger()

_OFTEN = 3
"""So many signs of life are given in the time within which systemd wants one."""


def inherited(reactor: Any, *names: str) -> dict[str, socket.socket]:
    """The sockets that systemd listens on for us, of those with one of these FileDescriptorNames."""
    found = {}
    for name in names:
        with suppress(KeyError):
            endpoint: Any = serverFromString(
                reactor, f"systemd:domain=INET:name={name}"
            )  # the family is not its business
            os.set_inheritable(endpoint.fileno, False)
            found[name] = socket.socket(fileno=os.dup(endpoint.fileno))
    return found


def adopt(reactor: IReactorSocket, listening: socket.socket, factory: Any) -> Any:
    """Serve what comes in on a socket; the port of Twisted that does it, with a descriptor of its own."""
    listening.setblocking(False)
    with listening:
        return reactor.adoptStreamPort(listening.fileno(), listening.family, factory)


def notifier(environ: Mapping[str, str]) -> Callable[[str], None]:
    """What tells systemd (sd_notify); where nobody wants to hear it, it does nothing."""
    path = environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return lambda state: None
    address = f"\0{path[1:]}" if path[0] == "@" else path

    def tell(state: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(state.encode(), address)
        except OSError as error:
            log.warn("systemd could not be told {state}: {error}", state=state, error=error.strerror)

    return tell


def watchdog(environ: Mapping[str, str]) -> float | None:
    """Within how many seconds systemd wants a sign of life; None where it wants none of this process."""
    usec = environ.get("WATCHDOG_USEC", "")
    if not usec.isdecimal() or int(usec) == 0 or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 1_000_000


class Supervised(Service):
    """Tells systemd that the VTN is alive: for as long as the reactor runs, and the database's writer answers it."""

    def __init__(self, vtn: Vtn, tell: Callable[[str], None], within: float | None) -> None:
        self._vtn = vtn
        self.tell = tell
        self._within = within
        self._loop = LoopingCall(self._live)
        self._loop.clock = vtn.clock

    async def _live(self) -> None:
        try:
            await self._vtn.write("watchdog", breath)
        except Exception:
            log.failure("the database's writer fails, so systemd gets no sign of life")
        else:
            self.tell("WATCHDOG=1")

    def startService(self) -> None:
        """Begin."""
        super().startService()
        if self._within:
            self._loop.start(self._within / _OFTEN)

    def stopService(self) -> None:
        """End."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
