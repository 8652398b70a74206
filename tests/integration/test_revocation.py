"""Certificates that stop being good while their VENs are connected: VTNs as processes, a responder, real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from signal import SIGHUP
from typing import Any
from urllib.parse import quote

import attrs
import pytest
import pytest_twisted
from cryptography.x509 import ocsp
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.web.client import ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from oadrvtn.security import certificates
from oadrvtn.security.certificates import Authority, Credential, describe
from oadrvtn.transport.fetch import MOST_BYTES, FetchFailed, fetcher
from tests.security.responder import Responder

from .house import head
from .process import PATIENCE, Program, Programs, Vtn, programs_of_a_test, until
from .test_process import Connection


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest.fixture
def vtn(tmp_path: Path, programs: Programs) -> Vtn:
    found = Vtn.make(tmp_path, programs)
    for name in ("ven-1", "ven-2"):
        found.issue(name, listed=False)
    return found


CLOSED = "closed"
SOCKET = "proxy.sock"
_listening: Any = reactor  # whose stubs know no Site


async def asks(connection: Connection) -> str:
    """What a VEN hears on this connection: a response code, or that it is closed."""

    def ask() -> str:
        try:
            return connection.query()
        except (ssl.SSLError, OSError, HTTPException):
            return CLOSED

    return await deferToThread(ask)


async def asks_anew(vtn: Vtn, name: str) -> str:
    with Connection(vtn, name) as connection:
        return await asks(connection)


async def asks_through_a_proxy(vtn: Vtn, name: str) -> str:
    """What HTTP says to a VEN whose certificate a trusted proxy passes on."""

    def ask() -> str:
        shown = quote((vtn.certs / f"{name}.crt").read_text(), safe="").encode()
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(PATIENCE)
            plain.connect(str(vtn.directory / "state" / SOCKET))
            plain.sendall(head("OadrPoll", b"Content-Length: 1", b"X-SSL-Client-Cert: " + shown) + b"x")
            return plain.recv(1000).split(b" ")[1].decode()

    return await deferToThread(ask)


def running(vtn: Vtn) -> Program:
    assert vtn.process
    return vtn.process


def file(vtn: Vtn, name: str) -> str:
    return certificates.pem(certificates.load_certificates(vtn.certs / f"{name}.crt")[0])


def serial(vtn: Vtn, name: str) -> str:
    return describe(certificates.load_certificates(vtn.certs / f"{name}.crt")[0]).serial


@pytest_twisted.ensureDeferred
async def test_a_ven_changes_its_certificate_without_a_gap_and_the_old_one_loses_its_connection(vtn: Vtn) -> None:
    await vtn.start()
    vtn.api("POST", "vens", ven_id="ven", certificates=[file(vtn, "ven-1")])
    with Connection(vtn, "ven-1") as old, Connection(vtn, "ven-2") as new:
        assert (await asks(old), await asks(new)) == ("200", "463")
        vtn.api("PATCH", "vens", "ven", certificates=[file(vtn, "ven-1"), file(vtn, "ven-2")])
        assert (await asks(old), await asks(new)) == ("200", "200")
        vtn.api("PATCH", "vens", "ven", certificates=[file(vtn, "ven-2")])
        assert (await asks(old), await asks(new)) == ("463", "200")


@pytest_twisted.ensureDeferred
async def test_revoking_closes_the_connection_and_refuses_the_next_until_it_is_undone(vtn: Vtn) -> None:
    await vtn.start()
    for name in ("ven-1", "ven-2"):
        vtn.api("POST", "vens", ven_id=name, certificates=[file(vtn, name)])
    with Connection(vtn, "ven-1") as bad, Connection(vtn, "ven-2") as good:
        assert (await asks(bad), await asks(good)) == ("200", "200")
        vtn.api("POST", "revocations", ven_id="ven-1")
        await running(vtn).says(f"closed: cert revoked by an operator .*serial {serial(vtn, 'ven-1')}")
        assert (await asks(bad), await asks(good)) == (CLOSED, "200")
    assert await asks_anew(vtn, "ven-1") == CLOSED
    await running(vtn).says(f"TLS handshake refused: cert revoked by .*serial {serial(vtn, 'ven-1')}")

    await running(vtn).end()
    await vtn.start()
    assert await asks_anew(vtn, "ven-1") == CLOSED, "it is known after a restart, too"
    vtn.api("POST", "revocations", "restore", ven_id="ven-1")
    assert await asks_anew(vtn, "ven-1") == "200"


@pytest_twisted.ensureDeferred
async def test_a_suspended_ven_is_refused_on_the_connection_that_it_has_until_it_is_resumed(vtn: Vtn) -> None:
    await vtn.start()
    vtn.api("POST", "vens", ven_id="ven-1", certificates=[file(vtn, "ven-1")])
    with Connection(vtn, "ven-1") as connection:
        assert await asks(connection) == "200"
        vtn.api("POST", "vens", "ven-1", "suspend")
        assert (await asks(connection), await asks_anew(vtn, "ven-1")) == ("463", "463")
        vtn.api("POST", "vens", "ven-1", "resume")
        assert await asks(connection) == "200"


@pytest_twisted.ensureDeferred
async def test_the_end_of_a_certificate_is_known_once_its_ven_has_connected(vtn: Vtn) -> None:
    await vtn.start()
    end = certificates.load_certificates(vtn.certs / "ven-1.crt")[0]
    vtn.api("POST", "vens", ven_id="ven-1", fingerprints=[describe(end).sha256])
    assert vtn.api("GET", "vens", "ven-1")["fingerprints"][0]["not_after"] is None
    assert await asks_anew(vtn, "ven-1") == "200"
    (known,) = vtn.api("GET", "vens", "ven-1")["fingerprints"]
    assert datetime.fromisoformat(known["not_after"]) == end.not_valid_after_utc
    assert known["serial"] == describe(end).serial


@pytest_twisted.ensureDeferred
async def test_a_crl_that_changes_binds_connections_that_stand(vtn: Vtn) -> None:
    with vtn.config.open("a") as config:
        config.write('\n[revocation]\ncrl = ["certs/ca.crl"]\ncrl_failure = "soft"\n')
    await vtn.start()
    await running(vtn).says("ca.crl: CRL is missing")
    for name in ("ven-1", "ven-2"):
        vtn.api("POST", "vens", ven_id=name, certificates=[file(vtn, name)])
    with Connection(vtn, "ven-1") as bad, Connection(vtn, "ven-2") as good:
        assert (await asks(bad), await asks(good)) == ("200", "200")
        revoked = certificates.load_certificates(vtn.certs / "ven-1.crt")
        certificates.write_crl(vtn.certs, revoked, timedelta(days=1))
        await running(vtn).says(f"closed: cert revoked .*serial {serial(vtn, 'ven-1')}")  # nobody told it to look
        assert (await asks(bad), await asks(good)) == (CLOSED, "200")
        assert await asks_anew(vtn, "ven-1") == CLOSED
        await running(vtn).says(f"TLS handshake refused: cert revoked .*serial {serial(vtn, 'ven-1')}")
        (standing,) = vtn.api("GET", "status")["crls"]
        assert (standing["state"], standing["revoked"]) == ("good", 1)

        vtn.config.write_text(vtn.config.read_text().replace('"soft"', '"hard"'))
        certificates.write_crl(vtn.certs, (), timedelta(seconds=1))
        running(vtn).send(SIGHUP)
        await running(vtn).says("ca.crl: CRL is stale")
        assert (await asks(good), await asks_anew(vtn, "ven-2")) == ("200", CLOSED)


class Web(Resource):
    """A responder on the loopback; ``how`` makes what it answers of what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.how: Any = None
        self.status = 200
        self.asked = 0

    def render_POST(self, request: Any) -> Any:
        self.asked += 1
        request.setResponseCode(self.status)
        answer = self.how(request.content.read())
        return NOT_DONE_YET if answer is None else answer


@attrs.define
class Answering:
    web: Web
    url: str


@pytest.fixture
def web() -> Iterator[Answering]:
    found = Web()
    port: Any = _listening.listenTCP(0, Site(found), interface="127.0.0.1")
    yield Answering(found, f"http://127.0.0.1:{port.getHost().port}/ocsp")
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.ensureDeferred
async def test_a_responder_decides_who_is_heard(vtn: Vtn, web: Answering) -> None:
    settings = f'ocsp = "hard"\nocsp_responder = "{web.url}"\nocsp_timeout = "1s"\n'
    with vtn.config.open("a") as config:
        config.write(f'\n[revocation]\n{settings}\n[trusted_proxy]\naddress = "unix:{SOCKET}"\n')
    authority = Authority(Credential.load(vtn.certs / "ca.crt", vtn.certs / "ca.key"))
    responder = Responder(authority, lambda: datetime.now(UTC).replace(microsecond=0))
    web.web.how = responder.answer
    await vtn.start()
    cases: list[tuple[str, dict[str, Any]]] = [
        ("200", {}),
        (CLOSED, {"status": ocsp.OCSPCertStatus.REVOKED}),
        (CLOSED, {"status": ocsp.OCSPCertStatus.UNKNOWN}),
        (CLOSED, {"age": timedelta(hours=1)}),
        (CLOSED, {"signer": Authority.create("another CA").credential}),
        (CLOSED, {"nonce": b"another question"}),
    ]
    for number, (heard, changes) in enumerate(cases):
        name = f"ven-o{number}"
        credential = vtn.issue(name, listed=False)
        responder.knows(credential.certificate)
        vtn.api("POST", "vens", ven_id=name, certificates=[file(vtn, name)])
        before = {key: getattr(responder, key) for key in changes}
        for key, value in changes.items():
            setattr(responder, key, value)
        assert (heard, await asks_anew(vtn, name)) == (heard, heard), changes
        assert await asks_anew(vtn, name) == heard
        assert len(responder.asked) == 1, "what was said is kept"
        responder.asked.clear()
        vtn.issue(name := f"ven-p{number}", listed=False)
        responder.knows(*certificates.load_certificates(vtn.certs / f"{name}.crt"))
        by_proxy = [await asks_through_a_proxy(vtn, name) for _ in range(2)]
        assert by_proxy == [{"200": "400", CLOSED: "403"}[heard]] * 2, changes
        assert len(responder.asked) == 1
        responder.asked.clear()
        for key, value in before.items():
            setattr(responder, key, value)
    await running(vtn).says("TLS handshake refused: cert revoked")

    for name, how in (("ven-1", lambda asked: b"garbage"), ("ven-2", lambda asked: None)):
        web.web.how = how
        vtn.api("POST", "vens", ven_id=name, certificates=[file(vtn, name)])
        assert await asks_anew(vtn, name) == CLOSED
    await running(vtn).says("does not answer")
    vtn.config.write_text(vtn.config.read_text().replace('"hard"', '"soft"'))
    running(vtn).send(SIGHUP)
    await running(vtn).says("were read again")
    assert await asks_anew(vtn, "ven-2") == "200", "where it is soft, silence is no refusal"


@pytest_twisted.ensureDeferred
async def test_what_is_fetched_is_bounded_in_size_and_never_redirected(web: Answering) -> None:
    fetch = fetcher(reactor)
    web.web.how = lambda asked: asked * 2
    assert await fetch(web.url, "x/y", b"ab") == b"abab"
    web.web.how = lambda asked: b"x" * MOST_BYTES
    assert len(await fetch(web.url, "x/y", b"")) == MOST_BYTES
    web.web.how = lambda asked: b"x" * (MOST_BYTES + 1)
    with pytest.raises(FetchFailed):
        await fetch(web.url, "x/y", b"")
    web.web.how, asked = (lambda asked: b""), web.web.asked
    for status in (302, 307, 404, 500):
        web.web.status = status
        with pytest.raises(FetchFailed):
            await fetch(web.url, "x/y", b"")
    assert web.web.asked == asked + 4


@pytest_twisted.ensureDeferred
async def test_who_gives_up_a_fetch_ends_its_connection(web: Answering) -> None:
    ended: list[Any] = []
    going: Deferred[None] = Deferred()

    class Slow(Resource):
        isLeaf = True

        def render_POST(self, request: Any) -> int:
            request.notifyFinish().addErrback(ended.append)
            request.write(b"a little")
            going.callback(None)
            return NOT_DONE_YET

    port: Any = _listening.listenTCP(0, Site(Slow()), interface="127.0.0.1")
    try:
        fetching = fetcher(reactor)(f"http://127.0.0.1:{port.getHost().port}/", "x/y", b"")
        await going
        fetching.cancel()
        with pytest.raises((CancelledError, ResponseNeverReceived)):  # the head may be on its way, or here
            await fetching
        await until("the connection is closed", lambda: bool(ended))
    finally:
        await port.stopListening()
