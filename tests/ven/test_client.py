"""VenClient: where it POSTs, what it sends, and what it makes of answers that are none."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from oadrvtn.model.event import EventResponse, QualifiedEventID
from oadrvtn.model.opt import OadrCanceledOpt, OadrCreatedOpt, OadrCreateOpt
from oadrvtn.model.party import (
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatedPartyRegistration,
    OadrCreatePartyRegistration,
    OadrPoll,
    OadrResponse,
)
from oadrvtn.security.signature import Signer
from oadrvtn.ven.client import BadAnswer, HttpError, Refused, Unreachable, VenClient, accepted, connect
from oadrvtn.wire import encode
from tests.security.signing import ven

from .vtn import START, CardboardVtn, clock, ok, registered, wanted


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = clock()
        self.vtn = CardboardVtn()
        self.client = self.vtn.client(self.clock, ven_id="ven-1")

    def fails(self, exchange: Deferred[Any], error: type[Exception]) -> str:
        return str(self.failureResultOf(exchange, error).value)

    def test_each_message_goes_to_its_service_with_a_length_and_as_xml(self) -> None:
        self.successResultOf(self.client.poll())
        self.successResultOf(self.client.query())
        self.successResultOf(self.client.register_reports(()))
        self.successResultOf(self.client.created_event(()))
        self.successResultOf(self.client.cancel_opt("o"))
        root = "https://vtn.example/OpenADR2/Simple/2.0b/"
        services = ["OadrPoll", "EiRegisterParty", "EiReport", "EiEvent", "EiOpt"]
        self.assertEqual([root + service for service in services], self.vtn.urls)
        for headers in self.vtn.headers:
            self.assertEqual(b"application/xml", headers[b"Content-Type"])
            self.assertIn(b"Content-Length", headers)

    def test_what_a_ven_asks_of_the_vtn_is_in_the_message(self) -> None:
        self.successResultOf(self.client.request_event(3))
        self.successResultOf(self.client.create_report(wanted("q"), wanted("s")))
        self.successResultOf(self.client.cancel_report("q", "s", report_to_follow=True))
        asked, create, cancel = self.vtn.heard
        self.assertEqual((3, "ven-1"), (asked.reply_limit, asked.ven_id))
        self.assertEqual(["q", "s"], [one.report_request_id for one in create.report_requests])
        self.assertEqual((("q", "s"), True), (cancel.report_request_ids, cancel.report_to_follow))

    def test_an_opt_may_be_for_some_resources(self) -> None:
        self.successResultOf(self.client.create_opt("optOut", "economic", resource_ids=("boiler",)))
        target = self.vtn.heard[0].target
        self.assertEqual((("ven-1",), ("boiler",)), (target.ven_ids, target.resource_ids))

    def test_the_base_url_may_come_with_slashes_the_path_or_a_service(self) -> None:
        for url in ("", "/", "/OpenADR2/Simple/2.0b", "/OpenADR2/Simple/2.0b/", "/OpenADR2/Simple/2.0b/EiEvent"):
            client = self.vtn.client(self.clock, "https://vtn.example/prefix" + url)
            self.assertEqual("https://vtn.example/prefix", client.base_url)

    def test_a_message_without_a_service_of_its_own_needs_one(self) -> None:
        message = OadrResponse(response=ok())
        self.assertRaises(ValueError, self.client.send, message)
        self.successResultOf(self.client.send(message, "EiRegisterParty"))
        self.assertTrue(self.vtn.urls[0].endswith("/EiRegisterParty"))

    def test_registration_begins_without_ids_keeps_those_it_gets_and_sends_them_again(self) -> None:
        client = self.vtn.client(self.clock)
        self.successResultOf(client.register())
        self.successResultOf(client.register())
        first, second = self.vtn.got(OadrCreatePartyRegistration)
        self.assertEqual((None, None), (first.ven_id, first.registration_id))
        self.assertEqual(("ven-1", "reg-1"), (second.ven_id, second.registration_id))
        self.assertTrue(first.http_pull_model)

    def test_with_a_signer_it_signs_and_asks_for_signed_answers(self) -> None:
        self.successResultOf(self.client.register())
        self.client.signer = Signer(ven())
        self.successResultOf(self.client.register())
        self.successResultOf(self.client.poll())
        self.assertEqual([False, True, True], self.vtn.signed)
        self.assertEqual([False, True], [one.xml_signature for one in self.vtn.got(OadrCreatePartyRegistration)])

    def test_a_refused_registration_leaves_the_ids_alone(self) -> None:
        self.vtn.answers[OadrCreatePartyRegistration] = registered(response=ok("463"), ven_id="x", registration_id="y")
        self.successResultOf(self.client.register())
        self.assertEqual(("ven-1", None), (self.client.ven_id, self.client.registration_id))

    def test_a_preconfigured_ven_id_stays_where_the_vtn_gives_none(self) -> None:
        self.vtn.answers[OadrCreatePartyRegistration] = registered(ven_id=None)
        self.successResultOf(self.client.register())
        self.assertEqual("ven-1", self.client.ven_id)

    def test_cancelling_names_the_registration(self) -> None:
        self.client.registration_id = "reg-1"
        answer = self.successResultOf(self.client.cancel_registration())
        self.assertIsInstance(answer, OadrCanceledPartyRegistration)
        self.assertEqual("reg-1", self.vtn.got(OadrCancelPartyRegistration)[0].registration_id)

    def test_an_opt_names_its_event_and_the_ven(self) -> None:
        event = QualifiedEventID(event_id="e", modification_number=1)
        answer = self.successResultOf(self.client.create_opt("optOut", "economic", event=event))
        self.assertIsInstance(answer, OadrCreatedOpt)
        [opt] = self.vtn.got(OadrCreateOpt)
        self.assertEqual((event, ("ven-1",)), (opt.qualified_event_id, opt.target.ven_ids))
        self.assertEqual(START, opt.created_date_time)
        self.assertIsInstance(self.successResultOf(self.client.cancel_opt(opt.opt_id)), OadrCanceledOpt)

    def test_answers_to_events_leave_the_requestid_of_the_message_empty(self) -> None:
        answer = EventResponse(
            response_code="200",
            request_id="d",
            qualified_event_id=QualifiedEventID(event_id="e", modification_number=0),
            opt_type="optIn",
        )
        self.successResultOf(self.client.created_event([answer]))
        self.assertEqual("", self.vtn.heard[0].response.request_id)
        self.assertEqual((answer,), self.vtn.heard[0].event_responses)

    def test_a_refusal_is_an_answer_and_accepted_makes_it_an_error(self) -> None:
        self.vtn.answers[OadrPoll] = OadrResponse(response=ok("463", "who\nare you?"))
        answer = self.successResultOf(self.client.poll())
        error = self.assertRaises(Refused, accepted, answer, OadrResponse)
        self.assertEqual("463", error.response_code)
        self.assertEqual("the VTN says 463 'who\\nare you?'", str(error))

    def test_another_message_than_the_one_that_is_due_is_a_bad_answer(self) -> None:
        error = self.assertRaises(BadAnswer, accepted, OadrResponse(response=ok()), OadrCreatedPartyRegistration)
        self.assertIn("oadrResponse", str(error))

    def test_another_http_status_is_an_error_with_the_first_bytes(self) -> None:
        self.vtn.status = 503
        self.vtn.answers[OadrPoll] = b"busy\n" + b"x" * 1000
        text = self.fails(self.client.poll(), HttpError)
        self.assertTrue(text.startswith("HTTP 503: 'busy\\n"), text)
        self.assertLess(len(text), 250)

    def test_redirects_are_not_followed(self) -> None:
        self.vtn.status = 307
        self.fails(self.client.poll(), HttpError)
        self.assertEqual(1, len(self.vtn.heard))

    def test_what_does_not_decode_is_a_bad_answer_with_the_first_bytes(self) -> None:
        for body in (b"", b"<html>hello</html>", b"\xff\xfe"):
            self.vtn.answers[OadrPoll] = body
            self.fails(self.client.poll(), BadAnswer)
        self.vtn.answers[OadrPoll] = b"<html>hello</html>"
        self.assertIn("<html>hello</html>", self.fails(self.client.poll(), BadAnswer))

    def test_an_answer_that_only_a_bend_would_mend_is_a_bad_answer(self) -> None:
        self.vtn.answers[OadrPoll] = encode(OadrResponse(response=ok())).replace(
            b"<pyld:requestID></pyld:requestID>", b""
        )
        self.assertIn("requestID", self.fails(self.client.poll(), BadAnswer))

    def test_no_connection_is_unreachable_and_says_why(self) -> None:
        self.vtn.down = True
        text = self.fails(self.client.poll(), Unreachable)
        self.assertIn("/OadrPoll: ConnectionRefusedError", text)

    def test_a_lost_connection_tells_the_innermost_reason(self) -> None:
        def lose(url: str, **options: Any) -> Deferred[Any]:
            raise ResponseNeverReceived([Failure(ConnectionRefusedError())])

        self.vtn.post = lose  # type: ignore[method-assign]
        self.assertIn("ConnectionRefusedError", self.fails(self.client.poll(), Unreachable))

    def test_a_silent_vtn_is_given_up_in_time_and_nothing_is_left_behind(self) -> None:
        self.vtn.silent = True
        exchange = self.client.poll()
        self.assertNoResult(exchange)
        self.clock.advance(self.client.timeout)
        self.assertIn("no answer within 30 s", self.fails(exchange, Unreachable))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_timer_does_not_outlive_its_exchange(self) -> None:
        self.successResultOf(self.client.poll())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_body_that_never_ends_is_given_up_and_its_connection_closed(self) -> None:
        http = EndlessAnswer()
        exchange = VenClient(http, "https://vtn.example", "site", self.clock).poll()
        self.clock.advance(30)
        self.fails(exchange, Unreachable)
        self.assertTrue(http.closed)

    def test_a_body_that_breaks_off_is_unreachable(self) -> None:
        http = EndlessAnswer()
        exchange = VenClient(http, "https://vtn.example", "site", self.clock).poll()
        http.body.connectionLost(Failure(ConnectionRefusedError()))
        self.fails(exchange, Unreachable)

    def test_a_body_whose_length_nobody_said_ends_with_the_connection(self) -> None:
        http = EndlessAnswer()
        exchange = VenClient(http, "https://vtn.example", "site", self.clock).poll()
        http.body.connectionLost(Failure(PotentialDataLoss()))
        self.fails(exchange, BadAnswer)

    def test_cancelling_an_exchange_while_the_body_comes_is_no_error_of_the_line(self) -> None:
        http = EndlessAnswer()
        exchange = VenClient(http, "https://vtn.example", "site", self.clock).poll()
        exchange.cancel()
        self.failureResultOf(exchange, CancelledError)
        http.body.connectionLost(Failure(ConnectionRefusedError()))

    def test_a_client_without_kept_connections_is_closed_at_once(self) -> None:
        self.successResultOf(self.client.close())


@implementer(IPolicyForHTTPS)
class AskedPolicy:
    """Keeps for whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        self.asked.append((hostname, port))
        return optionsForClientTLS(hostname.decode())


class ConnectTests(SynchronousTestCase):
    def test_it_connects_under_the_policy_for_the_vtns_name_and_can_be_closed(self) -> None:
        reactor, policy = MemoryReactorClock(), AskedPolicy()
        client = connect(reactor, "https://127.0.0.1:8443/", policy, "site", "ven-9")
        exchange = client.poll()
        self.assertEqual([(b"127.0.0.1", 8443)], policy.asked)
        self.assertEqual([("127.0.0.1", 8443)], [server[:2] for server in reactor.tcpClients])
        reactor.advance(client.timeout)
        self.failureResultOf(exchange, Unreachable)
        self.successResultOf(client.close())
        self.assertEqual([], reactor.getDelayedCalls())
        self.assertEqual("ven-9", client.ven_id)

    def test_connections_are_kept_for_half_a_minute(self) -> None:
        client = connect(MemoryReactorClock(), "https://127.0.0.1:8443/", AskedPolicy(), "site")
        assert client.pool
        self.assertEqual((True, 30), (client.pool.persistent, client.pool.cachedConnectionTimeout))


class EndlessAnswer:
    """treq with a response whose body does not end."""

    code = 200
    closed = False
    body: Any

    def post(self, url: str, **options: Any) -> Deferred[Any]:
        found: Deferred[Any] = Deferred()
        found.callback(self)
        return found

    def deliverBody(self, protocol: Any) -> None:
        self.body = protocol
        protocol.makeConnection(self)
        protocol.dataReceived(b"<oadr:oadrPayload")

    def loseConnection(self) -> None:
        self.closed = True


class WatchTests(SynchronousTestCase):
    """What is told of each exchange."""

    def setUp(self) -> None:
        self.clock = clock()
        self.vtn = CardboardVtn()
        self.told: list[tuple[Any, ...]] = []
        self.client = self.vtn.client(self.clock, ven_id="ven-1", watch=lambda *what: self.told.append(what))

    def test_one_that_went_well_with_its_time(self) -> None:
        self.successResultOf(self.client.poll())
        self.assertEqual([("site", "oadrPoll", 0.0, None)], self.told)

    def test_what_went_wrong_in_a_word(self) -> None:
        self.vtn.answers[OadrPoll] = OadrResponse(response=ok("463"))
        self.successResultOf(self.client.poll())
        self.vtn.answers[OadrPoll] = b"<nonsense/>"
        self.failureResultOf(self.client.poll(), BadAnswer)
        self.vtn.status = 503
        self.failureResultOf(self.client.poll(), HttpError)
        self.vtn.down = True
        self.failureResultOf(self.client.poll(), Unreachable)
        self.vtn.down, self.vtn.silent = False, True
        waiting = self.client.poll()
        self.clock.advance(self.client.timeout)
        self.failureResultOf(waiting, Unreachable)
        errors = ["code 463", "bad answer", "HTTP 503", "ConnectionRefusedError", "no answer in time"]
        self.assertEqual(errors, [error for *_, error in self.told])
        self.assertEqual(self.client.timeout, self.told[-1][2])
