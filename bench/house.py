"""A VTN on a database on disk, without sockets, and as many registered VENs as a scenario wants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from oadrvtn.handlers.chain import Chain
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.handlers.poll import OadrPoll
from oadrvtn.model import party
from oadrvtn.model.config import Config
from oadrvtn.storage import vens
from oadrvtn.storage.database import Database, Txn
from oadrvtn.vtn.changes import NOTHING, Changes
from oadrvtn.vtn.duties import Duties
from oadrvtn.vtn.vtn import Vtn
from oadrvtn.wire import decode, encode

T = TypeVar("T")

Track = Callable[[Iterable[T], str, int], Iterator[T]]
"""Gives the items on and shows how far it is: items, what is done, how many there are."""

_AT_ONCE = 1000
POLL = encode(party.OadrPoll(ven_id=""))


def result(deferred: Deferred[Any]) -> Any:
    """What a Deferred that has fired holds; its failure is raised."""
    got: list[Any] = []
    failed: list[Any] = []
    deferred.addCallbacks(got.append, failed.append)
    if failed:
        failed[0].raiseException()
    return got[0]


def register(txn: Txn, certificates: Mapping[str, bytes], poll_frequency: float, now: datetime) -> tuple[None, Changes]:
    """Have VENs as a registration leaves them, once the VTN's oadrRegisterReport was answered."""
    as_registered = {
        "source": "operator", "poll_frequency": poll_frequency, "created_at": now, "registered_at": now, "epoch": 1,
        "online": True, "last_seen": now,
    }  # fmt: skip
    rows = [{"ven_id": ven_id, "name": ven_id, "registration_id": ven_id, **as_registered} for ven_id in certificates]
    vens.add_many(txn, rows, certificates.items(), now)
    return None, NOTHING


class House:
    """Everything runs inline, so CPU time is that of one core; the clock goes where the scenario turns it."""

    def __init__(self, directory: Path, count: int, track: Track[Any]) -> None:
        self.clock = Clock()
        self.clock.advance(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp())
        self.config = Config()
        self.database = Database(directory / "vtn.sqlite")
        self.database.start()
        self.vtn = Vtn(self.config, self.database, self.clock)
        self.duties = Duties(self.vtn, self.clock)
        self.service = OadrPoll(self.vtn, Chain(self.vtn), "closed")
        result(self.vtn.start())
        self.certificates = [hashlib.sha256(b"%d" % number).digest() for number in range(count)]
        for first in track(range(0, count, _AT_ONCE), "registering", -(-count // _AT_ONCE)):
            some = {f"ven-{n}": self.certificates[n] for n in range(first, min(first + _AT_ONCE, count))}
            result(self.vtn.write("fill", register, some, self.config.registration.poll_frequency))

    def poll(self, certificate: bytes, body: bytes = POLL) -> bytes:
        """The bytes that answer a VEN's poll."""
        exchange = result(self.service.handle(Exchange(self.service, body, certificate, "", str)))
        exchange.written()
        answer: bytes = exchange.answer
        return answer

    def events(self, answer: bytes) -> list[str]:
        """The eventIDs in the answer to a poll."""
        message: Any = decode(answer, allowed=()).message
        return [one.event.descriptor.event_id for one in getattr(message, "events", ())]

    def close(self) -> None:
        """Put the database away."""
        self.database.stop()
