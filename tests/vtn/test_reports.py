"""Reports: what VENs offer, and what they say to what was asked of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy.event
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, WantedReport
from oadrvtn.model.event import EiTarget, PowerAttributes, PowerReal
from oadrvtn.model.report import OadrCreateReport, OadrSamplingRate
from oadrvtn.model.values import Duration
from oadrvtn.storage import audience, readings, vens
from oadrvtn.storage import reports as rows
from oadrvtn.storage.reports import DataPoint
from oadrvtn.vtn import requests, wishes
from oadrvtn.vtn.changes import Changes
from oadrvtn.vtn.reports import FOREIGN
from oadrvtn.vtn.requests import RequestSpec

from .house import START, House, offered, reading

USAGE: dict[str, Any] = {"report_name": "TELEMETRY_USAGE"}
POLL = 10.0


class OfferTests(SynchronousTestCase):
    """What a VEN says it can report."""

    def setUp(self) -> None:
        self.house = House(Config(reports=(WantedReport(**USAGE),)))
        self.ven = self.house.ven()

    def versions(self) -> int:
        return len(self.house.sql("SELECT * FROM capabilities"))

    def points(self) -> list[DataPoint]:
        capability = self.house.read(rows.current_capability, "ven-1")
        return self.house.read(rows.points_of, capability.id)

    def states(self) -> list[str]:
        return [request.state for request in self.house.read(rows.requests_of, "ven-1")]

    def metadata_asked(self, **spec: Any) -> str:
        """A request for METADATA that the VEN was polled and took."""
        made = [RequestSpec(report_specifier_id="METADATA", **spec)]
        [request] = self.house.write(requests.request, "ven-1", made)
        running = [one.report_request_id for one in self.house.read(rows.requests_of, "ven-1", ["accepted"])]
        polled = self.ven.poll()
        self.ven.created_report(*running, request.report_request_id, request_id=polled.request_id)
        return request.report_request_id

    def test_each_data_point_is_kept(self) -> None:
        rate = OadrSamplingRate(min_period=Duration("PT10S"), max_period=Duration("PT1H"), on_change=True)
        grid = PowerAttributes(hertz=Decimal(50), voltage=Decimal(230), ac=True)
        self.ven.offer(
            offered(
                "TELEMETRY_USAGE", "power", market_context="http://example.com/peak", sampling_rate=rate,
                item_base=PowerReal(item_units="W", si_scale_code="k", power_attributes=grid),
                data_source=EiTarget(resource_ids=("cold", "")), subject=EiTarget(resource_ids=("cold", "warm")),
            ),
            offered("x-mine", "heat", specifier="mine").evolve(report_name="x-mine"),
        )  # fmt: skip
        mine, usage = self.points()
        self.assertEqual(
            DataPoint("usage", "power", "TELEMETRY_USAGE", "usage", "Direct Read", "powerReal", "W", "k",
                      "http://example.com/peak", 10.0, 3600.0, True, ("cold", "warm")),
            usage,
        )  # fmt: skip
        self.assertEqual(
            DataPoint("mine", "heat", "x-mine", "usage", "Direct Read", None, None, None, None, None, None, None, ()),
            mine,
        )

    def test_of_two_points_with_one_name_the_first_counts(self) -> None:
        report = offered("TELEMETRY_USAGE", "a")
        again = report.evolve(descriptions=(report.descriptions[0].evolve(report_type="demand"),))
        self.ven.offer(report, again)
        self.assertEqual(["usage"], [point.report_type for point in self.points()])

    def test_the_resources_that_it_names_can_be_targeted_until_it_names_others(self) -> None:
        for resources in (("a", "b"), ("b",), ()):
            self.ven.offer_reports("power", data_source=EiTarget(resource_ids=resources))
            traits = [trait.value for trait in self.house.read(audience.traits_of, "ven-1")]
            self.assertEqual(resources, tuple(traits))

    def test_each_other_offer_is_a_version_that_replaces_what_was_asked(self) -> None:
        for r_id in ("power", "energy"):
            self.ven.offer_reports(r_id)
        self.assertEqual(2, self.versions())
        self.assertEqual(["requested", "superseded"], sorted(self.states()))

    def test_the_same_offer_is_no_new_version_and_all_is_asked_for_again(self) -> None:
        for year in (2026, 2027):
            made = START.replace(year=year)
            later = offered("TELEMETRY_USAGE", "power").evolve(
                created_date_time=made, dtstart=made, report_id=str(year)
            )
            reply = self.ven.offer(later, report_request_id="0")
            self.assertEqual(1, len(reply.report_requests))
        self.assertEqual(1, self.versions())
        self.assertEqual(["requested", "superseded"], sorted(self.states()))

    def test_one_that_was_asked_for_leaves_what_runs_alone(self) -> None:
        [running] = self.ven.offer_reports("power").report_requests
        self.ven.created_report(running.report_request_id)
        for answer in ({"report_request_id": self.metadata_asked()}, {}):
            if not answer:
                self.metadata_asked()
            reply = self.ven.offer(offered("TELEMETRY_USAGE", "power"), **answer)
            self.assertEqual(((), 1), (reply.report_requests, self.versions()))
        self.assertEqual(["accepted", "done", "done"], self.states())

    def test_so_it_does_each_time_where_it_comes_periodically(self) -> None:
        [running] = self.ven.offer_reports("power").report_requests
        self.ven.created_report(running.report_request_id)
        self.metadata_asked(report_back_duration=60.0)
        for _ in range(3):
            self.ven.offer_reports("power")
        self.assertEqual(["accepted", "accepted"], self.states())

    def test_one_that_comes_by_itself_takes_nothing_back_of_what_is_asked_beside_it(self) -> None:
        self.ven.offer_reports("power")
        asked = [RequestSpec(report_specifier_id=name) for name in ("METADATA", "usage")]
        made = self.house.write(requests.request, "ven-1", asked)
        self.ven.offer_reports("power")  # before it was told
        found = [self.house.read(rows.get_request, "ven-1", request.report_request_id).state for request in made]
        self.assertEqual(["done", "requested"], found)
        polled = self.ven.poll()
        self.assertIsInstance(polled, OadrCreateReport)
        self.assertEqual(
            [request.report_request_id for request in made],
            [request.report_request_id for request in polled.report_requests],
        )

    def test_one_that_was_asked_for_and_says_something_new_is_an_offer_like_any(self) -> None:
        self.ven.offer_reports("power")
        asked = self.metadata_asked()
        reply = self.ven.offer(offered("TELEMETRY_USAGE", "power", "energy"), report_request_id=asked)
        self.assertEqual((1, 2), (len(reply.report_requests), self.versions()))
        self.assertEqual("done", self.house.read(rows.get_request, "ven-1", asked).state)

    def test_a_ven_that_lost_everything_and_registers_is_asked_again_although_it_says_the_same(self) -> None:
        self.ven.offer_reports("power")
        self.house.write(requests.request, "ven-1", [RequestSpec(report_specifier_id="METADATA")])
        self.ven.register()
        self.ven.take_register_report()
        self.assertEqual(1, len(self.ven.offer_reports("power").report_requests))

    def test_thousands_of_points_fit_in_one_message(self) -> None:
        asked: list[object] = []
        sqlalchemy.event.listen(self.house.database._engine, "before_cursor_execute", lambda *call: asked.append(call))
        [request] = self.ven.offer_reports(
            *(f"r{n}" for n in range(5000)), data_source=EiTarget(resource_ids=("cold",))
        ).report_requests
        self.assertEqual(5000, len(request.report_specifier.specifier_payloads))
        self.assertEqual(5000, len(self.points()))
        self.assertLess(len(asked), 50)


class AcceptingTests(SynchronousTestCase):
    """oadrCreatedReport: what a VEN takes on, and what it lists as pending (rule 329)."""

    def setUp(self) -> None:
        wanted = (
            WantedReport(**USAGE),
            WantedReport(**USAGE, r_id="power"),
            WantedReport(**USAGE, report_back_duration=0),
        )
        self.house = House(Config(reports=wanted))
        self.ven = self.house.ven()
        asked = self.ven.offer_reports("power").report_requests
        self.ids = [request.report_request_id for request in asked]

    def states(self) -> list[str]:
        found = {request.report_request_id: request for request in self.house.read(rows.requests_of, "ven-1")}
        return [found[one].state for one in self.ids]

    def test_pending_reports_are_accepted(self) -> None:
        self.assertEqual("200", self.ven.created_report(self.ids[0]).response.response_code)
        self.assertEqual(["accepted", "requested", "requested"], self.states())
        self.ven.created_report(*self.ids)
        self.assertEqual(["accepted", "accepted", "accepted"], self.states())

    def test_pending_reports_of_others_are_counted_and_none_of_ours(self) -> None:
        self.ven.created_report("stranger", *(f"x{number}" for number in range(50_000)))
        self.assertEqual(["requested"] * 3, self.states())
        self.assertEqual((50_001, START), self.house.read(vens.bends_of, "ven-1")[FOREIGN])

    def test_one_refusal_is_for_all_that_were_asked_together(self) -> None:
        self.ven.created_report(code="461", request_id="offer")
        self.assertEqual(["refused"] * 3, self.states())
        self.house.after(60)
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.assertEqual([("461",)] * 3, self.house.sql("SELECT response_code FROM report_requests"))

    def test_the_first_data_accept_too(self) -> None:
        self.ven.report(self.ids[0], reading("power", 1))
        self.assertEqual(["accepted", "requested", "requested"], self.states())
        self.assertEqual(
            [("done",), ("offered",), ("offered",)],
            self.house.sql("SELECT state FROM outbox WHERE kind = 'create_report'"),
        )

    def test_so_they_do_after_a_refusal(self) -> None:
        self.ven.created_report(code="461", request_id="offer")
        for asked in self.ids:
            self.ven.report(asked, reading("power", 1))
        self.assertEqual(["accepted", "accepted", "done"], self.states())

    def test_what_is_no_longer_listed_is_over_with_a_reason(self) -> None:
        self.ven.created_report(*self.ids)
        self.ven.created_report(self.ids[0])
        self.assertEqual(["accepted", "dropped", "accepted"], self.states())
        dropped = self.house.read(rows.get_request, "ven-1", self.ids[1])
        self.assertIn("pending", dropped.response_description)

    def test_one_that_is_listed_again_or_reported_on_goes_on(self) -> None:
        self.ven.created_report(*self.ids)
        self.ven.created_report(self.ids[0])
        self.ven.created_report(*self.ids[:2])
        self.assertEqual(["accepted", "accepted", "accepted"], self.states())
        self.ven.created_report(self.ids[0])
        self.ven.report(self.ids[1], reading("power", 1))
        self.assertEqual(["accepted", "accepted", "accepted"], self.states())

    def test_who_does_not_even_list_what_it_takes_keeps_no_list(self) -> None:
        self.ven.created_report(*self.ids)
        self.house.write(wishes.add_wish, self.house.config, WantedReport(**USAGE, granularity=30))
        polled = self.ven.poll()
        self.ven.created_report(request_id=polled.request_id)
        asked = polled.report_requests[0].report_request_id
        self.assertEqual("accepted", self.house.read(rows.get_request, "ven-1", asked).state)
        self.assertEqual(["accepted", "accepted", "accepted"], self.states())

    def test_what_was_superseded_and_is_still_listed_is_cancelled_a_few_times(self) -> None:
        self.ven.created_report(*self.ids)
        again = [request.report_request_id for request in self.ven.offer_reports("power").report_requests]
        for _ in range(3):
            self.ven.created_report(*again, self.ids[0])
            self.ven.created_report(*again, self.ids[0])
            stop = self.ven.poll()
            self.assertEqual((self.ids[0],), stop.report_request_ids)
            self.ven.canceled_report(*again, request_id=stop.request_id)
        self.ven.created_report(*again, self.ids[0])
        self.assertEqual("oadrResponse", self.ven.poll().name())
        self.assertEqual("superseded", self.states()[0])

    def test_a_cancel_says_what_remains_too(self) -> None:
        self.ven.created_report(*self.ids)
        self.house.write(requests.cancel, "ven-1", [self.ids[0]], False)
        self.ven.canceled_report("stranger", request_id=self.ven.poll().request_id)
        self.assertEqual(["cancelled", "dropped", "accepted"], self.states())

    def test_a_new_registration_ends_what_was_asked_and_its_data_are_still_stored(self) -> None:
        self.ven.register()
        self.assertEqual(["superseded"] * 3, self.states())
        self.assertEqual("200", self.ven.report(self.ids[0], reading("power", 1)).response.response_code)
        self.assertEqual(1, len(self.house.read(readings.readings_of, "ven-1")))
        self.assertEqual(["superseded"] * 3, self.states())

    def test_reports_that_go_on_after_it_are_stopped_once_they_are_listed(self) -> None:
        self.ven.created_report(*self.ids)
        self.ven.register()
        self.ven.take_register_report()
        again = [request.report_request_id for request in self.ven.offer_reports("power").report_requests]
        self.ven.created_report(*again, *self.ids[:2])
        self.assertEqual(set(self.ids[:2]), set(self.ven.poll().report_request_ids))

    def test_an_answer_that_is_repeated_changes_nothing(self) -> None:
        self.ven.created_report(*self.ids)
        before = self.house.sql("SELECT state, changed_at FROM report_requests"), self.house.sql("SELECT * FROM outbox")
        self.house.after(5)
        self.ven.created_report(*self.ids)
        self.assertEqual(
            before,
            (self.house.sql("SELECT state, changed_at FROM report_requests"), self.house.sql("SELECT * FROM outbox")),
        )

    def test_a_ven_may_list_more_than_a_query_can_name(self) -> None:
        self.ven.created_report(*self.ids)

        def many(txn: Any, now: Any) -> tuple[None, Changes]:
            known = rows.requests_named(txn, "ven-1", [*self.ids, *map(str, range(300_000))])
            self.assertEqual(set(self.ids), set(known))
            return None, Changes()

        self.house.write(many)
