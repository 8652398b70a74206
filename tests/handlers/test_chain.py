"""The chain: who is let in, what is answered where a step refuses, and what is told to whom."""

from __future__ import annotations

from typing import Any, get_args

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers import chain
from oadrvtn.handlers.poll import OadrPoll
from oadrvtn.handlers.report import EiReport
from oadrvtn.model.config import Config, Leniency, Limits, Registration, Security, UnregisteredPoll
from oadrvtn.model.errors import NotAllowed
from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.party import EiResponse, OadrQueryRegistration, OadrResponse
from oadrvtn.storage import vens
from oadrvtn.storage.database import DatabaseError
from oadrvtn.vtn import registration
from oadrvtn.wire import decode, encode
from tests.handlers.house import RESOURCES, House, Logged, certificate, code, create, made, poll

ENDPOINTS = {
    "EiRegisterParty": {
        "oadrQueryRegistration",
        "oadrCreatePartyRegistration",
        "oadrCancelPartyRegistration",
        "oadrCanceledPartyRegistration",
    },
    "EiEvent": {"oadrRequestEvent", "oadrCreatedEvent"},
    "EiReport": {
        "oadrRegisterReport",
        "oadrRegisteredReport",
        "oadrCreateReport",
        "oadrCreatedReport",
        "oadrUpdateReport",
        "oadrUpdatedReport",
        "oadrCancelReport",
        "oadrCanceledReport",
    },
    "EiOpt": {"oadrCreateOpt", "oadrCancelOpt"},
    "OadrPoll": {"oadrPoll"},
}
"""Service -> what a VEN may say there, beside oadrResponse, which goes anywhere."""

NORMAL = {
    "oadrQueryRegistration": "oadrCreatedPartyRegistration",
    "oadrCreatePartyRegistration": "oadrCreatedPartyRegistration",
    "oadrCancelPartyRegistration": "oadrCanceledPartyRegistration",
    "oadrRequestEvent": "oadrDistributeEvent",
    "oadrRegisterReport": "oadrRegisteredReport",
    "oadrCreateReport": "oadrCreatedReport",
    "oadrUpdateReport": "oadrUpdatedReport",
    "oadrCancelReport": "oadrCanceledReport",
    "oadrCreateOpt": "oadrCreatedOpt",
    "oadrCancelOpt": "oadrCanceledOpt",
}
"""What answers a message, if it is not oadrResponse."""

EVERYTHING = [(service, name) for service, names in ENDPOINTS.items() for name in sorted(names)]


FREE = ("oadrQueryRegistration", "oadrCreatePartyRegistration")
"""What is for those who are not registered yet."""


def envelope(content: str) -> bytes:
    """An oadrPayload around a message that no class would write."""
    return (
        '<p:oadrPayload xmlns:p="http://openadr.org/oadr-2.0b/2012/07"'
        ' xmlns:ei="http://docs.oasis-open.org/ns/energyinterop/201110"'
        ' xmlns:pyld="http://docs.oasis-open.org/ns/energyinterop/201110/payloads">'
        f"<p:oadrSignedObject>{content}</p:oadrSignedObject></p:oadrPayload>"
    ).encode()


def spoilt(name: str) -> bytes:
    """A message of this name that does not decode, with a requestID that can be read."""
    return envelope(f"<p:{name}><pyld:requestID>r9</pyld:requestID><p:surprise/></p:{name}>")


def request_id_of(message: Any) -> str:
    return message.request_id if hasattr(message, "request_id") else message.response.request_id


class EndpointTests(SynchronousTestCase):
    def test_each_service_takes_its_own_messages_and_refuses_all_others_by_oadr_response_459(self) -> None:
        house = House(self)
        house.register()
        for service, own in ENDPOINTS.items():
            for name in MESSAGES:
                answer = house.answer(service, made(name))
                refused = code(answer) == "459" if hasattr(answer, "response") and answer.response else False
                self.assertEqual(refused, name not in own | {"oadrResponse"}, f"{name} at {service}")
                if refused:
                    self.assertEqual(answer.name(), "oadrResponse")
                    self.assertEqual(answer.response.response_description, f"{name} is not for {service}")
                house.register()  # some of them have ended the registration

    def test_what_only_a_vtn_says_is_for_no_service(self) -> None:
        only_vtn = set(MESSAGES) - {name for _, name in EVERYTHING} - {"oadrResponse"}
        self.assertEqual(
            only_vtn,
            {
                "oadrDistributeEvent",
                "oadrCreatedPartyRegistration",
                "oadrRequestReregistration",
                "oadrCreatedOpt",
                "oadrCanceledOpt",
            },
        )

    def test_an_oadr_response_is_answered_by_one_wherever_it_arrives(self) -> None:
        house = House(self)
        house.register()
        for service in RESOURCES:
            response = EiResponse(response_code="200", request_id="r7")
            answer = house.answer(service, OadrResponse(response=response, ven_id="ven-1"))
            self.assertEqual((answer.name(), code(answer), answer.response.request_id), ("oadrResponse", "200", "r7"))


class IdentityTests(SynchronousTestCase):
    def test_a_ven_id_of_another_case_names_no_ven(self) -> None:
        house = House(self)
        house.register()
        answer = house.answer("OadrPoll", poll("VEN-1"))
        self.assertEqual((code(answer), answer.ven_id), ("452", "ven-1"))

    def test_the_ven_id_of_another_certificate_is_refused_and_the_other_ven_not_touched(self) -> None:
        house = House(self)
        house.register("ven-1")
        house.register("ven-2")
        before = house.read(vens.get, "ven-2")
        answer = house.answer("EiRegisterParty", create(ven_id="ven-2"), "ven-1")
        self.assertEqual((answer.name(), code(answer)), ("oadrCreatedPartyRegistration", "463"))
        self.assertIsNone(answer.registration_id)
        self.assertEqual(house.read(vens.get, "ven-2"), before)

    def test_an_empty_or_absent_ven_id_is_served_by_the_certificate(self) -> None:
        house = House(self)
        house.register()
        self.assertEqual(house.answer("OadrPoll", poll("")).ven_id, "ven-1")
        cancel = made("oadrCancelPartyRegistration", ven_id=None, registration_id="other")
        self.assertEqual(code(house.answer("EiRegisterParty", cancel)), "452", "the rule was reached")

    def test_the_handler_gets_the_ven_id_that_the_message_left_out(self) -> None:
        heard: list[Any] = []

        class Polls(OadrPoll):
            def on_poll(self, payload: Any, exchange: Any) -> Any:
                heard.append(payload.ven_id)
                return super().on_poll(payload, exchange)

        class Reports(EiReport):
            def on_update_report(self, payload: Any, exchange: Any) -> Any:
                heard.append(payload.ven_id)
                return super().on_update_report(payload, exchange)

        house = House(self, Polls, Reports)
        house.register()
        house.answer("OadrPoll", poll(""))
        house.answer("EiReport", made("oadrUpdateReport", ven_id=None))
        self.assertEqual(heard, ["ven-1", "ven-1"])

    def test_a_ven_that_is_not_registered_is_refused_on_every_service_but_may_register(self) -> None:
        house = House(self)
        for service, name in EVERYTHING:
            if name not in FREE:
                answer = house.answer(service, made(name))
                self.assertEqual((name, answer.name(), code(answer)), (name, NORMAL.get(name, "oadrResponse"), "463"))
        for service in RESOURCES:
            answer = house.answer(service, made("oadrResponse"))
            self.assertEqual((answer.name(), code(answer)), ("oadrResponse", "463"))
        query = house.answer("EiRegisterParty", made("oadrQueryRegistration"))
        self.assertEqual((code(query), query.ven_id, query.registration_id), ("200", None, None))
        self.assertEqual(house.register().ven_id, "ven-1")

    def test_who_is_asked_to_register_again_may_say_that_it_heard(self) -> None:
        """With unregistered_poll = "reregister" the oadrResponse to that request is no error."""
        settings: tuple[tuple[UnregisteredPoll, str], ...] = (("error", "463"), ("reregister", "200"))
        for setting, expected in settings:
            house = House(self, config=Config(registration=Registration(unregistered_poll=setting)))
            heard = OadrResponse(response=EiResponse(response_code="200", request_id=""), ven_id="ven-1")
            self.assertEqual(code(house.answer("OadrPoll", heard)), expected)

    def test_an_error_echoes_the_request_id_in_the_answer_that_is_due(self) -> None:
        house = House(self)
        house.register()
        for service, name in EVERYTHING:
            message = made(name)
            if not hasattr(message, "ven_id"):
                continue
            message = message.evolve(ven_id="nobody")
            answer = house.answer(service, message)
            self.assertEqual((name, answer.name(), code(answer)), (name, NORMAL.get(name, "oadrResponse"), "452"))
            if name != "oadrPoll":
                self.assertEqual(answer.response.request_id, request_id_of(message), name)

    def test_a_short_fingerprint_that_fits_by_its_last_bytes_only_is_not_enough_once_it_is_pinned(self) -> None:
        house = House(self)
        house.register()
        imitation = b"\0" * 22 + certificate("ven-1")[-10:]
        resource = house.resources["OadrPoll"]
        exchange = house.exchange("OadrPoll", poll())
        forged = type(exchange)(resource, encode(poll()), imitation, "192.0.2.1", lambda: "CN=x")
        self.assertEqual(code(self.successResultOf(resource.handle(forged)).reply), "463")


class PolicyTests(SynchronousTestCase):
    """A certificate that a configured CA signed, but that is no VEN's."""

    def _answers(self, house: House) -> list[str]:
        query = OadrQueryRegistration(request_id="r1")
        found = [house.answer("EiRegisterParty", message, "stranger") for message in (query, create())]
        self.assertEqual({answer.name() for answer in found}, {"oadrCreatedPartyRegistration"})
        for answer in found:
            if code(answer) != "200":
                self.assertIsNone(answer.requested_poll_freq)
        return [code(answer) for answer in found]

    def test_closed_refuses_and_keeps_nothing(self) -> None:
        house = House(self)
        self.assertEqual(self._answers(house), ["463", "463"])
        self.assertEqual(house.read(vens.found_candidates), [])

    def test_no_policy_serves_anything_but_registration(self) -> None:
        for policy in ("closed", "approve", "handler", "open"):
            house = House(self, policy=policy)
            for service, name in EVERYTHING:
                if name in FREE:
                    continue
                answer = house.answer(service, made(name), "stranger")
                self.assertEqual((policy, name, answer.name()), (policy, name, NORMAL.get(name, "oadrResponse")))
                self.assertEqual((policy, name, code(answer)), (policy, name, "463"))
            self.assertEqual(house.read(vens.found_candidates), [])

    def test_approve_remembers_who_asked_and_says_so_and_lets_in_once_approved(self) -> None:
        house = House(self, policy="approve")
        answer = house.answer("EiRegisterParty", create(ven_name="Cold store"), "stranger")
        self.assertEqual(code(answer), "463")
        self.assertIn("waits for approval", answer.response.response_description)
        (candidate,) = house.read(vens.found_candidates)
        self.assertEqual(
            (candidate.full, candidate.subject, candidate.ven_name),
            (certificate("stranger"), "CN=stranger", "Cold store"),
        )
        house.write(registration.approve, house.config, certificate("stranger"), None, None)
        self.assertEqual(code(house.answer("EiRegisterParty", create(), "stranger")), "200")

    def test_open_lets_in_whoever_asks(self) -> None:
        house = House(self, policy="open")
        self.assertEqual(self._answers(house), ["200", "200"])
        self.assertEqual(house.answer("OadrPoll", poll(), "stranger").name(), "oadrRegisterReport")

    def test_open_gives_no_ven_to_a_certificate_that_is_not_its_own(self) -> None:
        house = House(self, policy="open")
        answer = house.answer("EiRegisterParty", create(ven_id="ven-1"), "stranger")
        self.assertEqual((code(answer), answer.ven_id), ("463", None))
        self.assertEqual(house.read(vens.owner, certificate("stranger")[-10:]), None)


class DecodingTests(SynchronousTestCase):
    def test_what_is_no_xml_that_we_read_gets_http_400_and_a_short_text(self) -> None:
        house = House(self)
        payload = encode(poll()).decode()
        bodies = {
            "nothing": b"",
            "text": b"Hello",
            "json": b'{"oadrPoll": {}}',
            "cut off": payload[:-5].encode(),
            "two roots": (payload * 2).encode(),
            "doctype": b"<!DOCTYPE oadrPayload>" + payload.encode(),
            "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
            "entity bomb": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;&b;</x>',
            "utf-16": payload.encode("utf-16"),
            "utf-16 without a mark": payload.encode("utf-16-le"),
            "utf-7": b'<?xml version="1.0" encoding="UTF-7"?>' + payload.encode(),
            "latin-1": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + payload.encode(),
            "deep": b"<a>" * 5000 + b"</a>" * 5000,
            "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
            "zeroes": b"\0" * 100,
        }
        for what, body in bodies.items():
            for ven in ("ven-1", "stranger"):
                exchange = house.exchange("OadrPoll", body, ven)
                self.assertEqual((what, exchange.status), (what, 400))
                self.assertEqual(exchange.content_type, b"text/plain; charset=utf-8")
                self.assertLess(len(exchange.answer), 300)
                self.assertNotIn(b"Traceback", exchange.answer)
        self.assertEqual(house.chain.answers["unreadable", "HTTP 400"], 2 * len(bodies))

    def test_xml_that_is_no_message_gets_an_oadr_response_453(self) -> None:
        house = House(self)
        for body in (
            b"<a/>",
            b"<oadrPayload/>",
            envelope(""),
            envelope("<p:oadrPolling/>"),
            envelope("<p:oadrPoll><ei:venID/></p:oadrPoll>" * 2),
            encode(poll()).replace(b"2012/07", b"2011/07"),
        ):
            answer = house.answer("EiEvent", body)
            self.assertEqual((body, answer.name(), code(answer)), (body, "oadrResponse", "453"))

    def test_a_message_that_does_not_decode_gets_its_normal_answer_with_454_and_the_place(self) -> None:
        house = House(self)
        for name in MESSAGES:
            # Where it is POSTed does not matter: nobody knows yet whether it is a message at all.
            answer = house.answer("EiEvent", spoilt(name))
            due = NORMAL.get(name, "oadrResponse")
            # oadrCreatedOpt must have an optID, and that may be what could not be read.
            due = "oadrResponse" if due == "oadrCreatedOpt" else due
            self.assertEqual((name, answer.name(), code(answer)), (name, due, "454"))
            self.assertEqual(answer.response.request_id, "r9")
            self.assertTrue(answer.response.response_description.startswith(f"{name}"), answer)
            if name == "oadrPoll":
                self.assertIn("oadrPoll/requestID: is not known here", answer.response.response_description)

    def test_what_does_not_decode_from_a_stranger_is_told_no_more(self) -> None:
        house = House(self)
        answer = house.answer("EiEvent", spoilt("oadrRequestEvent"), "stranger")
        self.assertEqual((answer.name(), code(answer)), ("oadrDistributeEvent", "454"))

    def test_bends_are_counted_for_their_ven_and_told_once(self) -> None:
        house = House(self)
        house.register()
        bare = envelope("<p:oadrPoll/>")
        with Logged() as log:
            for _ in range(3):
                house.answer("OadrPoll", bare)
        entry = house.vtn.roster.get("ven-1")
        assert entry
        self.assertEqual(dict(entry.bends), {"missing_ven_id": 3})
        self.assertEqual(log.lines("missing_ven_id"), ["VEN 'ven-1' needs missing_ven_id"])

    def test_where_signatures_are_off_none_is_looked_at_which_is_said_once_per_ven(self) -> None:
        house = House(self, config=Config(security=Security(signatures="off")))
        house.register("ven-1")
        house.register("ven-2")
        signature = b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:nonsense/></ds:Signature>'
        head, tail = encode(poll()).split(b"<oadr:oadrSignedObject>")
        signed = head + signature + b"<oadr:oadrSignedObject>" + tail
        with Logged() as log:
            for ven in ("ven-1", "ven-2", "ven-1", "stranger"):
                house.answer("OadrPoll", signed, ven)
        self.assertEqual(
            log.lines("signatures", LogLevel.warn),
            [f"VEN '{ven}' signs its messages: signatures are not checked" for ven in ("ven-1", "ven-2")],
        )


class LeniencyTests(SynchronousTestCase):
    """Whose messages may stray from the schema, and how far."""

    UNQUALIFIED = encode(poll("ven-1")).replace(b"ei:schemaVersion", b"schemaVersion")
    BARE = encode(poll("ven-1"), bare=True)
    FORGETFUL = encode(poll()).replace(b"<ei:venID></ei:venID>", b"")

    def house(self, default: Leniency = "standard", own: str | None = None) -> House:
        house = House(self, config=Config(vtn_id="vtn", registration=Registration(leniency=default)))
        house.write(registration.set_leniency, "ven-1", own)
        house.register()
        return house

    def codes(self, house: House) -> list[str]:
        """What a message without a mandatory venID, one with a strange version, and a bare one get."""
        found = []
        for body in (self.FORGETFUL, self.UNQUALIFIED, self.BARE):
            reply: Any = house.exchange("OadrPoll", body).reply
            found.append(code(reply) if hasattr(reply, "response") else "200")
        return found

    def test_the_profile_of_the_ven_decides_and_where_it_has_none_the_default(self) -> None:
        expected = {
            "strict": ["454", "454", "453"],
            "standard": ["200", "454", "453"],
            "bare": ["200", "454", "200"],
            "enveloped": ["200", "454", "453"],
            "neighbours": ["200", "200", "453"],
            "lenient": ["200", "200", "200"],
        }
        for profile in get_args(Leniency):
            self.assertEqual(expected[profile], self.codes(self.house(own=profile)), profile)
            self.assertEqual(expected[profile], self.codes(self.house(default=profile)), profile)
        self.assertEqual(expected["strict"], self.codes(self.house("lenient", "strict")))

    def test_the_profile_of_one_is_not_that_of_another(self) -> None:
        house = self.house(own="bare")
        house.register("ven-2")
        self.assertEqual(code(house.exchange("OadrPoll", encode(poll(), bare=True), "ven-2").reply), "453")

    def test_a_certificate_that_is_not_known_has_the_default(self) -> None:
        roots: dict[Leniency, bytes] = {"standard": b"oadr:oadrPayload", "bare": b"oadr:oadrCreatedPartyRegistration"}
        for default, root in roots.items():
            house = House(self, policy="open", config=Config(registration=Registration(leniency=default)))
            exchange = house.exchange("EiRegisterParty", encode(create(), bare=default == "bare"), "stranger")
            self.assertTrue(exchange.answer.startswith(b"<" + root), exchange.answer)

    def test_who_sends_bare_messages_gets_bare_answers_to_errors_too(self) -> None:
        house = self.house(own="bare")
        bodies = {
            "oadrRegisterReport": self.BARE,
            "oadrResponse": encode(poll("nobody"), bare=True),
            "oadrDistributeEvent": encode(made("oadrRequestEvent"), bare=True).replace(b"replyLimit", b"limit"),
        }
        for name, body in bodies.items():
            exchange = house.exchange("OadrPoll", body)
            self.assertTrue(exchange.answer.startswith(f"<oadr:{name} ".encode()), exchange.answer)
            self.assertEqual(decode(exchange.answer, {"bare_root"}).message, exchange.reply)

    def test_who_sends_whole_messages_gets_whole_answers_whatever_it_is_allowed(self) -> None:
        house = self.house(own="lenient")
        self.assertTrue(house.exchange("OadrPoll", poll()).answer.startswith(b"<oadr:oadrPayload "))

    def test_an_incident_is_told_bare_as_well(self) -> None:
        house = self.house(own="bare")
        house.resources["OadrPoll"].on_poll = lambda payload, exchange: 1 / 0  # type: ignore[attr-defined]
        exchange = house.exchange("OadrPoll", self.BARE)
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertTrue(exchange.answer.startswith(b"<oadr:oadrResponse "))

    def test_every_bend_of_a_message_is_counted(self) -> None:
        house = self.house(own="lenient")
        body = self.BARE.replace(b"ei:schemaVersion", b"schemaVersion")
        for _ in range(3):
            house.exchange("OadrPoll", body)
        entry = house.vtn.roster.get("ven-1")
        assert entry
        self.assertEqual(dict(entry.bends), {"bare_root": 3, "unqualified_version": 3})

    def test_data_under_the_name_of_its_metadata_is_refused_or_read(self) -> None:
        report = made("oadrUpdateReport").reports[0].evolve(report_name="METADATA_TELEMETRY_USAGE")
        body = made("oadrUpdateReport", request_id="r5", reports=(report,))
        house = self.house()
        answer = house.answer("EiReport", body)
        self.assertEqual((answer.name(), code(answer)), ("oadrUpdatedReport", "454"))
        self.assertEqual(answer.response.request_id, "r5")
        house = self.house(own="neighbours")
        self.assertEqual(code(house.answer("EiReport", body)), "452", "the rule was reached")


class ReportOnlyTests(SynchronousTestCase):
    def test_a_ven_that_registered_for_reports_only_has_no_events_and_no_opts(self) -> None:
        house = House(self)
        house.register(report_only=True)
        for service in ("EiEvent", "EiOpt"):
            for name in ENDPOINTS[service]:
                answer = house.answer(service, made(name))
                self.assertEqual((name, answer.name(), code(answer)), (name, NORMAL.get(name, "oadrResponse"), "451"))
                self.assertIn("for reports only", answer.response.response_description)
            self.assertEqual(code(house.answer(service, made("oadrResponse"))), "200")
        self.assertEqual(house.answer("OadrPoll", poll()).name(), "oadrRegisterReport")
        self.assertEqual(code(house.answer("EiReport", made("oadrRegisterReport"))), "200")
        house.register(report_only=False)
        self.assertEqual(code(house.answer("EiEvent", made("oadrRequestEvent"))), "200")


class IncidentTests(SynchronousTestCase):
    """Faults of ours, of the database, of a user's handler."""

    def _incident(self, answer: Any) -> str:
        self.assertEqual(code(answer), "500")
        text = answer.response.response_description
        self.assertRegex(text, r"\Ainternal error, incident [0-9a-f]{8}\Z")
        return str(text.rpartition(" ")[2])

    def test_any_fault_gives_the_normal_answer_with_500_and_an_incident_that_the_log_explains(self) -> None:
        for service, name in EVERYTHING:
            house = House(self)
            house.register()
            method = house.resources[service].methods[MESSAGES[name]]
            setattr(house.resources[service], method, lambda payload, exchange: 1 / 0)
            message = made(name)
            with Logged() as log:
                answer = house.answer(service, message)
            incident = self._incident(answer)
            self.assertEqual((name, answer.name()), (name, NORMAL.get(name, "oadrResponse")))
            if name != "oadrPoll":
                self.assertEqual(answer.response.request_id, request_id_of(message))
            (failure,) = self.flushLoggedErrors(ZeroDivisionError)
            self.assertIn("1 / 0", failure.getTraceback())
            handler = f"{service}.{method}"
            line = f"incident {incident}: {name} of ven-1 could not be handled by {handler}"
            self.assertEqual(log.lines("", LogLevel.critical), [line])

    def test_life_goes_on_after_a_fault(self) -> None:
        class Polls(OadrPoll):
            broken = True

            def on_poll(self, payload: Any, exchange: Any) -> Any:
                if self.broken:
                    raise RuntimeError("secret")
                return super().on_poll(payload, exchange)

        house = House(self, Polls)
        house.register()
        exchange = house.exchange("OadrPoll", poll())
        self.assertNotIn(b"secret", exchange.answer)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        Polls.broken = False
        self.assertEqual(house.answer("OadrPoll", poll()).name(), "oadrRegisterReport")

    def test_two_incidents_have_two_numbers(self) -> None:
        house = House(self)
        house.register()
        house.resources["OadrPoll"].on_poll = lambda payload, exchange: fail(KeyError("x"))  # type: ignore[attr-defined]
        numbers = {self._incident(house.answer("OadrPoll", poll())) for _ in range(2)}
        self.assertEqual(len(numbers), 2)
        self.flushLoggedErrors(KeyError)

    def test_many_incidents_of_one_ven_do_not_fill_the_log(self) -> None:
        house = House(self, config=Config(vtn_id="vtn", limits=Limits(log_lines=10)))
        house.register()
        house.clock.advance(60)
        house.resources["OadrPoll"].on_poll = lambda payload, exchange: fail(KeyError("x"))  # type: ignore[attr-defined]
        numbers = {self._incident(house.answer("OadrPoll", poll())) for _ in range(20)}
        self.assertEqual(len(numbers), 20)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 5)  # each has a line of the answer, too

    def test_a_database_that_fails_is_an_incident(self) -> None:
        house = House(self)
        house.register()
        self.patch(house.vtn.database, "run", lambda *arguments: fail(DatabaseError("disk full")))
        answer = house.answer("EiReport", made("oadrRegisterReport"))
        self._incident(answer)
        self.assertEqual(answer.name(), "oadrRegisteredReport")
        self.assertEqual(len(self.flushLoggedErrors(DatabaseError)), 1)

    def test_a_database_that_cannot_say_who_it_is_is_an_incident(self) -> None:
        house = House(self)
        self.patch(house.vtn.database, "read", lambda *arguments: fail(DatabaseError("closed")))
        self._incident(house.answer("OadrPoll", poll()))
        self.assertEqual(len(self.flushLoggedErrors(DatabaseError)), 1)

    def test_an_answer_that_cannot_be_encoded_at_all_is_http_500(self) -> None:
        house = House(self)
        house.register()

        def broken(message: Any, bare: bool) -> bytes:
            raise RuntimeError("no ink")

        self.patch(chain, "encode", broken)
        exchange = house.exchange("OadrPoll", poll())
        self.assertEqual((exchange.status, exchange.answer), (500, b"internal error\n"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)


class LogTests(SynchronousTestCase):
    NASTY = "a\nb\x1b[31m{c}\r\x9b{who.__class__}%s\u202e"

    def test_no_text_of_a_peer_reaches_a_line_unescaped(self) -> None:
        house = House(self, policy="open")
        sayable = self.NASTY.replace("\x1b", "\x7f")  # what XML can carry
        house.register("stranger", ven_id=sayable, ven_name=sayable)
        with Logged() as log:
            house.answer("OadrPoll", poll(sayable + "2"), "stranger")
            house.answer("OadrPoll", made("oadrQueryRegistration", request_id=sayable), "stranger")
            house.answer("EiEvent", envelope(f"<p:oadrPoll>{sayable}</p:oadrPoll>".replace("\r", "&#13;")), "stranger")
            house.exchange("EiEvent", b'<x xmlns="' + sayable.encode().replace(b"\r", b"&#13;") + b'"/>', "stranger")
            house.exchange("EiEvent", self.NASTY.encode(), "stranger")
            house.exchange("EiEvent", b"<a>" + self.NASTY.encode() + b"</a>", "stranger")
            house.exchange("EiEvent", f"<{self.NASTY}".encode(), "stranger")
            house.resources["OadrPoll"].on_poll = lambda payload, exchange: 1 / 0  # type: ignore[attr-defined]
            house.answer("OadrPoll", poll(), "stranger")
        self.flushLoggedErrors(ZeroDivisionError)
        lines = log.lines()
        self.assertEqual(len(lines), 9)
        for line in lines:
            self.assertTrue(line.isprintable(), line)
            self.assertNotIn("Unable to format", line)
        self.assertTrue(any("{c}" in line for line in lines), "braces are only text")

    def test_idle_polls_are_counted_and_not_logged(self) -> None:
        house = House(self)
        house.register()
        while house.answer("OadrPoll", poll()).name() != "oadrResponse":
            pass
        with Logged() as log:
            for _ in range(5):
                house.answer("OadrPoll", poll())
        self.assertEqual(log.lines(), [])
        self.assertEqual(house.chain.answers["oadrPoll", "200"], 7)

    def test_answers_are_counted_by_message_and_code(self) -> None:
        house = House(self)
        house.register()
        house.answer("EiEvent", poll())
        house.answer("OadrPoll", poll("nobody"))
        house.answer("EiEvent", spoilt("oadrRequestEvent"))
        house.answer("EiEvent", b"<a/>")
        self.assertEqual(
            dict(house.chain.answers),
            {
                ("oadrCreatePartyRegistration", "200"): 1,
                ("oadrPoll", "459"): 1,
                ("oadrPoll", "452"): 1,
                ("undecodable", "454"): 1,
                ("undecodable", "453"): 1,
            },
        )

    def test_each_line_says_who_said_what_and_what_came_of_it(self) -> None:
        house = House(self)
        with Logged() as log:
            house.answer("OadrPoll", poll())
            house.register()
        self.assertIn("ven-1: oadrPoll -> oadrResponse 463 'this VEN is not registered'", log.lines())
        self.assertIn("ven-1: oadrCreatePartyRegistration -> oadrCreatedPartyRegistration 200", log.lines())


class RuleErrorTests(SynchronousTestCase):
    def test_a_rule_that_says_no_is_answered_by_its_code_and_leaves_no_trace_in_the_log(self) -> None:
        house = House(self)
        house.register()
        waiting: Deferred[Any] = Deferred()
        house.resources["EiOpt"].on_create_opt = lambda payload, exchange: waiting  # type: ignore[attr-defined]
        pending = house.begin("EiOpt", made("oadrCreateOpt", opt_id="o1", request_id="r5"))
        self.assertNoResult(pending)
        waiting.errback(NotAllowed("not today"))
        answer = self.successResultOf(pending).reply
        self.assertEqual((answer.name(), code(answer), answer.opt_id), ("oadrCreatedOpt", "451", "o1"))
        self.assertEqual(answer.response.response_description, "not today")
        self.assertEqual(answer.response.request_id, "r5")
