"""High security: XML signatures, composed, wanted, and refused."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.event import OadrRequestEvent
from oadrvtn.model.schema import NAMESPACES
from oadrvtn.security.signature import is_signed
from oadrvtn.wire import encode
from oadrvtn.wire.parser import parse
from tests.handlers.house import code, create
from tests.handlers.test_signatures import Office
from tests.security.signing import INCLUSIVE, SHA256, xmlsec1_verifies

from .matrix import proves

REQUEST = OadrRequestEvent(request_id="r", ven_id="ven-1")


class SignatureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.office = Office(self)

    def answer(self, what: Any, service: str = "EiEvent") -> Any:
        return parse(self.office.exchange(service, what).answer)

    @proves("rule-514")
    def test_an_answer_is_signed_as_the_profile_composes_it_and_one_like_it_is_taken(self) -> None:
        self.office.registered()
        exchange = self.office.exchange("EiEvent", self.office.signed(REQUEST))
        self.assertEqual("200", code(exchange.reply))
        self.assertTrue(xmlsec1_verifies(exchange.answer))
        signature, signed_object = parse(exchange.answer)
        self.assertEqual(f"{{{NAMESPACES['ds']}}}Signature", signature.tag)
        names = {"ds": NAMESPACES["ds"]}
        references = signature.findall("ds:SignedInfo/ds:Reference", names)
        (holder,) = signature.findall("ds:Object", names)
        ids = [signed_object.get(f"{{{NAMESPACES['oadr']}}}Id"), holder.get("Id")]
        self.assertEqual([f"#{one}" for one in ids], [one.get("URI") for one in references])
        (c14n,) = signature.findall("ds:SignedInfo/ds:CanonicalizationMethod", names)
        self.assertEqual(INCLUSIVE, c14n.get("Algorithm"))
        digests = [method.get("Algorithm") for one in references for method in one.findall("ds:DigestMethod", names)]
        self.assertEqual([SHA256, SHA256], digests)
        self.assertEqual(1, len(signature.findall("ds:Object/ds:SignatureProperties/ds:SignatureProperty/*", names)))

    @proves("8.2-signature")
    def test_who_registers_with_oadr_xml_signature_gets_signed_answers(self) -> None:
        for wanted in (True, False):
            registration = create(xml_signature=wanted)
            self.assertEqual(wanted, is_signed(self.answer(registration, "EiRegisterParty")))
            self.assertEqual(wanted, is_signed(self.answer(REQUEST)))

    @proves("10-security-signature")
    def test_a_signature_that_is_missing_wrong_or_replayed_is_refused(self) -> None:
        self.office.registered()
        self.office.level("require")
        good = self.office.signed(REQUEST)
        self.office.refused("EiEvent", encode(REQUEST), "not signed")
        self.office.refused("EiEvent", good.replace(b">r<", b">s<"), "InvalidDigest")
        self.office.refused("EiEvent", self.office.signed(REQUEST, "ven-2"), "0 may sign")
        self.assertEqual("200", code(self.office.answer("EiEvent", good)))
        self.office.refused("EiEvent", good, "used before")
