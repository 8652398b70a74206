"""What a simulated site does with its power: a load over the day, and how events bend it.  No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import attrs

from ..model.event import EiEvent, EiEventSignal, PayloadFloat, PowerReal
from ..model.values import Duration

FOREVER = datetime.max.replace(tzinfo=UTC)
"""The end of what has no end."""


def after(moment: datetime, length: Duration | None) -> datetime:
    """``moment`` plus a duration; FOREVER beyond the calendar, ``moment`` itself for a negative or no duration."""
    try:
        return max(moment, length.after(moment)) if length else moment
    except (ValueError, OverflowError):
        return FOREVER


@attrs.frozen
class LoadCurve:
    """A plausible load in W over the day (UTC): a base, a morning hump, an evening hump, and some noise.

    The same seed has the same value at the same instant, however often it is asked for.
    """

    seed: str
    peak: float

    @classmethod
    def of(cls, name: str) -> LoadCurve:
        """That of a site of this name: a shop, or a small factory."""
        return cls(name, Random(name).uniform(10_000.0, 60_000.0))

    def __call__(self, moment: datetime) -> float:
        hour = moment.hour + moment.minute / 60 + moment.second / 3600
        share = 0.35 + 0.30 * _hump(hour, 8.0, 1.5) + 0.60 * _hump(hour, 19.0, 2.5)
        noise = Random(f"{self.seed}@{moment.isoformat()}").gauss(1.0, 0.03)
        return self.peak * share * noise


def _hump(hour: float, top: float, width: float) -> float:
    return math.exp(-(((hour - top) / width) ** 2))


# --- events -----------------------------------------------------------------------------------------

# How much less is used at a level of SIMPLE: normal, moderate, high, special.
SIMPLE_LEVELS = (0.0, 0.15, 0.35, 0.60)

_SCALES = {"p": -12, "n": -9, "micro": -6, "m": -3, "c": -2, "d": -1, "k": 3, "M": 6, "G": 9, "T": 12}


def _simple(load: float, level: float, unit: float) -> float:
    index = int(max(0.0, min(level, len(SIMPLE_LEVELS) - 1.0)))
    return load * (1 - SIMPLE_LEVELS[index])


EFFECTS: dict[tuple[str, str], Callable[[float, float, float], float]] = {
    ("SIMPLE", "level"): _simple,
    ("LOAD_DISPATCH", "setpoint"): lambda load, value, unit: min(load, value * unit),
    ("LOAD_DISPATCH", "delta"): lambda load, value, unit: load + value * unit,
    ("LOAD_DISPATCH", "multiplier"): lambda load, value, unit: load * value,
    ("LOAD_CONTROL", "x-loadControlCapacity"): lambda load, value, unit: load * value,
    ("LOAD_CONTROL", "x-loadControlPercentOffset"): lambda load, value, unit: load * (1 + value / 100),
}
"""signalName, signalType -> the new load of (load in W, value, W per unit of the value).  Others change nothing."""


@attrs.frozen
class HeldEvent:
    """An event that a VEN holds, and what it said to it; ``delay`` moves start and end alike (rule 30)."""

    event: EiEvent
    opt_type: str
    delay: timedelta = timedelta()

    @property
    def start(self) -> datetime:
        return self.event.active_period.properties.dtstart + self.delay

    @property
    def end(self) -> datetime:
        """FOREVER if the event is open-ended (rule 47)."""
        length = self.event.active_period.properties.duration
        return after(self.start, length) if length else FOREVER

    def status(self, now: datetime) -> str:
        """The eventStatus by the clock, whatever it was when the event was sent."""
        if self.event.descriptor.event_status == "cancelled":
            return "cancelled"
        if now >= self.end:
            return "completed"
        if now >= self.start:
            return "active"
        ramp_up = self.event.active_period.properties.ramp_up
        return "near" if after(now, ramp_up) > self.start else "far"

    def bend(self, load: float, now: datetime) -> float:
        """The load in W at ``now``: less, or another, while the event is active and the VEN opted in."""
        if self.opt_type != "optIn" or self.status(now) != "active":
            return load
        for signal in self.event.event_signals.signals:
            effect = EFFECTS.get((signal.signal_name.replace("simple", "SIMPLE"), signal.signal_type))
            value = next((value for end, value in self._values(signal) if now < end), None)
            if effect and value is not None:
                load = max(0.0, effect(load, value, _watts(signal)))
        return load

    def _values(self, signal: EiEventSignal) -> Iterator[tuple[datetime, float | None]]:
        """The values of a signal in turn, each with its end; None where it is no number."""
        end = self.start
        for interval in signal.intervals:
            end = after(end, interval.duration) if interval.duration else FOREVER
            payload = getattr(interval.payloads[0], "payload", None)
            yield end, payload.value if isinstance(payload, PayloadFloat) else None


def _watts(signal: EiEventSignal) -> float:
    """W per unit of the signal's value."""
    unit = signal.item_base
    return float(10 ** _SCALES.get(unit.si_scale_code, 0)) if isinstance(unit, PowerReal) else 1.0
