"""The load of a simulated site, and what events make of it."""

from __future__ import annotations

from datetime import timedelta

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.event import (
    EiEventSignal,
    Interval,
    OadrPayloadResourceStatus,
    PowerAttributes,
    PowerReal,
    SignalPayload,
)
from oadrvtn.model.values import DECIMAL, Duration
from oadrvtn.ven.load import FOREVER, HeldEvent, LoadCurve, after

from .vtn import START, at, event, signal

WATTS = 10_000.0


def kilowatts() -> PowerReal:
    grid = PowerAttributes(hertz=DECIMAL.read("50"), voltage=DECIMAL.read("230"), ac=True)
    return PowerReal(item_units="W", si_scale_code="k", power_attributes=grid)


class LoadCurveTests(SynchronousTestCase):
    def test_the_same_site_has_the_same_load_at_the_same_instant(self) -> None:
        self.assertEqual(LoadCurve.of("a")(START), LoadCurve.of("a")(START))
        self.assertNotEqual(LoadCurve.of("a")(START), LoadCurve.of("b")(START))
        self.assertNotEqual(LoadCurve.of("a")(START), LoadCurve.of("a")(at(1)))

    def test_the_evening_is_higher_than_the_night_and_nothing_is_out_of_bounds(self) -> None:
        curve = LoadCurve("a", 20_000)
        midnight = START.replace(hour=0)
        day = [curve(midnight + timedelta(minutes=m)) for m in range(0, 1440, 10)]
        self.assertGreater(min(day[18 * 6 : 20 * 6]), max(day[2 * 6 : 4 * 6]))
        self.assertGreater(min(day), 0)
        self.assertLess(max(day), 25_000)


class AfterTests(SynchronousTestCase):
    def test_what_runs_over_the_calendar_lasts_forever_and_nothing_goes_back(self) -> None:
        self.assertEqual(FOREVER, after(START, Duration("P9000Y")))
        self.assertEqual(START, after(START, Duration("-PT5M")))
        self.assertEqual(START, after(START, None))
        self.assertEqual(at(300), after(START, Duration("PT5M")))


class HeldEventTests(SynchronousTestCase):
    def bent(self, *signals: EiEventSignal, at_second: float = 0, opt_type: str = "optIn") -> float:
        held = HeldEvent(event(signals=signals), opt_type)
        return round(held.bend(WATTS, at(at_second)), 6)

    def test_the_status_follows_the_clock(self) -> None:
        held = HeldEvent(event(dtstart=at(600), ramp_up="PT5M"), "optIn")
        times = (0, 301, 600, 4199, 4200)
        self.assertEqual(["far", "near", "active", "active", "completed"], [held.status(at(t)) for t in times])

    def test_an_open_ended_event_stays_active(self) -> None:
        held = HeldEvent(event(duration="PT0S"), "optIn")
        self.assertEqual("active", held.status(at(1e8)))
        self.assertEqual(WATTS * 0.65, held.bend(WATTS, at(1e8)))

    def test_a_cancelled_event_is_cancelled_at_any_time(self) -> None:
        self.assertEqual("cancelled", HeldEvent(event(status="cancelled"), "optIn").status(START))

    def test_a_delay_moves_start_and_end(self) -> None:
        held = HeldEvent(event(), "optIn", timedelta(seconds=30))
        self.assertEqual(["far", "active", "active", "completed"], [held.status(at(t)) for t in (29, 30, 3629, 3630)])

    def test_simple_levels_take_off_their_share(self) -> None:
        levels = {0.0: 1.0, 1.0: 0.85, 2.0: 0.65, 3.0: 0.40, 7.0: 0.40, -1.0: 1.0}
        for level, share in levels.items():
            self.assertEqual(WATTS * share, self.bent(signal("SIMPLE", "level", ("PT1H", level))), level)
        self.assertEqual(WATTS * 0.65, self.bent(signal("simple", "level", ("PT1H", 2.0))))

    def test_each_signal_has_its_effect(self) -> None:
        expected = (
            (signal("LOAD_DISPATCH", "setpoint", ("PT1H", 4000)), 4000),
            (signal("LOAD_DISPATCH", "setpoint", ("PT1H", 4.0), item_base=kilowatts()), 4000),
            (signal("LOAD_DISPATCH", "setpoint", ("PT1H", 50_000)), WATTS),
            (signal("LOAD_DISPATCH", "delta", ("PT1H", -1.0), item_base=kilowatts()), 9000),
            (signal("LOAD_DISPATCH", "delta", ("PT1H", -20_000)), 0),
            (signal("LOAD_DISPATCH", "multiplier", ("PT1H", 0.5)), 5000),
            (signal("LOAD_CONTROL", "x-loadControlCapacity", ("PT1H", 0.25)), 2500),
            (signal("LOAD_CONTROL", "x-loadControlPercentOffset", ("PT1H", -10)), 9000),
            (signal("ELECTRICITY_PRICE", "price", ("PT1H", 0.5)), WATTS),
        )
        for one, watts in expected:
            self.assertEqual(watts, self.bent(one), one)

    def test_the_value_is_that_of_the_interval(self) -> None:
        steps = signal("SIMPLE", "level", ("PT20M", 1.0), ("PT20M", 3.0), ("PT20M", 0.0))
        self.assertEqual([8500, 4000, WATTS], [self.bent(steps, at_second=t) for t in (1199, 1200, 2400)])

    def test_an_interval_without_a_number_changes_nothing(self) -> None:
        status = SignalPayload(payload=OadrPayloadResourceStatus(online=True, manual_override=False))
        blank = Interval(duration=Duration("PT30M"), uid="0", payloads=(status,))
        steps = signal("SIMPLE", "level", ("PT30M", 3.0))
        mixed = EiEventSignal(
            intervals=(blank, *steps.intervals), signal_name="SIMPLE", signal_type="level", signal_id="s"
        )
        self.assertEqual([WATTS, 4000], [self.bent(mixed, at_second=t) for t in (0, 1800)])

    def test_nothing_changes_before_and_after_and_for_who_opted_out(self) -> None:
        self.assertEqual(WATTS, self.bent(signal("SIMPLE", "level", ("PT1H", 3.0)), at_second=-1))
        self.assertEqual(WATTS, self.bent(signal("SIMPLE", "level", ("PT1H", 3.0)), at_second=3600))
        self.assertEqual(WATTS, self.bent(signal("SIMPLE", "level", ("PT1H", 3.0)), opt_type="optOut"))
