"""on_request_report: what a user's OadrPoll has to report to a VEN whose poll finds nothing else."""

from __future__ import annotations

from typing import Any

import sqlalchemy.event
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers.poll import OadrPoll
from oadrvtn.model.event import Interval, OadrReportPayload, PayloadFloat
from oadrvtn.model.report import OadrRegisteredReport, OadrReport, OadrUpdatedReport, OadrUpdateReport
from tests.handlers.house import START, House, code, poll
from tests.vtn.house import response


def report(value: float) -> OadrReport:
    reading = OadrReportPayload(r_id="price", payload=PayloadFloat(value=value))
    return OadrReport(
        intervals=(Interval(dtstart=START, payloads=(reading,)),), report_request_id="r",
        report_specifier_id="tariff", report_name="TELEMETRY_USAGE", created_date_time=START,
    )  # fmt: skip


class RequestReportTests(SynchronousTestCase):
    def house(self, answer: Any) -> House:
        """A VTN whose OadrPoll has this report, or what this function returns; its VEN took the METADATA."""
        self.asked: list[str] = []

        class Polls(OadrPoll):
            def on_request_report(_, ven_id: str) -> Any:
                self.asked.append(ven_id)
                return answer() if callable(answer) else answer

        house = House(self, Polls)
        house.register()
        self.take_metadata(house)
        return house

    def take_metadata(self, house: House) -> None:
        offered = house.answer("OadrPoll", poll())
        house.answer("EiReport", OadrRegisteredReport(response=response(request_id=offered.request_id)))

    def polled(self, house: House) -> Any:
        """What the next poll gets; a report is taken."""
        message = house.answer("OadrPoll", poll())
        if isinstance(message, OadrUpdateReport):
            house.answer("EiReport", OadrUpdatedReport(response=response(request_id=message.request_id)))
        return message

    def test_what_it_returns_goes_out_as_oadr_update_report(self) -> None:
        async def coroutine() -> Any:
            return await succeed(report(1))

        whole = OadrUpdateReport(request_id="mine", reports=(report(1),))
        for found, values in (
            (report(1), [1]),
            ([report(1), report(2)], [1, 2]),
            (whole, [1]),
            (lambda: succeed(report(3)), [3]),
            (coroutine, [1]),
        ):
            message = self.polled(self.house(found))
            self.assertEqual("oadrUpdateReport", message.name())
            self.assertEqual(values, [one.intervals[0].payloads[0].payload.value for one in message.reports])
            self.assertEqual("ven-1", message.ven_id)
            self.assertEqual(found is whole, message.request_id == "mine")
            self.assertEqual(["ven-1"], self.asked)

    def test_it_is_stored_before_it_is_sent_and_goes_out_until_it_is_taken(self) -> None:
        house = self.house(report(1))
        first = house.answer("OadrPoll", poll())
        self.assertEqual([("update_report", first.request_id)], self.rows(house))
        self.assertEqual("oadrResponse", house.answer("OadrPoll", poll()).name())
        house.clock.advance(8)
        self.assertEqual(first, house.answer("OadrPoll", poll()))
        answer = OadrUpdatedReport(response=response(request_id=first.request_id))
        self.assertEqual("200", code(house.answer("EiReport", answer)))
        self.assertEqual(["ven-1"], self.asked)

    def rows(self, house: House) -> list[Any]:
        query = "SELECT kind, request_id FROM outbox WHERE state <> 'done'"
        return house.read(lambda txn: [tuple(row) for row in txn.exec_driver_sql(query)])

    def test_none_is_an_oadr_response(self) -> None:
        nothings: tuple[Any, ...] = (None, [], ())
        for nothing in nothings:
            house = self.house(nothing)
            self.assertEqual(("oadrResponse", "200"), ((found := self.polled(house)).name(), code(found)))
            self.assertEqual([], self.rows(house))

    def test_a_burst_of_polls_ends_also_where_there_is_always_a_report(self) -> None:
        house = self.house(report(1))
        for _ in range(3):
            names = [self.polled(house).name() for _ in range(4)]
            self.assertEqual(["oadrUpdateReport", *["oadrResponse"] * 3], names)
            house.clock.advance(10)
        self.assertEqual(3, len(self.asked))

    def test_it_is_not_asked_where_something_else_is_due(self) -> None:
        house = self.house(report(1))
        house.register()
        self.assertEqual("oadrRegisterReport", house.answer("OadrPoll", poll()).name())
        self.assertEqual([], self.asked)

    def test_nor_for_a_ven_that_is_not_registered(self) -> None:
        house = self.house(report(1))
        self.assertEqual("463", code(house.answer("OadrPoll", poll(), "ven-2")))
        self.assertEqual([], self.asked)

    def test_what_is_no_report_is_an_incident(self) -> None:
        for wrong in (7, "report", [report(1), 7], poll()):
            self.assertEqual("500", code(self.polled(self.house(wrong))))
            [failure] = self.flushLoggedErrors(TypeError)
            self.assertIn("Polls.on_request_report returned", failure.getErrorMessage())

    def test_so_is_one_that_the_schema_refuses(self) -> None:
        house = self.house(report(1).evolve(report_name="no such name"))
        self.assertEqual("500", code(self.polled(house)))
        [failure] = self.flushLoggedErrors(ValueError)
        self.assertIn("reportName", failure.getErrorMessage())
        self.assertEqual([], self.rows(house))

    def test_a_registration_that_ends_while_it_is_asked_gets_nothing(self) -> None:
        waiting: Deferred[Any] = Deferred()
        house = self.house(lambda: waiting)
        begun = house.begin("OadrPoll", poll())
        house.register()
        waiting.callback(report(1))
        self.successResultOf(begun)
        self.assertEqual(["register_report"], [kind for kind, _ in self.rows(house)])

    def test_where_it_is_not_overridden_a_poll_costs_what_it_did(self) -> None:
        house = House(self)
        house.register()
        self.take_metadata(house)
        house.answer("OadrPoll", poll())
        statements: list[Any] = []
        sqlalchemy.event.listen(house.database._engine, "before_cursor_execute", lambda *call: statements.append(call))
        self.assertEqual("oadrResponse", house.answer("OadrPoll", poll()).name())
        self.assertEqual([], statements)
