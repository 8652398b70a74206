"""Elements that are alike are read by columns, with the same outcome as one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.event import Interval, OadrReportPayload, PayloadFloat
from oadrvtn.model.report import OadrReport, OadrUpdateReport
from oadrvtn.model.values import Duration
from oadrvtn.wire import Undecodable, codec, columns, decode, encode

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
MANY = 12


def report(count: int = MANY) -> str:
    """A report of so many intervals of one shape."""
    intervals = tuple(
        Interval(
            dtstart=START + timedelta(minutes=number),
            duration=Duration("PT1M"),
            uid=str(number),
            payloads=tuple(
                OadrReportPayload(r_id=r_id, confidence=100, payload=PayloadFloat(value=number + 0.5))
                for r_id in ("power", "energy")
            ),
        )
        for number in range(count)
    )
    one = OadrReport(
        intervals=intervals,
        report_request_id="r",
        report_specifier_id="s",
        created_date_time=START,
        duration=Duration("P1D"),
    )
    return encode(OadrUpdateReport(request_id="q", reports=(one,), ven_id="ven1")).decode()


PLAIN = report()
CHANGES = (
    ("</ei:interval>", "</ei:interval>\n  "),
    ("<ei:interval>", "\n<ei:interval>"),
    ("<ei:interval>", "<ei:interval>\n\t"),
    ("<xcal:duration><xcal:duration>PT1M</xcal:duration></xcal:duration>", ""),
    ("<ei:confidence>100</ei:confidence>", ""),
    ("<ei:confidence>100</ei:confidence>", "<ei:confidence>99</ei:confidence>"),
    ("<ei:confidence>100</ei:confidence>", "<ei:confidence>101</ei:confidence>"),
    ("<ei:confidence>100</ei:confidence>", "<ei:confidence/>"),
    ("<xcal:text>", "<xcal:text>&amp;"),
    ("<xcal:text>", "<xcal:text>&#13;"),
    ("<xcal:text>", "<xcal:text><![CDATA[<]]>"),
    ("<xcal:text>", "<xcal:text>x\xe9"),
    ("<xcal:text>", "<xcal:text>a<!-- -->b"),
    ("<ei:rID>power</ei:rID>", "<ei:rID></ei:rID>"),
    ("<ei:rID>power</ei:rID>", "<ei:rID>p<x/></ei:rID>"),
    ("<ei:rID>power</ei:rID>", "<ei:rID a=''>power</ei:rID>"),
    ("<ei:rID>power</ei:rID>", "<ei:rID>power</ei:rID>stray"),
    ("<ei:rID>power</ei:rID>", "<ei:rID>power</ei:rID><ei:rID>power</ei:rID>"),
    ("<ei:rID>power</ei:rID>", '<e:rID xmlns:e="http://docs.oasis-open.org/ns/energyinterop/201110">power</e:rID>'),
    ("<ei:rID>power</ei:rID>", '<ei:rID xmlns:ei="urn:other">power</ei:rID>'),
    ("<ei:value>", "<ei:value> "),
    ("<ei:value>", "<ei:value>x"),
    ("<ei:interval>", "<ei:interval>stray"),
    ("<ei:interval>", "<ei:interval a=''>"),
    ("<ei:interval>", '<ei:interval xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="ei:T">'),
    ("</ei:interval>", "</ei:interval>stray"),
    ("</ei:interval>", "<empty/></ei:interval>"),
    ("</ei:interval>", "</ei:interval><empty/>"),
    ("</ei:interval>", "</ei:interval><ei:interval/>"),
    ("</ei:interval>", "<ei:interval/></ei:interval>"),
    ("<ei:payloadFloat><ei:value>0.5</ei:value></ei:payloadFloat>", "<ei:payloadBase/>"),
    ("<strm:intervals>", "<strm:intervals>stray"),
    ("<strm:intervals>", "<strm:intervals a=''>"),
    ("<oadr:oadrSignedObject>", "<!--<strm:intervals>--><oadr:oadrSignedObject>"),
    ("<strm:intervals>", "<strm:intervals >"),
    ("<strm:intervals>", '<strm:intervals xmlns:x="urn:x">'),
    ("</strm:intervals>", "</strm:intervals >"),
    ("<ei:rID>power</ei:rID>", "<ei:rID>intervals</ei:rID>"),
    ("<ei:rID>power</ei:rID>", "<ei:rID>a>b</ei:rID>"),
    (
        "<ei:rID>power</ei:rID>",
        '<ei:rID xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a>b">power</ei:rID>',
    ),
    ("<ei:rID>power</ei:rID>", "<ei:rID>power\r\n</ei:rID>"),
    ("<ei:rID>power</ei:rID>", "<ei:rID>power!?</ei:rID>"),
    ("<ei:rID>power</ei:rID>", "<ei:rID><?pi x?>power</ei:rID>"),
    ("<ei:value>", "<ei:value>\n"),
    ("<ei:value>", "<ei:value>1\n2"),
    ("<ei:value>", "<ei:value>+"),
    ("<ei:value>", "<ei:value>-"),
    ("<ei:value>", "<ei:value>.5"),
    ("<ei:value>", "<ei:value>\u0663"),
    ("<ei:value>", "<ei:value>1e400"),
    ("Z</xcal:date-time>", ".25Z</xcal:date-time>"),
    ("Z</xcal:date-time>", "+01:00</xcal:date-time>"),
    ("T12:00:00Z", "T24:00:00Z"),
    ("2026-01-31T12:01", "2026-02-31T12:01"),
)  # fmt: skip


def outcome(document: str) -> Any:
    """What it says, or what is wrong with it."""
    try:
        return decode(document.encode(), allowed=()).message
    except Undecodable as error:
        return error.description


def both(document: str) -> tuple[Any, Any]:
    """As it is, and with every element read by itself; with its texts as they came it says the same as without."""
    with mock.patch.object(codec, "LEAST", 10**9):
        one_by_one = outcome(document)
    with mock.patch.object(columns, "_as_it_came", lambda node: None):
        written_again = outcome(document)
    found = outcome(document)
    assert written_again == found, document
    return found, one_by_one


class ColumnsTests(SynchronousTestCase):
    """What is read."""

    def by_columns(self, document: str) -> bool:
        """Whether its intervals are alike."""
        done = []
        read = columns.Columns.read

        def spy(self: columns.Columns, *arguments: Any) -> Any:
            done.append(read(self, *arguments))
            return done[-1]

        with mock.patch.object(columns.Columns, "read", spy):
            outcome(document)
        return bool(done)

    def test_nothing_is_written_again_that_takes_the_square_of_what_is_declared_around_it(self) -> None:
        for count, again in ((20, True), (51, False)):
            declared = "".join(f' xmlns:a{number}="urn:{number}"' for number in range(count))
            document = PLAIN.replace("<oadr:oadrPayload", f"<oadr:oadrPayload{declared}")
            document = document.replace("<strm:intervals>", "<strm:intervals >")
            self.assertEqual(again, self.by_columns(document))
            self.assertEqual(outcome(PLAIN), outcome(document))

    def test_intervals_that_are_alike(self) -> None:
        self.assertTrue(self.by_columns(PLAIN))
        self.assertFalse(self.by_columns(report(columns.LEAST - 1)))
        found, one_by_one = both(PLAIN)
        self.assertEqual(one_by_one, found)
        self.assertEqual([f"{n}" for n in range(MANY)], [one.uid for one in found.reports[0].intervals])

    def test_their_texts_are_taken_from_the_document_that_came_if_it_is_plain(self) -> None:
        for document, plain in (
            (PLAIN, True),
            (PLAIN.replace("<strm:intervals>", "<strm:intervals >"), False),
            (PLAIN.replace("<oadr:oadrSignedObject>", "<!--intervals--><oadr:oadrSignedObject>"), False),
            (PLAIN.replace("<ei:rID>power", "<ei:rID>p!"), False),
        ):
            with mock.patch.object(columns.etree, "tostring", wraps=etree.tostring) as written_again:
                self.assertTrue(self.by_columns(document))
            self.assertEqual(plain, not written_again.called)

    def test_layout_is_everybodys_own(self) -> None:
        root = etree.fromstring(PLAIN)
        etree.indent(root)
        document = etree.tostring(root, encoding="unicode")
        found, one_by_one = both(document)
        self.assertEqual(one_by_one, found)
        self.assertEqual(outcome(PLAIN), found)
        # The white space behind the last one is shorter, which is only text.
        self.assertTrue(self.by_columns(document))

    def test_each_change_of_all_of_one_of_the_first_and_of_the_last(self) -> None:
        regular = 0
        for before, after in CHANGES:
            self.assertIn(before, PLAIN)
            head, _, tail = PLAIN.rpartition(before)
            middle = PLAIN.replace(before, "@", 3).replace("@", before, 2).replace("@", after)
            for document in (
                PLAIN.replace(before, after), PLAIN.replace(before, after, 1), head + after + tail, middle,
            ):  # fmt: skip
                found, one_by_one = both(document)
                self.assertEqual(one_by_one, found, (before, after))
                regular += self.by_columns(document)
        self.assertGreater(regular, 20)

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 2 * MANY)), max_size=4))
    def test_any_changes(self, changes: list[tuple[tuple[str, str], int]]) -> None:
        document = PLAIN
        for (before, after), place in changes:
            parts = document.split(before)
            if place < len(parts) - 1:
                document = before.join(parts[: place + 1]) + after + before.join(parts[place + 1 :])
            else:
                document = document.replace(before, after)
        found, one_by_one = both(document)
        self.assertEqual(one_by_one, found)
