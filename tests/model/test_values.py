"""The simple types: what they read, what they write, and that no text takes long."""

from __future__ import annotations

import contextlib
import math
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model import values
from oadrvtn.model.values import Duration, SimpleType, read_instant, shown, write_instant
from tests.effort import MOMENT, effort

TYPES = [found for found in vars(values).values() if isinstance(found, SimpleType)]


class Types(SynchronousTestCase):
    """What all simple types share."""

    def test_refuse_with_a_short_text_and_at_once(self) -> None:
        for repeated in ("9", "1 ", "-", " ", "x", "P", "\t\n", "0", "a:", "%", "#", "\u0300"):
            long = repeated * 100_000
            for text in (long, long + "!", "1." + long, "P" + long + "D"):
                for of in TYPES:
                    self.assertLess(effort(self._read, of, text), MOMENT, (of.name, text[:9]))

    def _read(self, of: SimpleType, text: str) -> None:
        try:
            of.read(text)
        except ValueError as error:
            self.assertLess(len(str(error)), 450)
            self.assertTrue(str(error).isprintable())

    def test_take_no_more_memory_than_a_few_copies_of_the_text(self) -> None:
        text = "x" * 1_000_000
        for of in TYPES:
            tracemalloc.start()
            try:
                with contextlib.suppress(ValueError):
                    of.read(text)
                self.assertLess(tracemalloc.get_traced_memory()[1], 16 * len(text), of.name)
            finally:
                tracemalloc.stop()

    def test_refuse_to_write_what_is_not_theirs(self) -> None:
        for of in TYPES:
            for value in (None, b"", object(), [], "\x00", "\ud800", 10**400, math.nan if of is values.DECIMAL else {}):
                if not (value == "" and of is values.STRING):
                    self.assertRaises(ValueError, of.write, value)

    def test_enumerations_read_and_write_their_choices(self) -> None:
        for of in TYPES:
            for text in of.choices:
                self.assertEqual((of.read(text), of.write(text)), (text, text))

    def test_bool_is_no_number_and_a_number_no_bool(self) -> None:
        for of in (values.UNSIGNED_INT, values.CONFIDENCE, values.FLOAT, values.DECIMAL):
            self.assertRaises(ValueError, of.write, True)
        self.assertRaises(ValueError, values.BOOLEAN.write, 1)

    def test_numbers_keep_what_they_are(self) -> None:
        for of, text, value in (
            (values.UNSIGNED_INT, " +0042 ", 42),
            (values.UNSIGNED_INT, "-0", 0),
            (values.UNSIGNED_INT, "0" * 5000 + "7", 7),
            (values.FLOAT, "-INF", -math.inf),
            (values.FLOAT, " 1E400\n", math.inf),
            (values.FLOATS, " 1\t-2.5 ", (1.0, -2.5)),
            (values.FLOATS, "", ()),
            (values.DECIMAL, "+060.50", Decimal("60.50")),
        ):
            self.assertEqual(of.read(text), value)
        self.assertTrue(math.isnan(values.FLOAT.read("NaN")))
        self.assertEqual(values.DECIMAL.write(Decimal("1E+3")), "1000")
        self.assertRaises(ValueError, values.DECIMAL.write, Decimal("1E+999999"))
        self.assertEqual([values.FLOAT.write(x) for x in (1, 0.1, 1e-9, math.inf)], ["1.0", "0.1", "1e-09", "INF"])

    def test_texts_of_a_peer_are_shown_quoted_escaped_and_cut(self) -> None:
        self.assertEqual(shown("a'b\n\u202e"), '"a\'b\\n\\u202e"')
        self.assertEqual(len(shown("x" * 1000)), 62)


class Instants(SynchronousTestCase):
    def test_are_utc_however_they_are_written(self) -> None:
        for text, fields in (
            ("2026-01-31T12:00:00Z", (2026, 1, 31, 12)),
            ("2026-01-31T12:00:00", (2026, 1, 31, 12)),
            ("2026-01-31T24:00:00.000", (2026, 2, 1)),
            ("2026-01-31T12:00:00.5Z", (2026, 1, 31, 12, 0, 0, 500_000)),
            ("2026-01-31T12:00:00.1234567Z", (2026, 1, 31, 12, 0, 0, 123_456)),
            ("0001-01-01T00:00:00Z", (1, 1, 1)),
        ):
            self.assertEqual(read_instant(text), datetime(*fields, tzinfo=UTC))  # type: ignore[misc]
            self.assertIs(read_instant(text).tzinfo, UTC)

    def test_are_written_in_utc(self) -> None:
        east = timezone(timedelta(hours=2))
        self.assertEqual(write_instant(datetime(2026, 1, 1, 1, tzinfo=east)), "2025-12-31T23:00:00Z")
        self.assertEqual(write_instant(datetime(26, 1, 1, 0, 0, 0, 50, UTC)), "0026-01-01T00:00:00.000050Z")

    def test_without_zone_or_outside_of_the_calendar_are_not_written(self) -> None:
        for value in (datetime(2026, 1, 1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "2026-01-01"):
            self.assertRaises(ValueError, write_instant, value)

    @given(st.datetimes())
    def test_come_back(self, moment: datetime) -> None:
        moment = moment.replace(tzinfo=UTC)
        self.assertEqual(read_instant(write_instant(moment)), moment)


class Durations(SynchronousTestCase):
    def test_keep_what_was_written(self) -> None:
        for text, months, seconds in (
            ("PT15M", 0, 900),
            ("P1Y2M3DT4H5M6S", 14, 3 * 86400 + 4 * 3600 + 5 * 60 + 6),
            ("-P1M1D", -1, -86400),
            ("+PT0S", 0, 0),
            ("P", 0, 0),
            ("2W", 0, 14 * 86400),
            ("P1DT", 0, 86400),
            ("P1D2H", 0, 86400 + 7200),
        ):
            found = Duration(text)
            self.assertEqual(str(found), text)
            self.assertEqual((found.months, found.fixed.total_seconds()), (months, seconds))
            self.assertEqual(bool(found), bool(months or seconds))

    def test_are_equal_when_written_alike(self) -> None:
        self.assertEqual(len({Duration("PT60M"), Duration("PT60M"), Duration("PT1H")}), 2)

    def test_that_none_can_count_are_refused(self) -> None:
        for text in ("P10001Y", "P999999999999D", f"PT{'9' * 90}S", f"PT{'0' * 100}1S", f"P{'9' * 10_000_000}Y"):
            self.assertLess(effort(self.assertRaises, ValueError, Duration, text), MOMENT)

    def test_of_a_length_are_in_days_to_seconds(self) -> None:
        for length, text in (
            (0, "PT0S"),
            (59.6, "PT1M"),
            (3600, "PT1H"),
            (86400, "P1D"),
            (timedelta(days=1, hours=2, seconds=5), "P1DT2H5S"),
            (-90, "-PT1M30S"),
        ):
            self.assertEqual(Duration.of(length), Duration(text))

    @given(st.integers(-(10**9), 10**9))
    def test_of_seconds_are_those_seconds(self, seconds: int) -> None:
        self.assertEqual(Duration.of(seconds).fixed, timedelta(seconds=seconds))

    def test_after_an_instant_go_by_the_calendar(self) -> None:
        for start, text, end in (
            ("2024-01-31T00:00:00Z", "P1M", "2024-02-29T00:00:00Z"),
            ("2024-02-29T00:00:00Z", "P1Y", "2025-02-28T00:00:00Z"),
            ("2026-01-31T12:00:00Z", "P1MT12H", "2026-03-01T00:00:00Z"),
            ("2026-03-31T00:00:00Z", "-P1M", "2026-02-28T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "-PT1S", "2025-12-31T23:59:59Z"),
        ):
            self.assertEqual(Duration(text).after(read_instant(start)), read_instant(end))

    def test_beyond_the_calendar_say_so(self) -> None:
        start: Any = read_instant("2026-01-01T00:00:00Z")
        for text in ("P8000Y", "-P2026Y", "P3000000D", "-P3000000D"):
            self.assertRaises(OverflowError, Duration(text).after, start)
