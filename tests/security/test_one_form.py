"""The one form of signatures that is verified without signxml: it is taken for what signxml takes it for."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from oadrvtn.model.errors import Unreadable
from oadrvtn.security import signature as module
from oadrvtn.security.signature import SignatureRefused, Signer
from oadrvtn.wire.parser import parse
from tests.security.signing import (
    DS,
    DSP,
    EI,
    EXCLUSIVE,
    INCLUSIVE,
    MESSAGE,
    NOW,
    POLL,
    RSA,
    TO_MESSAGE,
    TO_PROPERTIES,
    Verdicts,
    certificates,
    der,
    key_value,
    payload,
    reference,
    self_signed,
    signature,
    ven,
    verify,
    with_key_info,
    without_signxml,
    xmlsec1_signs,
)


def seal(template: str) -> bytes:
    """A template, filled in by the VEN's own key, whatever is in it; what cannot be is left as it is."""
    root: Any = parse(template.encode())
    method = {EXCLUSIVE: True}
    for one in root.iter(f"{{{DS}}}Reference"):
        nodes = root.xpath("//*[@*[local-name() = 'Id'] = $name]", name=one.get("URI", "")[1:])
        transform = one.find(f".//{{{DS}}}Transform")
        exclusive = transform is not None and method.get(transform.get("Algorithm"), False)
        digest = hashlib.sha256(_canonical(nodes[0], exclusive) if nodes else b"").digest()
        one.find(f"{{{DS}}}DigestValue").text = base64.b64encode(digest).decode()
    info = root.find(f".//{{{DS}}}SignedInfo")
    how = info.find(f"{{{DS}}}CanonicalizationMethod").get("Algorithm")
    key: Any = ven().key
    value = key.sign(_canonical(info, method.get(how, False)), ec.ECDSA(hashes.SHA256()))
    numbers = b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(value))
    root.find(f".//{{{DS}}}SignatureValue").text = base64.b64encode(numbers).decode()
    return etree.tostring(root)


def _canonical(node: Any, exclusive: bool) -> bytes:
    """By way of a document of its own, as signxml has it."""
    return etree.tostring(etree.fromstring(etree.tostring(node, with_tail=False)), method="c14n", exclusive=exclusive)


HONEST = payload(signature(), MESSAGE).replace("<ds:X509Data/>", certificates(ven()))
EDITS = (
    # what it may vary
    ("><", "> \n\t<"),
    (' Id="signature"', ""),
    ('"oadrSignedObject">', '"another.One-1">'),
    ('"#oadrSignedObject"', '"#another.One-1"'),
    ('"prop"', '"other"'),
    ('"#prop"', '"#other"'),
    ("<ds:SignatureProperty ", '<ds:SignatureProperty Id="property" '),
    ('Target="#signature"', 'Target="#mytarget"'),
    ("ven1", "ven1 &gt; &#xe9; &amp; &quot;"),
    ("unheard", "bm9uY2U="),
    ("<oadr:oadrPayload ", f'<oadr:oadrPayload xmlns:dsp="{DSP}" '),
    ("<oadr:oadrPayload ", '<oadr:oadrPayload xmlns:more="urn:more" '),
    ("<ds:SignatureValue", "<!-- said --><ds:SignatureValue"),
    # what it may not, or what only looks like it
    ('Id="signature"', 'Id="prop"'),
    ('Id="signature"', 'Id="oadrSignedObject"'),
    ("<ds:SignatureProperty ", '<ds:SignatureProperty Id="prop" '),
    ("<ds:SignatureProperty ", '<ds:SignatureProperty Id="signature" '),
    ("<ds:SignatureProperties>", '<ds:SignatureProperties Id="prop">'),
    ("<ei:venID>", '<ei:venID Id="prop">'),
    ("<ei:venID>", '<ei:venID x:Id="oadrSignedObject" xmlns:x="urn:x">'),
    ("<ei:venID>", '<ei:venID Name="prop" Title="oadrSignedObject">'),
    ("ven1", '="prop"'),
    ("ven1", "ven1&#13;"),
    ("<ei:venID>ven1</ei:venID>", f'<venID xmlns="{EI}">ven1</venID>'),
    ("<ei:venID>", '<ei:venID xml:lang="en">'),
    ("<ei:venID>", '<ei:venID xmlns:ei="urn:other">'),
    ("<ei:venID>", f'<ei:venID xmlns:ei="{EI}">'),
    ("<oadr:oadrSignedObject ", '<oadr:oadrSignedObject xmlns:ei="urn:other" '),
    ("<oadr:oadrSignedObject ", f'<oadr:oadrSignedObject xmlns:ei="{EI}" '),
    ("<oadr:oadrPayload ", '<oadr:oadrPayload xmlns:more-1="urn:more" xmlns:more="urn:1" '),
    ("<oadr:oadrPoll ", '<oadr:oadrPoll xmlns:x="urn:x" xmlns:a="urn:a" '),
    ("<oadr:oadrPoll ", '<oadr:oadrPoll Id="other" '),
    ("<ei:venID>", '<ei:venID xmlns="urn:default"><deep xmlns=""/>'),
    ("<oadr:oadrPayload ", '<oadr:oadrPayload xml:lang="en" '),
    ("<oadr:oadrPayload ", '<oadr:oadrPayload Id="prop" '),
    ("<oadr:oadrPayload ", '<oadr:oadrPayload xmlns="urn:default" '),
    ("<oadr:oadrPayload ", '<oadr:oadrPayload xmlns:x="relative" '),
    ("<oadr:oadrPayload ", '<oadr:oadrPayload xmlns:dsp="urn:other" '),
    ("<ds:Signature ", '<ds:Signature xmlns:oadr="urn:other" '),
    ("<ds:KeyInfo>", '<ds:KeyInfo Id="prop">'),
    ("<ds:SignedInfo>", '<ds:SignedInfo Id="info">'),
    ("<ds:SignedInfo>", "<ds:SignedInfo>text"),
    ("<ds:SignatureValue/>", '<ds:SignatureValue Id="value"/>'),
    ("</ds:X509Certificate>", "&#13;\n</ds:X509Certificate>"),
    ("</ds:X509Certificate>", "=</ds:X509Certificate>"),
    ("</ds:X509Data>", "<ds:X509SubjectName>CN=ven1</ds:X509SubjectName></ds:X509Data>"),
    ("</ds:X509Data>", "</ds:X509Data>" + key_value(ven())),
    (certificates(ven()), key_value(ven())),
    (certificates(ven()), certificates(ven("other"))),
    (certificates(ven()), certificates(ven(), ven("other"))),
    (TO_MESSAGE + TO_PROPERTIES, TO_PROPERTIES + TO_MESSAGE),
    (TO_MESSAGE, reference("#oadrSignedObject", EXCLUSIVE)),
    (TO_MESSAGE, reference("#oadrSignedObject")),
    (TO_PROPERTIES, ""),
    (f'Method Algorithm="{INCLUSIVE}"', f'Method Algorithm="{EXCLUSIVE}"'),
    ("ecdsa-sha256", "rsa-sha256"),
    ("ecdsa-sha256", "ecdsa-sha384"),
    ("<dsp:nonce>", '<dsp:nonce EncodingType="x">'),
    ("unheard", "un heard"),
    ("unheard", ""),
    ("unheard", "\xe9"),
    ("Z</dsp:timestamp>", "+25:00</dsp:timestamp>"),
    ("Z</dsp:timestamp>", "</dsp:timestamp>"),
    ("Z</dsp:timestamp>", ".5-01:30</dsp:timestamp>"),
    ("</ds:Object>", "<x/></ds:Object>"),
    ("</ds:Object>", "</ds:Object><ds:Object/>"),
    ("</oadr:oadrPayload>", f"{MESSAGE}</oadr:oadrPayload>"),
    ("</oadr:oadrPayload>", "text</oadr:oadrPayload>"),
    ("<oadr:oadrSignedObject ", '<oadr:oadrSignedObject extra="" '),
)  # fmt: skip


class TheOneForm(Verdicts):
    """What is verified without signxml, and what is not."""

    def alone(self, document: bytes) -> bool:
        """Whether it is of the one form, and good."""
        arguments = parse(document), {self.ven.fingerprint}, der(self.ven), NOW
        found = [without_signxml(*arguments, document=came) is not None for came in (b"", document)]
        self.assertEqual(found[0], found[1])
        return found[0]

    def as_it_came(self, document: bytes) -> bool:
        """Whether it is, and nothing had to be made canonical for that."""
        with mock.patch.object(module, "_made_canonical", lambda *_: None):
            arguments = parse(document), {self.ven.fingerprint}, der(self.ven), NOW
            return without_signxml(*arguments, document=document) is not None

    def test_it_is_what_we_sign_ourselves(self) -> None:
        for self.ven in (ven(), ven(rsa=True), self_signed(ec.generate_private_key(ec.SECP384R1()))):
            document = Signer(self.ven).sign(POLL, NOW)
            self.accepted(document)
            self.assertTrue(self.alone(document))
            self.assertTrue(self.as_it_came(document))

    def test_it_is_what_xmlsec1_signs(self) -> None:
        ec_signed = xmlsec1_signs(payload(), self.ven)
        self.assertTrue(self.alone(ec_signed) and self.as_it_came(ec_signed))
        self.ven = ven(rsa=True)
        rsa_signed = xmlsec1_signs(payload(signature(method=RSA), MESSAGE), self.ven)
        self.assertTrue(self.alone(rsa_signed) and self.as_it_came(rsa_signed))

    def test_what_is_canonical_but_for_its_scope_is_taken_as_it_came(self) -> None:
        honest = seal(HONEST)
        self.assertTrue(self.as_it_came(honest))
        declared = seal(
            HONEST.replace("<ds:Signature ", '<ds:Signature xmlns:a10="urn:10" xmlns:a1="urn:1" xmlns:a-b="urn:"  ')
        )
        for same in (b"<?xml version='1.0' encoding='UTF-8'?>\n" + honest, honest + b"\n", declared):
            self.accepted(same)
            self.assertTrue(self.as_it_came(same))
        changed = declared.replace(b'"urn:10"', b'"urn:11"')
        self.assertNotEqual(declared, changed)
        self.assertRaises(SignatureRefused, self.verified, changed)

    def test_what_is_not_is_made_canonical(self) -> None:
        honest = seal(HONEST)
        for before, after in (
            (b"<ei:venID>", b"<ei:venID >"),
            (b"<ei:venID>", b"<!-- said --><ei:venID>"),
            (b"ven1", b"<![CDATA[ven1]]>"),
            (b"ven1", b"&#118;en1"),
            (b'oadr:Id="', b'oadr:Id = "'),
            (b"<oadr:oadrPayload", b"<oadr:oadrPayload\n"),
            (b"</oadr:oadrPayload>", b"<!-- said --></oadr:oadrPayload>"),
            (b"</oadr:oadrPayload>", b"</oadr:oadrPayload><!-- said -->"),
            (b"<ds:KeyInfo>", b"<!-- said --><ds:KeyInfo>"),
        ):
            document = honest.replace(before, after)
            self.assertNotEqual(honest, document)
            self.accepted(document)
            self.assertFalse(self.as_it_came(document), after)

    def test_nothing_is_taken_from_where_the_parser_sees_no_element(self) -> None:
        honest = seal(HONEST)
        begin, end = honest.index(b"<oadr:oadrSignedObject"), honest.index(b"</oadr:oadrPayload>")
        before, signed, after = honest[:begin], honest[begin:end], honest[end:]
        forged = signed.replace(b"ven1", b"evil")
        for hidden in (b"<!--" + signed + b"-->", b"<?x " + signed + b"?>", b"<![CDATA[" + signed + b"]]>"):
            for inside in (
                hidden + forged,
                forged + hidden,
                forged.replace(b"<ei:venID>", hidden + b"<ei:venID>"),
                forged.replace(b"</oadr:oadrSignedObject>", hidden + b"</oadr:oadrSignedObject>"),
            ):
                self.assertRaises(SignatureRefused, self.verified, before + inside + after)

    def test_a_prefix_that_stands_for_something_else_is_seen(self) -> None:
        honest = seal(HONEST)
        for declared in (
            b' xmlns:ei="urn:other"',
            b' xmlns:x="urn:x"',
            b' xmlns:x-y="urn:x"',
            b' xmlns:ds="urn:other"',
        ):
            document = honest.replace(b"<oadr:oadrSignedObject", b"<oadr:oadrSignedObject" + declared)
            self.assertRaises(SignatureRefused, self.verified, document)
            self.assertFalse(self.alone(document))

    def test_its_ids_and_its_layout_are_the_signers(self) -> None:
        template = HONEST
        for before, after in EDITS[:13]:
            self.assertIn(before, template)
            template = template.replace(before, after)
        document = seal(template)
        self.accepted(document, 'ven1 > \xe9 & "')
        self.assertTrue(self.alone(document))

    def test_every_other_good_form_is_signxmls(self) -> None:
        for before, after in (
            (TO_MESSAGE + TO_PROPERTIES, TO_PROPERTIES + TO_MESSAGE),
            (TO_MESSAGE, reference("#oadrSignedObject", EXCLUSIVE)),
            (certificates(ven()), key_value(ven())),
            ("<ei:venID>", '<ei:venID xmlns="urn:default">'),
            ("<oadr:oadrPayload ", '<oadr:oadrPayload xml:lang="en" '),
            ("<oadr:oadrPayload ", '<oadr:oadrPayload xmlns="urn:default" '),
            ("<ei:venID>", "<ei:venID " + " ".join(f'a{number}=""' for number in range(51)) + ">"),
            ("<ei:venID>", "".join(f'<a:b xmlns:a="urn:{number}"/>' for number in range(51)) + "<ei:venID>"),
        ):
            document = seal(HONEST.replace(before, after))
            self.accepted(document)
            self.assertFalse(self.alone(document), after)
        self.assertTrue(self.alone(seal(HONEST)))

    def test_a_bad_one_is_signxmls_to_refuse(self) -> None:
        honest = seal(HONEST)
        for changed in (honest.replace(b"ven1", b"evil"), honest.replace(b"unheard", b"unhears")):
            self.assertFalse(self.alone(changed))
            self.refused(changed, "Digest mismatch")
        stranger = with_key_info(honest, certificates(ven("other")))
        self.assertFalse(self.alone(stranger))
        self.refused(stranger, "0 may sign for this VEN")

    def test_a_certificate_is_read_once_and_its_time_looked_at_each_time(self) -> None:
        document = parse(seal(HONEST))
        verify(document, {self.ven.fingerprint}, None, NOW)
        misses = module._read_certificate.cache_info().misses
        for _ in range(5):
            verify(document, {self.ven.fingerprint}, None, NOW)
        self.assertEqual(misses, module._read_certificate.cache_info().misses)
        late = self.ven.certificate.not_valid_after_utc.replace(year=NOW.year + 50)
        self.assertRaises(SignatureRefused, verify, document, {self.ven.fingerprint}, None, late)
        self.assertRaises(SignatureRefused, verify, document, set(), None, NOW)

    def test_a_canonical_form_is_not_begun_where_it_may_take_the_square_of_its_size(self) -> None:
        for names in (
            " ".join(f'xmlns:a{number}="urn:{number}"' for number in range(51)),
            " ".join(f'a{number}=""' for number in range(51)),
        ):
            self.assertRaises(ValueError, module._canonical, etree.fromstring(f"<x {names}/>"))

    def test_nor_where_that_much_is_declared_around_it(self) -> None:
        """Which libxml2 looks through for each declaration that it writes."""
        many = "".join(f' xmlns:a{number}="urn:{number}"' for number in range(51))
        document = parse(seal(HONEST).replace(b"<oadr:oadrPayload", f"<oadr:oadrPayload{many}".encode()))
        with mock.patch.object(module, "_canonical", self.fail):
            self.assertIsNone(module._one_form(document, {self.ven.fingerprint}, NOW, b""))

    def test_an_id_is_that_of_the_signed_object(self) -> None:
        other = HONEST.replace('oadr:Id="oadrSignedObject"', 'oadr:Id="other"')
        for attribute in ("Id", "oadr:Id"):
            document = seal(other.replace(' ei:schemaVersion="2.0b"', f' {attribute}="oadrSignedObject"'))
            self.assertRaises(SignatureRefused, self.verified, document)
            self.assertFalse(self.alone(document))

    def test_a_replay_protect_of_another_namespace_is_none(self) -> None:
        here = f' xmlns:dsp="{DSP}"'
        self.assertIn(here, HONEST)
        for uri, good in ((DSP, True), ("urn:other", False)):
            template = HONEST.replace(here, "").replace("<oadr:oadrPayload", f'<oadr:oadrPayload xmlns:dsp="{uri}"')
            document = seal(template)
            self.assertEqual(good, self.alone(document))
            if good:
                self.accepted(document)
            else:
                self.assertRaises(SignatureRefused, self.verified, document)

    def test_nothing_before_the_document_counts(self) -> None:
        honest = seal(HONEST)
        forged = honest.replace(b"ven1", b"evil")
        for before in (b"<!--" + honest + b"-->", b"<?x " + honest + b"?>", b"<!-- -->"):
            self.assertRaises(SignatureRefused, self.verified, before + forged)
            self.accepted(before + honest)
            self.assertFalse(self.as_it_came(before + honest))

    def test_the_canonical_form_is_that_of_libxml2(self) -> None:
        """In whichever of the two ways it is made."""
        indented = etree.fromstring(HONEST)
        etree.indent(indented)
        documents = [HONEST, etree.tostring(indented, encoding="unicode")]
        for before, after in EDITS:
            documents += [one.replace(before, after) for one in documents[:2]]
        documents.append(HONEST.replace("<ei:venID>", "<ei:venID xmlns:a='urn:a' xmlns:A='urn:A' b='' a:b=''>"))
        documents.append(HONEST.replace("<ei:venID>ven1", '<ei:venID>&lt;a b="c"/&gt; &amp;#13; xmlns\u2028\U0001f600'))
        documents.append(HONEST.replace(" xmlns:ei=", " xmlns:b='urn:b' xmlns:a='urn:a' xmlns:ei="))
        documents.append(
            HONEST.replace(" xmlns:ei=", " xmlns:a10='urn:b' xmlns:a1='urn:a' xmlns:a-1='urn:c' xmlns:ei=")
        )
        checked = 0
        for document in documents:
            try:
                root = parse(document.encode())
            except Unreadable:
                continue
            for node in root.iter():
                if node.nsmap.get(None) is None and "relative" not in node.nsmap.values():
                    wanted = etree.tostring(node, method="c14n", with_tail=False)
                    self.assertEqual(wanted, module._canonical(node), document)
                    checked += 1
        self.assertGreater(checked, 1000)

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.sampled_from(EDITS), max_size=4))
    def test_whatever_a_ven_may_sign_it_says_what_signxml_reads(self, edits: list[tuple[str, str]]) -> None:
        template = HONEST
        for before, after in edits:
            template = template.replace(before, after)
        try:
            document = seal(template)
            arguments = parse(document), {ven().fingerprint}, der(ven()), NOW
        except (Unreadable, etree.C14NError, ValueError):
            return
        try:
            verify(*arguments, document=document)  # which fails where they differ
        except SignatureRefused:
            self.assertIsNone(without_signxml(*arguments, document=document))
