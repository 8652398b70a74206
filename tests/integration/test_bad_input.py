"""What a VTN on the network is sent.  After each of these, a VEN that was connected before is still served."""

from __future__ import annotations

import resource
import socket
import ssl
import time
from contextlib import suppress
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs

from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.party import EiResponse, OadrQueryRegistration, OadrResponse
from oadrvtn.wire import encode
from tests.handlers.house import create, made, poll
from tests.integration.house import House, Peer, head, house

__all__ = ["house"]

SERVICES = {
    "EiRegisterParty": "oadrCancelPartyRegistration",
    "EiEvent": "oadrRequestEvent",
    "EiReport": "oadrCancelReport",
    "EiOpt": "oadrCreateOpt",
    "OadrPoll": "oadrPoll",
}
"""Each service with something that only a registered VEN may say there."""

GOOD = encode(poll())


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


# --- who is it? -------------------------------------------------------------------------------------


async def refused(house: House, who: str | None) -> list[Any]:
    """What is logged when this peer is refused in the handshake."""

    def function(peer: Peer) -> Any:
        return peer.post("OadrPoll", GOOD)

    with capturedLogs() as events, pytest.raises((ssl.SSLError, ConnectionError)):
        await house.talk(function, who)
    return [event for event in events if event["log_namespace"] == "oadrvtn.security.tls"]


@ensureDeferred
async def test_no_client_certificate_no_connection(house: House) -> None:
    (event,) = await refused(house, None)
    assert event["reason"] == "peer did not return a certificate"


@ensureDeferred
async def test_the_certificate_of_another_ca_is_refused_and_the_log_says_whose_it_was(house: House) -> None:
    (event,) = await refused(house, "foreigner")
    assert "CN=foreigner" in event["subject"]


@ensureDeferred
async def test_a_certificate_that_is_not_known_is_refused_on_every_service(house: House) -> None:
    for service, name in (*SERVICES.items(), ("EiRegisterParty", "oadrQueryRegistration")):
        answer = await house.post(service, made(name), who="stranger")
        assert (name, answer.code) == (name, "463")
    assert (await house.post("EiRegisterParty", create(), who="stranger")).code == "463"


@ensureDeferred
async def test_the_ven_id_of_another_ven_is_refused_on_every_service(house: House) -> None:
    for service, name in SERVICES.items():
        answer = await house.post(service, made(name, ven_id="good"))
        assert (name, answer.code) == (name, "463")


@ensureDeferred
async def test_a_ven_id_in_another_case_names_no_ven(house: House) -> None:
    for service, name in SERVICES.items():
        answer = await house.post(service, made(name, ven_id="BAD"))
        assert (name, answer.code) == (name, "452")


@ensureDeferred
async def test_an_empty_ven_id_is_served_by_the_certificate(house: House) -> None:
    assert (await house.post("OadrPoll", poll(""))).message.ven_id == "bad"


@ensureDeferred
async def test_a_ven_that_is_not_registered_is_refused_on_every_service(house: House) -> None:
    for service, name in SERVICES.items():
        answer = await house.post(service, made(name), who="new")
        assert (name, answer.code) == (name, "463")
    answer = await house.post("EiRegisterParty", OadrQueryRegistration(request_id="r"), who="new")
    assert answer.code == "200" and answer.message.requested_poll_freq


# --- what is it? ------------------------------------------------------------------------------------


@ensureDeferred
async def test_a_message_on_the_wrong_endpoint_is_refused(house: House) -> None:
    def function(peer: Peer) -> None:
        for service in SERVICES:
            for other, name in SERVICES.items():
                if other != service:
                    answer = peer.post(service, made(name))
                    assert (answer.message.name(), answer.code) == ("oadrResponse", "459")

    await house.talk(function)


@ensureDeferred
async def test_what_only_a_vtn_says_is_refused(house: House) -> None:
    def function(peer: Peer) -> None:
        for service in SERVICES:
            for name in (
                "oadrDistributeEvent",
                "oadrCreatedPartyRegistration",
                "oadrRequestReregistration",
                "oadrCreatedOpt",
                "oadrCanceledOpt",
            ):
                answer = peer.post(service, made(name))
                assert (name, answer.message.name(), answer.code) == (name, "oadrResponse", "459")

    await house.talk(function)


@ensureDeferred
async def test_an_oadr_response_gets_one_anywhere(house: House) -> None:
    response = OadrResponse(response=EiResponse(response_code="200", request_id=""))
    for service in SERVICES:
        answer = await house.post(service, response)
        assert (answer.message.name(), answer.code) == ("oadrResponse", "200")


@ensureDeferred
async def test_an_unknown_path_is_404(house: House) -> None:
    for path in ("/", "/OpenADR2/Simple/2.0b", "/OpenADR2/Simple/2.0b/EiQuote", "/OpenADR2/Simple/2.0b/EiEvent/x"):
        assert (await house.post(path, GOOD)).status == 404


@ensureDeferred
async def test_a_get_is_405(house: House) -> None:
    def function(peer: Peer) -> None:
        for method in (b"GET", b"PUT", b"DELETE", b"OPTIONS"):
            peer.send(head("EiEvent", method=method))
            answer = peer.answer()
            assert (answer.status, answer.headers["allow"]) == (405, "POST")

    await house.talk(function)


@ensureDeferred
async def test_the_content_type_does_not_matter(house: House) -> None:
    for header in (
        [],
        [b"Content-Type: text/plain"],
        [b"content-type: text/plain; charset=ISO-8859-1"],
        [b"Content-Type: application/x-www-form-urlencoded"],
        [b"Content-Type: multipart/form-data; boundary=x"],
        [b"Content-Type: application/xml; charset=utf-16"],
        [b"Content-Type: application/xml", b"Authorization: Basic "],
    ):
        assert (await house.post("OadrPoll", GOOD, *header)).message.ven_id == "bad"


UNREADABLE = [
    b"",
    b"Hello",
    b"{}",
    GOOD[: len(GOOD) // 2],
    GOOD[:-1],
    b"<!DOCTYPE oadrPayload>" + GOOD,
    b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (n + 1, b"&%c;" % n * 10) for n in range(97, 107))
    + b"]><x>&k;</x>",
    b'<?xml version="1.0" encoding="UTF-7"?>' + GOOD,
    GOOD.decode().encode("utf-16"),
    b'<?xml version="1.0" encoding="UTF-16"?>' + GOOD,
    b'<?xml version="1.0" encoding="ISO-8859-1"?>' + GOOD,
    GOOD.replace(b"oadrPoll", b"\xff\xfe"),
    b"<a>" * 20000,
    b"<a>" * 20000 + b"</a>" * 20000,
    b"\0" * 1000,
]


@ensureDeferred
async def test_what_is_no_xml_that_we_read_is_400(house: House) -> None:
    def function(peer: Peer) -> None:
        for body in UNREADABLE:
            answer = peer.post("OadrPoll", body)
            assert (body[:50], answer.status) == (body[:50], 400)
            assert b"root:" not in answer.body and len(answer.body) < 300

    await house.talk(function)


@ensureDeferred
async def test_a_known_message_that_breaks_the_schema_is_told_where(house: House) -> None:
    for service, name in SERVICES.items():
        data = encode(made(name, ven_id="bad")).replace(b"<ei:venID>", b"<ei:venID><ei:x></ei:x>")
        answer = await house.post(service, data)
        assert answer.code == "454"
        assert "venID" in answer.message.response.response_description


@ensureDeferred
async def test_xml_that_is_no_message_is_453(house: House) -> None:
    for body in (b"<a/>", GOOD.replace(b"oadrPoll", b"oadrPull")):
        assert (await house.post("OadrPoll", body)).code == "453"


@ensureDeferred
async def test_a_report_that_nobody_asked_for_is_452(house: House) -> None:
    answer = await house.post("EiReport", made("oadrUpdateReport", request_id="r1"))
    assert (answer.message.name(), answer.code) == ("oadrUpdatedReport", "452")
    assert answer.message.response.request_id == "r1"


@ensureDeferred
async def test_every_message_cut_anywhere_is_answered(house: House) -> None:
    def function(peer: Peer) -> None:
        for name in sorted(MESSAGES):
            data = encode(made(name))
            for part in range(1, 6):
                answer = peer.post("EiReport", data[: len(data) * part // 6])
                assert answer.status == 400

    await house.talk(function)


# --- how much is it, and how long does it take? -----------------------------------------------------


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def flood(peer: Peer, start: bytes, piece: bytes, size: int) -> tuple[int, int]:
    """Send ``size`` bytes, whatever is answered; how much went out, and the most that memory grew."""
    sent = grown = 0
    before = resident()
    peer.send(start)
    try:
        while sent < size:
            peer.send(piece)
            sent += len(piece)
            grown = max(grown, resident() - before)
    except (ssl.SSLError, ConnectionError):
        pass  # cut off, which is as well
    return sent, grown


@pytest.mark.parametrize("chunked", [False, True])
@ensureDeferred
async def test_ten_megabytes_from_an_unknown_certificate_are_413_and_take_no_memory(
    house: House, chunked: bool
) -> None:
    size, piece = 10 << 20, b"x" * 0x10000
    start = head("EiReport", b"Content-Length: %d" % size)
    if chunked:
        start, piece = head("EiReport", b"Transfer-Encoding: chunked"), b"%x\r\n%s\r\n" % (len(piece), piece)

    def function(peer: Peer) -> Any:
        peer.send(start, piece)
        return peer.answer().status

    assert await house.talk(function, "stranger") == 413
    sent, grown = await house.talk(lambda peer: flood(peer, start, piece, size), "stranger")
    assert grown < 4 << 20, f"{grown} bytes more for {sent} sent"


@ensureDeferred
async def test_each_service_has_its_limit(house: House) -> None:
    limits = house.service.config.limits.body
    for service in SERVICES:
        limit = getattr(limits, service)
        padded = GOOD + b" " * (limit - len(GOOD))
        assert (await house.post(service, padded)).status == 200
        if service == "EiReport":
            start, body = head(service, b"Content-Length: %d" % (limit + 1)), b""
        else:
            start, body = head(service, b"Transfer-Encoding: chunked"), chunks(padded, b" ")

        def function(peer: Peer, data: bytes = start + body) -> Any:
            peer.send(data)
            return peer.answer(), peer.closed()

        answer, closed = await house.talk(function)
        assert (answer.status, closed) == (413, True)


@ensureDeferred
async def test_a_chunked_body_within_the_limit_is_served(house: House) -> None:
    def function(peer: Peer) -> Any:
        peer.send(head("OadrPoll", b"Transfer-Encoding: chunked"))
        for chunk in (GOOD[:1], GOOD[1:50], GOOD[50:]):
            peer.send(b"%x\r\n" % len(chunk), chunk, b"\r\n")
        peer.send(b"0\r\n\r\n")
        return peer.answer().message.ven_id

    assert await house.talk(function) == "bad"


@ensureDeferred
async def test_a_body_that_is_slow_runs_out_of_time_and_so_do_slow_headers(house: House) -> None:
    def drip(peer: Peer, start: bytes) -> int:
        peer.send(start)
        peer.socket.settimeout(0.2)
        for _ in range(100):
            peer.send(b"a")
            try:
                return peer.answer().status
            except TimeoutError:
                continue
        return 0

    starts = (head("OadrPoll", b"Content-Length: 1000"), b"POST / HTTP/1.1\r\nA: ")
    drips = [house.talk(partial(drip, start=start)) for start in starts]
    assert await gatherResults(drips) == [408, 408]


@ensureDeferred
async def test_who_says_nothing_at_all_is_closed(house: House) -> None:
    def silence() -> float:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", house.port), 20) as plain, suppress(ConnectionError):
            assert plain.recv(100) == b""
        return time.monotonic() - began

    assert 1.5 < await deferToThread(silence) < 10


@ensureDeferred
async def test_plain_http_is_no_tls(house: House) -> None:
    def talk_plainly() -> bytes:
        with socket.create_connection(("127.0.0.1", house.port), 20) as plain:
            plain.sendall(head("OadrPoll", b"Content-Length: %d" % len(GOOD)) + GOOD)
            try:
                return plain.recv(1000)
            except ConnectionError:
                return b""

    assert b"HTTP" not in await deferToThread(talk_plainly)


@ensureDeferred
async def test_who_leaves_in_the_middle_leaves_nothing_behind(house: House) -> None:
    whole = head("EiReport", b"Content-Length: %d" % len(GOOD)) + GOOD
    for end in (1, len(whole) // 2, len(whole) - 1, len(whole)):
        await house.talk(methodcaller("send", whole[:end]))


@ensureDeferred
async def test_what_is_no_http_is_400(house: House) -> None:
    for data in (b"\0\1\2\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n", head("OadrPoll", b"Content-Length: -1"), b"x" * 20000):

        def function(peer: Peer, data: bytes = data) -> Any:
            peer.send(data)
            return peer.answer().status, peer.closed()

        assert await house.talk(function) == (400, True)
