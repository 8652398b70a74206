"""Signatures: what we sign is good for others and of the right form, and what others sign is good for us."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.messages import MESSAGES
from oadrvtn.security import fingerprint
from oadrvtn.security.certificates import Authority
from oadrvtn.security.signature import SignatureRefused, Signer, is_signed
from oadrvtn.wire import encode
from oadrvtn.wire.parser import parse
from tests.peers import openleadr
from tests.security.signing import (
    DS,
    EXCLUSIVE,
    INCLUSIVE,
    MESSAGE,
    MORE,
    NOW,
    OADR,
    POLL,
    RSA,
    TO_ALL,
    TO_MESSAGE,
    TO_PROPERTIES,
    Verdicts,
    certificates,
    child,
    der,
    key_value,
    payload,
    reference,
    replay_protect,
    self_signed,
    signature,
    ven,
    verify,
    with_key_info,
    without_signxml,
    xmlsec1_signs,
    xmlsec1_verifies,
)
from tests.wire import xsd
from tests.wire.samples import elements, full

ECDSA = MORE + "ecdsa-sha256"


class Signing(Verdicts):
    """What a Signer makes."""

    def test_the_form_is_that_of_rule_514(self) -> None:
        for credential, method in ((ven(), ECDSA), (ven(rsa=True), RSA)):
            root = parse(Signer(credential).sign(POLL, NOW))
            self.assertEqual([f"{{{DS}}}Signature", f"{{{OADR}}}oadrSignedObject"], [one.tag for one in root])
            info = child(root, "ds:Signature/ds:SignedInfo")
            self.assertEqual(INCLUSIVE, child(info, "ds:CanonicalizationMethod").get("Algorithm"))
            self.assertEqual(method, child(info, "ds:SignatureMethod").get("Algorithm"))
            self.assertEqual(
                ["#oadrSignedObject", "#prop"], [one.get("URI") for one in info.iter(f"{{{DS}}}Reference")]
            )
            self.assertEqual({INCLUSIVE}, {one.get("Algorithm") for one in info.iter(f"{{{DS}}}Transform")})
            certificate = child(root, "ds:Signature/ds:KeyInfo/ds:X509Data/ds:X509Certificate").text
            self.assertEqual(der(credential), base64.b64decode(certificate))
            protect = child(
                root, "ds:Signature/ds:Object/ds:SignatureProperties/ds:SignatureProperty/dsp:ReplayProtect"
            )
            self.assertEqual(NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), child(protect, "dsp:timestamp").text)

    def test_every_nonce_is_new(self) -> None:
        signer = Signer(self.ven)
        nonces = {self.accepted(signer.sign(POLL, NOW)).nonce for _ in range(20)}
        self.assertEqual({32}, set(map(len, nonces)))
        self.assertEqual(20, len(nonces))

    def test_every_message_signed_is_canonical_and_valid_by_the_schema(self) -> None:
        signer = Signer(self.ven)
        for cls in MESSAGES.values():
            unsigned = encode(full(cls))
            for enveloped in (False, True):
                data = signer.sign(unsigned, NOW, enveloped=enveloped)
                self.assertEqual(etree.tostring(parse(data), method="c14n"), data)
                self.assertIsNone(xsd.complaint(data))
                self.assertTrue(is_signed(parse(data)))
                self.assertFalse(is_signed(parse(unsigned)))

    def test_every_message_is_what_xmlsec1_and_we_read(self) -> None:
        for number, cls in enumerate(MESSAGES.values()):
            self.ven = ven(rsa=bool(number % 2))
            unsigned = encode(full(cls))
            for enveloped in (False, True):
                data = Signer(self.ven).sign(unsigned, NOW, enveloped=enveloped)
                self.assertTrue(xmlsec1_verifies(data), (cls, enveloped))
                found = self.verified(data, enveloped=enveloped)
                self.assertEqual(_bare(parse(unsigned)[0]), _bare(found.signed_object))
                self.assertEqual((NOW, enveloped), (found.timestamp, found.enveloped))

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(list(MESSAGES.values())).flatmap(elements), st.booleans())
    def test_any_message_comes_back_as_it_was(self, message: Any, enveloped: bool) -> None:
        unsigned = encode(message)
        found = self.verified(Signer(ven()).sign(unsigned, NOW, enveloped=enveloped), enveloped=enveloped)
        self.assertEqual(_bare(parse(unsigned)[0]), _bare(found.signed_object))

    def test_the_numbers_of_an_ec_signature_have_their_full_length(self) -> None:
        signer = Signer(self.ven)
        for _ in range(300):  # one in 128 would come out shorter
            value = child(parse(signer.sign(POLL, NOW)), "ds:Signature/ds:SignatureValue").text
            self.assertEqual(64, len(base64.b64decode(value)))

    def test_only_what_encode_makes_is_signed(self) -> None:
        for document in (b"", b"<x/>", POLL.replace(b"oadr:", b"o:"), Signer(self.ven).sign(POLL, NOW)):
            self.assertRaises(ValueError, Signer(self.ven).sign, document, NOW)

    def test_a_signer_knows_whose_certificate_it_shows(self) -> None:
        self.assertEqual(fingerprint.sha256(der(self.ven)), Signer(self.ven).fingerprint)


class OtherPeople(Verdicts):
    """Forms of signatures that other code makes."""

    def test_xmlsec1_ec_and_rsa(self) -> None:
        self.accepted(xmlsec1_signs(payload(), self.ven))
        self.ven = ven(rsa=True)
        self.accepted(xmlsec1_signs(payload(signature(method=RSA), MESSAGE), self.ven))

    def test_a_longer_curve(self) -> None:
        self.ven = self_signed(ec.generate_private_key(ec.SECP384R1()))
        self.accepted(Signer(self.ven).sign(POLL, NOW))
        self.accepted(xmlsec1_signs(payload(), self.ven))

    def test_references_in_either_order(self) -> None:
        self.accepted(xmlsec1_signs(payload(signature(TO_PROPERTIES, TO_MESSAGE), MESSAGE), self.ven))

    def test_exclusive_canonical_xml(self) -> None:
        references = (reference("#oadrSignedObject", EXCLUSIVE), reference("#prop", EXCLUSIVE))
        self.accepted(xmlsec1_signs(payload(signature(*references, c14n=EXCLUSIVE), MESSAGE), self.ven))

    def test_references_without_transforms(self) -> None:
        self.accepted(
            xmlsec1_signs(payload(signature(reference("#oadrSignedObject"), reference("#prop")), MESSAGE), self.ven)
        )

    def test_any_id_of_the_message_and_any_holder_of_replay_protect(self) -> None:
        message = MESSAGE.replace('oadrSignedObject">', 'signed-Object_1.2">', 1)
        for holder in ("SignatureProperties", "SignatureProperty"):
            objects = f"<ds:Object>{replay_protect()}</ds:Object>".replace(
                f"<ds:{holder}", f'<ds:{holder} Id="held"', 1
            )
            template = signature(
                reference("#signed-Object_1.2", INCLUSIVE), reference("#held", INCLUSIVE), objects=objects
            )
            self.accepted(xmlsec1_signs(payload(template, message), self.ven))

    def test_prefixes_and_layout_are_everybodys_own(self) -> None:
        template = payload(signature().replace("ds:", "").replace("xmlns:ds=", "xmlns="), MESSAGE)
        self.accepted(xmlsec1_signs(template.replace("><", ">\n  <"), self.ven))
        for prefix in ("oadr", "ei"):
            template = template.replace(f"{prefix}:", f"{prefix}1:").replace(f"xmlns:{prefix}=", f"xmlns:{prefix}1=")
        self.accepted(xmlsec1_signs(template, self.ven))

    def test_comments_beside_the_values_mean_nothing(self) -> None:
        template = payload(signature(), MESSAGE.replace("<ei:venID>", "<!-- who --><ei:venID>"))
        self.accepted(xmlsec1_signs(template, self.ven))

    def test_times_of_any_zone_and_precision(self) -> None:
        for text in (
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00.000Z",
            "2026-01-31T12:00:00.000000000Z",
            "2026-01-31T14:30:00+02:30",
            "2026-01-31T11:00:00.0-01:00",
        ):
            objects = f'<ds:Object Id="prop">{replay_protect(text)}</ds:Object>'
            found = self.accepted(xmlsec1_signs(payload(signature(objects=objects), MESSAGE), self.ven))
            self.assertEqual(datetime(2026, 1, 31, 12, tzinfo=UTC), found.timestamp)
            self.assertEqual(UTC, found.timestamp.tzinfo)

    def test_a_signature_behind_the_message_for_the_whole_document(self) -> None:
        """Java's way: subject and certificate, the default canonical form, no Target, lines of 76 characters."""
        objects = f'<ds:Object Id="prop">{replay_protect()}</ds:Object>'.replace("#signature", "")
        template = payload(
            MESSAGE.replace('oadrSignedObject">', 'signedObject">', 1),
            signature(TO_ALL, TO_PROPERTIES, objects=objects),
        )
        data = xmlsec1_signs(template, self.ven)
        data = data.replace(
            b"<ds:X509Certificate>", b"<ds:X509SubjectName>CN=ven1</ds:X509SubjectName><ds:X509Certificate>"
        )
        data = data.replace(b"</ds:SignatureValue>", b"&#13;</ds:SignatureValue>")
        self.assertTrue(self.accepted(data, enveloped=True).enveloped)
        self.refused(data, "not oadrPayload with a ds:Signature and then")
        first = xmlsec1_signs(payload(signature(TO_ALL, TO_PROPERTIES), MESSAGE), self.ven)
        self.accepted(first, enveloped=True)
        self.refused(first, "are not to the message")
        self.assertFalse(self.accepted(Signer(self.ven).sign(POLL, NOW), enveloped=True).enveloped)


class Openleadr(Verdicts):
    """openleadr's own code, both ways."""

    def test_signs_for_us_and_verifies_what_we_sign(self) -> None:
        vens = (ven(), ven(rsa=True))
        ours = [Signer(one).sign(POLL, datetime.now(UTC)).decode() for one in vens]
        work = {
            "sign": [[one.chain_pem.decode(), one.key_pem.decode()] for one in vens],
            "verify": [*ours, ours[0].replace("ven1", "evil")],
        }
        script = Path(__file__).with_name("openleadr_signs.py")
        done = subprocess.run(
            [openleadr().python, script, json.dumps(work)], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
        self.assertEqual(
            [*(fingerprint.show(fingerprint.short(one.fingerprint)) for one in vens), None],
            found["verified"],
            done.stderr,
        )
        for self.ven, document in zip(vens, found["signed"], strict=True):
            signed = self.accepted(document.encode())
            arguments = parse(document.encode()), {self.ven.fingerprint}, None, NOW
            for came in (document.encode(), b""):
                self.assertIsNotNone(without_signxml(*arguments, document=came))
            self.assertLess(abs(datetime.now(UTC) - signed.timestamp), timedelta(minutes=1))


class Certificates(Verdicts):
    """Whose key counts."""

    def test_a_key_value_alone_is_that_of_the_connection(self) -> None:
        for self.ven, method in ((ven(), ECDSA), (ven(rsa=True), RSA)):
            document = xmlsec1_signs(payload(signature(method=method), MESSAGE), self.ven)
            self.accepted(with_key_info(document, key_value(self.ven)))

    def test_a_key_value_may_stand_beside_its_certificate_or_nothing_at_all(self) -> None:
        certificate, value = certificates(self.ven), key_value(self.ven)
        for contents in ((certificate, value), (value, certificate), ()):
            self.accepted(with_key_info(xmlsec1_signs(payload(), self.ven), *contents))

    def test_a_chain_may_come_along(self) -> None:
        intermediate = Authority.create().issue_authority("maker")
        self.ven = intermediate.issue_client("ven1")
        for chain in ((self.ven, intermediate.credential), (intermediate.credential, self.ven)):
            self.accepted(with_key_info(xmlsec1_signs(payload(), self.ven), certificates(*chain)))

    def test_one_of_its_own_for_signing(self) -> None:
        signing, connection = ven("signing"), der(self.ven)
        document = parse(Signer(signing).sign(POLL, NOW))
        verify(document, {signing.fingerprint}, connection, NOW)
        verify(document, {signing.fingerprint, self.ven.fingerprint}, connection, NOW)
        verify(document, {signing.fingerprint}, None, NOW)
        error = self.assertRaises(SignatureRefused, verify, document, {self.ven.fingerprint}, connection, NOW)
        self.assertIn(fingerprint.show(signing.fingerprint), error.reason)  # what the operator may want to pin
        short = fingerprint.short(signing.fingerprint)
        self.assertRaises(SignatureRefused, verify, document, {short}, connection, NOW)

    def test_without_any_certificate_nothing_is_known(self) -> None:
        document = parse(with_key_info(xmlsec1_signs(payload(), self.ven), key_value(self.ven)))
        verify(document, {self.ven.fingerprint}, der(self.ven), NOW)
        for trusted, connection in ((self.ven, None), (ven("other"), der(self.ven)), (self.ven, der(ven("other")))):
            self.assertRaises(SignatureRefused, verify, document, {trusted.fingerprint}, connection, NOW)

    def test_its_time_is_not_over(self) -> None:
        document = parse(Signer(self.ven).sign(POLL, NOW))
        for moment in (self.ven.certificate.not_valid_before_utc, self.ven.certificate.not_valid_after_utc):
            verify(document, {self.ven.fingerprint}, None, moment)
        for moment in (
            self.ven.certificate.not_valid_before_utc - timedelta(seconds=1),
            self.ven.certificate.not_valid_after_utc + timedelta(seconds=1),
        ):
            error = self.assertRaises(SignatureRefused, verify, document, {self.ven.fingerprint}, None, moment)
            self.assertIn("not valid at", error.reason)

    def test_its_time_is_that_of_the_clock_that_was_handed_in(self) -> None:
        long_ago = NOW - timedelta(days=1000)
        old = self_signed(ec.generate_private_key(ec.SECP256R1()), long_ago)
        document = parse(Signer(old).sign(POLL, long_ago))
        self.assertEqual(long_ago, verify(document, {old.fingerprint}, None, long_ago).timestamp)
        self.assertRaises(SignatureRefused, verify, document, {old.fingerprint}, None, NOW)


class OldestSignxml(SynchronousTestCase):
    """signxml 4.5 is the oldest one that will do: openleadr's environment has it."""

    def test_gives_the_same_verdicts(self) -> None:
        here, libraries = str(Path(__file__).parents[2]), str(Path(attrs.__file__).parents[1])
        program = (
            f"import sys, unittest; sys.path[:] = [{here!r}, *sys.path, {libraries!r}]; import importlib.metadata as m;"
            "assert m.version('signxml').startswith('4.5.'), m.version('signxml');"
            "unittest.main(None, argv=sys.argv)"
        )
        names = [f"tests.security.test_signature.{name}" for name in ("Signing", "OtherPeople", "Certificates")]
        done = subprocess.run(
            [openleadr().python, "-c", program, "tests.security.test_signature_attacks", *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout)


def _bare(node: Any) -> bytes:
    """An oadrSignedObject in canonical form, without its Id."""
    copy = etree.fromstring(etree.tostring(node))
    copy.attrib.pop(f"{{{OADR}}}Id", "")
    return etree.tostring(copy, method="c14n", exclusive=True)
