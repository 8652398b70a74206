"""Standing wishes: what they ask of which VENs, and what becomes of it when they or the VENs change."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, Limits, Offer, OfferedPoint, WantedReport
from oadrvtn.model.errors import InvalidData, InvalidID, NotAllowed
from oadrvtn.model.event import EiTarget, Voltage
from oadrvtn.model.report import OadrReportDescription, OadrReportRequest, OadrSamplingRate
from oadrvtn.model.values import Duration
from oadrvtn.storage import reports
from oadrvtn.vtn import audience, outbox, wishes
from oadrvtn.vtn.changes import Changes

from .house import START, House, offered, reading, result

USAGE: dict[str, Any] = {"report_name": "TELEMETRY_USAGE"}


def wanted(**wish: Any) -> WantedReport:
    return WantedReport(**{**USAGE, **wish})


def house_that_wants(**wish: Any) -> House:
    return House(Config(reports=(wanted(**wish),)))


class AskingTests(SynchronousTestCase):
    """What is asked of a VEN that offers its reports."""

    def requests(self, *r_ids: str, wish: dict[str, Any] | None = None, **point: Any) -> tuple[OadrReportRequest, ...]:
        return house_that_wants(**(wish or {})).ven().offer_reports(*r_ids, **point).report_requests

    def test_nothing_is_asked_for_where_nothing_is_wanted(self) -> None:
        reply = House().ven().offer_reports("power")
        self.assertEqual(
            ((), "200", "offer"), (reply.report_requests, reply.response.response_code, reply.response.request_id)
        )

    def test_no_more_is_asked_of_a_ven_than_may_wait_for_it(self) -> None:
        for most in (1, 2, 3):
            found = (wanted(), wanted(granularity=120), wanted(granularity=180))
            ven = House(Config(reports=found, limits=Limits(outbox=most))).ven()
            self.assertEqual(most, len(ven.offer_reports("power").report_requests))

    def test_what_is_wanted_is_asked_for_endlessly(self) -> None:
        [request] = self.requests("power", "energy")
        specifier = request.report_specifier
        self.assertEqual(
            ("usage", "PT1M", "PT5M"),
            (specifier.report_specifier_id, str(specifier.granularity), str(specifier.report_back_duration)),
        )
        self.assertEqual(["energy", "power"], [point.r_id for point in specifier.specifier_payloads])
        assert specifier.report_interval
        self.assertEqual(
            (START, Duration("PT0S")), (specifier.report_interval.dtstart, specifier.report_interval.duration)
        )

    def test_a_wish_may_name_point_type_reading_unit_resource_and_market_context(self) -> None:
        point: dict[str, Any] = {
            "item_base": Voltage(si_scale_code="none"),
            "data_source": EiTarget(resource_ids=("cold", 'hot "2"')),
            "market_context": "http://example.com/peak",
        }
        for wish, matches in (
            ({"r_id": "power"}, 1), ({"r_id": "other"}, 0), ({"reading_type": "Direct Read"}, 1),
            ({"reading_type": "Mean"}, 0), ({"report_type": "usage"}, 1),
            ({"report_type": "demand"}, 0), ({"item_base": "voltage"}, 1),
            ({"item_base": "powerReal"}, 0), ({"report_name": "TELEMETRY_STATUS"}, 0),
            ({"resource_id": "cold"}, 1), ({"resource_id": 'hot "2"'}, 1), ({"resource_id": "Cold"}, 0),
            ({"resource_id": "2"}, 0), ({"market_context": "http://example.com/peak"}, 1),
            ({"market_context": "http://example.com/PEAK"}, 0),
        ):  # fmt: skip
            self.assertEqual(matches, len(self.requests("power", wish=wish, **point)), wish)

    def test_only_the_points_that_fit_are_named(self) -> None:
        [request] = self.requests("power", "energy", wish={"r_id": "power"})
        self.assertEqual(["power"], [point.r_id for point in request.report_specifier.specifier_payloads])

    def test_each_report_that_fits_is_asked_for_by_itself(self) -> None:
        ven = house_that_wants().ven()
        reply = ven.offer(
            offered("TELEMETRY_USAGE", "a", specifier="1"), offered("TELEMETRY_USAGE", "a", specifier="2")
        )
        asked = [request.report_specifier.report_specifier_id for request in reply.report_requests]
        self.assertCountEqual(["1", "2"], asked)

    def test_the_name_may_lack_its_prefix_and_the_report_its_duration(self) -> None:
        ven = house_that_wants().ven()
        plain = offered("TELEMETRY_USAGE", "a").evolve(report_name="TELEMETRY_USAGE", report_request_id="mine")
        self.assertEqual(1, len(ven.offer(plain).report_requests))

    def test_the_granularity_stays_within_what_can_be_sampled(self) -> None:
        for seconds, expected in ((1, "PT10S"), (60, "PT1M"), (9000, "PT1H"), (0, "PT0S")):
            rate = OadrSamplingRate(min_period=Duration("PT10S"), max_period=Duration("PT1H"), on_change=False)
            [request] = self.requests(
                "power", wish={"granularity": seconds, "report_back_duration": 9000}, sampling_rate=rate
            )
            self.assertEqual(expected, str(request.report_specifier.granularity))

    def sampled(self, *rates: tuple[str, str], **wish: Any) -> list[tuple[list[str], str, str]]:
        """What is asked of points "0", "1"... that can be sampled so: points, granularity and reportBackDuration."""
        points = tuple(
            OadrReportDescription(
                r_id=str(number), report_type="usage", reading_type="Direct Read",
                sampling_rate=OadrSamplingRate(min_period=Duration(least), max_period=Duration(most), on_change=False),
            )
            for number, (least, most) in enumerate(rates)
        )  # fmt: skip
        self.ven = house_that_wants(**wish).ven()
        asked = self.ven.offer(offered("TELEMETRY_USAGE").evolve(descriptions=points)).report_requests
        return [
            (
                [point.r_id for point in request.report_specifier.specifier_payloads],
                str(request.report_specifier.granularity),
                str(request.report_specifier.report_back_duration),
            )
            for request in asked
        ]

    def test_who_samples_more_seldom_than_reports_are_wanted_reports_as_often_as_it_samples(self) -> None:
        self.assertEqual([(["0"], "PT15M", "PT15M")], self.sampled(("PT15M", "PT1H")))
        self.assertEqual([(["0"], "PT15M", "PT0S")], self.sampled(("PT15M", "PT1H"), report_back_duration=0))

    def test_points_that_cannot_be_sampled_alike_are_asked_for_apart(self) -> None:
        slow, quick, both = ("PT2M", "PT1H"), ("PT1S", "PT30S"), ("PT1S", "PT1H")
        self.assertEqual([(["0", "1"], "PT2M", "PT5M")], self.sampled(slow, both))
        found = [(["0"], "PT2M", "PT5M"), (["1"], "PT30S", "PT5M"), (["2"], "PT1M", "PT5M")]
        self.assertEqual(found, self.sampled(slow, quick, both))

    def test_they_are_stopped_together_where_they_are_wanted_no_more(self) -> None:
        self.sampled(("PT2M", "PT1H"), ("PT1S", "PT30S"))
        result(self.ven.house.vtn.reconfigure(self.ven.house.config))
        self.assertEqual("oadrResponse", self.ven.poll().name())
        result(self.ven.house.vtn.reconfigure(Config()))
        self.assertEqual(2, len(self.ven.poll().report_request_ids))

    def test_a_single_report_has_no_interval(self) -> None:
        [request] = self.requests("power", wish={"report_back_duration": 0})
        self.assertIsNone(request.report_specifier.report_interval)


class ChangingTests(SynchronousTestCase):
    """Wishes that come and go while VENs are there."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()
        self.ven.offer(offered("TELEMETRY_USAGE", "power"), offered("TELEMETRY_STATUS", "online"))

    def add(self, **wish: Any) -> str:
        return self.house.write(wishes.add_wish, self.house.vtn.config, wanted(**wish)).wish_id

    def remove(self, wish_id: str) -> None:
        self.house.write(wishes.remove_wish, self.house.vtn.config, wish_id)

    def configure(self, *wanted: WantedReport) -> None:
        self.house.config = Config(reports=wanted)
        result(self.house.vtn.reconfigure(self.house.config))

    def polled(self) -> list[str]:
        """What the VEN is asked for now, which it accepts, or told to stop, which it does."""
        ven, told = self.ven, []
        while (message := ven.poll()).name() != "oadrResponse":
            told.append(message.name())
            if message.name() == "oadrCreateReport":
                taken = (request.report_request_id for request in message.report_requests)
                ven.created_report(*self.open("accepted"), *taken, request_id=message.request_id)
            else:
                ven.canceled_report(*self.open("accepted"), request_id=message.request_id)
        return told

    def open(self, *states: str) -> list[str]:
        return [request.report_request_id for request in self.house.read(reports.requests_of, "ven-1", states)]

    def test_a_new_wish_is_asked_of_who_offers_it_already(self) -> None:
        other = self.house.ven("ven-2")
        self.add()
        self.assertEqual(["oadrCreateReport"], self.polled())
        self.assertEqual("oadrResponse", other.poll().name())
        self.assertEqual(1, len(self.open("accepted")))

    def test_the_same_wish_again_changes_nothing(self) -> None:
        wish_id = self.add()
        self.polled()
        self.assertEqual(wish_id, self.add())
        self.assertEqual([], self.polled())

    def test_a_wish_that_is_removed_is_taken_back(self) -> None:
        wish_id = self.add()
        self.polled()
        self.remove(wish_id)
        self.assertEqual(["oadrCancelReport"], self.polled())
        self.assertEqual(["cancelled"], [one.state for one in self.house.read(reports.requests_of, "ven-1")])

    def test_what_another_wish_wants_as_well_goes_on(self) -> None:
        first, second = self.add(), self.add(granularity="30s")
        self.assertEqual(["oadrCreateReport"] * 2, self.polled())
        self.remove(first)
        self.assertEqual(["oadrCancelReport"], self.polled())
        [left] = self.open("accepted")
        self.assertEqual(second, self.house.read(reports.get_request, "ven-1", left).wish_id)

    def test_one_that_comes_back_is_asked_again(self) -> None:
        self.remove(self.add())
        self.polled()
        self.add()
        self.assertEqual(["oadrCreateReport"], self.polled())

    def test_the_configuration_is_followed_when_it_changes(self) -> None:
        self.configure(wanted())
        self.assertEqual(["oadrCreateReport"], self.polled())
        self.configure(wanted(), WantedReport(report_name="TELEMETRY_STATUS"))
        self.assertEqual(["oadrCreateReport"], self.polled())
        self.configure(WantedReport(report_name="TELEMETRY_STATUS"))
        self.assertEqual(["oadrCancelReport"], self.polled())
        self.configure()
        self.assertEqual(["oadrCancelReport"], self.polled())

    def test_so_it_is_at_the_start(self) -> None:
        self.house.config = Config(reports=(wanted(),))
        self.house.open()
        self.assertEqual(["oadrCreateReport"], self.polled())
        self.house.open()
        self.assertEqual([], self.polled())
        self.house.config = Config()
        self.house.open()
        self.assertEqual(["oadrCancelReport"], self.polled())

    def test_a_wish_that_moves_into_the_configuration_changes_nothing_for_the_vens(self) -> None:
        wish_id = self.add()
        self.polled()
        self.configure(wanted())
        self.assertEqual([], self.polled())
        [wish] = self.house.read(wishes.wishes, self.house.config)
        self.assertEqual((wish_id, "config"), (wish.wish_id, wish.source))
        self.assertRaises(NotAllowed, self.remove, wish_id)

    def test_what_was_refused_or_is_done_is_not_asked_again_before_the_next_offer(self) -> None:
        self.add(report_back_duration=0)
        asked = self.ven.poll()
        self.ven.report(asked.report_requests[0].report_request_id, reading("power", 1))
        self.add(granularity="30s")
        self.ven.created_report(code="461", request_id=self.ven.poll().request_id)
        self.house.open()
        self.assertEqual([], self.polled())
        self.assertEqual(2, len(self.ven.offer_reports("power").report_requests))

    def test_a_ven_that_registers_again_gets_all_of_them_again(self) -> None:
        self.add()
        self.add(granularity="30s")
        self.polled()
        self.ven.register()
        self.ven.take_register_report()
        self.assertEqual(2, len(self.ven.offer_reports("power").report_requests))

    def test_vens_that_are_not_registered_are_left_alone(self) -> None:
        self.house.write(lambda txn, now: (txn.exec_driver_sql("UPDATE vens SET registration_id = NULL"), Changes()))
        self.add()
        self.assertEqual([], self.house.sql("SELECT * FROM report_requests"))

    def test_unknown_wishes_and_groups_are_refused(self) -> None:
        self.assertRaises(InvalidID, self.remove, "wish-x")
        mistake = self.assertRaises(InvalidData, self.add, group_id="nobody").mistakes[0]
        self.assertEqual("group_id", mistake.place)


class GroupTests(SynchronousTestCase):
    """Wishes for a group, or for who takes part in a program."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()
        self.ven.offer_reports("power")
        self.house.write(audience.create_group, "north", "North", [])

    def members(self, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
        def change(txn: Any, now: Any) -> tuple[None, Changes]:
            audience.change_members(txn, "north", add, remove, now)
            return None, Changes(wishes.reconcile(txn, self.house.vtn.config, [*add, *remove], now))

        self.house.write(change)

    def test_who_joins_is_asked_and_who_leaves_is_stopped(self) -> None:
        self.house.write(wishes.add_wish, self.house.config, wanted(group_id="north"))
        self.assertEqual("oadrResponse", self.ven.poll().name())
        for _ in range(2):
            self.members(add=("ven-1",))
            asked = self.ven.poll()
            self.ven.created_report(asked.report_requests[0].report_request_id, request_id=asked.request_id)
            self.members(remove=("ven-1",))
            stop = self.ven.poll()
            self.assertEqual(stop.report_request_ids, (asked.report_requests[0].report_request_id,))
            self.ven.canceled_report(request_id=stop.request_id)

    def test_points_without_a_market_context_are_in_the_programs_of_their_ven(self) -> None:
        self.house.write(audience.set_traits, "ven-1", {"market_contexts": ["http://example.com/peak"]})
        for program, name in (("flat", "oadrResponse"), ("peak", "oadrCreateReport")):
            wish = wanted(market_context=f"http://example.com/{program}")
            self.house.write(wishes.add_wish, self.house.config, wish)
            self.assertEqual(name, self.ven.poll().name())


class ManyTests(SynchronousTestCase):
    def test_nothing_to_change_is_little_work(self) -> None:
        house = house_that_wants()
        for number in range(20):
            house.ven(f"ven-{number}").offer_reports(*(f"r{n}" for n in range(20)))
        before = house.sql("SELECT total_changes()")
        everybody = [f"ven-{number}" for number in range(20)]
        self.assertEqual(
            frozenset(), house.write(lambda txn, now: (wishes.reconcile(txn, house.config, everybody, now), Changes()))
        )
        self.assertEqual(before, house.sql("SELECT total_changes()"))
        self.assertEqual(20, len(house.sql("SELECT * FROM report_requests")))

    def test_many_are_asked_and_told_in_slices(self) -> None:
        """Others write in between; a kill loses nobody."""
        house = House()
        vens = [house.ven(f"ven-{number}") for number in range(5)]
        for ven in vens:
            ven.offer_reports("power")
        offer = Offer(report_specifier_id="prices", data_points=(OfferedPoint(r_id="p", value=1),))
        config = attrs.evolve(house.config, offers=(offer,))
        with patch.object(outbox, "VENS_AT_ONCE", 2):
            house.write(wishes.add_wish, house.config, wanted())
            self.assertEqual(2, len(house.sql("SELECT * FROM report_requests")))
            house.open()
            house.round()
            self.assertEqual(5, len(house.sql("SELECT * FROM report_requests")))
            result(house.vtn.reconfigure(config))
            self.assertEqual(2, len(house.sql("SELECT * FROM outbox WHERE CAST(document AS TEXT) LIKE '%prices%'")))
            house.round()
        self.assertEqual([], house.sql("SELECT key FROM house WHERE key LIKE '% up to'"))
        for ven in vens:
            self.assertEqual(["oadrRegisterReport", "oadrCreateReport", "oadrResponse"], ven.poll_names(3))
