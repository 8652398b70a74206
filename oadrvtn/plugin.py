"""``twistd oadrvtn``: its options, and the service that twistd runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from .compose import StartError, VtnService, build
from .console.client import demo_directory
from .demo import FILE, Demo, prepare
from .machine import collect_garbage_seldom
from .model.config import Config, ConfigError, load
from .model.errors import VtnError
from .security.certificates import CertificateFileError
from .storage.database import DatabaseError
from .vtn.clocks import make_steady

T = TypeVar("T")

log = Logger()

_MISTAKES = (ConfigError, CertificateFileError, StartError, DatabaseError)


def _port(text: str) -> int:
    """A port, for usage.Options to refuse what is none."""
    if not 1 <= int(text) <= 65535:
        raise ValueError(f"{text} is not a port (1 to 65535)")
    return int(text)


class Options(usage.Options):
    """What ``twistd oadrvtn --help`` shows."""

    synopsis = "[--config FILE | --demo] [--port N] [--api-port N]"
    longdesc = (
        "An OpenADR 2.0b VTN: serves VENs over HTTPS with client certificates. Try it with --demo, "
        "which serves three simulated VENs; 'oadrvtn init' writes a configuration to start from. "
        "SIGHUP makes it read certificates, CA files, VENs, offers and wanted reports again."
    )
    optFlags = [["demo", None, "Serve three simulated VENs from a state directory of its own."]]  # noqa: RUF012
    optParameters = [  # noqa: RUF012
        ["config", "c", None, "The configuration file (TOML)."],
        ["port", "p", None, "Port for VENs, instead of the configured one (demo: 8443).", _port],
        ["api-port", None, None, "Port of the operator's API, instead of the configured one (demo: 8080).", _port],
    ]

    def postOptions(self) -> None:
        """One of the two it must be; and in the foreground twistd's usual pid file is left out.

        It is for daemons.  One that a kill left behind would keep the next start from happening, and one in
        the folder would keep the demonstration and a VTN from running side by side.
        """
        if self.parent and self.parent["nodaemon"] and self.parent["pidfile"] == "twistd.pid":
            self.parent["pidfile"] = ""
        if bool(self["demo"]) == bool(self["config"]):
            raise usage.UsageError("give either --config FILE or --demo; 'oadrvtn init' writes a configuration")


class _CannotStart(SystemExit, Exception):
    """Ends twistd with exit code 1 and its text on stderr.

    Also an Exception, for which twistd removes the pid file, and tells the text to who started it as a daemon.
    """


def _or_exit(start: Callable[[], T]) -> T:
    """What ``start`` returns; what the operator has to mend ends the process, without a traceback."""
    try:
        return start()
    except _MISTAKES as error:
        others = "; --port and --api-port name others" if isinstance(error, StartError) else ""
        raise _CannotStart(f"oadrvtn: cannot start:{_indented(error)}{others}") from None


def _indented(error: Exception) -> str:
    """A text of one line behind a blank, of several on lines of their own."""
    lines = str(error).splitlines()
    return f" {lines[0]}" if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)


class _Plugin(MultiService):
    """The VTN under twistd: what keeps it from starting is said in few words, and SIGHUP reloads."""

    def __init__(self, vtn: VtnService, read: Callable[[], Config]) -> None:
        super().__init__()
        self._vtn, self._read = vtn, read
        vtn.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Listen."""
        _or_exit(super().privilegedStartService)

    def startService(self) -> None:
        """Begin, and listen to SIGHUP."""
        make_steady(reactor)
        _or_exit(super().startService)
        collect_garbage_seldom()
        self._vtn.started.addErrback(self._give_up)
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(self._reload))  # type: ignore[attr-defined]

    def _give_up(self, failure: Failure) -> None:
        """The configuration's VENs cannot be taken over; the reactor runs by now, and knows no exit code."""
        if not failure.check(VtnError):
            log.failure("the configuration's VENs could not be taken over", failure)
        log.critical("cannot start: {error}", error=failure.getErrorMessage())
        reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
        reactor.stop()

    def _reload(self) -> None:
        try:
            reloaded = self._vtn.reload(self._read())
        except (ConfigError, CertificateFileError) as error:
            log.error("nothing was reloaded:{error}", error=_indented(error))
            return
        reloaded.addCallback(
            lambda _: log.info("certificates, CA files, VENs, offers and wanted reports were read again")
        )
        reloaded.addErrback(self._not_reloaded)

    def _not_reloaded(self, failure: Failure) -> None:
        if failure.check(VtnError):
            log.error("the VENs stay as they were: {error}", error=failure.getErrorMessage())
        else:
            log.failure("the reload failed", failure)


def _read(path: Path, options: Options) -> Config:
    config = load(path)
    ports = {"listen": options["port"], "api": options["api-port"]}
    for name, port in ports.items():
        if port is not None:
            config = attrs.evolve(config, **{name: attrs.evolve(getattr(config, name), port=port)})
    return config


def _demo(options: Options) -> MultiService:
    directory = demo_directory()
    text, config = prepare(directory, options["port"] or 8443, options["api-port"] or 8080)
    service = build(config, reactor)
    Demo(directory, text, config, service.vtn, reactor).setServiceParent(service)
    return _Plugin(service, partial(load, directory / FILE))


def _configured(options: Options) -> MultiService:
    read = partial(_read, Path(options["config"]).absolute(), options)
    return _Plugin(build(read(), reactor), read)


def makeService(options: Options) -> MultiService:
    """The service of ``twistd oadrvtn``; mistakes in the configuration are told all at once."""
    return _or_exit(partial(_demo if options["demo"] else _configured, options))
