"""``twistd oadrvtn``: its options, and the service that twistd runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.logger import Logger
from twisted.python import usage

from .compose import StartError, VtnService, build
from .console.client import demo_directory
from .demo import Demo, prepare
from .model.config import Config, ConfigError, load
from .security.certificates import CertificateFileError
from .storage.database import DatabaseError

log = Logger()

_MISTAKES = (ConfigError, CertificateFileError, StartError, DatabaseError)


class Options(usage.Options):
    """What ``twistd oadrvtn --help`` shows."""

    synopsis = "[--config FILE | --demo] [--port N] [--api-port N]"
    longdesc = (
        "An OpenADR 2.0b VTN: serves VENs over HTTPS with client certificates. Try it with --demo, "
        "which serves three simulated VENs; 'oadrvtn init' writes a configuration to start from. "
        "SIGHUP makes it read certificates, CA files, VENs and wanted reports again."
    )
    optFlags = [["demo", None, "Serve three simulated VENs from a state directory of its own."]]  # noqa: RUF012
    optParameters = [  # noqa: RUF012
        ["config", "c", None, "The configuration file (TOML)."],
        ["port", "p", None, "Port for VENs, instead of the configured one (demo: 8443).", int],
        ["api-port", None, None, "Port of the operator's API, instead of the configured one (demo: 8080).", int],
    ]

    def postOptions(self) -> None:
        """One of the two it must be."""
        if bool(self["demo"]) == bool(self["config"]):
            raise usage.UsageError("give either --config FILE or --demo; 'oadrvtn init' writes a configuration")


class _Plugin(MultiService):
    """The VTN under twistd: what keeps it from starting is said in one line, and SIGHUP reloads."""

    def __init__(self, vtn: VtnService, read: Callable[[], Config]) -> None:
        super().__init__()
        self._vtn, self._read = vtn, read
        vtn.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Listen."""
        _or_exit(super().privilegedStartService)

    def startService(self) -> None:
        """Begin, and listen to SIGHUP."""
        _or_exit(super().startService)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(self._reload))  # type: ignore[attr-defined]

    def _reload(self) -> None:
        try:
            self._vtn.reload(self._read()).addErrback(lambda failure: log.failure("the reload failed", failure))
        except (ConfigError, CertificateFileError) as error:
            log.error("nothing was reloaded: {error}", error=error)


def _or_exit(start: Callable[[], Any]) -> None:
    try:
        start()
    except _MISTAKES as error:
        log.critical("cannot start: {error}", error=error)
        sys.exit(f"oadrvtn: cannot start: {error}")


def _read(path: Path, options: Options) -> Config:
    config = load(path)
    ports = {"listen": options["port"], "api": options["api-port"]}
    for name, port in ports.items():
        if port is not None:
            config = attrs.evolve(config, **{name: attrs.evolve(getattr(config, name), port=port)})
    return config


def makeService(options: Options) -> MultiService:
    """The service of ``twistd oadrvtn``; mistakes in the configuration are told all at once."""
    try:
        if options["demo"]:
            directory = demo_directory()
            config = prepare(directory, options["port"] or 8443, options["api-port"] or 8080)
            service = build(config, reactor)
            Demo(directory, config, service.vtn, reactor).setServiceParent(service)
            return _Plugin(service, partial(load, directory / "vtn.toml"))
        read = partial(_read, Path(options["config"]), options)
        return _Plugin(build(read(), reactor), read)
    except _MISTAKES as error:
        raise usage.UsageError(f"cannot start:\n{error}") from None
