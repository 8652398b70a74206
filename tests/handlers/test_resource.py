"""What users' subclasses of the five services may do, and what becomes of an answer whose reader has gone."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyRequest

from oadrvtn.handlers.event import EiEvent
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.handlers.opt import EiOpt
from oadrvtn.handlers.poll import OadrPoll
from oadrvtn.handlers.register_party import EiRegisterParty
from oadrvtn.handlers.report import EiReport
from oadrvtn.model.errors import InvalidID, NotRecognized, Unreadable, VtnError
from oadrvtn.model.party import EiResponse, OadrResponse
from oadrvtn.storage import vens
from oadrvtn.vtn.rates import Rate
from oadrvtn.wire import decode, encode
from tests.handlers.house import House, Logged, certificate, code, create, made, poll


def said(text: str) -> OadrResponse:
    return OadrResponse(response=EiResponse(response_code="200", response_description=text, request_id=""))


class ReturnTests(SynchronousTestCase):
    def test_a_method_may_be_a_plain_function_return_a_deferred_or_be_a_coroutine(self) -> None:
        class Plain(OadrPoll):
            def on_poll(self, payload: Any, exchange: Exchange) -> Any:
                return said("mine")

        class Waiting(OadrPoll):
            def on_poll(self, payload: Any, exchange: Exchange) -> Any:
                return succeed(said("mine"))

        class Coroutine(OadrPoll):
            async def on_poll(self, payload: Any, exchange: Exchange) -> Any:
                return await succeed(said("mine"))

        for cls in (Plain, Waiting, Coroutine):
            house = House(self, cls)
            house.register()
            self.assertEqual(house.answer("OadrPoll", poll()).response.response_description, "mine")

    def test_super_is_the_default_for_every_method_of_every_service(self) -> None:
        for service in (EiRegisterParty, EiEvent, EiReport, EiOpt, OadrPoll):
            for message, method in service.methods.items():
                called: list[str] = []
                subclass = _through(service, method, called)
                changed, plain = House(self, subclass), House(self)
                for house in (changed, plain):
                    house.register()
                what = create() if method == "on_create_party_registration" else made(message.name())
                got, default = (house.answer(service.service, what) for house in (changed, plain))
                self.assertEqual(called[-1:], [method])
                self.assertEqual(got.name(), default.name(), method)
                self.assertEqual(getattr(got, "response", None), getattr(default, "response", None), method)

    def test_a_method_that_never_answers_does_not_hold_its_ven(self) -> None:
        """It gets 500 when the time of a request is over; what comes later, a failure too, is for the log alone."""
        never: Deferred[Any] = Deferred()

        class Stuck(OadrPoll):
            def on_poll(self, payload: Any, exchange: Exchange) -> Any:
                return never

        house = House(self, Stuck)
        house.register()
        begun = house.begin("OadrPoll", poll())
        house.clock.advance(29.0)
        self.assertNoResult(begun)
        house.clock.advance(2.0)
        answer = decode(self.successResultOf(begun).answer).message
        self.assertEqual(code(answer), "500")
        [failure] = self.flushLoggedErrors(TimeoutError)
        self.assertIn("30 s", str(failure.value))
        never.errback(ValueError("too late"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_an_error_of_the_protocol_is_answered_by_its_code(self) -> None:
        for error in (InvalidID("no such thing"), NotRecognized("eh?")):

            class Polls(OadrPoll):
                async def on_poll(self, payload: Any, exchange: Exchange, error: VtnError = error) -> Any:
                    raise error

            house = House(self, Polls)
            house.register()
            answer = house.answer("OadrPoll", poll())
            self.assertEqual(
                (code(answer), answer.response.response_description), (error.response_code, error.description)
            )

    def test_what_a_handler_cannot_read_is_not_the_vens_fault(self) -> None:
        class Events(EiEvent):
            def on_request_event(self, payload: Any, exchange: Exchange) -> Any:
                raise Unreadable("some other document")

        house = House(self, Events)
        house.register()
        answer = house.answer("EiEvent", made("oadrRequestEvent"))
        self.assertEqual((answer.name(), code(answer)), ("oadrDistributeEvent", "500"))
        self.flushLoggedErrors(Unreadable)

    def test_what_a_method_decodes_itself_does_not_change_which_answer_is_due(self) -> None:
        class Events(EiEvent):
            def on_request_event(self, payload: Any, exchange: Exchange) -> Any:
                return decode(encode(poll()).replace(b"venID", b"venName"))

        house = House(self, Events)
        house.register()
        answer = house.answer("EiEvent", made("oadrRequestEvent", request_id="r3"))
        self.assertEqual(
            (answer.name(), code(answer), answer.response.request_id), ("oadrDistributeEvent", "454", "r3")
        )

    def test_a_result_that_is_no_message_is_an_incident_whose_log_names_the_method(self) -> None:
        for result in (None, "200", {"code": 200}, 7, b"<xml/>"):

            class Polls(OadrPoll):
                def on_poll(self, payload: Any, exchange: Exchange, result: Any = result) -> Any:
                    return result

            house = House(self, Polls)
            house.register()
            self.assertEqual(code(house.answer("OadrPoll", poll())), "500")
            (failure,) = self.flushLoggedErrors(TypeError)
            self.assertIn(f"Polls.on_poll returned {result!r}", failure.getErrorMessage())

    def test_a_message_against_the_schema_is_an_incident_too_and_not_told_to_the_ven(self) -> None:
        class Events(EiEvent):
            def on_request_event(self, payload: Any, exchange: Exchange) -> Any:
                return made("oadrDistributeEvent", vtn_id=5)

        house = House(self, Events)
        house.register()
        with Logged() as log:
            answer = house.answer("EiEvent", made("oadrRequestEvent"))
        self.assertEqual((answer.name(), code(answer), answer.events), ("oadrDistributeEvent", "500", ()))
        self.assertEqual(len(log.lines("could not be handled", LogLevel.critical)), 1)
        (failure,) = self.flushLoggedErrors()
        self.assertIn("oadrDistributeEvent/vtnID", failure.getErrorMessage())

    def test_an_error_text_that_no_xml_can_carry_is_an_incident(self) -> None:
        class Polls(OadrPoll):
            def on_poll(self, payload: Any, exchange: Exchange) -> Any:
                raise VtnError("bell \x07")

        house = House(self, Polls)
        house.register()
        self.assertIn("incident", house.answer("OadrPoll", poll()).response.response_description)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_the_exchange_says_who_it_is(self) -> None:
        found: list[Any] = []

        class Polls(OadrPoll):
            def on_poll(self, payload: Any, exchange: Exchange) -> Any:
                found.extend((exchange.ven_id, exchange.fingerprint, exchange.peer))
                return super().on_poll(payload, exchange)

        house = House(self, Polls)
        house.register()
        house.answer("OadrPoll", poll())
        self.assertEqual(found, ["ven-1", certificate("ven-1")[-10:].hex(":").upper(), "192.0.2.1"])


def _through(service: type, method: str, called: list[str]) -> Any:
    """A subclass that notes the call and goes to its super()."""

    def on_message(self: Any, payload: Any, exchange: Exchange) -> Any:
        called.append(method)
        return getattr(super(subclass, self), method)(payload, exchange)

    subclass = type("Mine", (service,), {method: on_message})
    return subclass


class RegistrationTests(SynchronousTestCase):
    """on_create_party_registration decides by itself who comes in (policy ``handler``)."""

    def _house(self, result: Any) -> House:
        class Registration(EiRegisterParty):
            async def on_create_party_registration(self, payload: Any, exchange: Exchange) -> Any:
                found.append((exchange.entry, exchange.fingerprint, payload.ven_name))
                return result

        found: list[Any] = []
        self.found = found
        return House(self, Registration, policy="handler")

    def test_a_registration_id_lets_a_stranger_in_under_a_new_ven_id(self) -> None:
        house = self._house("reg-7")
        answer = house.register("stranger")
        self.assertEqual(answer.registration_id, "reg-7")
        self.assertTrue(answer.ven_id)
        self.assertEqual(self.found, [(None, certificate("stranger")[-10:].hex(":").upper(), "site")])
        self.assertEqual(house.answer("OadrPoll", poll(answer.ven_id), "stranger").name(), "oadrRegisterReport")

    def test_a_pair_names_the_ven_as_well(self) -> None:
        answer = self._house(("mine", "reg-8")).register("stranger")
        self.assertEqual((answer.ven_id, answer.registration_id), ("mine", "reg-8"))

    def test_none_and_false_refuse_and_keep_nothing(self) -> None:
        for result in (None, False):
            for ven in ("stranger", "ven-1"):
                house = self._house(result)
                answer = house.answer("EiRegisterParty", create(), ven)
                self.assertEqual((code(answer), answer.registration_id), ("463", None))
                self.assertIsNone(answer.requested_poll_freq)
                self.assertIsNone(house.read(vens.owner, certificate("stranger")[-10:]))

    def test_a_known_ven_keeps_its_ven_id_with_the_registration_id_that_was_chosen(self) -> None:
        answer = self._house("reg-9").register("ven-1")
        self.assertEqual((answer.ven_id, answer.registration_id), ("ven-1", "reg-9"))

    def test_another_ven_id_for_a_known_certificate_is_refused(self) -> None:
        house = self._house(("ven-2", "reg-9"))
        self.assertEqual(code(house.answer("EiRegisterParty", create(), "ven-1")), "452")
        self.assertEqual(house.read(vens.get, "ven-2").registration_id, None)

    def test_anything_else_is_an_incident(self) -> None:
        for result in (True, 7, "", ("", ""), ("a",), ("a", "b", "c"), ("a", None), [("a", "b")]):
            house = self._house(result)
            self.assertEqual(code(house.answer("EiRegisterParty", create(), "stranger")), "500", result)
            self.assertEqual(len(self.flushLoggedErrors(TypeError, ValueError)), 1)
            self.assertIsNone(house.read(vens.owner, certificate("stranger")[-10:]))

    def test_super_admits_nobody_but_registers_who_is_known(self) -> None:
        class Registration(EiRegisterParty):
            def on_create_party_registration(self, payload: Any, exchange: Exchange) -> Any:
                return super().on_create_party_registration(payload, exchange)

        house = House(self, Registration, policy="handler")
        self.assertEqual(code(house.answer("EiRegisterParty", create(), "stranger")), "463")
        self.assertEqual(house.register("ven-1").ven_id, "ven-1")


class ContractTests(SynchronousTestCase):
    """What VENs in the field cannot do without."""

    def test_the_poll_frequency_is_in_every_good_registration_answer_and_in_no_error(self) -> None:
        house = House(self)
        query = made("oadrQueryRegistration")
        for ven in ("ven-1", "ven-2", "stranger"):
            for what in (
                query,
                create(),
                create(),
                create(registration_id="another"),
                create(transport_name="xmpp"),
                create(profile_name="2.0a"),
                create(http_pull_model=False),
                create(ven_id="ven-3"),
                query,
                encode(query).replace(b"requestID", b"requestid"),
            ):
                answer = house.answer("EiRegisterParty", what, ven)
                self.assertEqual(answer.name(), "oadrCreatedPartyRegistration")
                self.assertTrue(answer.profiles)
                self.assertEqual(answer.vtn_id, "vtn")
                if code(answer) == "200":
                    self.assertGreater(answer.requested_poll_freq.fixed.total_seconds(), 0)
                else:
                    self.assertIsNone(answer.requested_poll_freq)

    def test_a_request_for_events_is_always_answered_by_events(self) -> None:
        house = House(self)
        ask = made("oadrRequestEvent", request_id="r1")
        found = [house.answer("EiEvent", ask), house.answer("EiEvent", ask, "stranger")]
        house.register()
        found += [
            house.answer("EiEvent", what)
            for what in (
                ask,
                ask.evolve(ven_id="ven-2"),
                ask.evolve(ven_id="nobody"),
                encode(ask).replace(b"replyLimit", b"limit"),
            )
        ]
        house.resources["EiEvent"].on_request_event = lambda payload, exchange: 1 / 0  # type: ignore[attr-defined]
        found.append(house.answer("EiEvent", ask))
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual({answer.name() for answer in found}, {"oadrDistributeEvent"})
        self.assertEqual([code(answer) for answer in found], ["463", "463", "200", "463", "452", "454", "500"])
        for answer in found:
            self.assertEqual((answer.request_id, answer.response.request_id, answer.events), ("r1", "r1", ()))


class _Channel:
    certificate = certificate("ven-1")
    address = "192.0.2.1"
    bucket = Rate(1, 1).bucket(0)

    def subject(self) -> str:
        return "CN=ven-1"

    def certificate_der(self) -> bytes:
        return b"ven-1"

    def own_certificate(self) -> bytes | None:
        return None


def _request(body: bytes, method: bytes = b"POST") -> Any:
    request: Any = DummyRequest([b""])
    request.method = method
    request.content = BytesIO(body)
    request.channel = _Channel()
    return request


class RequestTests(SynchronousTestCase):
    def _waiting(self) -> tuple[House, Deferred[Any], list[str]]:
        """A house whose polls wait for a Deferred, and what they have gone through."""
        gate: Deferred[Any] = Deferred()
        steps: list[str] = []

        class Polls(OadrPoll):
            async def on_poll(self, payload: Any, exchange: Exchange) -> Any:
                exchange.when_written(lambda: steps.append("written"))
                steps.append("began")
                await gate
                steps.append("went on")
                return said("late")

        house = House(self, Polls)
        house.register()
        return house, gate, steps

    def test_the_answer_has_its_length_and_its_type(self) -> None:
        house, gate, steps = self._waiting()
        request = _request(encode(poll()))
        self.assertIs(house.resources["OadrPoll"].render(request), NOT_DONE_YET)
        self.assertEqual((steps, request.written), (["began"], []))
        gate.callback(None)
        (body,) = request.written
        self.assertEqual(decode(body).message.response.response_description, "late")
        headers = {name: values for name, values in request.responseHeaders.getAllRawHeaders()}
        self.assertEqual(headers[b"Content-Length"], [b"%d" % len(body)])
        self.assertEqual(headers[b"Content-Type"], [b"application/xml"])
        self.assertEqual((request.finished, steps), (1, ["began", "went on", "written"]))

    def test_a_client_that_goes_away_does_not_cancel_its_message_only_the_answer_is_dropped(self) -> None:
        house, gate, steps = self._waiting()
        request = _request(encode(poll()))
        house.resources["OadrPoll"].render(request)
        request.processingFailed(Failure(ConnectionLost()))
        gate.callback(None)
        self.assertEqual((steps, request.written, request.finished), (["began", "went on"], [], 0))

    def test_post_is_the_only_method(self) -> None:
        house = House(self)
        for method in (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"post", b"!"):
            request = _request(b"", method)
            body = house.resources["EiEvent"].render(request)
            self.assertEqual(request.responseCode, 405)
            self.assertEqual(request.responseHeaders.getRawHeaders(b"allow"), [b"POST"])
            self.assertEqual(body, b"" if method == b"HEAD" else b"only POST is served here\n")
