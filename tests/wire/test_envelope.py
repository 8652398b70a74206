"""What is around a message: namespaces in every dress, the oadrPayload, the signature, and what an error names."""

from __future__ import annotations

import re

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import InvalidData, NotRecognized
from oadrvtn.model.event import EventResponse, OadrCreatedEvent, QualifiedEventID
from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.party import EiResponse, OadrPoll
from oadrvtn.model.schema import NAMESPACES
from oadrvtn.wire import Envelope, Undecodable, decode, encode
from tests.wire.samples import full

POLL = encode(OadrPoll(ven_id="ven")).decode()
CREATED = OadrCreatedEvent(
    response=EiResponse(response_code="200", request_id="r0"),
    event_responses=tuple(
        EventResponse(
            response_code="200",
            request_id=f"r{number}",
            qualified_event_id=QualifiedEventID(event_id=f"e{number}", modification_number=number),
            opt_type="optIn",
        )
        for number in (1, 2)
    ),
    ven_id="ven",
)


class Dresses(SynchronousTestCase):
    """One message, however its XML is written."""

    def test_any_prefixes(self) -> None:
        for cls in MESSAGES.values():
            message = full(cls)
            text = encode(message).decode()
            for number, prefix in enumerate(set(NAMESPACES) - {"atom"}):
                text = re.sub(rf"(?<=[<\s/:]){prefix}(?=[:=])", f"n{number}", text)
            self.assertNotIn("<oadr:", text)
            self.assertEqual(decode(text.encode(), allowed=()).message, message)

    def test_default_namespaces_rebound_at_every_element(self) -> None:
        def plain(node: etree._Element) -> str:
            name = etree.QName(node)
            attributes = "".join(
                f' a:{etree.QName(key).localname}="{value!s}" xmlns:a="{etree.QName(key).namespace}"'
                for key, value in node.items()
            )
            inside = (node.text or "") + "".join(map(plain, node))
            return f'<{name.localname} xmlns="{name.namespace}"{attributes}>{inside}</{name.localname}>'

        for cls in MESSAGES.values():
            message = full(cls, pick=1)
            text = plain(etree.fromstring(encode(message)))
            self.assertEqual(decode(text.encode(), allowed=()).message, message)

    def test_prefixes_that_change_their_meaning_deeper(self) -> None:
        text = (
            f'<x:oadrPayload xmlns:x="{NAMESPACES["oadr"]}" xmlns:y="{NAMESPACES["ei"]}" xmlns:unused="urn:x">'
            f'<x:oadrSignedObject><y:oadrPoll xmlns:y="{NAMESPACES["oadr"]}" xmlns:x="{NAMESPACES["ei"]}"'
            f' x:schemaVersion="2.0b"><x:venID>ven</x:venID></y:oadrPoll></x:oadrSignedObject></x:oadrPayload>'
        )
        self.assertEqual(decode(text.encode(), allowed=()).message, OadrPoll(ven_id="ven"))

    def test_pretty_printing(self) -> None:
        for cls in MESSAGES.values():
            message = full(cls, pick=1)
            tree = etree.fromstring(encode(message))
            etree.indent(tree, "\t")
            data = etree.tostring(tree, xml_declaration=True, encoding="utf-8").replace(b"\n", b"\r\n")
            self.assertEqual(decode(data, allowed=()).message, message)

    def test_comments_instructions_and_cdata(self) -> None:
        for text in ("<!-- a -->ven", "v<!-- a -->e<?b c?>n", "<![CDATA[ven]]>", "v<![CDATA[e]]>n", "&#118;en"):
            for before in ("", "<!-- a -->", "<?b c?>\n"):
                data = before + POLL.replace(">ven<", f">{text}<").replace("<ei:venID>", "<!--a--><ei:venID><?b?>")
                self.assertEqual(decode(data.encode(), allowed=()).message, OadrPoll(ven_id="ven"))

    def test_an_absent_schema_version(self) -> None:
        message = decode(POLL.replace(' ei:schemaVersion="2.0b"', "").encode(), allowed=()).message
        self.assertEqual(message, OadrPoll(ven_id="ven", schema_version=None))

    def test_where_the_schema_is_said_to_be_found(self) -> None:
        said = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x oadr_20b.xsd" '
        for element in ("oadrPayload", "oadrSignedObject", "oadrPoll"):
            data = POLL.replace(f"<oadr:{element}", f"<oadr:{element}{said}")
            self.assertEqual(decode(data.encode(), allowed=()).message, OadrPoll(ven_id="ven"))


class Envelopes(SynchronousTestCase):
    """What an oadrPayload may be."""

    def _refused(self, text: str) -> str:
        return self.assertRaises(NotRecognized, decode, text.encode()).description

    def test_carries_an_id_and_a_signature(self) -> None:
        text = POLL.replace("<oadr:oadrSignedObject", '<oadr:oadrSignedObject oadr:Id="a"')
        text = text.replace("<oadr:oadrSigned", f'<Signature xmlns="{NAMESPACES["ds"]}"/>\n<oadr:oadrSigned', 1)
        self.assertEqual(decode(text.encode()), Envelope(OadrPoll(ven_id="ven"), signed=True))

    def test_is_the_root(self) -> None:
        bare = POLL[POLL.index("<oadr:oadrPoll") : POLL.index("</oadr:oadrSigned")]
        declared = bare.replace("<oadr:oadrPoll", '<oadr:oadrPoll xmlns:oadr="urn:x" xmlns:ei="urn:y"')
        self.assertIn("'{urn:x}oadrPoll', not oadrPayload", self._refused(declared))
        self.assertIn("not oadrPayload", self._refused("<html/>"))
        self.assertLess(len(self._refused(f"<{'a' * 40_000}/>")), 200)

    def test_holds_one_message_that_is_known(self) -> None:
        message = POLL[POLL.index("<oadr:oadrPoll") : POLL.index("</oadr:oadrSigned")]
        for other, complaint in (
            ("", "oadrQueryRegistration or ... is missing"),
            (message * 2, "oadrPayload/oadrSignedObject/oadrPoll: is one too many"),
            (message + "<oadr:oadrResponse/>", "oadrPayload/oadrSignedObject/oadrResponse: is one too many"),
            ("<oadr:oadrOther/>", "oadrPayload/oadrSignedObject/oadrOther: is not known here"),
            (message.replace("oadr:oadrPoll", "ei:oadrPoll"), "oadrPayload/oadrSignedObject/oadrPoll: is in the name"),
            ("some text" + message, "oadrPayload/oadrSignedObject: holds the text 'some text'"),
            (message + "\u00a0", "oadrPayload/oadrSignedObject/oadrPoll: is followed by the text '\\xa0'"),
        ):
            self.assertIn(complaint, self._refused(POLL.replace(message, other)))

    def test_holds_nothing_else(self) -> None:
        signature = f'<Signature xmlns="{NAMESPACES["ds"]}"/>'
        for old, new, complaint in (
            ("</oadr:oadrPayload>", signature + "</oadr:oadrPayload>", "oadrPayload/Signature: stands too late"),
            ("<oadr:oadrSigned", signature * 2 + "<oadr:oadrSigned", "oadrPayload/Signature: is one too many"),
            ("<oadr:oadrSigned", "<oadr:other/><oadr:oadrSigned", "oadrPayload/other: is not known here"),
            ("<oadr:oadrPayload", "<oadr:oadrPayload x='1'", "oadrPayload/@x: is not known here"),
            (
                "<oadr:oadrSignedObject",
                "<oadr:oadrSignedObject Id='a'",
                "oadrPayload/oadrSignedObject/@Id: is in no name",
            ),
            ("<oadr:oadrSignedObject", "<oadr:oadrSignedObject oadr:Id='1 a'", "@Id: '1 a' is not an XML ID"),
        ):
            self.assertIn(complaint, self._refused(POLL.replace(old, new, 1)))


class Places(SynchronousTestCase):
    """An error names where, and what."""

    def _complaint(self, *changes: tuple[str, str]) -> str:
        text = encode(CREATED).decode()
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return self.assertRaises(Undecodable, decode, text.encode(), allowed=()).description

    def test_of_a_bad_value(self) -> None:
        self.assertEqual(
            self._complaint(("Number>2<", "Number>x<")),
            "oadrCreatedEvent/eiCreatedEvent/eventResponses/eventResponse[2]/qualifiedEventID/modificationNumber: "
            "'x' is not a whole number",
        )

    def test_of_a_bad_attribute(self) -> None:
        self.assertIn("oadrCreatedEvent/@schemaVersion: '1' is not one of 2.0a,", self._complaint(('"2.0b"', '"1"')))
        self.assertIn(
            f"oadrCreatedEvent/@schemaVersion: is in no namespace, not in '{NAMESPACES['ei']}'",
            self._complaint(("ei:schema", "schema")),
        )

    def test_of_what_is_missing(self) -> None:
        self.assertEqual(
            self._complaint(("<ei:venID>ven</ei:venID>", "")), "oadrCreatedEvent/eiCreatedEvent: venID is missing"
        )

    def test_of_what_is_unknown_misplaced_or_one_too_many(self) -> None:
        within = "oadrCreatedEvent/eiCreatedEvent"
        ven_id = "<ei:venID>ven</ei:venID>"
        for new, complaint in (
            ("<ei:other/>", f"{within}/other: is not known here"),
            (ven_id.replace("ei:", "oadr:"), f"{within}/venID: is in the namespace '{NAMESPACES['oadr']}', not in"),
            ('<venID xmlns=""/>', f"{within}/venID: is in no namespace, not in '{NAMESPACES['ei']}'"),
            (ven_id * 2, f"{within}/venID: is one too many"),
            (ven_id + "<ei:eventResponses/>", f"{within}/eventResponses: stands too late"),
            (ven_id.replace(">ven<", "><ei:venID/><"), f"{within}/venID: holds the element venID where a plain value"),
            (ven_id + "text", f"{within}/venID: is followed by the text 'text'"),
            ("<ei:venID x='1'/>", f"{within}/venID/@x: is not known here"),
        ):
            self.assertIn(complaint, self._complaint((ven_id, new)))

    def test_cut_and_escaped(self) -> None:
        ven_id = "<ei:venID>ven</ei:venID>"
        for change in (
            ("Number>2<", f"Number>{'9' * 100_000}<"),
            ("Number>2<", "Number>\u202e\n\r\x85\ufeff<"),
            (ven_id, f"<{'a' * 40_000}/>"),
            (ven_id, f'<venID xmlns="{"n" * 40_000}"/>'),
            (ven_id, f"<ei:venID {'a' * 40_000}=''/>"),
            (ven_id, ven_id + "text\n" * 1000),
        ):
            text = self._complaint(change)
            self.assertLess(len(text), 350)
            self.assertTrue(text.isprintable(), text)
            self.assertTrue(text.startswith("oadrCreatedEvent/eiCreatedEvent"), text)

    def test_with_the_message_and_its_request(self) -> None:
        text = encode(CREATED).decode().replace("optIn", "none")
        error = self.assertRaises(Undecodable, decode, text.encode())
        self.assertEqual((error.cls, error.request_id, error.response_code), (OadrCreatedEvent, "r0", "454"))
        text = re.sub("<pyld:requestID>.*?</pyld:requestID>", "", text)
        self.assertEqual(self.assertRaises(Undecodable, decode, text.encode(), allowed=()).request_id, "")

    def test_of_what_cannot_be_written(self) -> None:
        for wrong, complaint in (
            (
                CREATED.evolve(ven_id="a\x00"),
                "oadrCreatedEvent/eiCreatedEvent/venID: the character U+0000 cannot be written",
            ),
            (CREATED.evolve(ven_id=None), "oadrCreatedEvent/eiCreatedEvent/venID: 'None' is not a text"),
            (CREATED.evolve(ven_id="\ud800"), "oadrCreatedEvent/eiCreatedEvent/venID: the character U+D800"),
            (
                CREATED.evolve(response=None),
                "oadrCreatedEvent/eiCreatedEvent/eiResponse: 'None' is not of the class EiResponse",
            ),
            (
                CREATED.evolve(event_responses=[]),
                "oadrCreatedEvent/eiCreatedEvent/eventResponses/eventResponse: '[]' is not a tuple",
            ),
            (CREATED.evolve(schema_version="3"), "oadrCreatedEvent/@schemaVersion: '3' is not one of"),
            (
                CREATED.evolve(
                    event_responses=(*CREATED.event_responses, CREATED.event_responses[0].evolve(opt_type=""))
                ),
                "oadrCreatedEvent/eiCreatedEvent/eventResponses/eventResponse[3]/optType: '' is not one of",
            ),
        ):
            self.assertIn(complaint, self.assertRaises(InvalidData, encode, wrong).description)
