"""Certificates made once for all tests of this folder, and TLS connections without sockets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import AcceptableCiphers, TLSVersion
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from oadrvtn.security.certificates import Authority, Credential
from oadrvtn.security.tls import OperatorTls, ServerTls, TlsServer, client_policy


@cache
def authority() -> Authority:
    return Authority.create()


@cache
def server_ec() -> Credential:
    return authority().issue_server(["localhost", "127.0.0.1"])


@cache
def server_rsa() -> Credential:
    return authority().issue_server(["localhost", "127.0.0.1"], rsa=True)


@cache
def ven() -> Credential:
    return authority().issue_client("ven1")


def new_directory(test: SynchronousTestCase) -> Path:
    """A directory that goes away with the test (``mktemp`` would leave it in the checkout under pytest)."""
    directory = TemporaryDirectory()
    test.addCleanup(directory.cleanup)
    return Path(directory.name) / "pki"


def settings(**changes: Any) -> ServerTls:
    both = ServerTls((server_ec(), server_rsa()), (authority().credential.certificate,))
    return attrs.evolve(both, **changes)


def tls_server(**changes: Any) -> TlsServer:
    return TlsServer(lambda: settings(**changes))


def tls_1_2(suite: str) -> dict[str, Any]:
    """Options of ``client_policy`` for a client that knows this suite only."""
    return {
        "lowerMaximumSecurityTo": TLSVersion.TLSv1_2,
        "acceptableCiphers": AcceptableCiphers.fromOpenSSLCipherString(suite),
    }


def client(credential: Credential | None = None, host: bytes = b"localhost", **options: Any) -> Any:
    """A VEN that trusts the authority; without a credential it is ``ven()``."""
    policy = client_policy(credential or ven(), [authority().credential.certificate], **options)
    return policy.creatorForNetloc(host, 8443)


def anonymous(**options: Any) -> Any:
    """A client that has no certificate."""
    policy = client_policy(None, [authority().credential.certificate], **options)
    return policy.creatorForNetloc(b"localhost", 8443)


@implementer(IOpenSSLClientConnectionCreator)
class RawClient:
    """A client of a bare OpenSSL context, for what no proper client does."""

    def __init__(self, credential: Credential | None = None) -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.session: SSL.Session | None = None
        self.alpn: list[bytes] = []
        if credential:
            self.context.use_certificate(credential.certificate)
            self.context.use_privatekey(credential.key)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self.context, None)
        if self.alpn:
            connection.set_alpn_protos(self.alpn)
        if self.session:
            connection.set_session(self.session)
        return connection


class Peer(Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Link:
    """A client and a server joined in memory; their handshake has been tried."""

    def __init__(self, server: TlsServer | OperatorTls, client: Any) -> None:
        self.clock = Clock()
        self.server, server_protocol = self._end(server, False)
        self.client, client_protocol = self._end(client, True)
        self.pump = iosim.connect(
            server_protocol,
            iosim.makeFakeServer(server_protocol),
            client_protocol,
            iosim.makeFakeClient(client_protocol),
        )
        self.alive = self.says(b"hello")

    def _end(self, creator: Any, is_client: bool) -> tuple[Peer, Any]:
        peer = Peer()
        wrapped = TLSMemoryBIOFactory(creator, is_client, Factory.forProtocol(lambda: peer), clock=self.clock)
        return peer, wrapped.buildProtocol(None)

    def says(self, text: bytes) -> bool:
        """Whether what the client writes arrives, and an answer comes back."""
        if self.client.lost is None and self.server.lost is None:
            self.client.transport.write(text)  # type: ignore[union-attr]
            self._flush()
        if self.server.lost is None:
            self.server.transport.write(text)  # type: ignore[union-attr]
            self._flush()
        return self.server.received.endswith(text) and self.client.received.endswith(text)

    def _flush(self) -> None:
        self.clock.advance(0)
        self.pump.flush()

    @property
    def handle(self) -> SSL.Connection:
        """The client's end."""
        return self.client.transport.getHandle()  # type: ignore[union-attr]
