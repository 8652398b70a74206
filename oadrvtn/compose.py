"""Puts the house together from a configuration, and decides nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import attrs
from twisted.application.service import MultiService
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from .console.api import Api, Few
from .console.audit import Clerk
from .console.token import load_token
from .handlers.chain import Chain
from .handlers.event import EiEvent
from .handlers.opt import EiOpt
from .handlers.poll import OadrPoll
from .handlers.register_party import EiRegisterParty, policy_of
from .handlers.report import EiReport
from .handlers.resource import ServiceResource
from .machine import SPARE, allow_files
from .model.config import FILES, Address, Config, ConfigError, is_loopback
from .security.certificates import CertificateFileError, Credential
from .security.forwarded import HEADERS
from .security.ocsp import Ocsp
from .security.revocation import Revocation, Verified
from .security.signature import Signer
from .security.tls import OperatorTls, ServerTls, TlsServer, load_authorities, verified_chain
from .storage.database import Database
from .transport import systemd
from .transport.fetch import fetcher
from .transport.http import VenSite, tree
from .transport.overload import FEWEST, Overload
from .transport.proxy import Forwarded, ProxyProtocol
from .transport.systemd import Supervised
from .vtn.duties import Duties
from .vtn.reporter import Reporter, Source
from .vtn.vtn import Vtn

_BACKLOG = 4096
"""So many may wait to be accepted: all come at once after a restart.  The system may allow fewer (somaxconn)."""
log = Logger()

_RELOADED = ("tls", "retention", "registration", "security", "revocation", "vens", "events", "reports", "offers")
"""What of a configuration is taken over without a restart."""
_RESOURCES: tuple[type[ServiceResource], ...] = (EiRegisterParty, EiEvent, EiReport, EiOpt, OadrPoll)


class StartError(Exception):
    """The VTN cannot start; the text says why, for the operator."""


def _imported(place: str, path: str) -> Any:
    """What the configuration names of your code."""
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:
        raise ConfigError([f"{place}: {path!r} cannot be imported: {error} (is its folder on PYTHONPATH?)"]) from error


def _resource_class(default: type[ServiceResource], path: str | None) -> type[ServiceResource]:
    """The handler resource that the configuration names for a service, else ours."""
    if path is None:
        return default
    place = f"handlers.{default.service}"
    cls = _imported(place, path)
    if not (isinstance(cls, type) and issubclass(cls, default)):
        raise ConfigError([f"{place}: {path!r} is no subclass of {default.__module__}:{default.__name__}"])
    return cls


def _sources(config: Config, given: Mapping[str, Source]) -> dict[str, Source]:
    """The functions that know the readings of the offers, by their paths; some are given.  Raises ConfigError."""
    sources = dict(given)
    mistakes: list[str] = []
    for number, offer in enumerate(config.offers):
        if offer.source and offer.source not in given:
            place = f"offers[{number}].source"
            try:
                sources[offer.source] = source = _imported(place, offer.source)
                if not callable(source):
                    mistakes.append(f"{place}: {offer.source!r} is no function")
            except ConfigError as error:
                mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return sources


def _usable(config: Config, given: Mapping[str, Source]) -> tuple[dict[str, type[ServiceResource]], dict[str, Source]]:
    """The handler resources by service, and the sources, once all that a configuration names can be used.

    Raises ConfigError for every class, function and certificate file that cannot, at once.
    """
    classes: dict[str, type[ServiceResource]] = {}
    sources: dict[str, Source] = {}
    mistakes: list[str] = []
    try:
        sources = _sources(config, given)
    except ConfigError as error:
        mistakes += error.mistakes
    for cls in _RESOURCES:
        try:
            classes[cls.service] = _resource_class(cls, getattr(config.handlers, cls.service))
        except ConfigError as error:
            mistakes += error.mistakes
    reads: list[tuple[str, Callable[[], Any]]] = [
        (f"tls.certificates[{number}]", partial(Credential.load, pair.certificate, pair.key))
        for number, pair in enumerate(config.tls.certificates)
    ]
    reads += [(f"tls.ca[{number}]", partial(load_authorities, path)) for number, path in enumerate(config.tls.ca)]
    if api := _api_credential(config):
        reads.append(("api", api))
    for place, read in reads:
        try:
            read()
        except CertificateFileError as error:
            mistakes.append(f"{place}: {error}")
    mistakes += [
        f"tls.{name}: is missing: the files of {what}" for name, what in FILES.items() if not getattr(config.tls, name)
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return classes, sources


def _api_credential(config: Config) -> Callable[[], Credential] | None:
    """What reads the certificate of the API; None where that is plain HTTP."""
    api = config.api
    return partial(Credential.load, api.certificate, api.key) if api.certificate and api.key else None


class VtnService(MultiService):
    """A whole VTN as a service: listeners, rules, duties, database, API.

    ``sources`` are functions of a program that know the readings of offers, by what the offers call them.
    """

    def __init__(self, config: Config, reactor: Any, sources: Mapping[str, Source]) -> None:
        super().__init__()
        self.config = config
        self._reactor = reactor
        self._ports: list[Any] = []
        self._given = sources
        self._classes, sources = _usable(config, sources)
        clock = cast(IReactorTime, reactor)
        revoked: set[bytes] = set()
        now = partial(datetime.now, UTC)
        self.revocation = Revocation(now, revoked)
        self.ocsp = Ocsp(fetcher(reactor), clock, now)
        self.tls = TlsServer(self._read_tls, self._refusal)
        read_api = _api_credential(config)
        self._api_tls = OperatorTls(read_api) if config.api.enabled and read_api else None
        self.database = Database(config.database_path, cast(IReactorFromThreads, reactor), config.database.synchronous)
        self.vtn = Vtn(config, self.database, clock, revoked, time.time)
        self._in_thread = lambda *work: deferToThreadPool(reactor, reactor.getThreadPool(), *work)
        self.chain = Chain(self.vtn, self._in_thread)
        self.chain.judge = self.revocation.listed
        self._sign()
        self._resources = {service: cls(self.vtn, self.chain, "") for service, cls in self._classes.items()}
        self._take_policy()
        root = tree(config.listen.path_prefix, self._resources)
        limits, vtn = config.limits, self.vtn
        overload = Overload(limits, partial(self.database.behind, FEWEST), reactor)
        self.site = VenSite(root, limits, vtn.identify, vtn.turned_away, vtn.limited, overload, reactor)
        self.site.met = vtn.met
        self.site.judge = self._judge
        vtn.look_again = self.site.look_again
        self._revoke()
        self.site.lets = self.tls.lets = vtn.noise.lets
        self.site.noisy = False
        self.site.hidden = {*HEADERS, config.trusted_proxy.header}
        self._clerk = Clerk(self.vtn)
        self._clerk.setServiceParent(self)
        self._supervised = Supervised(self.vtn, systemd.notifier(os.environ), systemd.watchdog(os.environ))
        self._supervised.setServiceParent(self)
        Duties(self.vtn, clock, (self._look_at_crls, self.site.vouch_again)).setServiceParent(self)
        self._reporter = Reporter(self.vtn, cast(IReactorTime, reactor), sources)
        self._reporter.setServiceParent(self)

    def _read_tls(self) -> ServerTls:
        tls = self.config.tls
        return ServerTls.load(
            [(pair.certificate, pair.key) for pair in tls.certificates],
            tls.ca,
            allow_aes128_sha256=tls.allow_aes128_sha256,
        )

    def add_handler(self, name: str, function: Callable[..., Any]) -> None:
        """Have a function called by one of the names in ``vtn/hooks.py``.  Raises ValueError for another name."""
        self.vtn.hooks.add(name, function)
        self._take_policy()

    def _take_policy(self) -> None:
        policy = policy_of(self.config, self._classes["EiRegisterParty"], self.vtn.hooks)
        for resource in self._resources.values():
            resource.policy = policy

    def _sign(self) -> None:
        """Sign with the keys of the certificates; connections that show an earlier one go on with its key."""
        before, self.chain.signers = self.chain.signers, {}
        for credential in self.tls.credentials:
            self.chain.signers[credential.fingerprint] = Signer(credential)
        self.chain.signers |= before

    def _revoke(self) -> None:
        """Go by the CRLs and responders of the configuration from now on."""
        self.revocation.configure(self.config.revocation, self.tls.authorities)
        self.ocsp.configure(self.config.revocation)
        self.site.vouch = self._vouch if self.ocsp.asks else None

    def _refusal(self, chain: Verified) -> str | None:
        return self.revocation.refusal(chain) or self.ocsp.remembered(chain)

    def _judge(self, transport: Any) -> str | None:
        return self.revocation.revoked(verified_chain(transport)) if self.revocation.knows else None

    async def _look_at_crls(self) -> None:
        if await self.revocation.look(self._in_thread):
            self.site.look_again()

    async def _vouching(self, chain: Verified) -> tuple[str | None, float]:
        answer = await self.ocsp.ask(chain)
        return self.ocsp.refusal(answer), answer.until

    def _vouch(self, chain: Verified) -> Deferred[tuple[str | None, float]]:
        return Deferred.fromCoroutine(self._vouching(chain))

    # --- life -----------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Bind the ports, while we may; nothing is accepted yet.  Raises StartError."""
        super().privilegedStartService()
        config = self.config
        if (files := allow_files(config.limits.connections + SPARE)) < config.limits.connections + SPARE:
            log.warn(
                "limits.connections is {n}, but only {files} files may be open",
                n=config.limits.connections,
                files=files,
            )
        vens: Any = TLSMemoryBIOFactory(self.tls, False, self.site)
        if config.listen.proxies:
            vens = ProxyProtocol(vens, config.listen.proxies, config.limits.handshake_timeout, self._reactor)
        listeners: list[tuple[str, Address | Path, Any]] = [("listen", (config.listen.host, config.listen.port), vens)]
        if config.api.enabled:
            token = load_token(config.token_path)
            counted: dict[str, Any] = {"answers": self.chain.answers, "refused": self.tls.refused}
            counted |= {"crls": self.revocation.standings, "ocsp_answers": self.ocsp.answers}
            api = Api(self.vtn, token, self._clerk, own=self.tls.described, **counted).site()
            api.noisy = False
            served: Any = TLSMemoryBIOFactory(self._api_tls, False, api) if self._api_tls else api
            listeners.append(("api", (config.api.host, config.api.port), Few(served)))
        # Who stands before a listener for a trusted proxy is not known, so that one is always our own.
        given = systemd.inherited(self._reactor, *(name for name, *_ in listeners))
        if (theirs := given.get("api")) and not self._api_tls and not is_loopback(theirs.getsockname()[0]):
            raise StartError("api: systemd's socket is not on loopback: set api.certificate and api.key")
        if near := config.trusted_proxy.address:
            place = config.state_directory / near if isinstance(near, Path) else near
            listeners.append(("trusted_proxy", place, Forwarded(self.site, config.trusted_proxy, self.tls.check)))
        for name, place, factory in listeners:
            if name in given:
                log.info("{name}: listening on a socket of systemd", name=name)
                self._hold(systemd.adopt(self._reactor, given[name], factory))
                continue
            try:
                port = self._listen(place, factory)
            except (CannotListenError, OSError) as error:
                cause = getattr(error, "socketError", error)
                told = place if isinstance(place, Path) else f"{place[0] or '*'}:{place[1]}"
                reason = getattr(cause, "strerror", None) or cause
                raise StartError(f"{name}: cannot listen on {told}: {reason}") from None
            self._hold(port)

    def _hold(self, port: Any) -> None:
        port.stopReading()  # who comes now waits until it is known who may come in
        self._ports.append(port)

    def _listen(self, place: Address | Path, factory: Any) -> Any:
        if isinstance(place, Path):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            # The lock beside it tells a socket that was left behind from one that somebody listens on.
            return self._reactor.listenUNIX(str(place), factory, _BACKLOG, mode=0o660, wantPID=True)
        host, number = place
        return self._reactor.listenTCP(number, factory, _BACKLOG, host)

    def startService(self) -> None:
        """Open the database, take over the configuration's VENs, and begin.  Raises DatabaseError.

        ``started`` fires when the VENs are taken over and served; it fails with a VtnError where they cannot be.
        """
        self.database.start()
        self.started = self.vtn.start().addCallback(self._accept)
        super().startService()

    def _accept(self, _: Any) -> None:
        if self.running:
            for port in self._ports:
                port.startReading()
            self._supervised.tell("READY=1")

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where we listen: for VENs first, then the API, then the trusted proxy; (host, port) each, no sockets."""
        hosts = [port.getHost() for port in self._ports]
        return [(host.host, host.port) for host in hosts if not isinstance(host, UNIXAddress)]

    def stopService(self) -> Deferred[Any]:
        """Take no more, write what is counted, and close the database."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._supervised.tell("STOPPING=1")
        try:
            await gatherResults([maybeDeferred(port.stopListening) for port in self._ports], consumeErrors=True)
            # No handler takes longer.
            patience = self._reactor.seconds() + self.config.limits.request_timeout
            while self.site.busy and self._reactor.seconds() < patience:
                await deferLater(self._reactor, 0.1)
            await super().stopService()
        finally:
            self.database.stop()

    def reload(self, config: Config) -> Deferred[Any]:
        """Take over certificates, CA files, VENs, wishes, offers and what else is in ``_RELOADED``; connections stay.

        What else has changed needs a restart, and the log says so.  Raises CertificateFileError where the
        new files cannot be used, and ConfigError for sources that cannot; then all stays as it was.
        """
        before, sources = self.config, _sources(config, self._given)
        self.config = attrs.evolve(before, **{name: getattr(config, name) for name in _RELOADED})
        waiting = [
            name for name, value in attrs.asdict(config, recurse=False).items() if value != getattr(self.config, name)
        ]
        if waiting:
            log.warn("the configuration of {sections} has changed, which needs a restart", sections=", ".join(waiting))
        try:
            self.tls.reload()
            if self._api_tls:
                self._api_tls.reload()
        except Exception:
            self.config = before
            raise
        self._sign()
        self._revoke()
        self.site.look_again()
        self._reporter.sources = sources
        self._take_policy()
        return self.vtn.reconfigure(self.config)


def build(config: Config, reactor: Any, sources: Mapping[str, Source] = MappingProxyType({})) -> VtnService:
    """A VTN by its configuration, as a service that has not started yet.

    Raises ConfigError, with every mistake, for handlers and certificate files that cannot be used.
    """
    return VtnService(config, reactor, sources)
