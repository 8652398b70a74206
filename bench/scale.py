"""A database of very many VENs beside one of few: the start, the memory, a poll, and an event for a group of them."""

from __future__ import annotations

import gc
import hashlib
import random
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from oadrvtn.console.client import ApiError, Client
from oadrvtn.model.event import EiTarget
from oadrvtn.model.values import Duration
from oadrvtn.security import certificates
from oadrvtn.storage import audience
from oadrvtn.storage.audience import GROUP, Group, Trait
from oadrvtn.storage.database import Txn
from oadrvtn.vtn import events
from oadrvtn.vtn.changes import NOTHING, Changes
from oadrvtn.vtn.specs import EventSpec, SignalSpec

from .house import House, Track, result
from .polls import resident
from .scenarios import Scenario
from .servers import Ours, Pki

_SCENARIO = Scenario(name="scale", title="scale", rate=0)
_GROUP = "group"


def _group(txn: Txn, vens: int, now: Any) -> tuple[None, Changes]:
    audience.put_group(txn, Group(_GROUP, _GROUP, now))
    audience.add_traits(txn, [f"ven-{n}" for n in range(vens)], [Trait(GROUP, _GROUP, "operator")])
    return None, NOTHING


def _start(directory: Path, pki: Pki) -> dict[str, float]:
    """A VTN as it is installed, started on a database that is full: the time until it answers, and what it takes."""
    directory.mkdir()
    server = Ours(directory, pki, _SCENARIO)
    try:
        server.kill()
        began = time.monotonic()
        server.launch()
        client = Client.of(server.config)
        while True:
            try:
                client.call("GET", "status")
                break
            except ApiError:
                time.sleep(0.02)
        return {
            "start_seconds": round(time.monotonic() - began, 2),
            "start_cpu": server.cpu(),
            "start_mb": round(server.resident() / 1e6, 1),
        }
    finally:
        server.stop()


def _order(house: House) -> list[bytes]:
    """The VENs in the order in which they poll, which is not that of their names."""
    shuffled = list(house.certificates)
    random.Random(0).shuffle(shuffled)
    return shuffled


def _polls(house: House, count: int) -> tuple[float, float]:
    """CPU seconds of so many polls, and of the rounds of duties meanwhile; each VEN polls once in each interval."""
    shuffled = _order(house)
    polls = duties = 0.0
    sent = 0
    while sent < count:
        started = time.process_time()
        for certificate in shuffled[: count - sent]:
            house.poll(certificate)
        polled = time.process_time()
        sent += min(count - sent, len(shuffled))
        house.clock.advance(house.config.registration.poll_frequency)
        result(house.duties.round())
        polls, duties = polls + polled - started, duties + time.process_time() - polled
    return polls, duties


def _event(house: House, members: int) -> dict[str, Any]:
    """An event for the group: CPU to create it, and of the poll of each member, while all poll in their order."""
    spec = EventSpec(
        market_context="http://example.com/bench",
        dtstart=house.vtn.now() + timedelta(hours=1),
        signals=(SignalSpec(intervals=((Duration("PT1H"), 1.0),)),),
        target=EiTarget(group_ids=(_GROUP,)),
    )
    started = time.process_time()
    event = result(house.vtn.write("create event", events.create, spec, "bench"))
    created = time.process_time()
    spent, some = 0.0, set(house.certificates[:members])
    for certificate in _order(house):
        begun = time.process_time()
        answer = house.poll(certificate)
        if certificate in some:
            spent += time.process_time() - begun
            assert house.events(answer) == [event.event_id]
    return {
        "event_create_cpu_seconds": round(created - started, 3),
        "event_poll_cpu_ms": round(spent / members * 1000, 4),
    }


def run(directory: Path, vens: int, few: int, group: int, track: Track[Any]) -> dict[str, Any]:
    """The figures; ``poll_ratio`` is to be at most 1.2."""
    figures: dict[str, Any] = {"vens": vens, "few": few, "group": min(group, vens)}
    certs = directory / "pki"
    certificates.init(certs)
    starts = []
    for count in track((few, vens), "starting", 2):
        found = {f"ven-{n}": hashlib.sha256(b"%d" % n).digest() for n in range(count)}
        starts.append(_start(directory / f"start-{count}", Pki(certs, False, list(found), found)))
    houses = []
    for count in (few, vens):
        (directory / f"house-{count}").mkdir()
        gc.collect()
        before = resident()
        house = House(directory / f"house-{count}", count, track)
        _polls(house, count)  # all are in the roster then
        gc.collect()
        houses.append((house, resident() - before))
    cpu, duties = [0.0, 0.0], [0.0, 0.0]
    for _ in track(range(3), "polling", 3):
        for number, (house, _) in enumerate(houses):
            polls, rounds = _polls(house, vens)
            cpu[number] += polls
            duties[number] += rounds
    for name in starts[0]:
        figures[f"{name}_few"], figures[name] = (start[name] for start in starts)
    figures["kb_per_ven"] = round(houses[1][1] / vens / 1e3, 2)
    figures["poll_cpu_ms_few"], figures["poll_cpu_ms"] = (round(one / (3 * vens) * 1000, 4) for one in cpu)
    figures["poll_ratio"] = round(cpu[1] / cpu[0], 3)
    # A round of few VENs is mostly what every round costs; one of many writes when each of them was heard.
    figures["duties_cpu_ms_few"] = round(duties[0] * few / (3 * vens) * 1000, 3)
    figures["duties_cpu_ms"] = round(duties[1] / 3 * 1000, 3)
    house = houses[1][0]
    result(house.vtn.write("group", _group, figures["group"]))
    figures |= _event(house, figures["group"])
    for house, _ in houses:
        house.close()
    return figures
