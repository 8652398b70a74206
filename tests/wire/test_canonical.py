"""What we write is canonical XML to the byte, whatever the texts hold; a Green Button feed stays what it was."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import InvalidData
from oadrvtn.model.event import Interval, OadrGBPayload
from oadrvtn.model.party import EiResponse, OadrPoll, OadrResponse
from oadrvtn.model.report import OadrReport, OadrUpdateReport
from oadrvtn.model.schema import NAMESPACES
from oadrvtn.model.values import read_instant
from oadrvtn.wire import Undecodable, decode, encode
from oadrvtn.wire.codec import from_xml, to_xml
from tests.wire.samples import GREEN_BUTTON


class Texts(SynchronousTestCase):
    """Texts that need a second look in XML."""

    def _check(self, message: Any) -> bytes:
        data = encode(message)
        self.assertEqual(etree.tostring(etree.fromstring(data), method="c14n"), data)
        self.assertEqual(decode(data).message, message)
        return data

    def test_markup_and_line_ends(self) -> None:
        text = " & < > \" ' \t \r \n \r\n ]]> &amp; \x85 \u2028 é \U0001f600 "
        data = self._check(
            OadrResponse(response=EiResponse(response_code="200", response_description=text, request_id=""))
        )
        self.assertIn(b" &amp; &lt; &gt; \" ' \t &#xD; \n &#xD;\n ]]&gt; &amp;amp; ", data)

    def test_in_attributes(self) -> None:
        data = self._check(OadrPoll(ven_id="", schema_version="x-&<>\"'é"))
        self.assertIn("""="x-&amp;&lt;>&quot;'é">""".encode(), data)

    def test_documents_of_their_own(self) -> None:
        message = OadrPoll(ven_id="&\r")
        data = to_xml(message)
        self.assertTrue(data.startswith(b"<oadr:oadrPoll xmlns:ei="))
        self.assertEqual(etree.tostring(etree.fromstring(data), method="c14n"), data)
        self.assertEqual(from_xml(OadrPoll, data), message)

    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(exclude_categories=[])))
    def test_any_text_is_written_or_refused_with_its_place(self, text: str) -> None:
        try:
            self._check(OadrPoll(ven_id=text))
        except InvalidData as error:
            self.assertIn("oadrPoll/venID: the character U+", error.description)
            self.assertRaises(etree.XMLSyntaxError, etree.fromstring, f"<a>{text}</a>".encode("utf-8", "surrogatepass"))


def _update(feed: str) -> OadrUpdateReport:
    intervals = (Interval(payloads=(OadrGBPayload(feed=feed),)),)
    moment = read_instant("2026-01-31T12:00:00Z")
    report = OadrReport(report_request_id="q", report_specifier_id="s", created_date_time=moment, intervals=intervals)
    return OadrUpdateReport(request_id="r", reports=(report,))


def _feed(data: bytes) -> str:
    feed: str = decode(data).message.reports[0].intervals[0].payloads[0].feed
    return feed


class GreenButton(SynchronousTestCase):
    """A feed goes through untouched."""

    def test_in_a_message_that_is_canonical_still(self) -> None:
        data = encode(_update(GREEN_BUTTON))
        self.assertEqual(etree.tostring(etree.fromstring(data), method="c14n"), data)
        self.assertEqual(_feed(data), GREEN_BUTTON)
        self.assertEqual(encode(_update(_feed(data))), data)

    def test_with_prefixes_of_the_envelope_that_it_uses_in_values_only(self) -> None:
        data = encode(_update(GREEN_BUTTON)).decode()
        green, xsi = ' xmlns:green="http://naesb.org/espi"', ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        for declaration in (green, xsi):
            self.assertIn(declaration, data)
            data = data.replace(declaration, "")
        data = data.replace("<oadr:oadrPayload", f'<oadr:oadrPayload xmlns:unused="urn:x"{green}{xsi}')
        feed = etree.fromstring(_feed(data.encode()))
        block = next(feed.iter("{http://naesb.org/espi}IntervalBlock"))
        self.assertEqual(block.nsmap["green"], "http://naesb.org/espi")
        self.assertEqual(block.values(), ["green:IntervalBlock"])
        self.assertNotIn("unused", block.nsmap)
        self.assertEqual(_feed(encode(_update(_feed(data.encode())))), _feed(data.encode()))

    def test_written_by_somebody_else(self) -> None:
        for feed in (
            '<feed xmlns="http://www.w3.org/2005/Atom"/>',
            '<?xml version="1.0"?><x:feed xmlns:x="http://www.w3.org/2005/Atom" b="1" a="2"><!--c--> <y/></x:feed>\n',
            '<feed xmlns="http://www.w3.org/2005/Atom"><a xmlns="">&#13;&amp;</a><b xmlns="urn:x" c="&#9;"/></feed>',
        ):
            data = encode(_update(feed))
            self.assertEqual(etree.tostring(etree.fromstring(data), method="c14n"), data)
            self.assertEqual(encode(_update(_feed(data))), data)

    def test_that_is_none(self) -> None:
        deep = f'<feed xmlns="{NAMESPACES["atom"]}">{"<a>" * 250}{"</a>" * 250}</feed>'
        for feed in ("", "text", "<feed/>", "<a>", "<!DOCTYPE feed><feed/>", "\ud800", 5, deep):
            error = self.assertRaises(InvalidData, encode, _update(feed))  # type: ignore[arg-type]
            self.assertTrue(error.description.startswith("oadrUpdateReport"), error)

    def test_that_declares_without_end(self) -> None:
        prefixes = "".join(f' xmlns:p{number}="urn:{number}"' for number in range(200))
        data = encode(_update(GREEN_BUTTON)).decode()
        for place in ("<oadr:oadrPayload", "<atom:feed", "<IntervalReading"):
            error = self.assertRaises(Undecodable, decode, data.replace(place, place + prefixes).encode())
            self.assertIn("oadrGBPayload[1]/feed: declares more than 100 prefixes", error.description)

    def test_that_would_take_long_or_cannot_be_canonical(self) -> None:
        prefixes = [f"p{number}" for number in range(30)]
        declared = "".join(f' xmlns:{prefix}="urn:p"' for prefix in prefixes)
        values = ": ".join((*prefixes, ""))
        for found, told in (
            ("<e " + " ".join(f'a{number}=""' for number in range(101)) + "/>", "more than 100 attributes"),
            (f"<e{declared}>{values}</e>", "uses more than 20 prefixes in values"),
            ('<e xmlns="relative"/>', "has a namespace that is no absolute URI"),
        ):
            data = encode(_update(GREEN_BUTTON)).decode().replace("</atom:feed>", f"{found}</atom:feed>")
            error = self.assertRaises(Undecodable, decode, data.encode())
            self.assertIn("oadrGBPayload[1]/feed: ", error.description)
            self.assertIn(told, error.description)
