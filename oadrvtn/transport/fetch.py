"""Fetches what is asked of others over plain HTTP: bounded in size, never redirected, on a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http import PotentialDataLoss

MOST_BYTES = 64 * 1024
"""So large an answer may be."""


class FetchFailed(Exception):
    """Nothing that can be used came; the text says why."""


class _Body(Protocol):
    """A body as it comes; ``whole`` fires with it, and ends the connection where it is cancelled."""

    transport: Any

    def __init__(self) -> None:
        self._received = b""
        self.whole: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())

    def dataReceived(self, data: bytes) -> None:
        """A piece."""
        self._received += data
        if len(self._received) > MOST_BYTES and not self.whole.called:
            self.transport.loseConnection()
            self.whole.errback(FetchFailed(f"the answer is larger than {MOST_BYTES} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, which a body without a length has here, too."""
        if not self.whole.called:
            good = reason.check(ResponseDone, PotentialDataLoss)
            self.whole.callback(self._received) if good else self.whole.errback(reason)


def fetcher(reactor: Any) -> Callable[[str, str, bytes], Deferred[bytes]]:
    """What posts to a URL, of a content type, a body, and brings back the answer; who gives up cancels it."""
    client: Any = HTTPClient(Agent(reactor))

    async def fetch(url: str, kind: str, body: bytes) -> bytes:
        headers = {"Content-Type": kind}
        response = await client.post(url, data=body, headers=headers, allow_redirects=False, unbuffered=True)
        came = _Body()
        response.deliverBody(came)
        received = await came.whole
        if response.code != 200:
            raise FetchFailed(f"HTTP status {response.code}")
        return received

    return lambda url, kind, body: Deferred.fromCoroutine(fetch(url, kind, body))
