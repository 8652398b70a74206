"""A stop takes nothing away from those who wait for an answer."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from oadrvtn.compose import VtnService
from oadrvtn.model.config import Limits
from tests.handlers.house import poll
from tests.integration.house import House, head
from tests.integration.process import until


@pytest_twisted.ensureDeferred
async def test_a_message_in_work_gets_its_answer(tmp_path: Path) -> None:
    """The VTN stops while a rule is at work: the VEN still reads the answer, and only then is it down."""
    house = House(tmp_path, limits=Limits(request_timeout=20.0))
    await house.start()
    service: VtnService = house.service
    slow: Deferred[None] = Deferred()
    handle = service.vtn.poll
    service.vtn.poll = lambda *arguments: slow.addCallback(lambda _: handle(*arguments))  # type: ignore[method-assign]
    waiting = house.post("OadrPoll", poll("bad"))
    await until("the poll is in work", lambda: any(c.requests for c in service.site.connections))
    address = "127.0.0.1", house.port
    stopped = service.stopService()
    await deferLater(reactor, 5.5)  # handlers may take their time
    assert not stopped.called
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5)
    slow.callback(None)
    assert (await waiting).message.ven_id == "bad"
    await stopped
    for peer in house._peers:
        peer.socket.close()
    await until("no connection is left", lambda: not service.site.connections)


@pytest_twisted.ensureDeferred
async def test_who_never_ends_a_request_holds_nothing_up(tmp_path: Path) -> None:
    house = House(tmp_path, limits=Limits(request_timeout=20.0))
    await house.start()
    peer = await deferToThread(house._peer, "bad")
    peer.send(head("OadrPoll", b"Content-Length: 100"))
    await until("it has begun", lambda: any(c.requests for c in house.service.site.connections))
    began = reactor.seconds()
    await house.service.stopService()
    assert reactor.seconds() - began < 3
    for one in house._peers:
        one.socket.close()
    await until("no connection is left", lambda: not house.service.site.connections)
