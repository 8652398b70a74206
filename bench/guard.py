"""Whether a message costs more than it did: CPU times beside a loop that is always the same, against kept figures.

All in one process, in turns, and of each the least: what else the machine does makes both dearer.  The figures are in
``bench/guard.json``; one that is more than 30 % above its kept one is measured again, and then ends this with an error.
``--keep`` writes those of this run: to be committed only with the reason why they changed.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lxml import etree
from twisted.internet.testing import StringTransport

from oadrvtn.model.values import Duration
from oadrvtn.transport.http import PATH, VenSite, tree
from oadrvtn.transport.overload import Overload
from oadrvtn.vtn import events
from oadrvtn.vtn.specs import EventSpec, SignalSpec
from oadrvtn.wire import decode

from .house import POLL, House, Track, result
from .load import report

KEPT = Path(__file__).with_suffix(".json")
MOST = 1.3
"""What is dearer by more than this is a loss."""
_VENS = 100
_TURNS = 20
_TRIES = 4

Work = Callable[[], int]
"""Does something some times; how often."""


def _reference() -> int:
    """What a message is made of, in a fixed amount: text, dictionaries, calls, XML, a digest."""
    for number in range(60):
        fields = {f"name-{n}": str(n * number) for n in range(60)}
        text = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        root = etree.fromstring(f"<root>{text}</root>")
        found = {child.tag: child.text for child in root}
        hashlib.sha256(etree.tostring(root, method="c14n")).digest()
        assert found == fields
    return 60


def _requests(house: House) -> Work:
    """Polls that find nothing, as they come on kept connections."""
    config, clock = house.config, house.clock
    site = VenSite(
        tree("", {"OadrPoll": house.service}),
        config.limits,
        house.vtn.identify,
        house.vtn.turned_away,
        house.vtn.limited,
        Overload(config.limits, house.database.behind, clock),
        clock,
    )
    request = b"POST /%b/OadrPoll HTTP/1.1\r\nHost: vtn\r\nContent-Length: %d\r\n\r\n%b" % (
        PATH.encode(), len(POLL), POLL,
    )  # fmt: skip
    channels = []
    for certificate in house.certificates:
        channel = site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        channel.certificate, channel.met = certificate, True
        channels.append(channel)

    def work() -> int:
        for _ in range(4):
            clock.advance(config.registration.poll_frequency)
            for channel in channels:
                channel.dataReceived(request)
                answer = channel.transport.value()
                assert answer.startswith(b"HTTP/1.1 200") and b"oadrResponse" in answer, answer
                channel.transport.clear()
        return 4 * len(channels)

    return work


def _read(house: House) -> Work:
    """Polls that have not come before, from their bytes to their answers."""

    def work() -> int:
        for turn in range(2):
            house.clock.advance(house.config.registration.poll_frequency)
            for certificate in house.certificates:
                assert b"oadrResponse" in house.poll(certificate, POLL + b"\n" * (turn % 2))
        return 2 * len(house.certificates)

    return work


def _events(house: House) -> Work:
    """Polls that bring an event, which is news for every VEN."""
    spec = EventSpec(
        market_context="http://example.com/bench",
        dtstart=house.vtn.now(),
        signals=(SignalSpec(intervals=((Duration("P9D"), 1.0),)),),
    )
    made = result(house.vtn.write("create event", events.create, spec, "bench"))

    def work() -> int:
        for priority in (1, 2):
            house.clock.advance(house.config.registration.poll_frequency)
            result(house.vtn.write("modify", events.modify, made.event_id, {"priority": priority}, None))
            for certificate in house.certificates:
                assert house.poll(certificate).count(b"oadrEvent>") == 2
        return 2 * len(house.certificates)

    return work


def _reports(house: House) -> Work:
    """Reports of 100 intervals, read."""
    body = report("ven-0", "request", 100)

    def work() -> int:
        for _ in range(5):
            assert len(decode(body, allowed=()).message.reports[0].intervals) == 100
        return 5

    return work


WORKS: dict[str, Callable[[House], Work]] = {
    "poll, kept connection": _requests,
    "poll, read": _read,
    "poll answered with an event": _events,
    "report of 100 intervals, read": _reports,
}


def _cost(work: Work) -> float:
    """CPU seconds of one, without what the garbage of others costs."""
    gc.collect(0)
    gc.disable()
    started = time.process_time()
    count = work()
    spent = time.process_time() - started
    gc.enable()
    return spent / count


def run(directory: Path, track: Track[Any]) -> dict[str, float]:
    """What each costs, in costs of the reference: the least of several turns, more where it seems dear."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    found: dict[str, float] = {}
    for name, make in track(WORKS.items(), "measuring", len(WORKS)):
        place = directory / str(len(found))
        place.mkdir()
        house = House(place, _VENS, track)
        work = make(house)
        for warm in (work, _reference):
            warm()
        costs: list[float] = []
        loops: list[float] = []
        for turn in range(_TURNS * _TRIES):
            loops.append(_cost(_reference))
            costs.append(_cost(work))
            found[name] = round(min(costs) / min(loops), 4)
            if turn >= _TURNS - 1 and found[name] <= kept.get(name, found[name]) * MOST:
                break
        house.close()
    return found


def lost(found: dict[str, float], kept: dict[str, float]) -> list[str]:
    """What is dearer than it may be, and what has no figure to hold it against."""
    return [
        f"{name}: {cost:g} times the reference" + (f", {kept[name]:g} is kept" if name in kept else ", nothing is kept")
        for name, cost in found.items()
        if cost > kept.get(name, 0) * MOST
    ]
