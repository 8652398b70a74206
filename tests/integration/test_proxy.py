"""A VTN behind a proxy, over real sockets: the PROXY protocol before TLS, and certificates in a header."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from oadrvtn.model.config import Listen, TrustedProxy
from oadrvtn.vtn.traces import who
from oadrvtn.wire import decode, encode
from tests.handlers.house import code, create, poll
from tests.integration.house import PATIENCE, House, Peer, authority, credential, head, house_of_a_test

T = TypeVar("T")
PROXY = "127.0.0.2"
"""All of 127.0.0.0/8 is this machine: what comes from here comes from the proxy."""
SOCKET = "proxy.sock"
NO_ADDRESS = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"
FROM_192_0_2_8 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 8]), bytes(4), 5, 443)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from house_of_a_test(
        tmp_path,
        listen=Listen(host="127.0.0.1", port=0, proxies=(ip_network(PROXY),)),
        trusted_proxy=TrustedProxy(address=Path(SOCKET), address_header="X-Forwarded-For"),
    )


class Proxied(Peer):
    """A connection of the proxy, whose TLS has not begun."""

    def __init__(self, house: House) -> None:
        plain = socket.create_connection(("127.0.0.1", house.port), PATIENCE, (PROXY, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        context = ssl.create_default_context(cadata=authority().credential.chain_pem.decode())
        context.load_cert_chain(house.directory / "bad.crt", house.directory / "bad.key")
        self.socket = context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)


def proxied(house: House, function: Callable[[Peer], T], *header: bytes) -> Deferred[T]:
    def run() -> T:
        peer = Proxied(house)
        with peer.socket:
            for piece in header:
                os.write(peer.socket.fileno(), piece)  # not through TLS
            peer.socket.do_handshake()
            return function(peer)

    return deferToThread(run)


def peers(house: House) -> list[str]:
    """From where the messages of ``bad`` came, by its trace."""
    entry = house.service.vtn.roster.get("bad")
    assert entry
    return [message.peer for message in house.service.vtn.traces.since(who(entry.ven, b"")) if message.name]


# --- the PROXY protocol -------------------------------------------------------------------------------


@ensureDeferred
async def test_a_ven_behind_the_proxy_is_served_and_known_by_its_own_address(house: House) -> None:
    version_1 = b"PROXY TCP6 2001:db8::7 ::1 1025 443\r\n"
    for header in ([version_1], [bytes([byte]) for byte in version_1], [FROM_192_0_2_8], [NO_ADDRESS]):
        answer = await proxied(house, lambda peer: peer.post("EiRegisterParty", create()), *header)
        assert answer.code == "200"
    assert peers(house)[-8:] == ["2001:db8::7"] * 4 + ["192.0.2.8"] * 2 + [PROXY] * 2


@ensureDeferred
async def test_a_proxy_that_does_not_say_for_whom_it_speaks_is_cut_off(house: House) -> None:
    before = len(house.service.site.connections)
    for header in ((), (b"PROXY TCP4 192.0.2.7 there 1 2\r\n",), (b"GET / HTTP/1.1\r\n",)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await proxied(house, lambda peer: peer.post("OadrPoll", poll()), *header)
    assert len(house.service.site.connections) == before


@ensureDeferred
async def test_nobody_else_may_say_for_whom_he_speaks(house: House) -> None:
    def run() -> bytes:
        with socket.create_connection(("127.0.0.1", house.port), PATIENCE) as plain:
            plain.sendall(FROM_192_0_2_8)
            return plain.recv(1000)

    assert (await deferToThread(run))[:1] in (b"", b"\x15")  # a TLS alert, or not even that


# --- the certificate in a header ----------------------------------------------------------------------


def over_socket(house: House, *requests: bytes) -> Deferred[bytes]:
    """What a trusted proxy is answered to these requests, one after the other on a connection, until it is closed."""

    def run() -> bytes:
        answers = b""
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(PATIENCE)
            plain.connect(str(house.directory / "state" / SOCKET))
            for request in requests[:-1]:
                plain.sendall(request)
                answers += plain.recv(100_000)
            plain.sendall(requests[-1])
            while more := plain.recv(100_000):
                answers += more
        return answers

    return deferToThread(run)


def request(name: str | None, *headers: bytes, service: str = "EiRegisterParty", what: Any = None) -> bytes:
    body = encode(what or create())
    shown = (b"X-SSL-Client-Cert: " + quote(credential(name).chain_pem, safe="").encode(),) if name else ()
    return head(service, b"Content-Length: %d" % len(body), *shown, *headers) + body


@ensureDeferred
async def test_a_trusted_proxy_says_whose_each_request_is(house: House) -> None:
    last = b"Connection: close"
    answers = await over_socket(
        house,
        request("bad", b"X-Forwarded-For: 203.0.113.1, 192.0.2.9"),
        request("good", service="OadrPoll", what=poll("good")),
        request("good", last, service="OadrPoll", what=poll("bad")),
    )
    documents = [part[part.index(b"<oadr:") :] for part in answers.split(b"HTTP/1.1 200 OK")[1:]]
    registered, polled, refused = (decode(document).message for document in documents)
    assert (code(registered), registered.ven_id, polled.ven_id, code(refused)) == ("200", "bad", "good", "463")
    assert peers(house)[-2:] == ["192.0.2.9"] * 2


@ensureDeferred
async def test_a_certificate_that_our_authorities_do_not_vouch_for_is_nobodys(house: House) -> None:
    for name in ("foreigner", None):
        assert (await over_socket(house, request(name))).startswith(b"HTTP/1.1 403 ")


@ensureDeferred
async def test_the_header_of_anybody_else_changes_nothing(house: House) -> None:
    shown = b"X-SSL-Client-Cert: " + quote(credential("good").chain_pem, safe="").encode()
    answer = await house.post("OadrPoll", poll("good"), shown)
    assert answer.code == "463"
