"""The VTN as producer of reports: what it offers, what is asked of it, and the data it sends."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, Offer, OfferedPoint
from oadrvtn.model.event import OadrPayloadResourceStatus, OadrReportPayload, PayloadFloat, Properties, Voltage
from oadrvtn.model.party import EiResponse
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportRequest,
    OadrUpdatedReport,
    OadrUpdateReport,
    ReportSpecifier,
    SpecifierPayload,
)
from oadrvtn.model.values import Duration
from oadrvtn.storage import provided
from oadrvtn.vtn.provider import MOST_REQUESTS
from oadrvtn.vtn.reporter import PATIENCE, Reporter
from oadrvtn.vtn.vtn import Vtn
from oadrvtn.wire import decode, encode

from .house import START, FakeVen, House, response

TARIFF = Offer(
    report_specifier_id="tariff",
    data_points=(
        OfferedPoint(r_id="price", value=0.25, item_base=Voltage(si_scale_code="none"), on_change=True),
        OfferedPoint(r_id="limit", value=7, reading_type="Contract", min_period=60, max_period=3600),
    ),
)
"""Two constant points, of which only the first is reported on change, and whose samples may be a minute to an hour."""
GRID = Offer(
    report_specifier_id="grid", report_name="HISTORY_USAGE", duration=3600, source="utility.dr:readings",
    data_points=(OfferedPoint(r_id="load"), OfferedPoint(r_id="nominal", value=50)),
)  # fmt: skip
"""One point that a source knows, with an hour of history, and a constant one."""
STATUS = Offer(
    report_specifier_id="status", report_name="TELEMETRY_STATUS",
    data_points=(OfferedPoint(r_id="vtn", value=1, report_type="x-resourceStatus", reading_type="x-notApplicable"),),
)  # fmt: skip
CONFIG = Config(offers=(TARIFF, GRID, STATUS))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def request(
    report_request_id: str = "r",
    specifier: str = "tariff",
    *r_ids: str,
    granularity: str = "PT0S",
    back: str = "PT0S",
    start: float | None = None,
    length: str = "PT0S",
    reading_type: str = "x-notApplicable",
) -> OadrReportRequest:
    """A request; with ``start`` (seconds after the house opened) it has an interval."""
    return OadrReportRequest(
        report_request_id=report_request_id,
        report_specifier=ReportSpecifier(
            report_specifier_id=specifier,
            granularity=Duration(granularity),
            report_back_duration=Duration(back),
            report_interval=None if start is None else Properties(dtstart=at(start), duration=Duration(length)),
            specifier_payloads=tuple(SpecifierPayload(r_id=r_id, reading_type=reading_type) for r_id in r_ids or ("",)),
        ),
    )


def metadata(report_request_id: str = "m", **more: Any) -> OadrReportRequest:
    return request(report_request_id, "METADATA", **more)


class Asked(SynchronousTestCase):
    """A VEN that asks a VTN for its reports."""

    config = CONFIG

    def setUp(self) -> None:
        self.house = House(self.config)
        self.ven = self.house.ven()
        self.calls: list[tuple[Any, ...]] = []
        self.found: Any = {}
        self.house.sources["utility.dr:readings"] = self.source

    def live(self, seconds: float) -> None:
        """Let time pass, in which the VEN is heard and the VTN does its rounds."""
        while seconds > 0:
            self.house.vtn.seen(self.ven.entry)
            self.house.live(min(seconds, 10))
            seconds -= 10

    def source(self, *call: Any) -> Any:
        self.calls.append(call)
        return self.found(*call) if callable(self.found) else self.found

    def ask(self, *requests: OadrReportRequest, ven: FakeVen | None = None) -> OadrCreatedReport:
        reply = (ven or self.ven).send(OadrCreateReport(request_id="c", report_requests=requests))
        self.assertEqual(reply, decode(encode(reply)).message)
        return reply

    def code(self, *requests: OadrReportRequest) -> str:
        return self.ask(*requests).response.response_code

    def cancel(self, *ids: str, follow: bool = False) -> OadrCanceledReport:
        cancel = OadrCancelReport(request_id="x", report_request_ids=ids, report_to_follow=follow)
        return self.ven.send(cancel)

    def update(self) -> OadrReport:
        """The report that the next poll gets, which is valid by the schema."""
        message = self.ven.poll()
        self.assertIsInstance(message, OadrUpdateReport, str(message))
        self.assertEqual(message, decode(encode(message)).message)
        self.sent = message
        return message.reports[0]

    def taken(self, code: str = "200", **more: Any) -> Any:
        """What the VEN's answer to the last report gets."""
        answer = EiResponse(response_code=code, response_description=None, request_id=self.sent.request_id)
        return self.ven.send(OadrUpdatedReport(response=answer, **more))

    def readings(self) -> list[tuple[Any, ...]]:
        """(rID, seconds after the house opened, value) of all that is in the next report, which the VEN takes."""
        report = self.update()
        self.taken()
        return values(report)

    def state(self, report_request_id: str = "r") -> str | None:
        found = self.house.read(provided.get, "ven-1", report_request_id)
        return found.state if found else None


def values(report: OadrReport) -> list[tuple[Any, ...]]:
    return [
        (one.r_id, (interval.dtstart - START).total_seconds(), getattr(one.payload, "value", one.payload))
        for interval in report.intervals
        if interval.dtstart
        for one in interval.payloads
        if isinstance(one, OadrReportPayload)
    ]


class OfferTests(Asked):
    def offered(self, message: Any) -> list[str]:
        self.assertIsInstance(message, OadrRegisterReport)
        self.assertEqual(message, decode(encode(message)).message)
        return [report.report_specifier_id for report in message.reports]

    def test_the_first_that_a_ven_gets_is_what_is_offered(self) -> None:
        self.ven.register()
        message = self.ven.poll()
        self.assertEqual(["tariff", "grid", "status"], self.offered(message))
        tariff = message.reports[0]
        self.assertEqual(("0", "METADATA_TELEMETRY_USAGE", "PT1H", ()), (
            tariff.report_request_id, tariff.report_name, str(tariff.duration), tariff.intervals))  # fmt: skip
        price, limit = tariff.descriptions
        self.assertEqual(("price", "reading", "Direct Read"), (price.r_id, price.report_type, price.reading_type))
        self.assertEqual(("V", "none"), (price.item_base.item_units, price.item_base.si_scale_code))
        rate = limit.sampling_rate
        self.assertEqual(("PT1M", "PT1H", False), (str(rate.min_period), str(rate.max_period), rate.on_change))
        self.assertEqual("METADATA_HISTORY_USAGE", message.reports[1].report_name)

    def test_a_vtn_that_offers_nothing_says_so(self) -> None:
        ven = House().stranger()
        ven.register()
        self.assertEqual([], self.offered(ven.poll()))

    def test_offers_that_have_changed_are_told_at_the_start_and_on_reload_once(self) -> None:
        self.house.config = Config(offers=(TARIFF,))
        self.house.open()
        offered = self.ven.poll()
        self.assertEqual(["tariff"], self.offered(offered))
        self.ven.send(OadrRegisteredReport(response=response(request_id=offered.request_id)))
        self.house.open()
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.successResultOf(self.house.vtn.reconfigure(Config()))
        self.assertEqual([], self.offered(self.ven.poll()))

    def test_only_what_is_still_offered_goes_on(self) -> None:
        self.ask(
            request("a", "tariff", "price", back="PT1M"),
            request("b", "status", "vtn", back="PT1M", granularity="PT1M"),
            request("c", "tariff", "limit", back="PT1M", granularity="PT1M"),
            metadata("m", back="PT1M"),
        )
        self.assertEqual("open", self.state("b"))
        less = Offer(report_specifier_id="tariff", data_points=TARIFF.data_points[:1])
        self.successResultOf(self.house.vtn.reconfigure(Config(offers=(less,))))
        self.assertEqual(
            ["open", "superseded", "superseded", "open"], [self.state(name) for name in ("a", "b", "c", "m")]
        )

    def test_those_who_are_not_registered_are_not_told(self) -> None:
        self.house.stranger("ven-2")
        self.successResultOf(self.house.vtn.reconfigure(Config()))
        self.assertEqual([("ven-1",)], self.house.sql("SELECT ven_id FROM outbox WHERE state = 'queued'"))


class MetadataTests(Asked):
    def test_it_may_be_asked_for(self) -> None:
        reply = self.ask(metadata())
        self.assertEqual((("m",), "200"), (reply.pending_reports, reply.response.response_code))
        message = self.ven.poll()
        self.assertEqual("m", message.report_request_id)
        self.assertEqual(["0"] * 3, [report.report_request_id for report in message.reports])
        self.ven.send(OadrRegisteredReport(response=response(request_id=message.request_id)))
        self.assertEqual(("c",), self.ask(metadata("c")).pending_reports)

    def test_asking_again_does_not_fill_the_queue(self) -> None:
        for _ in range(5):
            self.ask(metadata())
        self.assertEqual(1, self.ven.poll_names(10).count("oadrRegisterReport"))

    def test_asking_under_ever_new_ids_does_not_fill_it_either(self) -> None:
        for number in range(MOST_REQUESTS):
            self.assertEqual("200", self.code(metadata(str(number))))
        for ids in (["x"], [f"y{number}" for number in range(20)]):
            reply = self.ask(*map(metadata, ids))
            self.assertEqual(("451", MOST_REQUESTS), (reply.response.response_code, len(reply.pending_reports)))
        self.assertEqual([(MOST_REQUESTS,)], self.house.sql("SELECT count(*) FROM outbox WHERE state = 'queued'"))

    def test_periodically_it_comes_at_once_and_then_each_period(self) -> None:
        self.ask(metadata(back="PT1M"))
        for _ in range(3):
            message = self.ven.poll()
            self.assertEqual("m", message.report_request_id)
            self.ven.send(OadrRegisteredReport(response=response(request_id=message.request_id)))
            self.live(50)
            self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
            self.live(10)

    def test_one_that_was_not_taken_gives_way_to_the_next(self) -> None:
        self.ask(metadata(back="PT20S"))
        self.live(60)
        self.assertEqual(["oadrRegisterReport", "oadrResponse"], self.ven.poll_names(2))

    def test_it_may_begin_later_and_end(self) -> None:
        self.ask(metadata(back="PT1M", start=120, length="PT1M"))
        got = []
        for _ in range(30):
            message = self.ven.poll()
            if isinstance(message, OadrRegisterReport):
                got.append(self.house.clock.seconds() - START.timestamp())
                self.ven.send(OadrRegisteredReport(response=response(request_id=message.request_id)))
            self.live(10)
        self.assertEqual([120, 180], got)
        self.assertEqual("complete", self.state("m"))

    def test_it_may_be_asked_for_within_oadr_registered_report(self) -> None:
        self.ven.register()
        offered = self.ven.poll()
        message = OadrRegisteredReport(response=response(request_id=offered.request_id), report_requests=(metadata(),))
        self.assertEqual(("m",), self.ven.send(message).pending_reports)
        again = self.ven.poll()
        self.assertEqual("m", again.report_request_id)
        # Who asks like that each time, under one ID, is not sent it for ever.
        message = OadrRegisteredReport(response=response(request_id=again.request_id), report_requests=(metadata(),))
        self.assertEqual(((), "200"), (self.ven.send(message).pending_reports, "200"))
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))


class RefusalTests(Asked):
    def test_what_is_not_offered_is_unknown(self) -> None:
        for wanted in (
            request("r", "nothing", "price"),
            request("r", "tariff", "nothing"),
            request("r", "tariff", "price", "load"),
            request("r", "Tariff", "price"),
        ):
            self.assertEqual("452", self.code(wanted), wanted)

    def test_what_cannot_be_given_as_it_is_wanted_is_461(self) -> None:
        for wanted in (
            request("r", "tariff", "limit", back="PT1H"),  # on change
            request("r", "tariff", "limit", granularity="PT30S", back="PT1M"),  # too often
            request("r", "tariff", "limit", granularity="PT2H", back="PT2H"),  # too seldom
            request("r", "tariff", "limit", granularity="PT1S", start=-600, length="PT10M"),  # also in one report
            request("r", "tariff", "limit", reading_type="Direct Read"),  # another reading
            request("r", "grid", "load", granularity="PT1M", start=-7200, length="PT1H"),  # no longer kept
            request("r", "grid", "load", granularity="PT1M", back="PT1M", start=-90, length="PT1M"),  # past
            request("r", "grid", "load", granularity="PT1H", back="P2Y"),  # too seldom
        ):
            self.assertEqual("461", self.code(wanted), wanted)
        self.assertEqual("200", self.code(request("r", "tariff", "limit", reading_type="Contract")))

    def test_what_no_calendar_has_is_454(self) -> None:
        far = Properties(dtstart=datetime.fromisoformat("9999-12-31T00:00:00+00:00"), duration=Duration("P1Y"))
        wanted = request("r", "grid", "load", granularity="PT1M", back="PT1M")
        specifier = wanted.report_specifier
        for broken in (
            specifier.evolve(report_interval=far),
            specifier.evolve(report_back_duration=Duration("-PT1M")),
            specifier.evolve(granularity=Duration("-PT1M")),
            specifier.evolve(report_back_duration=Duration("P9999Y")),
        ):
            self.assertEqual("454", self.code(wanted.evolve(report_specifier=broken)), broken)

    def test_one_that_is_refused_refuses_the_whole_message_and_what_was_pending_is_told(self) -> None:
        self.ask(metadata())
        reply = self.ask(request("a", "tariff", "price"), request("b", "nothing"))
        self.assertEqual(("452", ("m",)), (reply.response.response_code, reply.pending_reports))
        self.assertIsNone(self.state("a"))

    def test_two_requests_of_one_id_are_refused(self) -> None:
        same = request("a", "tariff", "price", back="PT1M")
        self.assertEqual("454", self.code(same, request("a", "tariff", "limit")))
        self.assertEqual("200", self.code(same, same))

    def test_one_within_oadr_registered_report_still_takes_note(self) -> None:
        self.ven.register()
        offered = self.ven.poll()
        message = OadrRegisteredReport(
            response=response(request_id=offered.request_id), report_requests=(request("r", "nothing"),)
        )
        reply = self.ven.send(message)
        self.assertEqual(
            ("oadrCreatedReport", "452", offered.request_id),
            (reply.name(), reply.response.response_code, reply.response.request_id),
        )
        self.house.after(60)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))


class SingleTests(Asked):
    def test_present_values_come_with_the_next_poll_and_are_pending_until_the_ven_has_them(self) -> None:
        self.assertEqual(("r",), self.ask(request("r", "tariff", "price", "limit")).pending_reports)
        report = self.update()
        self.assertEqual(("r", "tariff", "TELEMETRY_USAGE", START), (
            report.report_request_id, report.report_specifier_id, report.report_name, report.dtstart))  # fmt: skip
        self.assertEqual([("price", 0, 0.25), ("limit", 0, 7)], values(report))
        self.assertIsNone(report.intervals[0].duration)
        self.assertEqual(("r", "s"), self.ask(metadata("s")).pending_reports)
        self.taken()
        self.assertEqual(("s",), self.ask(metadata("s")).pending_reports)
        self.assertEqual("complete", self.state())

    def test_several_requests_are_met_each(self) -> None:
        self.ask(request("a", "tariff", "price"), request("b", "tariff", "limit"), request("c", "status", "vtn"))
        self.assertEqual([("price", 0, 0.25)], self.readings())
        self.assertEqual([("limit", 0, 7)], self.readings())
        self.assertEqual([("vtn", 0, OadrPayloadResourceStatus(online=True, manual_override=False))], self.readings())

    def test_a_source_is_asked_for_the_present_values_and_may_know_many(self) -> None:
        for found, expected in (
            ({"load": 3}, [("load", 10, 3)]),
            ({"load": [(at(8), 2.0), (at(3), 1.0)], "other": 5}, [("load", 8, 2)]),
            ({"load": None}, []),
            ({}, []),
        ):
            self.setUp()
            self.found = found
            self.ask(request("r", "grid", "load"))
            self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
            self.live(10)
            self.assertEqual([("ven-1", ("load",), at(10), at(10))], self.calls)
            self.assertEqual(expected, self.readings())

    def test_a_source_may_take_its_time_in_any_way(self) -> None:
        async def coroutine(*_: Any) -> Any:
            return await succeed({"load": 1.5})

        for found in (lambda *_: {"load": 1.5}, lambda *_: succeed({"load": 1.5}), coroutine):
            self.setUp()
            self.found = found
            self.ask(request("r", "grid", "load"))
            self.live(10)
            self.assertEqual([("load", 10, 1.5)], self.readings())

    def test_it_may_be_wanted_later(self) -> None:
        self.ask(request("r", "tariff", "price", start=100))
        self.live(90)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.live(10)
        self.assertEqual([("price", 100, 0.25)], self.readings())

    def test_asking_again_under_the_same_id_does_not_change_what_is_pending(self) -> None:
        for _ in range(3):
            self.ask(request("r", "tariff", "price"))
            self.house.after(1)
        self.assertEqual([("price", 0, 0.25)], self.readings())
        self.ask(request("r", "tariff", "price"))
        self.assertEqual([("price", 3, 0.25)], self.readings())

    def test_asking_for_something_else_under_the_same_id_replaces_it(self) -> None:
        self.ask(request("r", "tariff", "price"))
        self.ask(request("r", "tariff", "limit"))
        self.assertEqual([("limit", 0, 7)], self.readings())
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))


class HistoryTests(Asked):
    def known(self, ven_id: str, r_ids: Any, since: datetime, until: datetime) -> Any:
        """A reading each ten minutes, from two hours before the house opened to two after."""
        return {"load": [(at(600 * n), n) for n in range(-12, 12)]}

    def history(self, **wanted: Any) -> list[tuple[Any, ...]]:
        self.found = self.known
        self.ask(request("r", "grid", "load", **wanted))
        self.live(10)
        return [(start, value) for _, start, value in self.readings()]

    def test_all_that_there_is(self) -> None:
        self.assertEqual([(600 * n, n) for n in range(-5, 0)], self.history(start=0))
        self.assertEqual([("ven-1", ("load",), at(-3590), START)], self.calls)

    def test_a_window(self) -> None:
        self.assertEqual([(-1800, -3), (-1200, -2)], self.history(start=-1800, length="PT20M"))

    def test_of_a_window_what_is_kept(self) -> None:
        self.assertEqual([(-3000, -5)], self.history(start=-7200, length="PT80M"))
        self.assertEqual([("ven-1", ("load",), at(-3590), at(-2400))], self.calls)

    def test_of_many_readings_the_first_in_each_granularity(self) -> None:
        found = self.history(start=-3000, length="PT50M", granularity="PT25M")
        self.assertEqual([(-3000, -5), (-1200, -2)], found)

    def test_a_window_that_is_not_over_yet_comes_at_its_end(self) -> None:
        self.found = self.known
        self.ask(request("r", "grid", "load", start=-600, length="PT20M"))
        self.live(590)
        self.assertEqual([], self.calls)
        self.live(10)
        self.assertEqual([("load", -600, -1), ("load", 0, 0)], self.readings())

    def test_a_constant_was_always_the_same(self) -> None:
        self.ask(request("r", "grid", "nominal", start=-180, length="PT3M", granularity="PT1M"))
        self.live(10)
        self.assertEqual([("nominal", -180 + 60 * n, 50) for n in range(3)], self.readings())


class PeriodicTests(Asked):
    def test_the_first_report_is_due_after_its_period_and_holds_its_samples(self) -> None:
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT2M", start=0, length="PT0S"))
        for period in range(3):
            self.live(110)
            self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
            self.live(10)
            report = self.update()
            self.taken()
            self.assertEqual([("price", 120 * period + 60 * n, 0.25) for n in range(2)], values(report))
            self.assertEqual(["PT1M"] * 2, [str(interval.duration) for interval in report.intervals])
            self.assertEqual(("r", "m"), self.ask(metadata()).pending_reports)
            self.ven.take_register_report()

    def test_it_may_begin_later_and_its_last_report_is_due_at_its_end(self) -> None:
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT2M", start=60, length="PT5M"))
        got = []
        for _ in range(60):
            self.live(10)
            if isinstance(message := self.ven.poll(), OadrUpdateReport):
                self.sent = message
                self.taken()
                got.append((self.house.clock.seconds() - START.timestamp(), len(message.reports[0].intervals)))
        self.assertEqual([(180, 2), (300, 2), (360, 1)], got)
        self.assertEqual("complete", self.state())

    def test_one_that_began_keeps_its_grid(self) -> None:
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT1M", start=-90))
        self.live(30)
        self.assertEqual([("price", -30, 0.25)], self.readings())
        self.live(60)
        self.assertEqual([("price", 30, 0.25)], self.readings())

    def test_without_an_interval_it_is_endless_from_now(self) -> None:
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT1M"))
        self.live(1200)
        self.assertEqual(20, len(self.readings()))

    def test_a_source_is_asked_once_for_each_stretch(self) -> None:
        self.found = lambda ven_id, r_ids, since, until: {"load": since.minute}
        self.ask(request("r", "grid", "load", granularity="PT1M", back="PT1M"))
        self.live(180)
        self.assertEqual([(at(60 * n), at(60 * n + 60)) for n in range(3)], [call[2:] for call in self.calls])
        self.assertEqual([("load", 60 * n, n) for n in range(3)], self.readings())

    def test_on_change_all_is_sent_that_the_source_says(self) -> None:
        offer = Offer(report_specifier_id="grid", source="utility.dr:readings",
                      data_points=(OfferedPoint(r_id="load", on_change=True),))  # fmt: skip
        self.successResultOf(self.house.vtn.reconfigure(Config(offers=(offer,))))
        self.ven.take_register_report()
        self.found = {"load": [(at(n), n) for n in (61, 3, 4, 70, 60)]}
        self.ask(request("r", "grid", "load", back="PT1M"))
        self.live(60)
        self.assertEqual([("load", 3, 3), ("load", 4, 4)], self.readings())
        self.live(60)
        self.assertEqual([("load", n, n) for n in (60, 61, 70)], self.readings())

    def test_one_that_the_ven_does_not_take_gives_way_to_one_with_all_readings(self) -> None:
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT1M"))
        self.live(60)
        old = self.update()
        first = self.sent
        self.live(120)
        self.assertEqual([("price", 60 * n, 0.25) for n in range(3)], values(self.update()))
        self.assertEqual([("price", 0, 0.25)], values(old))
        # An answer to the one that was replaced changes nothing: the newer one holds more.
        self.sent, newer = first, self.sent
        self.taken()
        self.house.after(9)
        self.assertEqual(newer.request_id, self.ven.poll().request_id)

    def test_the_readings_that_wait_are_bounded(self) -> None:
        self.ask(request("r", "tariff", "price", granularity="PT10S", back="PT10S"))
        with_most(self, 20)
        self.live(400)
        self.assertEqual([("price", 10 * n, 0.25) for n in range(20, 40)], self.readings())

    def test_of_a_ven_that_was_away_what_is_kept_is_made_when_it_is_back(self) -> None:
        self.found = lambda ven_id, r_ids, since, until: {"load": 1}
        self.ask(request("r", "grid", "load", granularity="PT10M", back="PT10M"))
        self.house.live(7200)
        self.assertEqual([], self.calls)
        self.ven.poll()
        self.live(10)
        self.assertEqual([(at(3610), at(7200))], [call[2:] for call in self.calls])
        self.assertEqual(6, len(self.readings()))

    def test_what_is_over_is_forgotten_in_time(self) -> None:
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT1M"))
        for _ in range(30):
            self.live(60)
            self.readings()
        [(entries,)] = self.house.sql("SELECT count(*) FROM outbox WHERE kind = 'update_report'")
        self.assertLess(entries, 15)
        for number in range(120):
            self.ask(request(f"n{number}", "tariff", "price"))
            self.readings()
        self.assertEqual([(100,)], self.house.sql("SELECT count(*) FROM provided"))
        self.assertEqual("open", self.state())


def with_most(test: SynchronousTestCase, most: int) -> None:
    """So few readings go into a report."""
    for module in ("offers", "provider"):
        test.patch(__import__(f"oadrvtn.vtn.{module}", fromlist=[""]), "MOST_READINGS", most)


class EndTests(Asked):
    def setUp(self) -> None:
        super().setUp()
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT1M"))
        self.live(60)

    def test_a_cancel_ends_it_and_takes_back_what_waits(self) -> None:
        self.ask(metadata())
        self.assertEqual(("m",), self.cancel("r").pending_reports)
        self.ven.take_register_report()
        self.live(120)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.assertEqual("cancelled", self.state())

    def test_one_that_is_repeated_is_good_too(self) -> None:
        for _ in range(2):
            self.assertEqual("200", self.cancel("r").response.response_code)

    def test_one_of_an_unknown_id_is_452_and_changes_nothing(self) -> None:
        reply = self.cancel("r", "stranger")
        self.assertEqual(("452", ("r",)), (reply.response.response_code, reply.pending_reports))
        self.ask(request("mine", "tariff", "price", back="PT1M"), ven=self.house.ven("ven-2"))
        self.assertEqual("452", self.cancel("mine").response.response_code)
        many = self.cancel(*(f"none-{number}" for number in range(300_000)))
        self.assertEqual("452", many.response.response_code)

    def test_with_a_report_to_follow_the_next_one_is_the_last(self) -> None:
        self.readings()
        self.assertEqual(("r",), self.cancel("r", follow=True).pending_reports)
        self.live(60)
        self.assertEqual([("price", 60, 0.25)], self.readings())
        self.assertEqual((), self.cancel("r", follow=True).pending_reports)
        self.live(120)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_oadr_updated_report_may_carry_a_cancel(self) -> None:
        self.update()
        cancel = OadrCancelReport(request_id="x", report_request_ids=("r",), report_to_follow=False)
        reply = self.taken(cancel_report=cancel)
        self.assertEqual(("oadrCanceledReport", "200", ()), (
            reply.name(), reply.response.response_code, reply.pending_reports))  # fmt: skip
        self.assertEqual("cancelled", self.state())

    def test_a_ven_that_knows_nothing_of_it_gets_no_more(self) -> None:
        self.update()
        self.assertEqual("oadrResponse", self.taken("452").name())
        self.assertEqual(("refused", ()), (self.state(), self.cancel("r").pending_reports))

    def test_one_refused_report_is_not_the_end(self) -> None:
        self.update()
        self.taken("500")
        self.live(60)
        self.assertEqual([("price", 60, 0.25)], self.readings())

    def test_a_new_registration_ends_all(self) -> None:
        self.ven.register()
        self.ven.take_register_report()
        self.assertEqual("superseded", self.state())
        self.live(120)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.ask(request("r", "tariff", "price", granularity="PT1M", back="PT1M"))
        self.assertEqual("open", self.state())

    def test_what_a_ven_has_had_stays_complete(self) -> None:
        self.readings()
        self.ask(request("once", "tariff", "price"), request("lost", "tariff", "price"))
        self.readings()
        self.ven.register()
        self.assertEqual(["complete", "superseded"], [self.state("once"), self.state("lost")])

    def test_the_vtn_goes_on_after_a_kill(self) -> None:
        self.house.open()
        self.assertEqual([("price", 0, 0.25)], self.readings())
        self.live(60)
        self.assertEqual([("price", 60, 0.25)], self.readings())

    def test_what_is_listed_and_counted_is_true(self) -> None:
        self.ask(request("a", "tariff", "price"), request("b", "grid", "load", start=600))
        self.assertEqual(["r", "a", "b"], [one.report_request_id for one in self.house.read(provided.listed, "ven-1")])
        self.assertEqual(2, len(self.house.read(provided.listed, None, "open")))
        self.assertEqual({"provided_reports": 2}, self.house.read(provided.counts))


class SourceTests(Asked):
    """What a source may do wrong harms nobody else, and is made good where it recovers."""

    def setUp(self) -> None:
        super().setUp()
        self.ask(
            request("r", "grid", "load", granularity="PT1M", back="PT1M"),
            request("other", "tariff", "price", granularity="PT1M", back="PT1M"),
        )

    def failed(self, kind: type[Exception], times: int = 1) -> None:
        self.assertEqual(times, len(self.flushLoggedErrors(kind)))
        self.assertEqual(["other"], [self.update().report_request_id])
        self.taken()
        self.found = {"load": 7}
        self.live(60)
        self.assertEqual({"r": 2, "other": 1}, {
            one.report_request_id: len(one.intervals) for one in (self._next(), self._next())})  # fmt: skip

    def _next(self) -> OadrReport:
        report = self.update()
        self.taken()
        return report

    def test_it_may_raise(self) -> None:
        def broken(*_: Any) -> Any:
            raise ZeroDivisionError

        self.found = broken
        self.live(60)
        self.failed(ZeroDivisionError)

    def test_it_may_return_what_is_no_reading(self) -> None:
        wrongs: tuple[Any, ...] = (
            None, 7, "load", {"load": "7"}, {"load": [7]}, {"load": [(1, 2, 3)]}, {"load": [("now", 3)]},
            {"load": [(datetime(2026, 6, 1), 3)]}, {"load": {}}, {"load": object()},
        )  # fmt: skip
        for wrong in wrongs:
            self.setUp()
            self.found = wrong
            self.live(60)
            self.assertEqual(1, len(self.flushLoggedErrors(TypeError, ValueError)), wrong)
            self.assertEqual("other", self._next().report_request_id)
            self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_it_may_be_gone(self) -> None:
        del self.house.sources["utility.dr:readings"]
        self.live(60)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_it_may_never_answer(self) -> None:
        never: list[Deferred[Any]] = []

        def stuck(*_: Any) -> Any:
            never.append(Deferred(lambda _: None) if never else Deferred())
            return never[-1]

        self.found = stuck
        for number in range(2):  # the second knows not even how to be cancelled
            self.house.after(60)
            round_ = self.house.reporter.round()
            self.assertNoResult(round_)
            self.house.after(PATIENCE)
            self.successResultOf(round_)
            self.assertEqual(number + 1, len(never))
            self.assertEqual(1, len(self.flushLoggedErrors()))
            self.assertEqual("other", self._next().report_request_id)
        self.assertEqual("open", self.state())

    def test_nobody_waits_twice_for_one_that_is_late(self) -> None:
        import oadrvtn.vtn.reporter as module

        self.patch(module, "_AT_ONCE", 1)
        self.ask(request("s", "grid", "load", granularity="PT1M", back="PT1M"))
        self.found = lambda *_: Deferred()
        self.house.after(60)
        round_ = self.house.reporter.round()
        self.house.after(PATIENCE)
        self.successResultOf(round_)
        self.assertEqual(1, len(self.calls))
        self.assertEqual(2, len(self.flushLoggedErrors()))

    def test_what_was_cancelled_while_it_was_asked_is_not_sent(self) -> None:
        waiting: Deferred[Any] = Deferred()
        self.found = lambda *_: waiting
        self.house.after(60)
        round_ = self.house.reporter.round()
        self.cancel("r")
        waiting.callback({"load": 1})
        self.successResultOf(round_)
        self.assertEqual("other", self._next().report_request_id)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))

    def test_a_stop_waits_for_none(self) -> None:
        self.found = lambda *_: Deferred()
        reporter = self.house.reporter
        reporter.startService()
        self.house.after(60)
        self.assertEqual(1, len(self.calls))
        reporter.stopService()
        self.assertEqual([], self.house.clock.getDelayedCalls())
        self.assertEqual("open", self.state())
        self.house.after(600)
        self.assertEqual(1, len(self.calls))

    def test_a_database_that_fails_does_not_end_the_rounds(self) -> None:
        broken = Reporter(Vtn(self.config, self.house.database, self.house.clock), self.house.clock, {})
        self.house.database.stop()
        self.successResultOf(broken.round())
        self.assertEqual(1, len(self.flushLoggedErrors()))


class GridTests(SynchronousTestCase):
    """Whatever a VEN asks for and whenever somebody looks: the samples join, each once and in order."""

    def setUp(self) -> None:
        self.house = House(CONFIG)
        self.ven = self.house.ven()
        self.number = 0

    @given(
        st.integers(1, 90).map(lambda n: 10 * n), st.integers(1, 900),
        st.integers(-1000, 1000), st.integers(0, 3000), st.lists(st.integers(1, 500), max_size=10),
    )  # fmt: skip
    def test_the_reports_of_a_request_join(
        self, granularity: int, back: int, start: int, length: int, pauses: list[int]
    ) -> None:
        self.number += 1
        begun = self.house.vtn.now()
        offset = (begun - START).total_seconds()
        wanted = request(
            f"r{self.number}", "tariff", "price", granularity=f"PT{granularity}S", back=f"PT{back}S",
            start=offset + start, length=f"PT{length}S",
        )  # fmt: skip
        created = self.ven.send(OadrCreateReport(request_id="c", report_requests=(wanted,)))
        self.assertEqual("461" if length and start + length <= 0 else "200", created.response.response_code)
        found: list[tuple[float, float]] = []
        for pause in pauses:
            self.house.after(pause)
            self.house.vtn.seen(self.ven.entry)
            self.house.round()
            message = self.ven.poll()
            if isinstance(message, OadrUpdateReport):
                self.ven.send(OadrUpdatedReport(response=response(request_id=message.request_id)))
                for interval in message.reports[0].intervals:
                    assert interval.dtstart and interval.duration
                    begin = (interval.dtstart - begun).total_seconds()
                    found.append((begin, begin + interval.duration.fixed.total_seconds()))
        cancel = OadrCancelReport(request_id="x", report_request_ids=(f"r{self.number}",), report_to_follow=False)
        self.ven.send(cancel)
        self.assertEqual(sorted(found), found)
        now = sum(pauses)
        over = length and start + length <= now
        if created.response.response_code == "200" and now - start < 3600:
            gaps = [begin for (_, end), (begin, _) in pairwise(found) if begin != end]
            self.assertEqual([], gaps)
            if over or now - max(start, 0) >= 2 * back:
                self.assertTrue(found)
        if found:
            self.assertLessEqual(found[-1][1], start + length if over else now)


class PayloadTests(SynchronousTestCase):
    def test_a_status_is_told_as_one(self) -> None:
        status = OadrPayloadResourceStatus(online=False, manual_override=True)
        for value, expected in (
            (status, status),
            (0, OadrPayloadResourceStatus(online=False, manual_override=False)),
            (True, OadrPayloadResourceStatus(online=True, manual_override=False)),
        ):
            offer = Offer(report_specifier_id="s", source="a:b", report_name="TELEMETRY_STATUS",
                          data_points=(OfferedPoint(r_id="x", report_type="x-resourceStatus"),))  # fmt: skip
            house = House(Config(offers=(offer,)))
            house.sources["a:b"] = lambda *_, value=value: {"x": value}
            ven = house.ven()
            ven.send(OadrCreateReport(request_id="c", report_requests=(request("r", "s", "x"),)))
            house.live(10)
            [interval] = ven.poll().reports[0].intervals
            self.assertEqual(expected, interval.payloads[0].payload)
            self.assertNotIsInstance(interval.payloads[0].payload, PayloadFloat)
