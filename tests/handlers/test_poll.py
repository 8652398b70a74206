"""Polls that come again byte for byte, and what a user's OadrPoll has to report where a poll finds nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import attrs
import sqlalchemy.event
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers import chain
from oadrvtn.handlers.poll import OadrPoll
from oadrvtn.model.config import Security
from oadrvtn.model.event import EiTarget, Interval, OadrReportPayload, PayloadFloat
from oadrvtn.model.report import OadrRegisteredReport, OadrReport, OadrUpdatedReport, OadrUpdateReport
from oadrvtn.security.signature import Signer
from oadrvtn.vtn import certificates, duties, events, registration
from oadrvtn.vtn.vtn import Vtn
from oadrvtn.wire import encode
from oadrvtn.wire.codec import to_xml
from oadrvtn.wire.parser import parse
from tests.handlers.house import START, House, certificate, code, poll
from tests.security.link import server_ec
from tests.vtn.house import response, spec


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


class AgainTests(SynchronousTestCase):
    """A VEN's unsigned poll is the same bytes each time, and so is the answer while nothing waits for it."""

    def house(self, *resources: Any, **more: Any) -> House:
        """A VTN with a registered VEN that has nothing to learn and has polled once."""
        self.parsed: list[bytes] = []

        def noted(body: bytes) -> Any:
            self.parsed.append(body)
            return parse(body)

        self.patch(chain, "parse", noted)
        house = House(self, *resources, **more)
        house.register()
        offered = house.answer("OadrPoll", poll())
        house.answer("EiReport", OadrRegisteredReport(response=response(request_id=offered.request_id)))
        self.assertEqual("oadrResponse", house.answer("OadrPoll", poll()).name())
        self.parsed.clear()
        return house

    def event(self, house: House, **more: Any) -> None:
        house.write(events.create, spec(dtstart=START + timedelta(hours=1), **more), "operator")

    def polled(self, house: House, ven: str = "ven-1", body: Any = None) -> tuple[str, str]:
        """What a poll gets, and how: it was "read", or it was "asked" what waits, or that was "known", too."""
        asked: list[Any] = []
        before, ask = len(self.parsed), Vtn.poll

        def noted(*arguments: Any) -> Any:
            asked.append(arguments)
            return ask(*arguments)

        with mock.patch.object(Vtn, "poll", noted):
            name = house.answer("OadrPoll", body or poll(), ven).name()
        return name, "read" if len(self.parsed) > before else "asked" if asked else "known"

    def test_it_is_answered_as_before_and_not_read(self) -> None:
        house = self.house()
        first = house.exchange("OadrPoll", poll())
        statements: list[Any] = []
        sqlalchemy.event.listen(house.database._engine, "before_cursor_execute", lambda *call: statements.append(call))
        again = house.exchange("OadrPoll", poll())
        self.assertEqual((200, b"application/xml", first.answer), (again.status, again.content_type, again.answer))
        self.assertEqual(encode(again.reply), again.answer)  # type: ignore[arg-type]
        self.assertEqual(([], []), (self.parsed, statements))

    def test_it_counts_as_any_other(self) -> None:
        house = self.house()
        entry = house.vtn.roster.get("ven-1")
        assert entry
        counted = house.chain.answers["oadrPoll", "200"]
        house.vtn.roster.dirty.clear()
        house.clock.advance(7)
        self.assertEqual(("oadrResponse", "known"), self.polled(house))
        self.assertEqual((house.vtn.now(), {entry}), (entry.last_seen, house.vtn.roster.dirty))
        self.assertEqual(counted + 1, house.chain.answers["oadrPoll", "200"])

    def test_one_that_says_it_otherwise_is_read(self) -> None:
        house = self.house()
        self.assertEqual(("oadrResponse", "read"), self.polled(house, body=encode(poll()) + b"\n"))
        self.assertEqual(("oadrResponse", "read"), self.polled(house, body=poll("ven-1")))
        self.assertEqual(("oadrResponse", "known"), self.polled(house, body=poll("ven-1")))

    def test_the_bytes_of_one_ven_say_nothing_of_another(self) -> None:
        house = self.house()
        self.assertEqual(("oadrResponse", "read"), self.polled(house, body=poll("ven-1")))
        for stranger in ("ven-2", "nobody"):
            self.assertEqual("463", code(house.answer("OadrPoll", poll("ven-1"), stranger)))

    def test_whatever_changes_for_the_ven_is_looked_at(self) -> None:
        changes: dict[str, Any] = {
            "an event": self.event,
            "an event for it": lambda house: self.event(house, target=EiTarget(ven_ids=("ven-1",))),
            "its registration": lambda house: house.register(),
            "its leniency": lambda house: house.write(registration.set_leniency, "ven-1", "standard"),
            "its signatures": lambda house: house.write(registration.set_signatures, "ven-1", "require"),
            "the configuration": lambda house: self.successResultOf(house.vtn.reconfigure(attrs.evolve(house.config))),
            "silence": lambda house: house.clock.advance(3600) or house.write(duties.silence, house.config),
        }
        for what, change in changes.items():
            house = self.house()
            self.assertEqual(("oadrResponse", "known"), self.polled(house))
            change(house)
            name, how = self.polled(house)
            self.assertEqual("asked" if what == "an event" else "read", how, what)
            waits = what in ("an event", "an event for it", "its registration")
            self.assertEqual(waits, name != "oadrResponse", what)

    def test_who_is_put_out_hears_nothing_of_before(self) -> None:
        for rule, arguments in (
            (certificates.suspend, ("ven-1",)),
            (certificates.revoke, (None, "ven-1")),
            (registration.remove, ("ven-1",)),
        ):
            house = self.house()
            self.assertEqual(("oadrResponse", "known"), self.polled(house))
            house.write(rule, *arguments)
            service = house.resources["OadrPoll"]
            if entry := service.knows(certificate("ven-1")):
                self.assertIsNone(service.again(entry, encode(poll())))
            self.assertEqual("463", code(house.answer("OadrPoll", poll())))

    def test_an_event_that_was_sent_is_no_reason_to_say_nothing_from_then_on(self) -> None:
        house = self.house()
        self.event(house)
        house.answer("OadrPoll", poll())
        self.assertEqual([("oadrResponse", "asked")] * 2, [self.polled(house) for _ in range(2)])
        house.clock.advance(10)
        self.assertEqual(("oadrDistributeEvent", "asked"), self.polled(house))

    def test_what_is_signed_is_never_taken_from_before(self) -> None:
        house = self.house()
        house.vtn.config = attrs.evolve(house.config, security=Security(sign="always"))
        house.chain.signers[None] = Signer(server_ec())
        one, two = (house.exchange("OadrPoll", poll()).answer for _ in range(2))
        self.assertNotEqual(one, two)
        self.assertEqual([1, 1], [answer.count(b"</ds:SignatureValue>") for answer in (one, two)])

    def test_a_bent_one_is_bent_each_time(self) -> None:
        house = self.house()
        bare = to_xml(poll())
        for _ in range(2):
            house.exchange("OadrPoll", bare)
        self.assertEqual(2, len(self.parsed))

    def test_a_users_functions_are_asked_each_time(self) -> None:
        for name in ("on_poll", "on_request_report"):
            house = self.house()
            self.assertEqual(("oadrResponse", "known"), self.polled(house))
            asked: list[str] = []
            house.vtn.hooks.add(name, asked.append)
            for turn in range(1, 3):
                self.assertEqual(("oadrResponse", "asked"), self.polled(house))
                self.assertEqual(["ven-1"] * turn, asked)
                house.clock.advance(10)

    def test_so_is_a_subclass(self) -> None:
        asked: list[str] = []

        class Polls(OadrPoll):
            def on_poll(self, payload: Any, exchange: Any) -> Any:
                asked.append(exchange.ven_id)
                return super().on_poll(payload, exchange)

        house = self.house(Polls)
        asked.clear()
        self.assertEqual([("oadrResponse", "asked")] * 2, [self.polled(house) for _ in range(2)])
        self.assertEqual(["ven-1"] * 2, asked)

    def test_on_another_service_it_is_still_at_the_wrong_place(self) -> None:
        house = self.house()
        self.assertEqual("459", code(house.answer("EiEvent", poll())))
