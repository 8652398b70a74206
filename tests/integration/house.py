"""A VTN on a real socket within the test, and VENs of plain blocking sockets that may misbehave as they like."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from oadrvtn.compose import VtnService, build
from oadrvtn.model.config import TLS, Api, CertificateFiles, Config, KnownVen, Limits, Listen
from oadrvtn.model.schema import Message
from oadrvtn.security import fingerprint
from oadrvtn.security.certificates import Authority, Credential
from oadrvtn.wire import decode, encode
from tests.handlers.house import code, create, poll
from tests.integration.process import until

T = TypeVar("T")

PATIENCE = 20.0  # seconds for one read or write of a VEN


@cache
def authority() -> Authority:
    return Authority.create()


@cache
def credential(name: str) -> Credential:
    """The certificate of a VEN; that of "foreigner" is another CA's."""
    return (Authority.create("another CA") if name == "foreigner" else authority()).issue_client(name)


@attrs.frozen
class Answer:
    """What HTTP brought back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> Any:
        """The message in it, which is valid without any bend."""
        assert self.status == 200, self
        return decode(self.body, allowed=()).message

    @property
    def code(self) -> str:
        """Its response code."""
        return code(self.message)


class Peer:
    """A connection of a VEN: blocking, so for a thread.  Without a name it shows no certificate."""

    def __init__(self, port: int, name: str | None, directory: Path) -> None:
        context = ssl.create_default_context(cadata=authority().credential.chain_pem.decode())
        if name:
            context.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.received = b""

    def send(self, *pieces: bytes) -> None:
        """Write."""
        for piece in pieces:
            self.socket.sendall(piece)

    def post(self, service: str, what: Message | bytes, *headers: bytes) -> Answer:
        """A POST with the length of the body, and its answer."""
        body = what if isinstance(what, bytes) else encode(what)
        self.send(head(service, b"Content-Length: %d" % len(body), *headers) + body)
        return self.answer()

    def answer(self) -> Answer:
        """The next answer, read whole by its length."""
        reader = self.socket.makefile("rb")  # unread rest is lost, but nobody pipelines here
        status = int(self._line(reader).split(b" ")[1])
        headers = {}
        while line := self._line(reader).strip():
            name, _, value = line.decode("latin-1").partition(": ")
            headers[name.lower()] = value
        body = reader.read(int(headers["content-length"]))
        self.received += body
        return Answer(status, headers, body)

    def _line(self, reader: Any) -> bytes:
        line: bytes = reader.readline()
        self.received += line
        if not line:
            raise ConnectionError("closed before an answer")
        return line

    def closed(self) -> bool:
        """Whether the other side closes, without another word."""
        try:
            more = self.socket.recv(1000)
        except (ssl.SSLError, ConnectionError):
            more = b""
        self.received += more
        return not more


def head(service: str, *headers: bytes, method: bytes = b"POST") -> bytes:
    """The head of a request to a service, or to a path."""
    path = service if service.startswith("/") else f"/OpenADR2/Simple/2.0b/{service}"
    return b"\r\n".join((b"%s %s HTTP/1.1" % (method, path.encode()), b"Host: localhost", *headers, b"", b""))


class House:
    """The VTN knows the VENs ``good``, ``bad`` (both are registered) and ``new``, which is not.

    ``good`` has a connection of its own from the start.  ``settings`` are sections of the configuration.
    """

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self._peers: list[Peer] = []
        self._write("vtn", authority().issue_server(["localhost"]))
        (directory / "ca.crt").write_bytes(authority().credential.chain_pem)
        for name in ("good", "bad", "new", "stranger", "foreigner"):
            self._write(name, credential(name))
        config = Config(
            vtn_id="vtn",
            state_directory=directory / "state",
            listen=Listen(host="127.0.0.1", port=0),
            tls=TLS(
                certificates=(CertificateFiles(certificate=directory / "vtn.crt", key=directory / "vtn.key"),),
                ca=(directory / "ca.crt",),
            ),
            vens=tuple(
                KnownVen(ven_id=name, fingerprints=(fingerprint.show(credential(name).fingerprint),))
                for name in ("good", "bad", "new")
            ),
            limits=Limits(request_timeout=2.0, handshake_timeout=2.0),
            api=Api(enabled=False),
        )
        self.service: VtnService = build(attrs.evolve(config, **settings), reactor)

    def _write(self, name: str, found: Credential) -> None:
        (self.directory / f"{name}.crt").write_bytes(found.chain_pem)
        (self.directory / f"{name}.key").write_bytes(found.key_pem)
        (self.directory / f"{name}.key").chmod(0o600)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.service.addresses[0][1]

    def _peer(self, name: str | None) -> Peer:
        peer = Peer(self.port, name, self.directory)
        self._peers.append(peer)
        return peer

    def talk(self, function: Callable[[Peer], T], who: str | None = "bad") -> Deferred[T]:
        """What the function returns that runs in a thread, with a new connection of this VEN."""

        def run() -> T:
            peer = self._peer(who)
            with peer.socket:
                return function(peer)

        return deferToThread(run)

    def post(self, service: str, what: Message | bytes, *headers: bytes, who: str = "bad") -> Deferred[Answer]:
        """The answer to a POST on a new connection."""
        return self.talk(lambda peer: peer.post(service, what, *headers), who)

    async def start(self) -> None:
        """Start, and have the two VENs registered."""
        self.service.privilegedStartService()
        self.service.startService()
        await self.service.started
        assert (await self.post("EiRegisterParty", create())).code == "200"
        self._good = await deferToThread(self._peer, "good")
        assert (await deferToThread(self._good.post, "EiRegisterParty", create())).code == "200"
        await self._alone()
        (self._channel,) = self.service.site.connections

    async def _alone(self) -> None:
        await until("all other connections are closed", lambda: len(self.service.site.connections) == 1)

    async def stop(self) -> None:
        """Stop; before that, see that whatever happened has harmed nobody."""
        try:
            answer = await deferToThread(self._good.post, "OadrPoll", poll("good"))
            assert answer.message.ven_id == "good"
            await self._alone()
            assert self.service.site.connections == {self._channel}
            for peer in self._peers:
                assert b"Traceback" not in peer.received and b".py" not in peer.received
        finally:
            closed = deferToThread(self._good.closed)
            await self.service.stopService()
            assert await closed, "a stop closes what is idle"
            for peer in self._peers:
                peer.socket.close()
            await until("no connection is left", lambda: not self.service.site.connections)
            # What the VTN and its database ran on is gone, too.
            assert not [thread for thread in threading.enumerate() if "oadrvtn" in thread.name]


def house_of_a_test(directory: Path, **settings: Any) -> Iterator[House]:
    """The body of a fixture: a VTN that is stopped again, and was in order until then."""
    found = House(directory, **settings)
    pytest_twisted.blockon(Deferred.fromCoroutine(found.start()))
    yield found
    pytest_twisted.blockon(Deferred.fromCoroutine(found.stop()))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A VTN with the usual settings."""
    yield from house_of_a_test(tmp_path)
