"""The trace of a VEN: whatever became of a message, both ways, with the place of its fault."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers.event import EiEvent
from oadrvtn.model.config import Config, Security
from oadrvtn.model.event import OadrRequestEvent
from oadrvtn.model.party import OadrQueryRegistration
from oadrvtn.storage import vens
from oadrvtn.vtn import registration
from oadrvtn.vtn.traces import Traced, who
from oadrvtn.wire import encode
from tests.handlers.house import House, Logged, certificate, create, made, poll

CREATED = encode(made("oadrCreatedEvent"))


class Broken(EiEvent):
    def on_request_event(self, payload: Any, exchange: Any) -> Any:
        raise RuntimeError("what only the log may know")


class TraceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(self)

    def trace(self, ven: str = "ven-1") -> list[Traced]:
        known = self.house.read(vens.get, ven)
        return list(self.house.vtn.traces.since(who(known, certificate(ven))))

    def last(self, service: str, what: Any, ven: str = "ven-1") -> tuple[Traced, Traced]:
        """What is kept of a message and its answer."""
        exchange = self.house.exchange(service, what, ven)
        came, went = self.trace(ven)[-2:]
        body = what if isinstance(what, bytes) else encode(what)
        self.assertEqual(("in", len(body), body[:4096]), (came.direction, came.size, came.head))
        self.assertEqual(("out", exchange.answer[:4096]), (went.direction, went.head))
        for message in (came, went):
            self.assertEqual(("192.0.2.1", service, self.house.vtn.now()), (message.peer, message.service, message.at))
        return came, went

    def test_a_message_and_its_answer_are_kept(self) -> None:
        came, went = self.last("EiRegisterParty", create())
        self.assertEqual(
            ("oadrCreatePartyRegistration", "200", "", ""), (came.name, came.code, came.verdict, came.place)
        )
        self.assertEqual(("oadrCreatedPartyRegistration", "200"), (went.name, went.code))
        registration_id = self.house.read(registration.current, "ven-1").registration_id
        self.assertIn(registration_id.encode(), went.head)
        self.assertNotIn(registration_id, went.document)

    def test_the_fault_of_a_message_is_shown_at_its_element(self) -> None:
        self.house.register()
        came, went = self.last("EiEvent", CREATED.replace(b">optIn<", b">perhaps<"))
        self.assertEqual(("oadrCreatedEvent", "454"), (came.name, came.code))
        self.assertEqual("oadrCreatedEvent/eiCreatedEvent/eventResponses/eventResponse[1]/optType", came.place)
        self.assertTrue(came.verdict.startswith("'perhaps' is not one of"), came.verdict)
        self.assertEqual(("oadrResponse", "454", ""), (went.name, went.code, went.verdict))

    def test_what_is_no_message_is_kept_too(self) -> None:
        for body, code, place, said in (
            (b"<a>\n<b></a>", "HTTP 400", "line 2", "not well-formed"),
            (b"\xff", "HTTP 400", "byte 0", "must be UTF-8"),
            (b"<!DOCTYPE a><a/>", "HTTP 400", "", "document type"),
            (b"<a/>", "453", "", "the root is 'a'"),
            (
                CREATED.replace(b"oadr:oadrCreatedEvent", b"oadr:oadrForgedEvent"),
                "453",
                "oadrPayload/oadrSignedObject/oadrForgedEvent",
                "",
            ),
        ):
            came, went = self.last("EiEvent", body)
            self.assertEqual(("", code, place), (came.name, came.code, came.place))
            self.assertIn(said, came.verdict)
            self.assertEqual(code, went.code)

    def test_what_a_step_or_a_rule_refuses_is_kept_with_its_reason(self) -> None:
        came, _ = self.last("EiEvent", OadrRequestEvent(request_id="r", ven_id="ven-1"))
        self.assertEqual(
            ("oadrRequestEvent", "463", "VEN 'ven-1' is not registered"), (came.name, came.code, came.verdict)
        )
        came, _ = self.last("EiEvent", OadrQueryRegistration(request_id="r"))
        self.assertEqual(("459", "oadrQueryRegistration is not for EiEvent"), (came.code, came.verdict))
        self.house.register()
        came, _ = self.last("EiRegisterParty", create(registration_id="made up"))
        self.assertEqual("452", came.code)

    def test_the_reason_why_a_signature_was_refused_is_for_operators(self) -> None:
        self.house.vtn.config = Config(vtn_id="vtn", security=Security(signatures="require"))
        came, went = self.last("OadrPoll", poll())
        self.assertEqual(
            ("oadrPoll", "454", "the message is not signed", False), (came.name, came.code, came.verdict, came.signed)
        )
        self.assertNotIn(b"not signed", went.head)
        came, _ = self.last(
            "OadrPoll",
            encode(poll()).replace(
                b"<oadr:oadrSignedObject",
                b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/><oadr:oadrSignedObject',
            ),
        )
        self.assertTrue(came.signed)

    def test_a_fault_of_ours_is_kept_by_its_incident(self) -> None:
        self.house = House(self, Broken)
        self.house.register()
        with Logged() as log:
            came, went = self.last("EiEvent", OadrRequestEvent(request_id="r", ven_id="ven-1"))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual("500", came.code)
        self.assertTrue(log.lines(f"incident {came.incident}: "), came)
        self.assertNotIn("only the log", came.verdict)
        self.assertEqual("", went.incident)

    def test_the_bends_that_a_message_needed_are_kept(self) -> None:
        came, _ = self.last("EiRegisterParty", encode(create()).replace(b"<pyld:requestID>r1</pyld:requestID>", b""))
        self.assertEqual((("missing_request_id",), "200"), (came.bends, came.code))

    def test_polls_that_find_nothing_are_counted_and_not_kept(self) -> None:
        self.house.register()
        self.last("OadrPoll", poll())  # oadrRegisterReport is due
        kept = len(self.trace())
        for _ in range(3):
            self.house.answer("OadrPoll", poll())
        entry = self.house.vtn.roster.get("ven-1")
        assert entry
        self.assertEqual((kept, 3), (len(self.trace()), entry.idle_polls))

    def test_a_certificate_that_is_refused_has_a_trace_of_its_own(self) -> None:
        came, _ = self.last("EiRegisterParty", create(), "stranger")
        self.assertEqual("463", came.code)
        self.assertEqual([], self.trace("ven-1"))

    def test_a_ven_that_comes_again_does_not_show_what_the_one_before_it_said(self) -> None:
        self.house.register()
        self.house.write(registration.remove, "ven-1")
        self.house.clock.advance(1)
        self.house.write(registration.add, self.house.config, "ven-1", "", [certificate("ven-1")], "operator")
        self.assertEqual([], self.trace())
