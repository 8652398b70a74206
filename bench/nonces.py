"""Signed messages while the VTN remembers the nonces of many others: CPU time against that of one that remembers none.

An oadrPoll leaves its nonce in memory, an oadrRequestEvent in the database; both are filled before.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from oadrvtn.handlers.chain import Chain
from oadrvtn.handlers.event import EiEvent
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.handlers.poll import OadrPoll
from oadrvtn.model import event, party
from oadrvtn.model.config import Security
from oadrvtn.security.certificates import Authority
from oadrvtn.security.signature import Signer
from oadrvtn.storage.database import Txn
from oadrvtn.vtn import replay
from oadrvtn.vtn.changes import NOTHING, Changes
from oadrvtn.wire import encode

from .house import House, Track, register, result

_SIGNERS = 10
_ROUNDS = 9
_LIVE = timedelta(seconds=30)
"""So far ahead of the clock the nonces are: within the window, and for longer than it takes."""


def _fill(txn: Txn, count: int, now: datetime) -> tuple[None, Changes]:
    for number in range(count):
        replay.use(txn, b"%032d" % (number % 1000), now, f"live-{number}", now)
    return None, NOTHING


@attrs.define
class Side:
    """A VTN that remembers so many nonces in memory, and as many in the database."""

    house: House
    signers: list[Signer]
    spent: dict[str, float] = attrs.field(factory=dict)

    @classmethod
    def make(cls, directory: Path, signers: list[Signer], live: int, track: Track[Any]) -> Side:
        """One on a database of its own."""
        directory.mkdir()
        house = House(directory, 0, track)
        house.clock.advance(datetime.now(UTC).timestamp() - house.clock.seconds() + 60)  # the certificates are of today
        result(house.vtn.reconfigure(attrs.evolve(house.config, security=Security(signatures="require"))))
        ours = {f"signer-{number}": signer.fingerprint for number, signer in enumerate(signers)}
        result(house.vtn.write("fill", register, ours, house.config.registration.poll_frequency))
        then = house.vtn.now() + _LIVE
        result(house.vtn.database.run("fill", _fill, live, then))
        for number in range(live):
            house.vtn.polls.use(f"ven-{number % 1000}", then, f"live-{number}", house.vtn.now())
        return cls(house, signers)

    def measure(self, count: int) -> dict[str, float]:
        """CPU seconds of so many messages of each kind, each signed before."""
        chain, vtn = Chain(self.house.vtn), self.house.vtn
        spent = {}
        for name, resource, make in (
            ("poll", OadrPoll(vtn, chain, "closed"), party.OadrPoll),
            ("request", EiEvent(vtn, chain, "closed"), partial(event.OadrRequestEvent, request_id="q")),
        ):
            exchanges = []
            for number in range(count):
                signer = self.signers[number % len(self.signers)]
                document = signer.sign(encode(make(ven_id=f"signer-{number % len(self.signers)}")), vtn.now())
                exchanges.append(Exchange(resource, document, signer.fingerprint, "", str))
            started = time.process_time()
            for exchange in exchanges:
                result(resource.handle(exchange))
            spent[name] = time.process_time() - started
            if not all(b"responseCode>200<" in exchange.answer for exchange in exchanges):
                raise RuntimeError(f"a signed {name} was refused: {exchanges[-1].answer!r}")
        return spent


def run(directory: Path, live: int, count: int, track: Track[Any]) -> dict[str, Any]:
    """The figures: the two take turns."""
    authority = Authority.create()
    signers = [Signer(authority.issue_client(f"signer-{number}")) for number in range(_SIGNERS)]
    none, many = (Side.make(directory / f"{n}", signers, n, track) for n in (0, live))
    ratios: dict[str, list[float]] = {"poll": [], "request": []}
    milliseconds: dict[str, list[float]] = {"poll": [], "request": []}
    for number in track(range(_ROUNDS + 1), "signed messages", _ROUNDS + 1):
        few, lot = none.measure(count), many.measure(count)
        if number:  # the first is to warm up
            for name in ratios:
                ratios[name].append(lot[name] / few[name])
                milliseconds[name].append(lot[name] / count * 1000)
    for side in (none, many):
        side.house.close()
    return {
        "live_nonces": live,
        "messages": count * _ROUNDS,
        **{f"{name}_ms": round(statistics.median(milliseconds[name]), 4) for name in ratios},
        **{f"{name}_to_none": round(statistics.median(ratios[name]), 3) for name in ratios},
    }
