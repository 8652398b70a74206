"""The trace of a misbehaving VEN, as its operator asks a real VTN for it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from oadrvtn.model.schema import Message
from oadrvtn.security import fingerprint
from oadrvtn.wire import encode
from tests.handlers.house import create, made

from .process import SCRIPTS, Programs, Vtn, programs_of_a_test


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


async def post(vtn: Vtn, name: str, path: str, what: Message | bytes, method: str = "POST") -> int:
    """The HTTP status of what a VEN sends."""

    def run() -> int:
        context = ssl.create_default_context(cafile=str(vtn.certs / "ca.crt"))
        context.load_cert_chain(vtn.certs / f"{name}.crt", vtn.certs / f"{name}.key")
        with closing(HTTPSConnection("localhost", vtn.port, context=context, timeout=30)) as connection:
            connection.request(method, path, what if isinstance(what, bytes) else encode(what))
            with connection.getresponse() as response:
                response.read()
                return response.status

    return await deferToThread(run)


SIMPLE = "/OpenADR2/Simple/2.0b/"


@ensureDeferred
async def test_the_trace_of_a_misbehaving_ven_shows_the_fault_at_the_element(
    tmp_path: Path, programs: Programs
) -> None:
    vtn = Vtn.make(tmp_path, programs)
    vtn.issue("ven-1")
    stranger = vtn.issue("stranger", listed=False)
    await vtn.start()

    async def trace(*options: str) -> str:
        asked = await programs.run(SCRIPTS / "oadrvtn", "-c", vtn.config, "ven", "trace", *options, cwd=tmp_path)
        assert await asked.ended == 0, asked.output
        return asked.output

    assert await post(vtn, "ven-1", SIMPLE + "EiRegisterParty", create()) == 200
    wrong = encode(made("oadrCreatedEvent")).replace(b">optIn<", b">perhaps<")
    assert await post(vtn, "ven-1", SIMPLE + "EiEvent", wrong) == 200
    assert await post(vtn, "ven-1", SIMPLE + "EiEvent", b"<oadrPayload>") == 400
    assert await post(vtn, "ven-1", "/north" + SIMPLE + "EiEvent", wrong) == 404
    assert await post(vtn, "ven-1", SIMPLE + "EiEvent", b"", "GET") == 405
    assert await post(vtn, "ven-1", SIMPLE + "EiEvent", b" " * 300_000) == 413

    text = await trace("ven-1")
    place = "oadrCreatedEvent/eiCreatedEvent/eventResponses/eventResponse[1]/optType"
    assert f"    {place}: 'perhaps' is not one of optIn, optOut\n" in text
    assert "  <-  oadrCreatedEvent  454  " in text and "  ->  oadrResponse  454  " in text

    found: dict[str, Any] = json.loads(await trace("ven-1", "--json"))
    messages = found["messages"]
    codes = [(message["direction"], message["code"]) for message in messages]
    answered = [("in", "200"), ("out", "200"), ("in", "454"), ("out", "454"), ("in", "HTTP 400"), ("out", "HTTP 400")]
    assert codes == [*answered, ("in", "HTTP 404"), ("in", "HTTP 405"), ("in", "HTTP 413")]
    assert (messages[6]["service"], messages[6]["verdict"]) == ("/north" + SIMPLE + "EiEvent", "'POST': Not Found")
    assert "<ei:venID>" in messages[1]["document"]
    (registration_id,) = vtn.rows("SELECT registration_id FROM vens WHERE ven_id = 'ven-1'")[0]
    assert registration_id and not any(registration_id in message["document"] for message in messages)
    assert "(hidden)</ei:registrationID>" in messages[1]["document"]
    assert {message["peer"] for message in messages} == {"127.0.0.1"}

    assert await post(vtn, "stranger", SIMPLE + "EiRegisterParty", create()) == 200
    text = await trace("--fingerprint", fingerprint.show(fingerprint.short(stranger.fingerprint)))
    assert "  <-  oadrCreatePartyRegistration  463  " in text
