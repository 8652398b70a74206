"""Signed messages through the chain: who must sign, what is refused, what comes again, and answers that are signed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers.event import EiEvent
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.handlers.report import EiReport
from oadrvtn.model.config import Config, Registration, Security
from oadrvtn.model.event import EiTarget, OadrCreatedEvent, OadrRequestEvent
from oadrvtn.model.party import EiResponse, OadrPoll, OadrQueryRegistration, OadrResponse
from oadrvtn.model.report import OadrRegisterReport, OadrUpdateReport
from oadrvtn.model.schema import Message
from oadrvtn.security.certificates import Credential
from oadrvtn.security.signature import Signed, Signer, is_signed, verify
from oadrvtn.storage import nonces, vens
from oadrvtn.storage.database import Txn
from oadrvtn.storage.tables import house, microseconds
from oadrvtn.vtn import duties, registration, replay
from oadrvtn.vtn.certificates import restore, revoke
from oadrvtn.vtn.changes import NOTHING, Changes
from oadrvtn.wire import decode, encode
from oadrvtn.wire.parser import parse
from tests.handlers.house import House, Logged, code, create, made
from tests.security.link import server_ec, server_rsa
from tests.security.signing import (
    FORGED,
    NOW,
    TO_ALL,
    TO_PROPERTIES,
    certificates,
    der,
    key_value,
    payload,
    signature,
    ven,
    with_key_info,
    xmlsec1_signs,
)

REQUEST = OadrRequestEvent(request_id="r", ven_id="ven-1")
OPT = made("oadrCreateOpt", opt_id="o", qualified_event_id=None, target=EiTarget(ven_ids=("ven-1",)))


class Office(House):
    """A house that signs, and knows ven-1 and ven-2 by certificates that exist."""

    def __init__(self, test: SynchronousTestCase, *resources: Any, policy: str = "closed", **security: Any) -> None:
        config = Config(vtn_id="vtn", security=Security(**security), registration=Registration(leniency="standard"))
        super().__init__(test, *resources, policy=policy, config=config, known=(), start=NOW)
        for name in ("ven-1", "ven-2"):
            self.write(registration.add, config, name, name, [ven(name).fingerprint], "operator")

    def restart(self) -> None:
        super().restart()
        self.chain.signers = {one.fingerprint: Signer(one) for one in (server_ec(), server_rsa())}

    def signed(self, message: Message, name: str = "ven-1", ago: float = 0, enveloped: bool = False) -> bytes:
        """The message, signed by this VEN."""
        return Signer(ven(name)).sign(encode(message), self.vtn.now() - timedelta(seconds=ago), enveloped=enveloped)

    def begin(
        self, service: str, what: Message | bytes, ven_id: str = "ven-1", shown: Callable[[], Any] = lambda: None
    ) -> Any:
        body = what if isinstance(what, bytes) else encode(what)
        resource, credential = self.resources[service], ven(ven_id)
        return resource.handle(
            Exchange(
                resource, body, credential.fingerprint, "192.0.2.1", lambda: ven_id, lambda: der(credential), shown
            )
        )

    def refused(self, service: str, what: Message | bytes, reason: str, ven_id: str = "ven-1") -> Any:
        """The answer is 454 and does not say why; the log does."""
        with Logged() as log:
            answer = self.answer(service, what, ven_id)
        said = (answer.response.response_code, answer.response.response_description)
        self.test.assertEqual(("454", "the signature is not accepted"), said)
        self.test.assertEqual(1, len(log.lines(reason, LogLevel.warn)), log.lines())
        return answer

    def level(self, value: str | None, ven_id: str = "ven-1") -> None:
        self.write(registration.set_signatures, ven_id, value)

    def registered(self, name: str = "ven-1", **changes: Any) -> Office:
        self.write(registration.create, self.config, self.read(vens.get, name), create(**changes))
        return self


def seal(exchange: Exchange, by: Credential, *, enveloped: bool = False) -> Signed:
    """What was signed of an answer."""
    known = {by.fingerprint}
    return verify(parse(exchange.answer), known, None, NOW, enveloped=enveloped, document=exchange.answer)


def plain(exchange: Exchange) -> bool:
    return not is_signed(parse(exchange.answer))


class LevelTests(SynchronousTestCase):
    """off, accept, require: of the configuration, or of the VEN."""

    def verdicts(self, office: Office) -> list[str]:
        """What a good signature gets, a bad one, and none."""
        good = office.signed(REQUEST)
        bad = office.signed(REQUEST).replace(b"<pyld:requestID>r<", b"<pyld:requestID>x<")
        return [code(office.answer("EiEvent", what)) for what in (good, bad, REQUEST)]

    VERDICTS = {"off": ["200", "200", "200"], "accept": ["200", "454", "200"], "require": ["200", "454", "454"]}  # noqa: RUF012

    def test_the_configuration_says_it_for_all(self) -> None:
        for level, expected in self.VERDICTS.items():
            self.assertEqual(expected, self.verdicts(Office(self, signatures=level).registered()), level)

    def test_a_ven_may_have_its_own(self) -> None:
        for level, expected in self.VERDICTS.items():
            for others in self.VERDICTS:
                office = Office(self, signatures=others).registered()
                office.level(level)
                self.assertEqual(expected, self.verdicts(office), (level, others))
        office.level(None)
        self.assertEqual(self.VERDICTS["require"], self.verdicts(office))

    def test_accept_is_the_default(self) -> None:
        self.assertEqual(Config().security.signatures, "accept")

    def test_strangers_have_that_of_the_configuration(self) -> None:
        office = Office(self, policy="open", signatures="require")
        office.refused("EiRegisterParty", create(), "not signed", "stranger")
        self.assertEqual("200", code(office.answer("EiRegisterParty", office.signed(create(), "stranger"), "stranger")))

    def test_a_bare_message_is_not_signed(self) -> None:
        office = Office(self).registered()
        office.write(registration.set_leniency, "ven-1", "lenient")
        office.level("require")
        with Logged() as log:
            office.exchange("OadrPoll", encode(OadrPoll(ven_id="ven-1"), bare=True))
        self.assertTrue(log.lines("not signed", LogLevel.warn))


class VerifyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.office = Office(self).registered()

    def test_every_message_gets_its_normal_answer_with_454_and_its_request_id(self) -> None:
        for message, answer, service in (
            (OadrPoll(ven_id="ven-1"), "oadrResponse", "OadrPoll"),
            (REQUEST, "oadrDistributeEvent", "EiEvent"),
            (OadrQueryRegistration(request_id="r"), "oadrCreatedPartyRegistration", "EiRegisterParty"),
            (OadrRegisterReport(request_id="r"), "oadrRegisteredReport", "EiReport"),
            (made("oadrCreateReport", request_id="r"), "oadrCreatedReport", "EiReport"),
            (OadrUpdateReport(request_id="r"), "oadrUpdatedReport", "EiReport"),
            (OPT.evolve(request_id="r"), "oadrResponse", "EiOpt"),
        ):
            bad = self.office.signed(message, ago=61)
            found = self.office.refused(service, bad, "the timestamp is 61 s old")
            self.assertEqual(answer, found.name())
            expected = "" if isinstance(message, OadrPoll) else "r"
            self.assertEqual(expected, found.response.request_id, found)

    def test_what_looks_like_no_message_gets_an_oadr_response(self) -> None:
        document = self.office.signed(REQUEST).replace(b"oadr:oadrRequestEvent", b"oadr:oadrOther")
        self.assertEqual("oadrResponse", self.office.refused("EiEvent", document, "InvalidDigest").name())
        empty = payload(signature())
        self.assertEqual("oadrResponse", self.office.refused("EiEvent", empty.encode(), "not oadrPayload with").name())

    def test_a_signed_document_that_is_no_message_is_453(self) -> None:
        document = xmlsec1_signs(payload(signature(), "<oadr:oadrSignedObject oadr:Id='oadrSignedObject'/>"), ven())
        office = self.office
        office.write(registration.set_signing_fingerprint, "ven-1", ven().fingerprint)
        office.clock.advance(1)
        self.assertEqual("453", code(office.answer("OadrPoll", document)))

    def test_only_what_was_signed_is_read(self) -> None:
        honest = self.office.signed(OadrPoll(ven_id="ven-1"))
        office = self.office
        forged = honest.replace(b"</oadr:oadrPayload>", FORGED.encode() + b"</oadr:oadrPayload>")
        office.refused("OadrPoll", forged, "not oadrPayload with a ds:Signature and then one oadrSignedObject")
        office.refused("OadrPoll", honest.replace(b">ven-1<", b">ven-2<"), "InvalidDigest")

    def test_the_key_is_that_of_the_connection(self) -> None:
        by_another = self.office.signed(OadrPoll(ven_id="ven-1"), "ven-2")
        self.office.refused("OadrPoll", by_another, "0 may sign for this VEN")
        self.office.answer("OadrPoll", self.office.signed(OadrPoll(ven_id="ven-1")))

    def test_a_key_value_alone_is_that_of_the_connection(self) -> None:
        document = with_key_info(self.office.signed(REQUEST), key_value(ven("ven-1")))
        self.assertEqual("200", code(self.office.answer("EiEvent", document)))
        document = with_key_info(self.office.signed(REQUEST), certificates(ven("ven-2")), key_value(ven("ven-1")))
        self.office.refused("EiEvent", document, "0 may sign")

    def test_a_ven_may_sign_with_a_certificate_of_its_own(self) -> None:
        self.office.write(registration.set_signing_fingerprint, "ven-1", ven("signing").fingerprint)
        self.assertEqual("200", code(self.office.answer("EiEvent", self.office.signed(REQUEST, "signing"))))
        self.office.refused("EiEvent", self.office.signed(REQUEST), "0 may sign")
        self.office.write(registration.set_signing_fingerprint, "ven-1", None)
        self.assertEqual("200", code(self.office.answer("EiEvent", self.office.signed(REQUEST))))

    def test_a_certificate_for_signing_that_is_revoked_signs_nothing_more(self) -> None:
        office, signing = self.office, ven("signing").fingerprint
        office.write(registration.set_signing_fingerprint, "ven-1", signing)
        self.successResultOf(office.vtn.write("revoke", revoke, signing, None))
        office.refused("EiEvent", office.signed(REQUEST, "signing"), "is revoked")
        self.successResultOf(office.vtn.write("restore", restore, signing, None))
        self.assertEqual("200", code(office.answer("EiEvent", office.signed(REQUEST, "signing"))))

    def test_one_that_its_authority_has_revoked_signs_nothing_more(self) -> None:
        office, asked = self.office, []
        office.write(registration.set_signing_fingerprint, "ven-1", ven("signing").fingerprint)
        office.chain.judge = lambda certificate: asked.append(certificate) or "cert revoked"  # type: ignore[func-returns-value]
        document = office.signed(REQUEST, "signing")
        with_key = with_key_info(document, certificates(ven("signing")), key_value(ven("signing")))
        for each in (document, with_key):  # the one form, and any
            office.refused("EiEvent", each, "the certificate that signs for this VEN: cert revoked")
        self.assertEqual([ven("signing").certificate] * 2, asked)

    def test_the_window_is_that_of_the_configuration_also_after_a_change_of_it(self) -> None:
        office = self.office
        office.refused("EiEvent", office.signed(REQUEST, ago=-61), "61 s ahead")
        self.assertEqual("200", code(office.answer("EiEvent", office.signed(REQUEST, ago=-60))))
        config = attrs.evolve(office.config, security=Security(signature_age=5, clock_skew=0))
        self.successResultOf(office.vtn.reconfigure(config))
        office.refused("EiEvent", office.signed(REQUEST, ago=6), "6 s old")
        office.refused("EiEvent", office.signed(REQUEST, ago=-1), "1 s ahead")
        self.assertEqual("200", code(office.answer("EiEvent", office.signed(REQUEST, ago=5))))

    def test_a_fault_in_a_signed_message_is_told_as_in_any_other(self) -> None:
        document = payload(
            signature(),
            '<oadr:oadrSignedObject oadr:Id="oadrSignedObject"><oadr:oadrPoll/></oadr:oadrSignedObject>',
        )
        self.office.write(registration.set_signing_fingerprint, "ven-1", ven().fingerprint)
        exchange = self.office.exchange("OadrPoll", xmlsec1_signs(document, ven()))
        self.assertIn("missing_ven_id", exchange.bends)  # a bend mends what was signed

    def test_a_large_one_is_verified_elsewhere_and_a_small_one_here(self) -> None:
        office, later = self.office, []

        def in_thread(work: Callable[[], Any]) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            later.append((done, work))
            return done

        office.chain._in_thread = in_thread
        office.answer("OadrPoll", office.signed(OadrPoll(ven_id="ven-1")))
        waiting = office.begin("EiEvent", office.signed(REQUEST.evolve(request_id="r" * 70_000)))
        self.assertNoResult(waiting)
        ((done, work),) = later
        done.callback(work())
        self.assertEqual("200", code(self.successResultOf(waiting).reply))


class LateSignatureTests(SynchronousTestCase):
    """The form of VENs that sign the whole document, behind it."""

    def setUp(self) -> None:
        self.office = Office(self).registered()
        self.office.write(registration.set_signing_fingerprint, "ven-1", ven().fingerprint)
        self.template = (
            '<oadr:oadrSignedObject><oadr:oadrPoll ei:schemaVersion="2.0b"><ei:venID>ven-1</ei:venID></oadr:oadrPoll>'
            "</oadr:oadrSignedObject>"
        )

    def document(self) -> bytes:
        return xmlsec1_signs(payload(self.template, signature(TO_ALL, TO_PROPERTIES)), ven())

    def test_is_refused_where_the_profile_does_not_allow_it(self) -> None:
        self.office.refused("OadrPoll", self.document(), "not oadrPayload with a ds:Signature and then")

    def test_is_counted_and_answered_in_the_same_form_where_it_does(self) -> None:
        self.office.write(registration.set_leniency, "ven-1", "enveloped")
        exchange = self.office.exchange("OadrPoll", self.document())
        self.assertEqual(("late_signature",), exchange.bends)
        self.assertTrue(seal(exchange, server_ec(), enveloped=True).enveloped)
        again = self.office.exchange("OadrPoll", self.document())  # the error, too
        self.assertEqual("454", code(again.reply))
        self.assertTrue(seal(again, server_ec(), enveloped=True).enveloped)
        broken = self.office.exchange("OadrPoll", self.document().replace(b">ven-1<", b">ven-2<"))
        self.assertTrue(seal(broken, server_ec(), enveloped=True).enveloped)

    def test_is_passed_over_where_signatures_are_off(self) -> None:
        self.office.level("off")
        self.office.write(registration.set_leniency, "ven-1", "enveloped")
        exchange = self.office.exchange("OadrPoll", self.document())
        self.assertEqual(("late_signature",), exchange.bends)
        self.assertEqual("oadrRegisterReport", exchange.reply.name() if exchange.reply else None)
        self.assertTrue(plain(exchange))


class ReplayTests(SynchronousTestCase):
    """The same bytes once more."""

    def setUp(self) -> None:
        self.office = Office(self).registered()
        self.office.registered("ven-2")

    def test_every_kind_of_message_is_taken_once(self) -> None:
        for service, message in (
            ("OadrPoll", OadrPoll(ven_id="ven-1")),
            ("EiEvent", REQUEST),
            ("EiEvent", OadrCreatedEvent(response=EiResponse.ok(), ven_id="ven-1")),
            ("EiRegisterParty", OadrQueryRegistration(request_id="r")),
            ("EiRegisterParty", create(ven_id="ven-1")),
            ("EiReport", OadrRegisterReport(request_id="r")),
            ("EiOpt", OPT),
            ("OadrPoll", OadrResponse(response=EiResponse.ok("r"), ven_id="ven-1")),
        ):
            document = self.office.signed(message)
            first: Any = self.office.exchange(service, document).reply
            self.assertEqual("200", code(first) if hasattr(first, "response") else "200", message.name())
            for _ in range(2):
                self.office.refused(service, document, "the nonce was used before")
            self.office.clock.advance(61)
            self.office.refused(service, document, "61 s old")

    def test_a_restart_makes_no_difference(self) -> None:
        documents = [
            ("EiEvent", self.office.signed(REQUEST), "used before"),
            ("EiOpt", self.office.signed(OPT), "used before"),
            ("OadrPoll", self.office.signed(OadrPoll(ven_id="ven-1")), "of which nothing is known"),
        ]
        for service, document, _ in documents:
            self.office.exchange(service, document)
        self.office.clock.advance(1)
        self.office.restart()
        for service, document, reason in documents:
            self.office.refused(service, document, reason)

    def test_after_a_start_polls_from_before_it_are_refused_and_others_are_not(self) -> None:
        poll, request = self.office.signed(OadrPoll(ven_id="ven-1")), self.office.signed(REQUEST)
        self.office.clock.advance(1)
        self.office.restart()
        self.office.refused("OadrPoll", poll, "of which nothing is known")
        self.assertEqual("200", code(self.office.answer("EiEvent", request)))
        self.office.answer("OadrPoll", self.office.signed(OadrPoll(ven_id="ven-1")))

    def test_a_poll_whose_time_was_to_come_is_known_after_a_restart_also_when_that_has_come(self) -> None:
        office, polls = self.office, [self.office.signed(OadrPoll(ven_id="ven-1"), ago=ago) for ago in (-50, 0)]
        for poll in polls:
            office.answer("OadrPoll", poll)
        self.assertEqual(1, office.read(lambda txn: txn.exec_driver_sql("SELECT count(*) FROM nonces").scalar()))
        office.restart()
        self.successResultOf(office.vtn.start())
        for _ in range(2):
            office.refused("OadrPoll", polls[0], "used before")
            office.clock.advance(50)
        office.answer("OadrPoll", office.signed(OadrPoll(ven_id="ven-1")))

    def test_the_nonces_of_one_are_none_of_anothers(self) -> None:
        use = replay.use
        for signer in (b"1" * 32, b"2" * 32):
            self.office.write(use, signer, NOW, "n")
        failure = self.failureResultOf(self.office.vtn.write("test", use, b"1" * 32, NOW, "n"))
        self.assertEqual("the nonce was used before", failure.value.reason)
        self.office.write(use, b"1" * 32, NOW - timedelta(seconds=1), "n")

    def test_a_message_whose_transaction_failed_may_come_again(self) -> None:
        document = self.office.signed(OPT)
        rule, faults = registration.current, [OSError("the disk is full")]

        def failing(*arguments: Any) -> Any:
            if faults:
                raise faults.pop()
            return rule(*arguments)

        self.patch(registration, "current", failing)
        query = self.office.signed(OadrQueryRegistration(request_id="r"))
        self.assertEqual("500", code(self.office.answer("EiRegisterParty", query)))
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
        self.assertEqual("200", code(self.office.answer("EiRegisterParty", query)))
        self.office.refused("EiRegisterParty", query, "used before")
        self.assertEqual("200", code(self.office.answer("EiOpt", document)))

    def test_a_message_that_its_rule_refuses_may_come_again_and_is_refused_again(self) -> None:
        document = self.office.signed(create(ven_id="ven-1", registration_id="other"))
        for _ in range(2):
            self.assertEqual("452", code(self.office.answer("EiRegisterParty", document)))

    def test_code_of_a_user_does_not_see_a_message_twice(self) -> None:
        seen: list[str] = []

        class Mine(EiEvent):
            def on_created_event(self, payload: OadrCreatedEvent, exchange: Exchange) -> Any:
                seen.append("before")
                return super().on_created_event(payload, exchange)

        class MyReports(EiReport):
            def on_update_report(self, payload: OadrUpdateReport, exchange: Exchange) -> Any:
                seen.append("report")
                raise OSError

        office = Office(self, Mine, MyReports).registered()
        answer = office.signed(OadrCreatedEvent(response=EiResponse.ok(), ven_id="ven-1"))
        self.assertEqual("200", code(office.answer("EiEvent", answer)))
        office.refused("EiEvent", answer, "used before")
        report = office.signed(OadrUpdateReport(request_id="r"))
        self.assertEqual("500", code(office.answer("EiReport", report)))
        self.flushLoggedErrors(OSError)
        office.refused("EiReport", report, "used before")
        self.assertEqual(["before", "report"], seen)

    def test_of_a_stranger_too(self) -> None:
        office = Office(self, policy="open")
        document = office.signed(create(), "stranger")
        self.assertEqual("200", code(office.answer("EiRegisterParty", document, "stranger")))
        office.refused("EiRegisterParty", document, "used before", "stranger")

    def test_a_ven_that_is_removed_and_added_again_is_not_forgotten(self) -> None:
        document = self.office.signed(OadrQueryRegistration(request_id="r"))
        self.office.answer("EiRegisterParty", document)
        self.office.write(registration.remove, "ven-1")
        self.office.write(registration.add, self.office.config, "ven-1", "x", [ven("ven-1").fingerprint], "operator")
        self.office.refused("EiRegisterParty", document, "used before")


class ForgettingTests(SynchronousTestCase):
    """Nonces go when their time is over."""

    def setUp(self) -> None:
        self.office = Office(self).registered()

    def stored(self) -> int:
        return int(self.office.read(lambda txn: txn.exec_driver_sql("SELECT count(*) FROM nonces").scalar()))

    def forget(self) -> None:
        self.assertIn(replay.forget, duties.ROUND)
        self.office.write(replay.forget, self.office.config)

    def test_those_within_the_window_stay(self) -> None:
        for _ in range(3):
            self.office.answer("EiEvent", self.office.signed(REQUEST))
            self.office.clock.advance(30)
        self.assertEqual(3, self.stored())
        self.forget()
        self.assertEqual(2, self.stored())
        self.office.clock.advance(61)
        self.forget()
        self.assertEqual(0, self.stored())

    def test_a_clock_that_is_set_back_brings_nothing_back(self) -> None:
        document = self.office.signed(REQUEST)
        self.office.answer("EiEvent", document)
        self.office.clock.advance(61)
        self.forget()
        self.office.clock.rightNow -= 61
        self.office.refused("EiEvent", document, "of which nothing is known any more")
        self.office.restart()
        self.office.refused("EiEvent", document, "of which nothing is known any more")

    def test_a_clock_that_jumps_forth_and_back_keeps_out_nobody_who_signs_what_is_new(self) -> None:
        office, document = self.office, self.office.signed(REQUEST)
        office.answer("EiEvent", document)
        office.clock.advance(3600)
        self.forget()
        office.clock.rightNow -= 3599
        self.assertEqual("200", code(office.answer("EiEvent", office.signed(REQUEST))))
        self.assertIsInstance(office.answer("OadrPoll", office.signed(OadrPoll(ven_id="ven-1"))), OadrRegisterReport)
        office.refused("EiEvent", document, "of which nothing is known any more")

    def test_what_is_not_known_after_a_restore_stays_so_when_older_ones_go(self) -> None:
        office, heard = self.office, self.office.signed(REQUEST)
        office.answer("EiEvent", heard)
        office.clock.advance(50)
        mark = office.vtn.now()
        self.successResultOf(office.vtn.write("restored", restored))
        office.clock.advance(11)
        self.forget()
        self.assertEqual((0, mark), (self.stored(), office.read(nonces.since)))
        office.refused("EiEvent", office.signed(REQUEST, ago=20), "of which nothing is known any more")

    def test_where_there_is_nothing_nothing_is_written(self) -> None:
        self.forget()
        self.assertIsNone(self.office.read(nonces.since))


def restored(txn: Txn, now: datetime) -> tuple[None, Changes]:
    """What a restore leaves: what was signed before it may have been here."""
    txn.execute(house.insert().values(key="nonces", value=str(microseconds(now))))
    return None, NOTHING


class AnswerTests(SynchronousTestCase):
    """Which answers are signed, by which key."""

    def test_who_signs_gets_signed_answers_and_nobody_else(self) -> None:
        office = Office(self).registered()
        signed = office.exchange("EiEvent", office.signed(REQUEST))
        self.assertEqual(signed.reply, decode(signed.answer, allowed=()).message)
        self.assertLess(abs(seal(signed, server_ec()).timestamp - NOW), timedelta(seconds=1))
        self.assertTrue(plain(office.exchange("EiEvent", REQUEST)))

    def test_who_registered_for_it_gets_them_from_the_first_one_on(self) -> None:
        office = Office(self)
        seal(office.exchange("EiRegisterParty", create(xml_signature=True)), server_ec())
        seal(office.exchange("EiEvent", REQUEST), server_ec())
        office.registered(xml_signature=False)
        self.assertTrue(plain(office.exchange("EiEvent", REQUEST)))

    def test_all_where_the_configuration_says_always(self) -> None:
        office = Office(self, sign="always").registered()
        seal(office.exchange("EiEvent", REQUEST), server_ec())
        seal(office.exchange("OadrPoll", OadrPoll(ven_id="x"), "stranger"), server_ec())

    def test_none_where_signatures_are_off(self) -> None:
        office = Office(self, sign="always").registered(xml_signature=True)
        office.level("off")
        self.assertTrue(plain(office.exchange("EiEvent", office.signed(REQUEST))))

    def test_errors_are_signed_too(self) -> None:
        office = Office(self).registered()
        for body in (
            office.signed(REQUEST, ago=100),
            office.signed(REQUEST.evolve(ven_id="nobody")),
            office.signed(REQUEST, "ven-2"),
            office.signed(OadrPoll(ven_id="ven-1")),  # not here
        ):
            exchange = office.exchange("EiEvent", body)
            self.assertNotEqual("200", code(exchange.reply))
            seal(exchange, server_ec())

    def test_by_the_key_of_the_certificate_that_the_connection_showed(self) -> None:
        office = Office(self).registered()
        for credential in (server_ec(), server_rsa()):
            shown = partial(getattr, credential, "fingerprint")
            seal(self.successResultOf(office.begin("EiEvent", office.signed(REQUEST), shown=shown)), credential)
        unknown = office.begin("EiEvent", office.signed(REQUEST), shown=lambda: b"x" * 32)
        seal(self.successResultOf(unknown), server_ec())

    def test_without_a_key_nothing_is_signed(self) -> None:
        office = Office(self).registered()
        office.chain.signers.clear()
        self.assertTrue(plain(office.exchange("EiEvent", office.signed(REQUEST))))
