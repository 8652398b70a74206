"""JSON becomes the model and comes back; every mistake is told, with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.console.events import EventsQuery
from oadrvtn.console.readings import ReadingsQuery
from oadrvtn.console.shapes import EventChanges, Reader, read_duration, read_time, show
from oadrvtn.console.vens import NewVen
from oadrvtn.model.errors import InvalidData
from oadrvtn.model.event import (
    ITEM_BASES,
    CurrencyPerKWh,
    EiEventBaseline,
    EiTarget,
    EnergyReal,
    FeatureCollection,
    Interval,
    PayloadFloat,
    Polygon,
    PowerAttributes,
    PowerReal,
    PulseCount,
    SignalPayload,
    TransportInterface,
)
from oadrvtn.model.values import Duration
from oadrvtn.vtn.events import EventSpec, SignalSpec

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, UTC)
WHOLE = NOW.replace(microsecond=0)


class DurationTests(SynchronousTestCase):
    def test_iso_8601_stays_as_it_was_written(self) -> None:
        for text in ("PT15M", "PT900S", "P1M", "PT0S"):
            self.assertEqual(Duration(text), read_duration(text))

    def test_the_short_form_counts_days_hours_minutes_seconds(self) -> None:
        cases = {"15m": "PT15M", "1h30m": "PT1H30M", "90s": "PT1M30S", "2d": "P2D", "1d1s": "P1DT1S", "0s": "PT0S"}
        for short, long in cases.items():
            self.assertEqual(Duration(long), read_duration(short))

    def test_what_is_no_duration_or_negative_is_refused(self) -> None:
        for text in (
            "",
            "15",
            "m",
            "15x",
            "m15",
            "-15m",
            "-PT15M",
            "1m1h",
            "9" * 30 + "d",
            "P" + "9" * 30 + "Y",
            15,
            None,
        ):
            self.assertRaises(ValueError, read_duration, text)


class TimeTests(SynchronousTestCase):
    def test_iso_8601_in_any_zone_becomes_utc(self) -> None:
        for text in ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31 12:00:00+00:00"):
            time = read_time(text, NOW)
            self.assertEqual(datetime(2026, 1, 31, 12, tzinfo=UTC), time)
            self.assertEqual(UTC, time.tzinfo)

    def test_relative_times_count_from_this_second(self) -> None:
        cases = {
            "now": timedelta(),
            "+5m": timedelta(minutes=5),
            "-1h": timedelta(hours=-1),
            "+PT90S": timedelta(seconds=90),
            "-P1D": timedelta(days=-1),
        }
        for text, distance in cases.items():
            self.assertEqual(WHOLE + distance, read_time(text, NOW))

    def test_a_time_without_zone_and_what_is_none_are_refused_in_words(self) -> None:
        self.assertIn("no time zone", str(self.assertRaises(ValueError, read_time, "2026-01-31T12:00:00", NOW)))
        self.assertIn("no time zone", str(self.assertRaises(ValueError, read_time, "2026-01-31", NOW)))
        for text in (
            "",
            "+",
            "-",
            "tomorrow",
            "+5",
            "2026-02-30T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "-9999999d",
            5,
            None,
        ):
            complaint = str(self.assertRaises(ValueError, read_time, text, NOW))
            self.assertNotIn("isoformat", complaint)


_names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=8
)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_durations = st.integers(0, 10**6).map(Duration.of) | st.sampled_from(["P1Y", "P2M", "PT120M"]).map(Duration)
_instants = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
_intervals = st.lists(st.tuples(_durations, _numbers), max_size=3).map(tuple)
_tuples = st.lists(_names, max_size=2).map(tuple)
_item_bases = st.sampled_from(
    [
        None,
        EnergyReal(si_scale_code="k"),
        PulseCount(pulse_factor=0.5),
        CurrencyPerKWh(item_description="currencyPerKWh", item_units="EUR", si_scale_code="none"),
        PowerReal(
            item_units="W",
            si_scale_code="M",
            power_attributes=PowerAttributes(hertz=Decimal("50"), voltage=Decimal("230.5"), ac=True),
        ),
    ]
)
_targets = st.builds(
    EiTarget,
    ven_ids=_tuples,
    group_ids=_tuples,
    end_device_assets=_tuples,
    group_names=_tuples,
    resource_ids=_tuples,
    party_ids=_tuples,
    pnodes=_tuples,
    transport_interfaces=st.lists(
        st.builds(TransportInterface, point_of_receipt=_names, point_of_delivery=_names), max_size=1
    ).map(tuple),
    service_areas=st.sampled_from([(), (FeatureCollection(id="a", polygon=Polygon(pos_list=(1.0, 2.0))),)]),
)


def _baseline(intervals: tuple[tuple[Duration, float], ...], **values: Any) -> EiEventBaseline:
    return EiEventBaseline(
        intervals=tuple(
            Interval(duration=length, uid=str(uid), payloads=(SignalPayload(payload=PayloadFloat(value=value)),))
            for uid, (length, value) in enumerate(intervals)
        ),
        **values,
    )


_baselines = st.builds(
    _baseline,
    _intervals,
    dtstart=_instants,
    duration=_durations,
    baseline_id=_names,
    baseline_name=_names,
    resource_ids=_tuples,
    item_base=_item_bases,
)
_signals = st.builds(
    SignalSpec,
    signal_name=_names,
    signal_type=_names,
    intervals=_intervals,
    signal_id=st.none() | _names,
    item_base=_item_bases,
    device_classes=_tuples,
)
_specs = st.builds(
    EventSpec,
    event_id=st.none() | _names,
    market_context=_names,
    dtstart=_instants,
    duration=st.none() | _durations,
    signals=st.lists(_signals, max_size=2).map(tuple),
    target=_targets,
    priority=st.integers(0, 2**32),
    test_event=st.booleans(),
    vtn_comment=st.none() | _names,
    response_required=st.sampled_from(["always", "never"]),
    notification=_durations,
    ramp_up=st.none() | _durations,
    recovery=st.none() | _durations,
    startafter=st.none() | _durations,
    modification_reason=st.none() | _names,
    baseline=st.none() | _baselines,
)


class EventTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader = Reader(lambda: NOW)

    def mistakes(self, raw: Any) -> list[str]:
        return [str(mistake) for mistake in self.assertRaises(InvalidData, self.reader.read, EventSpec, raw).mistakes]

    @given(_specs)
    def test_what_is_shown_of_an_event_reads_back_as_it(self, spec: EventSpec) -> None:
        self.assertEqual(spec, self.reader.read(EventSpec, json.loads(json.dumps(show(spec), allow_nan=False))))

    def test_every_kind_of_unit_can_be_named(self) -> None:
        for cls in ITEM_BASES:
            name = cls.tag.partition(":")[2]
            raw = {"signals": [{"intervals": [], "item_base": {"name": name, "nonsense": 1}}]}
            mistakes = [m for m in self.mistakes(raw) if "item_base" in m]
            self.assertTrue(any("nonsense" in mistake for mistake in mistakes), mistakes)
            self.assertFalse(any("none of" in mistake for mistake in mistakes), mistakes)

    def test_the_short_form_is_one_signal_of_one_interval(self) -> None:
        short = {"market_context": "urn:x", "dtstart": "+5m", "duration": "15m", "level": 2}
        long = {
            "market_context": "urn:x",
            "dtstart": "2026-11-22T12:05:00Z",
            "duration": "PT15M",
            "signals": [{"intervals": [{"duration": "PT15M", "value": 2}]}],
        }
        self.assertEqual(self.reader.read(EventSpec, long), self.reader.read(EventSpec, short))
        priced = self.reader.read(
            EventSpec, short | {"signal_name": "ENERGY_PRICE", "signal_type": "price", "level": 0.5}
        )
        self.assertEqual(("ENERGY_PRICE", "price"), (priced.signals[0].signal_name, priced.signals[0].signal_type))

    def test_mistakes_of_the_short_form_are_told_in_its_words(self) -> None:
        raw = {"market_context": "urn:x", "dtstart": "now", "level": "two", "duration": "15x", "signal_name": 3}
        mistakes = self.mistakes(raw)
        self.assertEqual({"level", "duration", "signal_name"}, {mistake.partition(":")[0] for mistake in mistakes})
        self.assertEqual(3, len(mistakes))
        self.assertEqual(
            ["duration: is missing"], self.mistakes({"market_context": "urn:x", "dtstart": "now", "level": 1})
        )

    def test_the_short_and_the_long_form_exclude_each_other(self) -> None:
        raw = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 1, "signals": []}
        self.assertEqual(["level: unknown field 'level' (that is said in the signals)"], self.mistakes(raw))

    def test_all_mistakes_are_told_at_once_with_their_places(self) -> None:
        raw = {
            "market_context": 3,
            "prority": 1,
            "signals": [{"intervals": [{"duration": "PT5M", "value": "x"}, 7]}, "SIMPLE"],
            "target": {"ven_id": ["ven-1"]},
            "test_event": "yes",
            "ramp_up": "-5m",
        }
        told = "\n".join(self.mistakes(raw))
        for expected in (
            "market_context: 3 is not a text",
            "dtstart: is missing",
            "signals[0].intervals[0].value: 'x' is not a number",
            "signals[0].intervals[1]: 7 is not an object",
            "signals[1]: 'SIMPLE' is not an object",
            "target.ven_id: unknown field 'ven_id' (did you mean ven_ids?)",
            "prority: unknown field 'prority' (did you mean priority?)",
            "test_event: 'yes' is neither true nor false",
            "ramp_up: '-5m' is not a duration",
        ):
            self.assertIn(expected, told)

    def test_a_text_is_no_list_of_letters_and_a_truth_no_number(self) -> None:
        raw = {
            "market_context": "urn:x",
            "dtstart": "now",
            "level": True,
            "duration": "1m",
            "target": {"ven_ids": "ven-1"},
        }
        self.assertEqual(
            ["level: true is not a number", "target.ven_ids: 'ven-1' is not a list"], sorted(self.mistakes(raw))
        )

    def test_no_value_is_beyond_all_numbers(self) -> None:
        raw = {"market_context": "urn:x", "dtstart": "now", "level": json.loads("1e999"), "duration": "1m"}
        self.assertEqual(["level: Infinity is not a number"], self.mistakes(raw))

    def test_whatever_is_no_object_is_refused(self) -> None:
        nothing: list[Any] = [[], "x", None, 3, [{}]]
        for raw in nothing:
            self.assertEqual(1, len(self.mistakes(raw)))

    def test_changes_are_the_fields_that_are_given_and_no_others(self) -> None:
        said = {"priority": 2, "ramp_up": None, "modification_number": 7}
        self.assertEqual(said, self.reader.given(EventChanges, said))
        changes = self.reader.given(EventChanges, {"level": 1, "duration": "5m"})
        self.assertEqual({"signals", "duration"}, changes.keys())

    def test_the_id_of_an_event_cannot_be_changed(self) -> None:
        error = self.assertRaises(InvalidData, self.reader.given, EventChanges, {"event_id": "x"})
        self.assertIn("unknown field 'event_id'", error.description)


class QueryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader = Reader(lambda: NOW)

    def test_a_query_reads_times_limits_and_flags(self) -> None:
        query = self.reader.read(ReadingsQuery, {"since": "-1h", "limit": "5", "r_id": "x"})
        self.assertEqual(ReadingsQuery(since=WHOLE - timedelta(hours=1), limit=5, r_id="x"), query)  # type: ignore[arg-type]
        self.assertTrue(self.reader.read(EventsQuery, {"all": "1"}).all)
        self.assertFalse(self.reader.read(EventsQuery, {"all": "0"}).all)

    def test_mistakes_of_a_query_name_the_parameter(self) -> None:
        error = self.assertRaises(
            InvalidData, self.reader.read, ReadingsQuery, {"sinse": "-1h", "limit": "0", "until": "x"}
        )
        told = "\n".join(map(str, error.mistakes))
        for expected in (
            "unknown field 'sinse' (did you mean since?)",
            "limit: '0' is not",
            "until: 'x' is not a time",
        ):
            self.assertIn(expected, told)
        for limit in ("-1", "1000000", "x", "1.0", "9" * 50, "\u0661"):
            self.assertRaises(InvalidData, self.reader.read, ReadingsQuery, {"limit": limit})

    def test_a_ven_needs_an_id_that_says_something_and_can_be_written(self) -> None:
        for ven_id in ("", " ", "\x00", "\ud800", 3, None):
            raw = {"ven_id": ven_id, "fingerprints": ["00" * 10]}
            error = self.assertRaises(InvalidData, self.reader.read, NewVen, raw)
            self.assertTrue(error.description.startswith("ven_id: "), error.description)
