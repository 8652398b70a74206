"""Behind a proxy: who a VEN is that a proxy speaks for.

A proxy that passes TLS on says by the PROXY protocol, before the handshake, where the VEN is (``ProxyProtocol``).  One
that ends TLS itself says by a header which certificate the VEN has shown, on a listener that only it can reach
(``Forwarded``); the certificate is held against our own CA files as in a handshake of ours.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import directlyProvides, providedBy

from ..model.config import Network, TrustedProxy
from ..security import forwarded
from ..security.fingerprint import sha256
from ..security.revocation import Verified
from .http import VenChannel, VenRequest, VenSite

log = Logger()

# --- the PROXY protocol -------------------------------------------------------------------------------

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_BEGINS = (b"PROXY ", _SIGNATURE)
_LONGEST_1 = 107  # bytes of a header of version 1, by its specification
_LONGEST_2 = 1024  # bytes of version 2 behind the first 16: addresses, and what else a proxy may add
_LINE = re.compile(rb"PROXY (TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n")
_VERSIONS = {b"TCP4": ipaddress.IPv4Address, b"TCP6": ipaddress.IPv6Address}
_LOCAL, _PROXY = 0x20, 0x21
_FAMILIES = {0x11: (ipaddress.IPv4Address, "!4s4sHH"), 0x21: (ipaddress.IPv6Address, "!16s16sHH")}
_NO_ADDRESS = (0x00, 0x31)  # not told, a unix socket


class Malformed(Exception):
    """What is no header of the PROXY protocol; the text says why, for the log."""


@attrs.frozen
class Header:
    """Where a client is, and how many bytes said so; ``source`` is None where the proxy speaks for itself."""

    source: IPv4Address | IPv6Address | None
    size: int


def read_header(data: bytes) -> Header | None:
    """The header at the beginning of a connection, version 1 or 2; None while it is not whole.  Raises Malformed."""
    if not any(begin.startswith(data[: len(begin)]) for begin in _BEGINS):
        raise Malformed("it does not begin with a header")
    return _read_1(data) if data[:1] == b"P" else _read_2(data)


def _read_1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _LONGEST_1) + 2
    if end == 1:
        if len(data) >= _LONGEST_1:
            raise Malformed("the header is too long")
        return None
    line = data[:end]
    if line.startswith((b"PROXY UNKNOWN ", b"PROXY UNKNOWN\r")):
        return Header(None, end)
    if not (found := _LINE.fullmatch(line)):
        raise Malformed("the header cannot be read")
    kind, source, destination, *ports = found.groups()
    try:
        address, _ = (_VERSIONS[kind](text.decode()) for text in (source, destination))
    except ValueError:
        raise Malformed("the header has no address") from None
    return Header(_address(address, *map(int, ports)), end)


def _read_2(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise Malformed("the header has another version, or an unknown command")
    if length > _LONGEST_2:
        raise Malformed("the header is too long")
    if len(data) < 16 + length:
        return None
    if command == _LOCAL or family in _NO_ADDRESS:
        return Header(None, 16 + length)
    if family not in _FAMILIES:
        raise Malformed("the header is of another protocol than TCP")
    kind, form = _FAMILIES[family]
    if length < struct.calcsize(form):
        raise Malformed("the header has no address")
    source, _, *ports = struct.unpack_from(form, data, 16)
    return Header(_address(kind(source), *ports), 16 + length)


def _address(found: Any, port: int, _: int) -> IPv4Address | IPv6Address:
    if port > 0xFFFF:
        raise Malformed("the header has no port")
    return (IPv4Address if found.version == 4 else IPv6Address)("TCP", str(found), port)


class _Preamble(ProtocolWrapper):
    """A connection from a proxy: what is inside of it begins once the proxy has said for whom."""

    factory: ProxyProtocol
    wrappedProtocol: Any = None
    _data = b""
    _peer: IAddress | None = None
    _late: IDelayedCall

    def __init__(self, factory: ProxyProtocol) -> None:
        self.factory = factory

    def makeConnection(self, transport: Any) -> None:
        """Wait for the header, but not for long."""
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self._late = self.factory.clock.callLater(self.factory.timeout, self._refuse, "the header did not come in time")

    def dataReceived(self, data: bytes) -> None:
        """The header, then all else."""
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
        elif self._late.active():
            self._data += data
            try:
                header = read_header(self._data)
            except Malformed as error:
                self._refuse(str(error))
            else:
                if header is not None:
                    self._begin(header)

    def _begin(self, header: Header) -> None:
        self._late.cancel()
        rest, self._data = self._data[header.size :], b""
        self._peer = header.source
        self.wrappedProtocol = self.factory.wrappedFactory.buildProtocol(self.getPeer())
        self.wrappedProtocol.makeConnection(self)
        if rest:
            self.wrappedProtocol.dataReceived(rest)

    def _refuse(self, reason: str) -> None:
        log.warn("proxy {peer}: closed, {reason} (PROXY protocol)", peer=self.getPeer().host, reason=reason)
        self.retire()

    def retire(self) -> None:
        """Close, unless somebody inside does that."""
        if self.wrappedProtocol is None:
            if self._late.active():
                self._late.cancel()
            self.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        if self._late.active():
            self._late.cancel()
        self.factory.unregisterProtocol(self)
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.connectionLost(reason)
            self.wrappedProtocol = None

    def getPeer(self) -> Any:
        """Where the client is."""
        return self._peer or self.transport.getPeer()  # type: ignore[union-attr]


class ProxyProtocol(WrappingFactory[Any]):
    """In front of another factory: who comes from one of the ``proxies`` has to say for whom; all others may not.

    ``timeout``: the seconds that it may take.
    """

    noisy = False

    def __init__(self, inside: Any, proxies: Collection[Network], timeout: float, clock: IReactorTime) -> None:
        super().__init__(inside)
        self._proxies = proxies
        self.timeout = timeout
        self.clock = clock

    def stopFactory(self) -> None:
        """Nobody waits for a header any more."""
        for protocol in list(self.protocols):
            protocol.retire()

    def buildProtocol(self, addr: Any) -> Any:
        """A connection of a proxy, or of anybody else."""
        host = ipaddress.ip_address(addr.host.partition("%")[0])
        host = getattr(host, "ipv4_mapped", None) or host
        if any(host in network for network in self._proxies):
            return _Preamble(self)
        return self.wrappedFactory.buildProtocol(addr)


# --- the certificate in a header ----------------------------------------------------------------------


class ForwardedChannel(VenChannel):
    """A connection of a trusted proxy: each request says whose it is.

    ``certificate`` is that of the request that comes in or is in work; there is never more than one.
    """

    address = _UNKNOWN = "the proxy"

    def __init__(self, forwarded: Forwarded) -> None:
        super().__init__()
        self._forwarded = forwarded

    def connectionMade(self) -> None:
        """There is no handshake to wait for."""
        super().connectionMade()
        self.setTimeout(self.site.limits.idle_timeout)

    def identify(self, headers: Headers) -> None:
        """Take the certificate from the header, or refuse the request."""
        self.certificate, self._der, self.met, self.vouched_until = b"", b"", False, 0.0
        self._come_from(self._forwarded.source(headers))
        try:
            chain = self._forwarded.chain(headers)
        except ValueError as error:
            self.refuse(403, f"no certificate: {error}")
        else:
            self._der = chain[0].public_bytes(Encoding.DER)
            self.certificate = sha256(self._der)
            if self.site.vouch:
                self._ask(self.site.vouch, chain)
        super().identify(headers)

    def look_again(self) -> None:
        """Nothing: each request is looked at, and the connection is the proxy's."""

    def _revoked(self, reason: str) -> None:
        if not self._lost:
            self.refuse(403, f"no certificate: {reason}")

    def _come_from(self, address: str | None) -> None:
        """Count the connection to the address that the request comes from."""
        if (address := address or self._UNKNOWN) != self.address:
            self.site.unsettle(self)
            self.address = address
            self.site.settle(self)

    def remember(self, request: VenRequest) -> None:
        """Nothing: each request is looked at, for the next one may be another VEN's."""

    def known_head(self, data: bytes) -> None:
        """None, for the same reason."""

    def own_certificate(self) -> None:
        """It is the proxy that has shown one."""


class Forwarded(Factory):
    """The listener of a trusted proxy, in front of the site.

    ``check`` returns the verified chain of a certificate; it raises ValueError where no authority vouches for it.
    """

    noisy = False

    def __init__(self, site: VenSite, settings: TrustedProxy, check: Callable[[x509.Certificate], Verified]) -> None:
        self._site = site
        self._settings = settings
        self._check = check

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection of the proxy."""
        return self._site.admit(addr, partial(ForwardedChannel, self))

    def chain(self, headers: Headers) -> Verified:
        """The certificate that the VEN has shown, and who vouches for it.  Raises ValueError."""
        return self._check(
            forwarded.read(self._settings.form, headers.getRawHeaders(self._settings.header.encode(), []))
        )

    def source(self, headers: Headers) -> str | None:
        """Where the VEN is, if the proxy is to say that, and does."""
        name = self._settings.address_header
        values = headers.getRawHeaders(name.encode(), []) if name else []
        with suppress(ValueError, IndexError):
            return str(ipaddress.ip_address(values[-1].rpartition(b",")[2].strip().decode("ascii")))
        return None
