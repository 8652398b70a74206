"""What a hostile network does to connections.  After each of these, a VEN that was connected before is still served."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from pytest_twisted import ensureDeferred
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from oadrvtn.machine import allow_files
from oadrvtn.model.config import Limits
from oadrvtn.model.party import OadrQueryRegistration
from oadrvtn.wire import decode, encode
from tests.handlers.house import poll
from tests.integration.house import PATIENCE, House, Peer, authority, head, house, house_of_a_test
from tests.integration.process import until

__all__ = ["house"]

BODY = encode(poll())
REQUEST = head("OadrPoll", b"Content-Length: %d" % len(BODY)) + BODY


def plain(house: House) -> socket.socket:
    """A connection without TLS."""
    return socket.create_connection(("127.0.0.1", house.port), PATIENCE)


def context(house: House, **settings: Any) -> ssl.SSLContext:
    """That of a VEN, with some things otherwise."""
    made = ssl.create_default_context(cadata=authority().credential.chain_pem.decode())
    made.load_cert_chain(house.directory / "bad.crt", house.directory / "bad.key")
    if ciphers := settings.pop("ciphers", None):
        made.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def hello(house: House) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """TLS without a socket: what it wants to send is in the second of the two."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context(house).wrap_bio(incoming, outgoing, server_hostname="localhost"), incoming, outgoing


def reset(connection: socket.socket) -> None:
    """Close without a goodbye: the other side gets RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# --- TCP ----------------------------------------------------------------------------------------------


@ensureDeferred
async def test_who_begins_a_handshake_and_stays_away_is_cut_off(house: House) -> None:
    def half_open(sent: int) -> bytes:
        tls, _, outgoing = hello(house)
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        with plain(house) as connection:
            connection.sendall(outgoing.read()[:sent])
            with suppress(ConnectionError):
                while connection.recv(10_000):
                    pass  # the server's part of the handshake, then the end
        return b"closed"

    stays_away = [deferToThread(half_open, sent) for sent in (0, 1, 5, 100, 10_000) for _ in range(5)]
    assert await gatherResults(stays_away) == [b"closed"] * 25
    assert house.service.vtn.limited["handshake_timeout"] == 25


@ensureDeferred
async def test_who_stops_to_send_in_the_middle_of_a_request_is_closed(house: House) -> None:
    def half_closed(peer: Peer, sent: bytes) -> bool:
        peer.send(sent)
        socket.socket.shutdown(peer.socket, socket.SHUT_WR)
        return peer.closed()

    for end in (1, len(REQUEST) // 2, len(REQUEST) - 1):
        assert await house.talk(partial(half_closed, sent=REQUEST[:end]))


@pytest.mark.parametrize("end", [0, 1, len(REQUEST) // 2, len(REQUEST) - 1, len(REQUEST)])
@ensureDeferred
async def test_a_reset_anywhere_leaves_nothing_behind(house: House, end: int) -> None:
    def cut(peer: Peer) -> None:
        peer.send(REQUEST[:end])
        reset(peer.socket)

    def cut_the_handshake() -> None:
        tls, _, outgoing = hello(house)
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        connection = plain(house)
        connection.sendall(outgoing.read()[:end])
        reset(connection)

    for _ in range(10):
        await house.talk(cut)
        await deferToThread(cut_the_handshake)


@ensureDeferred
async def test_a_request_that_comes_byte_by_byte_is_served_also_where_tls_is_cut_so(house: House) -> None:
    def bytes_of_http(peer: Peer) -> Any:
        peer.send(*(REQUEST[place : place + 1] for place in range(len(REQUEST))))
        return peer.answer().message.ven_id

    def bytes_of_tls() -> Any:
        tls, incoming, outgoing = hello(house)
        with plain(house) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def until_done(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        drip()
                        incoming.write(connection.recv(10_000))
                    finally:
                        drip()

            def drip() -> None:
                for byte in outgoing.read():
                    connection.sendall(bytes([byte]))

            until_done(tls.do_handshake)
            tls.write(REQUEST)
            answer = until_done(lambda: tls.read(10_000))
        return decode(answer.partition(b"\r\n\r\n")[2]).message.ven_id

    assert await house.talk(bytes_of_http) == "bad"
    assert await deferToThread(bytes_of_tls) == "bad"


# --- HTTP ---------------------------------------------------------------------------------------------


@ensureDeferred
async def test_requests_in_one_piece_are_answered_in_their_order(house: House) -> None:
    """Some of them are answered from memory, some by the database; each waits for those before it."""
    asked = [encode(OadrQueryRegistration(request_id=f"r{number}")) for number in range(10)]
    queries = [head("EiRegisterParty", b"Content-Length: %d" % len(body)) + body for body in asked]

    def pipeline(peer: Peer) -> list[str]:
        peer.send(b"".join(query + REQUEST for query in queries))
        found = []
        with peer.socket.makefile("rb") as reader:
            for _ in range(2 * len(queries)):
                assert b" 200 " in reader.readline()
                fields = dict(line.lower().split(b": ", 1) for line in iter(reader.readline, b"\r\n"))
                message: Any = decode(reader.read(int(fields[b"content-length"]))).message
                response = getattr(message, "response", None)
                found.append((response and response.request_id) or message.name())
        return found

    answers = await house.talk(pipeline)
    assert answers[0::2] == [f"r{number}" for number in range(10)]
    assert set(answers[1::2]) <= {"oadrResponse", "oadrRegisterReport"}


# --- TLS ----------------------------------------------------------------------------------------------


WEAK: dict[str, dict[str, Any]] = {
    "TLS 1.0": {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1, "ciphers": "ALL"},
    "TLS 1.1": {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1, "ciphers": "ALL"},
    "CBC with SHA-1": {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-SHA:AES128-SHA"},
    "finite-field DH": {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "DHE"},
    "no encryption": {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "eNULL"},
    "nobody's certificate": {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "aNULL"},
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("weakness", WEAK)
@ensureDeferred
async def test_what_is_weak_is_refused_in_the_handshake(house: House, weakness: str) -> None:
    refused = sum(house.service.tls.refused.values())

    def connect() -> None:
        with plain(house) as connection, pytest.raises((ssl.SSLError, ConnectionError)):
            context(house, **WEAK[weakness]).wrap_socket(connection, server_hostname="localhost")

    await deferToThread(connect)
    await until("it is counted", lambda: sum(house.service.tls.refused.values()) == refused + 1)


def openssl(house: House, maximum: int, mode: int = 0) -> SSL.Connection:
    """A VEN that can do what Python's own TLS does not."""
    made = SSL.Context(SSL.TLS_CLIENT_METHOD)
    made.set_max_proto_version(maximum)
    made.use_certificate_chain_file(str(house.directory / "bad.crt").encode())
    made.use_privatekey_file(str(house.directory / "bad.key").encode())
    if mode:
        made.set_mode(mode)
    connection = plain(house)
    connection.settimeout(None)
    tls = SSL.Connection(made, connection)
    tls.set_connect_state()
    return tls


@ensureDeferred
async def test_a_renegotiation_is_refused(house: House) -> None:
    def renegotiate() -> None:
        tls = openssl(house, SSL.TLS1_2_VERSION)
        try:
            tls.do_handshake()
            tls.renegotiate()
            with pytest.raises(SSL.Error):
                tls.do_handshake()
                tls.sendall(REQUEST)
                tls.recv(1000)
        finally:
            assert tls._socket
            reset(tls._socket)

    await deferToThread(renegotiate)


@ensureDeferred
async def test_a_downgrade_by_somebody_in_between_is_seen(house: House) -> None:
    """A client that falls back says so (RFC 7507); a server that could do better ends the handshake then."""

    def fall_back() -> None:
        tls = openssl(house, SSL.TLS1_2_VERSION, mode=0x80)
        try:
            with pytest.raises(SSL.Error, match="inappropriate fallback"):
                tls.do_handshake()
        finally:
            assert tls._socket
            tls._socket.close()

    await deferToThread(fall_back)


# --- many ---------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Iterator[House]:
    """One that has room for a crowd and lets it stand."""
    limits = Limits(request_timeout=60.0, handshake_timeout=60.0, connections_per_address=5000)
    yield from house_of_a_test(tmp_path, limits=limits)


@ensureDeferred
async def test_who_is_there_is_served_beside_two_thousand_who_do_nothing(large: House) -> None:
    """``python -m bench hostile`` measures it, with those in other processes."""
    crowd = min(2000, (allow_files(5000) - 500) // 2)
    vens = [await deferToThread(large._peer, "bad") for _ in range(50)]
    shown = context(large)
    with ExitStack() as stack:

        def come() -> None:
            for number in range(crowd):
                connection = stack.enter_context(plain(large))
                if number % 2:
                    stack.enter_context(shown.wrap_socket(connection, server_hostname="localhost"))

        await deferToThread(come)
        assert len(large.service.site.connections) > crowd
        answers = await gatherResults([deferToThread(ven.post, "OadrPoll", BODY) for ven in vens])
        assert [answer.status for answer in answers] == [200] * 50
        for ven in vens:
            ven.socket.close()
