"""Response codes: what gets which, and in which message."""

from __future__ import annotations

from oadrvtn.handlers.event import EiEvent
from oadrvtn.model.config import Config, Offer, OfferedPoint
from oadrvtn.model.event import EiTarget
from oadrvtn.model.opt import OadrCancelOpt
from oadrvtn.model.party import OadrPoll, OadrQueryRegistration
from oadrvtn.model.report import OadrCreatedReport
from oadrvtn.storage import events as event_rows
from oadrvtn.wire import encode
from tests.handlers.house import create, made
from tests.handlers.test_chain import NORMAL, spoilt

from .lab import LabTestCase, opt, own_request, plain, wanted
from .matrix import proves


class CodeTests(LabTestCase):
    """One test for each code; who sends which is told by the matrix."""

    @proves("code-200")
    def test_what_goes_well_is_200_with_the_request_id(self) -> None:
        answer = self.ven.send(OadrQueryRegistration(request_id="r7"))
        self.assertCode("200", answer)
        self.assertEqual("r7", answer.response.request_id)

    @proves("code-450")
    def test_an_answer_to_another_modification_is_out_of_sequence(self) -> None:
        event = self.lab.event()
        self.assertCode("450", self.ven.answer((event.event_id, 1)))

    @proves("code-451")
    def test_what_a_report_only_ven_says_of_events_is_not_allowed(self) -> None:
        self.ven.register(report_only=True)
        self.assertCode("451", self.ven.send(opt()))

    @proves("code-452")
    def test_an_id_that_was_never_issued_is_invalid(self) -> None:
        self.assertCode("452", self.ven.answer(("nothing", 0)))
        self.assertCode("452", self.ven.report("nothing"))
        self.assertCode("452", self.ven.send(OadrCancelOpt(request_id="r", opt_id="nothing", ven_id="")))
        self.assertCode("452", self.ven.send(OadrPoll(ven_id="nobody")))

    @proves("code-453")
    def test_xml_that_is_no_message_is_not_recognized(self) -> None:
        for document in (b"<surprise/>", encode(OadrPoll(ven_id="")).replace(b"oadrPoll", b"oadrPolka")):
            answer = self.ven.send(document, "OadrPoll")
            self.assertCode("453", answer)
            self.assertEqual("oadrResponse", answer.name())

    @proves("code-454")
    def test_a_message_that_breaks_the_schema_is_invalid_data_and_the_place_is_told(self) -> None:
        answer = self.ven.send(spoilt("oadrRequestEvent"), "EiEvent")
        self.assertCode("454", answer)
        self.assertIn("oadrRequestEvent/requestID", answer.response.response_description)

    @proves("code-459")
    def test_a_message_at_another_service_is_a_compliance_error(self) -> None:
        self.assertCode("459", self.ven.send(OadrPoll(ven_id=""), "EiEvent"))
        self.assertCode("459", self.ven.send(made("oadrDistributeEvent"), "EiEvent"))

    @proves("code-460")
    def test_a_ven_that_does_not_support_a_signal_has_refused_the_event(self) -> None:
        event = self.lab.event()
        self.ven.poll()
        self.assertCode("200", self.ven.answer((event.event_id, 0, "optOut", "460")))
        line = self.lab.read(event_rows.line, "ven-1", event.event_id, 0)
        self.assertEqual(("refused", "460", None), (line.state, line.response_code, line.opt_type))

    @proves("code-462")
    def test_an_opt_for_another_ven_misses_its_target(self) -> None:
        self.assertCode("462", self.ven.send(opt(target=EiTarget(ven_ids=("ven-2",)))))

    @proves("code-463")
    def test_who_is_not_registered_is_told_so_and_so_is_who_speaks_for_another(self) -> None:
        stranger = self.lab.stranger("ven-2")
        self.assertCode("463", stranger.poll())
        self.assertCode("463", self.ven.send(OadrPoll(ven_id="ven-2")))

    @proves("code-469")
    def test_what_is_not_offered_is_a_deployment_error(self) -> None:
        for wish in ({"profile_name": "2.0a"}, {"transport_name": "xmpp"}, {"http_pull_model": False}):
            self.assertCode("469", self.ven.send(create(**wish)))

    @proves("code-500")
    def test_a_fault_of_ours_is_500_with_an_incident_and_nothing_else(self) -> None:
        class Broken(EiEvent):
            def on_created_event(self, payload: object, exchange: object) -> None:
                raise ZeroDivisionError("a secret")

        self.lab.resources["EiEvent"] = Broken(self.lab.vtn, self.lab.chain, "closed")
        answer = self.ven.answer(("e", 0))
        self.assertCode("500", answer)
        self.assertIn("incident", answer.response.response_description)
        self.assertNotIn(b"secret", self.ven.xml)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    @proves("code-http")
    def test_an_application_error_is_http_200_and_only_what_is_no_xml_is_not(self) -> None:
        self.ven.send(OadrPoll(ven_id="nobody"))
        self.assertEqual(200, self.ven.status)
        self.ven.send(b"no xml", "OadrPoll")
        self.assertEqual(400, self.ven.status)

    @proves("code-carrier")
    def test_an_error_stands_in_the_normal_answer(self) -> None:
        stranger = self.lab.stranger("ven-2")
        for name, expected in NORMAL.items():
            if name not in ("oadrQueryRegistration", "oadrCreatePartyRegistration"):
                answer = stranger.send(plain(name))
                self.assertEqual((expected, "463"), (answer.name(), answer.response.response_code))
        answer = stranger.send(create(profile_name="2.0a"))
        self.assertEqual("oadrCreatedPartyRegistration", answer.name())
        self.assertEqual("oadrResponse", stranger.poll().name())


class ReportCodeTests(LabTestCase):
    config = Config(
        offers=(Offer(report_specifier_id="grid", data_points=(OfferedPoint(r_id="frequency", value=50.0),)),)
    )

    @proves("code-461")
    def test_a_report_that_is_offered_but_not_like_this_is_not_supported(self) -> None:
        answer = self.ven.send(own_request(wanted("q", "grid", "frequency", granularity="PT1S", back="PT1M")))
        self.assertEqual(OadrCreatedReport, type(answer))
        self.assertCode("461", answer)

    @proves("code-kept")
    def test_each_code_that_a_ven_sends_is_kept(self) -> None:
        for code in ("450", "452", "460", "461", "462"):
            event = self.lab.event(market_context=f"http://example.com/{code}")
            self.ven.poll()
            self.ven.answer((event.event_id, 0, "optIn", code))
            line = self.lab.read(event_rows.line, "ven-1", event.event_id, 0)
            self.assertEqual(("refused", code), (line.state, line.response_code))
