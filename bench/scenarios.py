"""What is compared: each scenario is one message that VENs send again and again, and what it is to cost."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Scenario:
    """One message, and how it is sent.

    ``answer`` is the element that must answer it; ``intervals`` are those of a report, a reading each.  ``fresh``: a
    connection for each message.  ``goal`` and ``stretch`` are ratios, the peer's CPU time to ours; ``to_floor`` is
    ours to the floor's, at most.  ``rate``: messages a second for the latencies.  ``vens``: how many of the VENs
    take turns, at most.
    """

    name: str
    title: str
    answer: str = "oadrResponse"
    intervals: int = 0
    fresh: bool = False
    signed: bool = False
    rsa: bool = False
    goal: float | None = None
    stretch: float | None = None
    to_floor: float | None = None
    rate: float
    vens: int = 100_000

    @property
    def event(self) -> bool:
        """Whether an event is to answer every message: then a VEN has one message in each round."""
        return self.answer == "oadrDistributeEvent"


_EVENT: dict[str, Any] = {"answer": "oadrDistributeEvent"}
_REPORT: dict[str, Any] = {"answer": "oadrUpdatedReport", "vens": 50}

SCENARIOS = {
    one.name: one
    for one in (
        Scenario(name="poll", title="poll, kept connection", goal=1.8, stretch=2.5, rate=400),
        Scenario(name="poll-fresh", title="poll, fresh connection", fresh=True, goal=1.6, stretch=2.2, rate=60),
        Scenario(name="event", title="poll answered with an event", goal=3, stretch=5, rate=100, **_EVENT),
        Scenario(
            name="report-100", title="report of 100 intervals", intervals=100, goal=5, stretch=7, rate=8, **_REPORT
        ),
        Scenario(name="report-1000", title="report of 1,000 intervals", intervals=1000, rate=0.8, **_REPORT),
        Scenario(
            name="poll-signed",
            title="signed poll (EC), kept connection",
            signed=True,
            goal=4.5,
            stretch=6,
            to_floor=2.5,
            rate=60,
        ),
        Scenario(
            name="poll-signed-fresh",
            title="signed poll (EC), fresh connection",
            signed=True,
            fresh=True,
            goal=2.3,
            stretch=3.5,
            rate=40,
        ),
        Scenario(name="poll-signed-rsa", title="signed poll (RSA)", signed=True, rsa=True, rate=4, vens=250),
        Scenario(
            name="event-signed",
            title="poll answered with an event, signed",
            signed=True,
            goal=4,
            stretch=6,
            rate=40,
            **_EVENT,
        ),
        Scenario(
            name="report-100-signed",
            title="report of 100 intervals, signed",
            intervals=100,
            signed=True,
            goal=5,
            stretch=7,
            rate=6,
            **_REPORT,
        ),
        Scenario(
            name="report-1000-signed",
            title="report of 1,000 intervals, signed",
            intervals=1000,
            signed=True,
            goal=5,
            stretch=7,
            rate=0.6,
            **_REPORT,
        ),
    )
}
