"""Attacks on signatures: each one is refused, and the honest document that it was made from is not.

Where xmlsec1 is asked, it finds the attacker's document good: a verifier that only checks the cryptography
would read what the attacker wrote.
"""

from __future__ import annotations

import copy
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from signxml import VerifyResult

from oadrvtn.model.errors import Unreadable
from oadrvtn.security import signature as module
from oadrvtn.security.signature import SignatureRefused, Signed, Signer
from oadrvtn.wire.parser import parse
from tests.security.signing import (
    DS,
    ENVELOPED,
    EXCLUSIVE,
    FORGED,
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
    told,
    ven,
    verify,
    with_key_info,
    xmlsec1_signs,
    xmlsec1_verifies,
)

OBJECT_ID = f"{{{OADR}}}Id"


def forged(name: str | None = None) -> Any:
    """The attacker's oadrSignedObject, with an Id or none."""
    found = etree.fromstring(payload(FORGED))[0]
    del found.attrib[OBJECT_ID]
    if name is not None:
        found.set(OBJECT_ID, name)
    return found


class Wrapping(Verdicts):
    """What was signed is put out of the way, and something else into its place."""

    def setUp(self) -> None:
        super().setUp()
        # The prefix is known everywhere: what is moved keeps its canonical form, namespaces in scope and all.
        template = payload().replace("<oadr:oadrPayload ", f'<oadr:oadrPayload xmlns:ds="{DS}" ')
        self.honest = xmlsec1_signs(template, self.ven)
        self.accepted(self.honest)
        self.root: Any = parse(self.honest)
        self.signature, self.signed = self.root

    def check(self, reason: str, root: Any = None, *, good_for_xmlsec1: bool = True) -> None:
        document = etree.tostring(self.root if root is None else root)
        self.assertEqual(good_for_xmlsec1, xmlsec1_verifies(document))
        self.refused(document, reason)
        self.assertRaises(SignatureRefused, self.verified, document, enveloped=True)

    def test_the_signed_object_moved_into_an_object_of_the_signature(self) -> None:
        for name in (None, "other"):
            root = copy.deepcopy(self.root)
            root.append(forged(name))
            etree.SubElement(root[0], f"{{{DS}}}Object").append(root[1])
            self.check("ds:Signature holds", root)

    def test_the_signed_object_moved_beside_the_replay_protect(self) -> None:
        self.root.append(forged())
        child(self.root, "ds:Signature/ds:Object").append(self.signed)
        self.check("ds:Object holds", good_for_xmlsec1=False)

    def test_the_signed_object_moved_into_the_forged_one(self) -> None:
        for name in (None, "other"):
            root = copy.deepcopy(self.root)
            root.append(forged(name))
            root[2].append(root[1])
            self.check("not to the message", root)

    def test_a_second_object_with_another_id(self) -> None:
        for name in (None, "other"):
            for place in (0, 1, 2):
                root = copy.deepcopy(self.root)
                root.insert(place, forged(name))
                self.check("not oadrPayload with", root)

    def test_the_same_id_twice(self) -> None:
        for attribute in ("Id", "ID", "id", OBJECT_ID, "{http://www.w3.org/XML/1998/namespace}id", "{urn:x}Id"):
            for bearer in ("ds:Signature", "ds:Signature/ds:KeyInfo", "ds:Signature/ds:Object"):
                root = copy.deepcopy(self.root)
                child(root, bearer).set(attribute, "oadrSignedObject")
                self.assertRaises(SignatureRefused, self.verified, etree.tostring(root))
        child(self.root, "ds:Signature/ds:KeyInfo").set("Id", "oadrSignedObject")
        self.refused(etree.tostring(self.root), "is not the Id of one element alone")

    def test_the_forged_object_has_the_id_too(self) -> None:
        self.root.append(forged("oadrSignedObject"))
        self.check("not oadrPayload with", good_for_xmlsec1=False)
        self.root.remove(self.signed)
        self.check("Digest mismatch", good_for_xmlsec1=False)

    def test_an_id_that_only_one_reader_takes_for_one(self) -> None:
        """signxml looks at Id before ID: the forged object would be found by one name, the signed one by the other."""
        self.root.append(forged())
        self.root[2].set("ID", "oadrSignedObject")
        self.root[2].append(self.signed)
        self.check("not to the message")

    def test_an_object_inside_an_object(self) -> None:
        inner = child(self.root, "ds:Signature/ds:Object")
        outer = etree.SubElement(self.signature, f"{{{DS}}}Object")
        outer.append(inner)
        self.check("ds:Object holds")

    def test_an_unsigned_message_beside_the_signed_one(self) -> None:
        for place in (0, 1, 2):
            root = copy.deepcopy(self.root)
            root.insert(place, forged()[0])
            self.check("not oadrPayload with", root)

    def test_an_unsigned_message_within_the_signed_one(self) -> None:
        self.signed.append(forged()[0])
        self.check("Digest mismatch", good_for_xmlsec1=False)

    def test_a_second_signature(self) -> None:
        attacker = parse(xmlsec1_signs(payload(), ven("attacker")))
        for place in (0, 1, 2):
            root = copy.deepcopy(self.root)
            root.insert(place, copy.deepcopy(attacker[0]))
            self.assertRaises(SignatureRefused, self.verified, etree.tostring(root))

    def test_a_signature_somewhere_else(self) -> None:
        self.signed.append(self.signature)
        self.check("not oadrPayload with", good_for_xmlsec1=False)
        self.root.append(self.signature)
        self.refused(etree.tostring(self.root), "not oadrPayload with")

    def test_another_root(self) -> None:
        wrapper = etree.Element("wrapper")
        wrapper.append(self.root)
        self.check("not oadrPayload with", wrapper)
        self.root = wrapper[0]
        self.root.tag = "oadrPayload"
        self.check("not oadrPayload with")

    def test_a_whole_document_that_grew(self) -> None:
        document = xmlsec1_signs(payload(MESSAGE, signature(TO_ALL, TO_PROPERTIES)), self.ven)
        self.accepted(document, enveloped=True)
        for what in (forged(), forged("other"), forged()[0]):
            for place in (0, 1, 2):
                root: Any = parse(document)
                root.insert(place, copy.deepcopy(what))
                self.refused(etree.tostring(root), "not oadrPayload with", enveloped=True)
        root = parse(document)
        child(root, "ds:Signature/ds:Object").append(root[0])
        root.insert(0, forged("oadrSignedObject"))
        self.refused(etree.tostring(root), "ds:Object holds", enveloped=True)


class Changes(Verdicts):
    """Somebody between the VEN and us writes a little into its document."""

    def setUp(self) -> None:
        super().setUp()
        self.honest = xmlsec1_signs(payload(), self.ven)
        self.accepted(self.honest)

    def test_a_letter_anywhere(self) -> None:
        for before, after in (
            (b"ven1", b"ven2"),
            (b"unheard", b"unhears"),
            (NOW.isoformat()[:19].encode(), b"2030-01-01T00:00:00"),
            (b'schemaVersion="2.0b"', b'schemaVersion="2.0a"'),
        ):
            self.assertEqual(1, self.honest.count(before))
            self.refused(self.honest.replace(before, after), "Digest mismatch")
        value = child(parse(self.honest), "ds:Signature/ds:SignatureValue").text.encode()
        self.refused(self.honest.replace(value, b"AAAA" + value[4:]), "Signature verification failed")
        digest = child(parse(self.honest)[0][0][2], "ds:DigestValue").text.encode()
        self.refused(self.honest.replace(digest, b"AAAA" + digest[4:]), "Signature verification failed")

    def test_parts_of_two_honest_documents(self) -> None:
        other = xmlsec1_signs(payload(signature(), FORGED), self.ven)
        self.accepted(other, "evil")
        for path in (
            "ds:Signature",
            "oadr:oadrSignedObject",
            "ds:Signature/ds:SignedInfo",
            "ds:Signature/ds:SignatureValue",
        ):
            root: Any = parse(self.honest)
            old = child(root, path)
            old.getparent().replace(old, child(parse(other), path))
            self.assertRaises(SignatureRefused, self.verified, etree.tostring(root))

    def test_the_nonce_of_another_honest_document(self) -> None:
        objects = f'<ds:Object Id="prop">{replay_protect(nonce="later")}</ds:Object>'
        other = xmlsec1_signs(payload(signature(objects=objects), MESSAGE), self.ven)
        self.assertEqual("later", self.accepted(other).nonce)
        root: Any = parse(self.honest)
        root[0].replace(child(root, "ds:Signature/ds:Object"), child(parse(other), "ds:Signature/ds:Object"))
        self.refused(etree.tostring(root), "Digest mismatch")

    def test_comments_and_instructions_inside_values(self) -> None:
        """They are no part of a value, and they do not end it."""
        for inserted in (b"<!-- -->", b"<?x y?>", b"<![CDATA[]]>"):
            changed = self.honest.replace(b"ven1", b"ve" + inserted + b"n1")
            self.assertEqual("unheard", self.accepted(changed).nonce)
            changed = self.honest.replace(b"unheard", b"un" + inserted + b"heard")
            self.assertEqual("unheard", self.accepted(changed).nonce)

    def test_a_value_is_read_whole_around_the_signers_own_comment(self) -> None:
        template = payload(signature(), MESSAGE.replace("ven1", "ven1<!-- -->.evil"))
        self.accepted(xmlsec1_signs(template, self.ven), "ven1.evil")

    def test_an_instruction_that_was_signed_is_missed(self) -> None:
        template = payload(signature(), MESSAGE.replace("ven1", "ven1<?x y?>"))
        self.refused(xmlsec1_signs(template, self.ven), "Digest mismatch")

    def test_entities_get_no_further_than_the_parser(self) -> None:
        doctype = b'<!DOCTYPE oadr:oadrPayload [<!ENTITY x "ven1">]>'
        self.assertRaises(Unreadable, parse, doctype + self.honest.replace(b'<?xml version="1.0"?>', b""))


class ReplayProtectOutside(Verdicts):
    """The timestamp and the nonce must be signed as well."""

    def refuses(self, template: str, reason: str) -> None:
        """Well signed, by itself."""
        document = xmlsec1_signs(payload(template, MESSAGE), self.ven)
        self.assertTrue(xmlsec1_verifies(document))
        self.refused(document, reason)

    def test_honest(self) -> None:
        self.accepted(xmlsec1_signs(payload(), self.ven))

    def test_only_the_message_is_signed(self) -> None:
        self.refuses(signature(TO_MESSAGE), "ds:SignedInfo holds")

    def test_the_message_is_signed_twice(self) -> None:
        self.refuses(signature(TO_MESSAGE, TO_MESSAGE), "not to the message and to ReplayProtect")

    def test_only_replay_protect_is_signed(self) -> None:
        self.refuses(signature(TO_PROPERTIES, TO_PROPERTIES), "not to the message and to ReplayProtect")

    def test_something_else_is_signed_with_the_message(self) -> None:
        template = signature(TO_MESSAGE, reference("#info", INCLUSIVE)).replace(
            "<ds:KeyInfo>", '<ds:KeyInfo Id="info">'
        )
        self.refused(xmlsec1_signs(payload(template, MESSAGE), self.ven), "not to the message and to ReplayProtect")

    def test_replay_protect_in_an_object_that_is_not_signed(self) -> None:
        objects = f'<ds:Object Id="prop"><x/></ds:Object><ds:Object>{replay_protect()}</ds:Object>'
        self.refuses(signature(objects=objects), "ds:Signature holds")

    def test_a_second_one_that_is_not_signed(self) -> None:
        signed = f'<ds:Object Id="prop">{replay_protect()}</ds:Object>'
        for objects in (
            f"<ds:Object>{replay_protect(nonce='fresh')}</ds:Object>{signed}",
            f"{signed}<ds:Object>{replay_protect(nonce='fresh')}</ds:Object>",
        ):
            self.refuses(signature(objects=objects), "ds:Signature holds")

    def test_two_of_them_in_what_is_signed(self) -> None:
        twice = replay_protect() + replay_protect(nonce="fresh")
        self.refuses(signature(objects=f'<ds:Object Id="prop">{twice}</ds:Object>'), "ds:Object holds")

    def test_none_at_all(self) -> None:
        for objects in ('<ds:Object Id="prop"/>', '<ds:Object Id="prop">unheard</ds:Object>'):
            self.refuses(signature(objects=objects), "ds:Object holds")
        self.refuses(signature(objects=f'<ds:Object Id="prop">{replay_protect(nonce=" ")}</ds:Object>'), "empty")

    def test_no_time(self) -> None:
        for text in (
            "",
            "yesterday",
            "2026-01-31",
            "2026-13-31T12:00:00Z",
            "20260131T120000Z",
            "0001-01-01T00:00:00+14:00",
        ):
            self.refuses(signature(objects=f'<ds:Object Id="prop">{replay_protect(text)}</ds:Object>'), "timestamp")


class Algorithms(Verdicts):
    """Only two kinds of signatures and one digest are good enough."""

    def test_sha_1(self) -> None:
        self.accepted(xmlsec1_signs(payload(), self.ven))
        for reference_of in (
            (TO_MESSAGE.replace("xmlenc#sha256", "xmldsig#sha1"), TO_PROPERTIES),
            (TO_MESSAGE, TO_PROPERTIES.replace("xmlenc#sha256", "xmldsig#sha1")),
        ):
            template = signature(*(one.replace("/2001/04/xmldsig#", "/2000/09/xmldsig#") for one in reference_of))
            self.refused(xmlsec1_signs(payload(template, MESSAGE), self.ven), "ds:DigestMethod is")
        self.refused(
            xmlsec1_signs(payload(signature(method=MORE + "ecdsa-sha1"), MESSAGE), self.ven), "ds:SignatureMethod is"
        )
        self.ven = ven(rsa=True)
        self.accepted(xmlsec1_signs(payload(signature(method=RSA), MESSAGE), self.ven))
        self.refused(
            xmlsec1_signs(payload(signature(method=DS + "rsa-sha1"), MESSAGE), self.ven), "ds:SignatureMethod is"
        )

    def test_none(self) -> None:
        honest = xmlsec1_signs(payload(), self.ven)
        self.accepted(honest)
        root: Any = parse(honest)
        value = child(root, "ds:Signature/ds:SignatureValue")
        value.text = ""
        self.refused(etree.tostring(root), "argument should be")
        root[0].remove(value)
        self.refused(etree.tostring(root), "ds:Signature holds")
        for method in ("", "none", MORE + "none"):
            self.refused(
                honest.replace(b'"' + MORE.encode() + b'ecdsa-sha256"', b'"%b"' % method.encode()),
                "ds:SignatureMethod is",
            )
        root = parse(honest)
        root[0].remove(root[0][0])
        self.refused(etree.tostring(root), "ds:Signature holds")

    def test_hmac_with_what_everybody_knows(self) -> None:
        """The public key as the secret: a verifier that hands its key to whatever the message names would agree."""
        for algorithm in (DS + "hmac-sha1", MORE + "hmac-sha256"):
            template = payload(signature(method=algorithm), MESSAGE)
            document = xmlsec1_signs(template, self.ven, "--hmackey", "{certificate}")
            self.refused(document, "ds:SignatureMethod is")
            self.refused(with_key_info(document, certificates(self.ven)), "ds:SignatureMethod is")

    def test_parameters(self) -> None:
        honest = xmlsec1_signs(payload(), self.ven)
        length = b"<ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>"
        self.refused(honest.replace(b'ecdsa-sha256"/>', b'ecdsa-sha256">' + length), "ds:SignatureMethod holds")

    def test_canonical_xml_with_comments(self) -> None:
        with_comments = INCLUSIVE + "#WithComments"
        template = signature(reference("#oadrSignedObject", with_comments), TO_PROPERTIES)
        self.refused(xmlsec1_signs(payload(template, MESSAGE), self.ven), "ds:Transform is")
        template = signature(c14n=with_comments)
        self.refused(xmlsec1_signs(payload(template, MESSAGE), self.ven), "ds:CanonicalizationMethod is")

    def test_a_method_that_is_not_the_keys(self) -> None:
        honest = xmlsec1_signs(payload(), self.ven)
        self.refused(honest.replace(b"ecdsa-sha256", b"rsa-sha256"), "does not match specified signature algorithm")


class Keys(Verdicts):
    """Whose signature it is does not stand in the message."""

    def setUp(self) -> None:
        super().setUp()
        self.attacker = ven("attacker")
        self.honest = xmlsec1_signs(payload(), self.ven)
        self.theirs = xmlsec1_signs(payload(), self.attacker)
        self.accepted(self.honest)
        self.accepted(with_key_info(self.honest, key_value(self.ven)))
        self.assertTrue(xmlsec1_verifies(self.theirs))

    def test_a_foreign_certificate_that_our_authority_has_issued(self) -> None:
        self.refused(self.theirs, "0 may sign for this VEN")

    def test_a_certificate_of_its_own_making(self) -> None:
        own = self_signed(ec.generate_private_key(ec.SECP256R1()))
        self.refused(xmlsec1_signs(payload(), own), "0 may sign for this VEN")

    def test_the_attackers_signature_under_the_vens_name(self) -> None:
        for contents in (
            (certificates(self.ven),),
            (key_value(self.ven),),
            (certificates(self.ven), key_value(self.ven)),
            (),
        ):
            self.accepted(with_key_info(self.honest, *contents))
            self.refused(with_key_info(self.theirs, *contents), "Signature verification failed")

    def test_the_attackers_key_value(self) -> None:
        self.refused(with_key_info(self.theirs, key_value(self.attacker)), "Signature verification failed")

    def test_two_keys(self) -> None:
        mine, theirs = key_value(self.ven), key_value(self.attacker)
        for contents in ((mine, theirs), (theirs, mine), (mine, mine)):
            self.refused(with_key_info(self.theirs, *contents), "ds:KeyInfo holds")
            self.refused(with_key_info(self.honest, *contents), "ds:KeyInfo holds")
        pair = certificates(self.ven)
        for contents in ((pair, theirs), (theirs, pair)):
            self.refused(with_key_info(self.theirs, *contents), "Signature verification failed")
            self.refused(with_key_info(self.honest, *contents), "different public keys")
        self.refused(with_key_info(self.honest, pair, key_value(ven(rsa=True))), "ECKeyValue")
        self.refused(with_key_info(self.honest, pair, certificates(self.attacker)), "ds:KeyInfo holds")

    def test_two_certificates(self) -> None:
        for order in ((self.ven, self.attacker), (self.attacker, self.ven)):
            self.refused(with_key_info(self.theirs, certificates(*order)), "Signature verification failed")

    def test_two_certificates_that_are_both_known(self) -> None:
        other = ven("rotated")
        known = {self.ven.fingerprint, other.fingerprint}
        verify(parse(self.honest), known, None, NOW)
        document = with_key_info(self.honest, certificates(self.ven, other))
        error = self.assertRaises(SignatureRefused, verify, parse(document), known, None, NOW)
        self.assertIn("2 may sign for this VEN", error.reason)

    def test_unreadable_certificates(self) -> None:
        for text, reason in (
            ("", "0 may sign"),
            ("*", "X509Certificate: "),
            ("é", "X509Certificate: "),
            ("AAAA", "0 may sign"),
            ("A" * 20_001, "ds:X509Certificate holds 20001 characters"),
        ):
            content = f"<ds:X509Data><ds:X509Certificate>{text}</ds:X509Certificate></ds:X509Data>"
            self.refused(with_key_info(self.honest, content), reason)
        many = certificates(*[self.ven] * 11)
        self.refused(with_key_info(self.honest, many), "too many")

    def test_keys_that_would_have_to_be_looked_for(self) -> None:
        for content in (
            "<ds:KeyName>ven1</ds:KeyName>",
            '<ds:RetrievalMethod URI="http://127.0.0.1/key"/>',
            '<ds:RetrievalMethod URI="#signature"/>',
            "<ds:X509Data><ds:X509CRL>AAAA</ds:X509CRL></ds:X509Data>",
            "<ds:MgmtData/>",
            '<dsig11:KeyInfoReference xmlns:dsig11="http://www.w3.org/2009/xmldsig11#" URI="http://127.0.0.1/key"/>',
            '<dsig11:DEREncodedKeyValue xmlns:dsig11="http://www.w3.org/2009/xmldsig11#">AAAA</dsig11:DEREncodedKeyValue>',
            "<key/>",
        ):
            self.refused(with_key_info(self.honest, content), "holds")
            self.refused(with_key_info(self.honest, certificates(self.ven), content), "holds")


XPATH = (
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
    "<ds:XPath>not(ancestor-or-self::ei:venID)</ds:XPath></ds:Transform>"
)
XSLT = (
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116">'
    '<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0">'
    '<xsl:template match="/"><fixed/></xsl:template></xsl:stylesheet></ds:Transform>'
)


class References(Verdicts):
    """Nothing is computed, fetched or even digested for references of any other form."""

    def setUp(self) -> None:
        super().setUp()
        self.accepted(xmlsec1_signs(payload(), self.ven))

        def computes(*_: object, **__: object) -> None:
            raise AssertionError("signxml was asked")

        self.patch(module._Verifier, "verify", computes)

    def refuses(self, reason: str, *references: str, message: str = MESSAGE, enveloped: bool = False) -> None:
        """Looked at, as far as its shape goes: nothing is filled in."""
        document = with_key_info(payload(signature(*references), message).encode())
        self.refused(document, reason, enveloped=enveloped)

    def refuses_changed(self, reason: str, before: str, after: str) -> None:
        """The default template, with one thing changed."""
        template = payload()
        self.assertIn(before, template)
        self.refused(with_key_info(template.replace(before, after).encode()), reason)

    def test_the_honest_template_gets_as_far_as_signxml(self) -> None:
        document = with_key_info(payload().encode())
        error = self.assertRaises(SignatureRefused, self.verified, document)
        self.assertIn("signxml was asked", error.reason)

    def test_a_transform_that_leaves_out_what_matters(self) -> None:
        for transform in (XPATH, XSLT):
            one = reference("#oadrSignedObject", transform, INCLUSIVE)
            document = xmlsec1_signs(payload(signature(one, TO_PROPERTIES), MESSAGE), self.ven)
            changed = document.replace(b"<ei:venID>ven1", b"<ei:venID>evil")
            self.assertTrue(xmlsec1_verifies(changed))
            self.refused(changed, "ds:Transform holds")

    def test_other_transforms(self) -> None:
        for uri in (
            DS + "base64",
            "http://www.w3.org/2002/06/xmldsig-filter2",
            "http://www.w3.org/2002/07/decrypt#XML",
            "http://www.w3.org/2006/12/xml-c14n11",
            "",
        ):
            transform = f'<ds:Transform Algorithm="{uri}"/>'
            self.refuses("ds:Transform is", reference("#oadrSignedObject", transform), TO_PROPERTIES)
        self.refuses("ds:Transform is", reference("#oadrSignedObject", "<ds:Transform/>"), TO_PROPERTIES)

    def test_too_many_transforms_or_at_the_wrong_place(self) -> None:
        for transforms in ((ENVELOPED,), (ENVELOPED, INCLUSIVE), (INCLUSIVE, INCLUSIVE), (INCLUSIVE, EXCLUSIVE)):
            for enveloped in (False, True):
                one, two = (reference(uri, *transforms) for uri in ("#oadrSignedObject", "#prop"))
                self.refuses("has the transforms", one, TO_PROPERTIES, enveloped=enveloped)
                self.refuses("has the transforms", TO_MESSAGE, two, enveloped=enveloped)
        for whole in ([], [INCLUSIVE], [INCLUSIVE, ENVELOPED], [ENVELOPED, ENVELOPED]):
            self.refuses("has the transforms", reference("", *whole), TO_PROPERTIES, enveloped=True)
        self.refuses(
            "ds:Transforms holds", reference("", ENVELOPED, INCLUSIVE, INCLUSIVE), TO_PROPERTIES, enveloped=True
        )

    def test_a_list_of_prefixes(self) -> None:
        transform = (
            f'<ds:Transform Algorithm="{EXCLUSIVE}">'
            f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="oadr"/></ds:Transform>'
        )
        self.refuses("ds:Transform holds", reference("#oadrSignedObject", transform), TO_PROPERTIES)

    def test_a_file_or_an_address(self) -> None:
        for uri in (
            "file:///etc/passwd",
            "/etc/passwd",
            "http://127.0.0.1/",
            "//127.0.0.1/",
            "data:text/plain,x",
            "",
            "##prop",
            "prop",
            "#xpointer(/)",
            "#xpointer(id('prop'))",
            "#None",
        ):
            one = reference(uri, INCLUSIVE)
            self.refuses("not to the message and to ReplayProtect", one, TO_PROPERTIES)
            self.refuses("not to the message and to ReplayProtect", TO_MESSAGE, one)
        self.refuses_changed("not to the message and to ReplayProtect", ' URI="#oadrSignedObject"', "")
        self.refuses_changed("not to the message and to ReplayProtect", ' URI="#prop"', "")

    def test_ids_that_may_be_read_in_two_ways(self) -> None:
        for name in ("", "#prop", "xpointer(/)", "a b", "a'b", "a&quot;b", "a]b"):
            message = MESSAGE.replace('"oadrSignedObject"', f'"{name}"')
            one = reference(f"#{name}", INCLUSIVE)
            self.refuses("is not the Id of one element alone", one, TO_PROPERTIES, message=message)

    def test_no_id(self) -> None:
        message = MESSAGE.replace(' oadr:Id="oadrSignedObject"', "")
        for uri, reason in (("#", "is not the Id of"), ("#None", "not to the message")):
            self.refuses(reason, reference(uri, INCLUSIVE), TO_PROPERTIES, message=message)
        plain = MESSAGE.replace("oadr:Id=", "Id=")
        self.refuses("not to the message and to ReplayProtect", TO_MESSAGE, TO_PROPERTIES, message=plain)

    def test_a_thousand_references(self) -> None:
        for references in (
            [TO_MESSAGE] * 1000,
            [TO_MESSAGE, *[TO_PROPERTIES] * 999],
            [TO_MESSAGE, TO_PROPERTIES] * 2,
            [TO_MESSAGE],
        ):
            self.refuses("ds:SignedInfo holds", *references)

    def test_references_behind_references(self) -> None:
        self.refuses_changed(
            "ds:Object holds",
            "<ds:SignatureProperties>",
            f"<ds:Manifest>{TO_MESSAGE}</ds:Manifest><ds:SignatureProperties>",
        )
        self.refuses_changed("ds:Object holds", replay_protect(), f"<ds:Manifest>{TO_MESSAGE}</ds:Manifest>")

    def test_texts_without_end(self) -> None:
        for before, after in (
            ("<dsp:nonce>", "<dsp:nonce>" + "x" * 201),
            ("<dsp:timestamp>", "<dsp:timestamp>" + "0" * 61),
            ("<ds:SignatureValue/>", f"<ds:SignatureValue>{'A' * 4001}</ds:SignatureValue>"),
            ("<ds:DigestValue/>", f"<ds:DigestValue>{'A' * 201}</ds:DigestValue>"),
            ("<ds:SignedInfo>", "<ds:SignedInfo>x"),
        ):
            self.refuses_changed(" characters", before, after)

    def test_what_takes_the_square_of_its_size(self) -> None:
        """Canonical XML looks at each namespace around each element, and sorts attributes slowly."""
        for bearer in ("<oadr:oadrPayload ", "<ds:Signature ", "<ei:venID"):
            for many, reason in ((30, "signxml was asked"), (51, "more than 50 namespaces")):
                names = " ".join(f'xmlns:a{number}="urn:{number}"' for number in range(many))
                self.refuses_changed(reason, bearer, f"{bearer.strip()} {names} ")
        for many, reason in ((100, "signxml was asked"), (101, "more than 100 attributes")):
            names = " ".join(f'a{number}=""' for number in range(many))
            self.refuses_changed(reason, "<ei:venID", f"<ei:venID {names}")
        nested = "".join(f'<a xmlns="urn:{number}">' for number in range(51)) + "</a>" * 51
        self.refuses_changed("more than 50 namespaces", "<ei:venID>", nested + "<ei:venID>")
        beside = "".join(f'<a xmlns="urn:{number}"/>' for number in range(1000))
        self.refuses_changed("signxml was asked", "<ei:venID>", beside + "<ei:venID>")

    def test_attributes_of_other_meaning(self) -> None:
        for bearer in ("ds:SignedInfo", "ds:Transforms", "ds:SignatureProperties", "dsp:nonce"):
            self.refuses_changed("has the attribute", f"<{bearer}>", f'<{bearer} Encoding="x">')


class AfterSignxml(Verdicts):
    """What signxml says was signed is looked at again, should it ever see a document otherwise than we do."""

    def judge(self, *signed: str | None) -> Signed:
        results = [
            VerifyResult(b"", None if one is None else etree.fromstring(one), etree.Element("x"), b"") for one in signed
        ]
        self.patch(module._Verifier, "verify", lambda *_, **__: results)
        return self.verified(with_key_info(payload().encode()))

    def test_it_is_one_message_and_one_replay_protect(self) -> None:
        message, protect = (etree.tostring(one).decode() for one in etree.fromstring(payload(MESSAGE, _OBJECT)))
        self.assertEqual("unheard", self.judge(message, protect).nonce)
        self.assertTrue(self.judge(payload(MESSAGE), protect).enveloped)
        for signed in (
            (protect, message),
            (protect, protect),
            (message, message),
            (message, payload(_OBJECT, _OBJECT)),
            (payload(MESSAGE, MESSAGE), protect),
            (payload(f"<x>{MESSAGE}</x>"), protect),
            (None, protect),
            (message, None),
        ):
            error = self.assertRaises(SignatureRefused, self.judge, *signed)
            self.assertIn("what was signed is", error.reason)


_OBJECT = f'<ds:Object xmlns:ds="{DS}">{replay_protect()}</ds:Object>'
ORIGINALS = {enveloped: Signer(ven()).sign(POLL, NOW, enveloped=enveloped) for enveloped in (False, True)}
_bytes = st.binary(max_size=3) | st.sampled_from(
    [b"<", b">", b'"', b"<!---->", b"&#13;", b"evil", b"ds:Object", b"Id", b"#prop", b"<oadr:oadrPoll/>", b" xmlns='x'"]
)


class Anything(Verdicts):
    """Whatever is done to a signed document: it is refused, or it says what was signed."""

    def judge(self, document: bytes, enveloped: bool) -> bool:
        """Whether it is still accepted, for what it was."""
        try:
            found = verify(parse(document), {ven().fingerprint}, der(ven()), NOW, enveloped=True, document=document)
        except (Unreadable, SignatureRefused):
            return False
        honest = verify(parse(ORIGINALS[enveloped]), {ven().fingerprint}, der(ven()), NOW, enveloped=True)
        self.assertEqual(told(honest), told(found))
        return True

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.booleans(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), _bytes), min_size=1, max_size=3))
    def test_bytes(self, enveloped: bool, edits: list[tuple[float, int, bytes]]) -> None:
        document = ORIGINALS[enveloped]
        for place, cut, put in edits:
            at = int(place * len(document))
            document = document[:at] + put + document[at + cut :]
        self.judge(document, enveloped)

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.booleans(),
        st.lists(
            st.tuples(
                st.sampled_from(["copy", "move", "forge", "drop", "id"]),
                st.integers(0, 99),
                st.integers(0, 99),
                st.integers(0, 3),
            ),
            min_size=1,
            max_size=4,
        ),
    )
    def test_elements(self, enveloped: bool, edits: list[tuple[str, int, int, int]]) -> None:
        root: Any = etree.fromstring(ORIGINALS[enveloped])
        for what, one, other, place in edits:
            nodes = list(root.iter())
            node, target = nodes[one % len(nodes)], nodes[other % len(nodes)]
            if what == "id":
                target.set(("Id", "ID", OBJECT_ID, "id")[place], ("oadrSignedObject", "prop", "other", "")[one % 4])
            elif node is not root and node not in target.iterancestors() and node is not target:
                if what == "drop":
                    node.getparent().remove(node)
                elif what == "move":
                    target.insert(place, node)
                elif what == "copy":
                    target.insert(place, copy.deepcopy(node))
                else:
                    target.insert(place, forged(("oadrSignedObject", "other", None)[one % 3]))
        self.judge(etree.tostring(root), enveloped)

    def test_what_is_not_changed_is_accepted(self) -> None:
        for enveloped, document in ORIGINALS.items():
            self.assertTrue(self.judge(document, enveloped))
            self.assertFalse(self.judge(document.replace(b"ven1", b"evil"), enveloped))
