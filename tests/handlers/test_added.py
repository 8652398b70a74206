"""Functions of ``add_handler``: each name is called, none replaces a rule, what is returned is stored or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import sqlalchemy.event
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers.poll import OadrPoll
from oadrvtn.model.config import Config, Registration
from oadrvtn.model.event import EiTarget, Interval, OadrDistributeEvent, OadrReportPayload, PayloadFloat
from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.party import EiResponse, OadrCancelPartyRegistration, OadrRequestReregistration, OadrResponse
from oadrvtn.model.report import (
    OadrCancelReport,
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
from oadrvtn.testing import RESOURCES, MemoryVtn, ScriptedVen, build_vtn, result
from oadrvtn.vtn import events
from oadrvtn.vtn.hooks import ASKED, NAMES, NEWS, TOLD_OF_MESSAGES
from oadrvtn.vtn.specs import EventSpec, SignalSpec
from tests.handlers.house import Logged, code, made

START = datetime(2026, 7, 1, 12, tzinfo=UTC)


def spec(event_id: str | None = "made-up", **more: Any) -> EventSpec:
    hour = SignalSpec(intervals=((Duration("PT1H"), 1.0),))
    values: dict[str, Any] = {"market_context": "http://program", "dtstart": START, "signals": (hour,), **more}
    return EventSpec(event_id=event_id, **values)


def report(value: float = 1.0) -> OadrReport:
    reading = OadrReportPayload(r_id="price", payload=PayloadFloat(value=value))
    return OadrReport(
        intervals=(Interval(dtstart=START, payloads=(reading,)),), report_request_id="r",
        report_specifier_id="tariff", report_name="TELEMETRY_USAGE", created_date_time=START,
    )  # fmt: skip


def event_ids(message: Any) -> list[str]:
    return [shown.event.descriptor.event_id for shown in message.events]


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START.timestamp())
        self.vtn = self.made()

    def made(self, *resources: Any, **config: Any) -> MemoryVtn:
        vtn = build_vtn(self.clock, *resources, config=Config(**config))
        self.addCleanup(vtn.stop)
        return vtn

    def registered(self, ven_id: str = "ven-1") -> ScriptedVen:
        ven = self.vtn.ven(ven_id)
        ven.register()
        self.assertIsInstance(ven.settle(), OadrResponse)
        return ven

    def rows(self, query: str) -> list[Any]:
        return self.vtn.read(lambda txn: [tuple(row) for row in txn.exec_driver_sql(query)])

    def stored(self) -> list[Any]:
        return self.rows("SELECT event_id, source, modification_number, cancelled FROM events ORDER BY event_id")


class NameTests(Case):
    def test_each_method_of_the_services_has_its_name_and_each_name_is_called(self) -> None:
        methods = {name for cls in RESOURCES.values() for name in cls.methods.values()} | {"on_request_report"}
        self.assertEqual({*ASKED, *TOLD_OF_MESSAGES}, methods)

    def test_who_is_told_of_messages_gets_each_that_its_rule_has_taken_and_no_other(self) -> None:
        told: list[tuple[str, Any]] = []
        for name in TOLD_OF_MESSAGES:
            self.vtn.add_handler(name, lambda payload, name=name: told.append((name, payload)))
        ven = self.registered()
        told.clear()
        expected = []
        for cls in RESOURCES.values():
            for message, name in cls.methods.items():
                if name not in TOLD_OF_MESSAGES:
                    continue
                sent = made(
                    message.name(), **({"ven_id": "ven-1"} if hasattr(MESSAGES[message.name()], "ven_id") else {})
                )
                told.clear()
                answer = ven.send(sent, cls.service)
                if code(answer) == "200":
                    expected.append(name)
                    self.assertEqual([(name, sent)], told)
        self.assertGreater(len(expected), 6)

    def test_the_rule_has_committed_when_it_is_called(self) -> None:
        seen: list[Any] = []
        opts = "SELECT opt_type FROM answers"
        self.vtn.add_handler("on_created_event", lambda payload: seen.append((payload["ven_id"], self.rows(opts))))
        ven = self.registered()
        self.vtn.write(events.create, spec(), "operator")
        self.assertEqual("200", code(ven.answer(ven.poll())))
        self.assertEqual([("ven-1", [("optIn",)])], seen)

    def test_an_error_in_one_is_logged_and_not_answered(self) -> None:
        self.vtn.add_handler("on_created_event", lambda payload: 1 / 0)
        ven = self.registered()
        self.vtn.write(events.create, spec(), "operator")
        self.assertEqual("200", code(ven.answer(ven.poll())))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_what_a_rule_refuses_by_an_error_is_not_told(self) -> None:
        told: list[Any] = []
        self.vtn.add_handler("on_cancel_party_registration", told.append)
        ven = self.registered()
        wrong = OadrCancelPartyRegistration(request_id="r", registration_id="another", ven_id="ven-1")
        self.assertEqual("452", code(ven.send(wrong)))
        self.assertEqual([], told)

    def test_online_and_offline_are_told_by_the_ven_id(self) -> None:
        told: list[Any] = []
        for name in NEWS:
            self.vtn.add_handler(name, lambda *about, name=name: told.append((name, *about)))
        ven = self.registered()
        self.vtn.live(60)
        ven.poll()
        names = ["on_ven_online", "on_ven_offline", "on_ven_online"]
        self.assertEqual([(name, "ven-1") for name in names], told)

    def test_the_promised_names_are_all_there(self) -> None:
        promised = {"on_create_party_registration", "on_register_party", "on_poll", "on_created_event"}
        promised |= {"on_request_event", "on_request_report", "on_ven_online", "on_ven_offline"}
        self.assertEqual(set(), promised - {*NAMES})


class RegistrationTests(Case):
    def test_ids_let_a_stranger_in_and_its_payload_has_the_fingerprint(self) -> None:
        seen: list[Any] = []

        async def decide(payload: Any) -> Any:
            seen.append((payload["ven_name"], payload.fingerprint, payload["fingerprint"]))
            return "site-7", "registration-7"

        self.vtn.add_handler("on_register_party", decide)
        ven = self.vtn.stranger("site")
        created = ven.register()
        self.assertEqual(("200", "site-7", "registration-7"), (code(created), ven.ven_id, ven.registration_id))
        shown = ven.credential.fingerprint[-10:].hex(":").upper()
        self.assertEqual([("site", shown, shown)], seen)

    def test_an_id_alone_is_the_registration_of_the_ven_id_asked_for_or_of_a_new_one(self) -> None:
        numbers = count()
        self.vtn.add_handler("on_create_party_registration", lambda payload: f"registration-{next(numbers)}")
        self.assertEqual("mine", self.vtn.stranger("a").register(ven_id="mine").ven_id)
        self.assertRegex(self.vtn.stranger("b").register().ven_id or "", "^ven-")
        self.assertEqual("ven-1", self.vtn.ven("ven-1").register().ven_id)

    def test_none_and_false_refuse_also_who_is_known(self) -> None:
        for refusal in (None, False):
            self.vtn.add_handler("on_create_party_registration", lambda payload, refusal=refusal: refusal)
            self.assertEqual("463", code(self.vtn.stranger("a").register()))
        self.assertEqual("463", code(self.vtn.ven("ven-1").register()))

    def test_a_policy_of_the_configuration_stays(self) -> None:
        self.vtn = self.made(registration=Registration(policy="closed"))
        self.vtn.add_handler("on_create_party_registration", lambda payload: "registration")
        self.assertEqual("463", code(self.vtn.stranger("a").register()))
        self.assertEqual("200", code(self.vtn.ven("ven-1").register()))

    def test_what_is_neither_is_an_incident_under_the_name_of_the_handler(self) -> None:
        whole = OadrResponse(response=made("oadrResponse").response)
        for nonsense in (7, True, "", ("a", ""), ("a", "b", "c"), whole):
            self.vtn.add_handler("on_register_party", lambda payload, nonsense=nonsense: nonsense)
            with Logged() as log:
                self.assertEqual("500", code(self.vtn.stranger("a").register()))
            [line] = log.lines("incident", LogLevel.critical)
            self.assertRegex(line, "by on_create_party_registration$")
            [failure] = self.flushLoggedErrors(TypeError)
            self.assertRegex(failure.getErrorMessage(), "neither a registration_id nor a pair|instead of IDs")


class PollTests(Case):
    def polled(self, found: Any, name: str = "on_poll") -> tuple[ScriptedVen, Any]:
        """What a registered VEN's poll gets when a handler has found this."""
        ven = self.registered()
        self.vtn.add_handler(name, found if callable(found) else lambda ven_id: found)
        return ven, ven.poll()

    def test_an_event_is_stored_for_this_ven_before_it_is_sent_and_its_answer_finds_it(self) -> None:
        asked: list[str] = []

        def shed(ven_id: str) -> EventSpec:
            asked.append(ven_id)
            return spec()

        ven, message = self.polled(shed)
        self.assertEqual((["made-up"], ["ven-1"]), (event_ids(message), asked))
        self.assertEqual([("made-up", "handler", 0, 0)], self.stored())
        self.assertEqual([("ven-1",)], self.rows("SELECT ven_id FROM ledger"))
        self.assertEqual("200", code(ven.answer(message)))
        self.assertEqual("oadrResponse", ven.poll().name())
        self.assertEqual([("made-up", "handler", 0, 0)], self.stored())

    def test_the_same_again_without_an_id_is_the_same_event_while_it_runs(self) -> None:
        ven, message = self.polled(lambda ven_id: spec(None, dtstart=self.vtn.vtn.now()))
        self.assertEqual("200", code(ven.answer(message)))
        for _ in range(2):
            self.vtn.live(20)
            self.assertEqual("oadrResponse", ven.poll().name())
            self.assertEqual(1, len(self.stored()))
        self.vtn.live(3600)
        self.assertEqual(1, len(ven.poll().events))
        self.assertEqual(2, len(self.stored()))

    def test_one_that_has_changed_is_a_modification_and_a_cancelled_one_is_cancelled(self) -> None:
        ven, message = self.polled(spec())
        ven.answer(message)
        self.vtn.add_handler("on_poll", lambda ven_id: spec(priority=1))
        message = ven.poll()
        self.assertEqual(1, message.events[0].event.descriptor.modification_number)
        ven.answer(message)
        event = message.events[0].event
        gone = event.evolve(descriptor=event.descriptor.evolve(event_status="cancelled"))
        self.vtn.add_handler("on_poll", lambda ven_id: gone)
        self.assertEqual("cancelled", ven.poll().events[0].event.descriptor.event_status)
        self.assertEqual([("made-up", "handler", 2, 1)], self.stored())
        self.assertEqual("200", code(ven.poll()))

    def test_events_of_the_model_will_do_alone_in_a_list_or_in_a_message(self) -> None:
        ven = self.registered("ven-0")
        self.vtn.write(events.create, spec("pattern"), "operator")
        [shown] = ven.request_event().events
        mine = shown.event.evolve(
            descriptor=shown.event.descriptor.evolve(event_id="mine", market_context="http://mine"), target=EiTarget()
        )
        whole = OadrDistributeEvent(request_id="", vtn_id="", events=(shown.evolve(event=mine),))
        for found in (
            mine,
            shown.evolve(event=mine),
            whole,
            [mine],
            (mine, spec("pattern-2", market_context="http://x")),
        ):
            self.vtn = self.made()
            self.assertEqual("mine", event_ids(self.polled(found)[1])[0])

    def test_none_and_nothing_are_the_default(self) -> None:
        nothings: tuple[Any, ...] = (None, [], ())
        for nothing in nothings:
            self.vtn = self.made()
            ven, message = self.polled(nothing)
            self.assertEqual("oadrResponse", message.name())
            self.vtn.write(events.create, spec(), "operator")
            self.assertEqual(["made-up"], event_ids(ven.poll()))

    def test_messages_of_other_kinds_go_out_and_their_answers_find_them(self) -> None:
        specifier = ReportSpecifier(
            report_specifier_id="usage", granularity=Duration("PT1M"), report_back_duration=Duration("PT5M"),
            specifier_payloads=(SpecifierPayload(r_id="power", reading_type="Direct Read"),),
        )  # fmt: skip
        request = OadrReportRequest(report_request_id="mine", report_specifier=specifier)
        create = OadrCreateReport(request_id="c", report_requests=(request,), ven_id="ven-1")
        ven, message = self.polled(create)
        self.assertEqual(("oadrCreateReport", "mine"), (message.name(), message.report_requests[0].report_request_id))
        self.vtn.add_handler("on_poll", lambda ven_id: None)
        data = report().evolve(report_request_id="mine", report_specifier_id="usage")
        update = OadrUpdateReport(request_id="u", reports=(data,), ven_id="ven-1")
        self.assertEqual("200", code(ven.send(update)))
        cancel = OadrCancelReport(request_id="x", report_request_ids=("mine",), report_to_follow=False, ven_id="ven-1")
        self.vtn.add_handler("on_poll", lambda ven_id: cancel)
        self.assertEqual("oadrCancelReport", ven.poll().name())
        other: tuple[Any, ...] = (
            OadrRequestReregistration(ven_id="ven-1"),
            OadrCancelPartyRegistration(request_id="c", registration_id="r", ven_id="ven-1"),
            OadrRegisterReport(request_id="m", reports=()),
            report(),
        )
        for message in other:
            self.vtn = self.made()
            expected = "oadrUpdateReport" if isinstance(message, OadrReport) else message.name()
            self.assertEqual(expected, self.polled([message])[1].name())

    def test_what_is_said_to_be_offered_goes_out_once_a_request_id_until_the_ven_takes_note_of_it(self) -> None:
        offers = OadrRegisterReport(request_id="m", reports=(report().evolve(report_name="METADATA_TELEMETRY_USAGE"),))
        ven, message = self.polled(offers)
        self.assertEqual(offers.evolve(ven_id="ven-1"), message)
        self.clock.advance(60)
        self.assertEqual("m", ven.poll().request_id)
        ven.send(OadrRegisteredReport(response=EiResponse.ok("m"), ven_id="ven-1"))
        self.clock.advance(60)
        self.assertEqual("oadrResponse", ven.poll().name())

    def test_what_is_nonsense_or_refused_is_an_incident_under_the_name_of_the_handler(self) -> None:
        known = spec("known")
        for nonsense in (
            7, "event", {"event_id": "x"}, [spec(), None], spec(market_context="no uri"), spec("known", priority=1),
            spec("of-ven-2"), OadrResponse(response=made("oadrResponse").response), report().evolve(report_name="none"),
        ):  # fmt: skip
            self.vtn = self.made()
            self.vtn.write(events.create, known, "operator")
            elsewhere = spec("of-ven-2", target=EiTarget(ven_ids=("ven-2",)), market_context="http://other")
            self.vtn.ven("ven-2")
            self.vtn.write(events.create, elsewhere, "handler")
            before = self.stored()
            ven = self.vtn.ven("ven-1")
            ven.register()
            self.vtn.add_handler("on_poll", lambda ven_id, nonsense=nonsense: nonsense)
            with Logged() as log:
                self.assertEqual("500", code(ven.poll()), nonsense)
            [line] = log.lines("incident", LogLevel.critical)
            self.assertRegex(line, "^incident [0-9a-f]{8}: oadrPoll of ven-1 could not be handled by on_poll$")
            [failure] = self.flushLoggedErrors(TypeError, ValueError)
            self.assertRegex(failure.getErrorMessage(), "^on_poll returned ")
            self.assertEqual(before, self.stored())

    def test_one_that_raises_is_an_incident_too(self) -> None:
        with Logged() as log:
            self.assertEqual("500", code(self.polled(lambda ven_id: 1 / 0)[1]))
        self.assertEqual(1, len(log.lines("handled by on_poll", LogLevel.critical)))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_one_that_fires_after_its_time_is_logged_and_what_it_found_is_dropped(self) -> None:
        waiting: Deferred[Any] = Deferred()
        ven = self.registered()
        for name in ("on_poll", "on_request_event", "on_request_report"):
            waiting = Deferred()
            vtn = self.vtn = self.made()
            vtn.add_handler(name, lambda ven_id, waiting=waiting: waiting)
            ven = vtn.ven()
            ven.register()
            if name == "on_request_report":
                ven.poll()  # the VTN's oadrRegisterReport
            message = (
                made("oadrRequestEvent", ven_id="ven-1")
                if name == "on_request_event"
                else made("oadrPoll", ven_id="ven-1")
            )
            begun = ven.begin(message)
            self.clock.advance(30)
            refused = result(begun)
            self.assertEqual("500", code(refused))
            self.assertEqual(1, len(self.flushLoggedErrors(TimeoutError)))
            with Logged() as log:
                waiting.callback(report() if name == "on_request_report" else spec())
            [line] = log.lines("after its time was over", LogLevel.warn)
            incident = refused.response.response_description.removeprefix("internal error, ")
            self.assertEqual(f"{incident}: {name} of ven-1 has answered", line.partition(" oadr")[0])
            self.assertEqual([], self.stored())
            self.assertEqual([], self.rows("SELECT kind FROM outbox WHERE kind = 'update_report'"))

    def test_one_that_fails_after_its_time_is_named_with_the_same_incident(self) -> None:
        waiting: Deferred[Any] = Deferred()
        ven = self.registered()
        self.vtn.add_handler("on_poll", lambda ven_id: waiting)
        begun = ven.begin(made("oadrPoll", ven_id="ven-1"))
        self.clock.advance(30)
        incident = result(begun).response.response_description.removeprefix("internal error, ")
        self.flushLoggedErrors(TimeoutError)
        with Logged() as log:
            waiting.errback(KeyError("late"))
        self.assertEqual([f"{incident}: on_poll of ven-1 failed after its time was over"], log.lines("incident"))
        self.flushLoggedErrors(KeyError)

    def test_a_ven_that_is_not_registered_is_not_asked_about(self) -> None:
        asked: list[str] = []
        self.vtn.add_handler("on_poll", asked.append)
        ven = self.vtn.ven()
        ven.ven_id = "ven-1"
        self.assertEqual("463", code(ven.poll()))
        self.assertEqual([], asked)

    def test_where_none_of_these_is_installed_an_idle_poll_asks_the_database_nothing(self) -> None:
        ven = self.registered()
        self.vtn.add_handler("on_created_event", print)
        ven.poll()
        statements: list[Any] = []
        engine = self.vtn.database._engine
        sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call))
        self.assertEqual("oadrResponse", ven.poll().name())
        self.assertEqual([], statements)


class RequestTests(Case):
    def test_an_event_for_who_asks_is_stored_and_sent_and_none_means_what_there_is(self) -> None:
        ven = self.registered()
        self.vtn.add_handler("on_request_event", lambda ven_id: None)
        self.assertEqual(("oadrDistributeEvent", []), ((got := ven.request_event()).name(), event_ids(got)))
        self.vtn.add_handler("on_request_event", lambda ven_id: [spec()])
        distributed = ven.request_event()
        self.assertEqual(["made-up"], event_ids(distributed))
        self.assertEqual("200", code(ven.answer(distributed)))
        self.assertEqual([("made-up", "handler", 0, 0)], self.stored())

    def test_a_report_there_is_nonsense(self) -> None:
        ven = self.registered()
        self.vtn.add_handler("on_request_event", lambda ven_id: report())
        self.assertEqual("500", code(ven.request_event()))
        self.flushLoggedErrors(TypeError)

    def test_a_report_for_a_poll_that_finds_nothing_goes_out_until_it_is_taken(self) -> None:
        ven = self.registered()
        self.vtn.add_handler("on_request_report", lambda ven_id: report())
        self.clock.advance(10)
        self.assertEqual("oadrUpdateReport", ven.poll().name())
        self.assertEqual("oadrResponse", ven.poll().name())
        self.clock.advance(8)
        message = ven.poll()
        self.assertEqual("200", code(ven.send(OadrUpdatedReport(response=EiResponse.ok(message.request_id)))))
        self.assertEqual([("done",)], self.rows("SELECT state FROM outbox WHERE kind = 'update_report'"))

    def test_a_method_of_a_subclass_comes_before_the_function_and_may_ask_it(self) -> None:
        class Polls(OadrPoll):
            def on_request_report(self, ven_id: str) -> Any:
                return super().on_request_report(ven_id)

        self.vtn = self.made(Polls)
        asked: list[str] = []
        self.vtn.add_handler("on_request_report", asked.append)
        self.registered()
        self.assertEqual(["ven-1"], asked)
