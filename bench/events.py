"""An event for every VEN: CPU time to create it, and to hand it out with the next poll of each."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from oadrvtn.model.values import Duration
from oadrvtn.vtn import events
from oadrvtn.vtn.specs import EventSpec, SignalSpec

from .house import House, Track, result


def run(directory: Path, vens: int, track: Track[Any]) -> dict[str, Any]:
    """The figures; an AssertionError where a poll does not carry the event."""
    house = House(directory, vens, track)
    for certificate in track(house.certificates, "polling idly", vens):
        assert not house.events(house.poll(certificate))
    house.clock.advance(house.config.registration.poll_frequency)
    spec = EventSpec(
        market_context="http://example.com/bench",
        dtstart=house.vtn.now() + timedelta(hours=1),
        signals=(SignalSpec(intervals=((Duration("PT1H"), 1.0),)),),
    )
    started = time.process_time()
    event = result(house.vtn.write("create event", events.create, spec, "bench"))
    created = time.process_time()
    answers = [house.poll(certificate) for certificate in track(house.certificates, "polling the event", vens)]
    polled = time.process_time()
    assert all(house.events(answer) == [event.event_id] for answer in answers)
    house.close()
    return {
        "vens": vens,
        "create_cpu_seconds": round(created - started, 4),
        "polls_cpu_seconds": round(polled - created, 4),
        "poll_cpu_ms": round((polled - created) / vens * 1000, 4),
    }
