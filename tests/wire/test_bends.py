"""Bends: each mends what its name says and nothing else, and is named."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Leniency
from oadrvtn.model.errors import InvalidData, NotRecognized
from oadrvtn.model.event import (
    EventResponse,
    Interval,
    OadrCreatedEvent,
    OadrReportPayload,
    OadrRequestEvent,
    PayloadFloat,
    PowerAttributes,
    PowerReal,
    QualifiedEventID,
)
from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.opt import OadrCancelOpt
from oadrvtn.model.party import EiResponse, OadrCreatePartyRegistration, OadrPoll, OadrResponse
from oadrvtn.model.report import OadrRegisterReport, OadrReport, OadrReportDescription, OadrUpdateReport
from oadrvtn.model.schema import NAMESPACES
from oadrvtn.model.values import Duration
from oadrvtn.wire import Envelope, Undecodable, bends, decode, encode
from oadrvtn.wire.codec import to_xml
from tests.effort import MOMENT, effort
from tests.wire.samples import full

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
RESPONSE = EiResponse(response_code="200", request_id="")
CREATED = OadrCreatedEvent(
    response=RESPONSE,
    ven_id="",
    event_responses=(
        EventResponse(
            response_code="200",
            request_id="",
            qualified_event_id=QualifiedEventID(event_id="e", modification_number=0),
            opt_type="optIn",
        ),
    ),
)
REPORT = OadrReport(report_request_id="q", report_specifier_id="s", created_date_time=NOON)
UPDATE = OadrUpdateReport(request_id="r", reports=(REPORT,))
METERED = UPDATE.evolve(
    reports=(
        REPORT.evolve(
            intervals=(
                Interval(dtstart=NOON, payloads=(OadrReportPayload(r_id="p", payload=PayloadFloat(value=5.1)),)),
            )
        ),
    )
)
OFFER = OadrRegisterReport(
    request_id="r",
    reports=(
        REPORT.evolve(
            report_request_id="0",
            descriptions=(
                OadrReportDescription(
                    r_id="p",
                    report_type="usage",
                    reading_type="Direct Read",
                    item_base=PowerReal(
                        item_units="W",
                        si_scale_code="none",
                        power_attributes=PowerAttributes(hertz=Decimal(0), voltage=Decimal(0), ac=True),
                    ),
                ),
            ),
        ),
    ),
)


class Bends(SynchronousTestCase):
    def _decoded(self, message: Any, *changes: tuple[str, str], allowed: bends.Bends = bends.NAMES) -> Envelope:
        text = encode(message).decode()
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return decode(text.encode(), allowed)

    def _mended(self, name: str, message: Any, *changes: tuple[str, str]) -> None:
        """The changes undo to ``message`` by this bend alone, and by no other."""
        self.assertEqual(self._decoded(message, *changes), Envelope(message, bends=(name,)))
        self.assertRaises(Undecodable, self._decoded, message, *changes, allowed={*bends.NAMES} - {name})

    def test_a_missing_request_id_is_empty(self) -> None:
        for message in (OadrResponse(response=RESPONSE), CREATED, OadrCancelOpt(request_id="", opt_id="o", ven_id="v")):
            self._mended("missing_request_id", message, ("<pyld:requestID></pyld:requestID>", ""))

    def test_a_missing_ven_id_is_empty(self) -> None:
        for message in (OadrPoll(ven_id=""), OadrRequestEvent(request_id="r", ven_id="", reply_limit=2), CREATED):
            self._mended("missing_ven_id", message, ("<ei:venID></ei:venID>", ""))

    def test_a_ven_id_that_may_be_missing_stays_so(self) -> None:
        message = OadrResponse(response=RESPONSE)
        self._mended("missing_request_id", message, ("<pyld:requestID></pyld:requestID>", ""))

    def test_both_are_named_where_both_are_missing(self) -> None:
        found = self._decoded(CREATED, ("<pyld:requestID></pyld:requestID>", ""), ("<ei:venID></ei:venID>", ""))
        self.assertEqual(found, Envelope(CREATED, bends=("missing_request_id", "missing_ven_id")))

    def test_missing_ids_of_each_message_are_put_in_their_place(self) -> None:
        for cls in MESSAGES.values():
            message = full(cls)
            text = encode(message).decode()
            for element in ("<pyld:requestID>text</pyld:requestID>", "<ei:venID>text</ei:venID>"):
                for number in range(text.count(element)):
                    head, *rest = text.split(element)
                    changed = element.join([head, *rest[:number]]) + element.join(rest[number:])
                    found = decode(changed.encode())
                    if found.bends:  # where it may be missing, none was needed
                        self.assertEqual(
                            encode(found.message).decode(),
                            text.replace(element, "\0", number)
                            .replace(element, element.replace("text", ""), 1)
                            .replace("\0", element),
                        )

    def test_a_time_with_an_offset_is_that_instant(self) -> None:
        for text in (
            "2026-01-31T13:00:00+01:00",
            "2026-01-31T06:30:00-0530",
            "2026-01-31T12:00:00.000+00:00",
            " 2026-01-31T12:00:00.0000000-00:00\n",
        ):
            self._mended("offset_time", UPDATE, ("2026-01-31T12:00:00Z", text))

    def test_weeks_are_days(self) -> None:
        for text, days in (("P2W", "P14D"), ("-P1W", "-P7D"), ("+P1W", "+P7D")):
            message = UPDATE.evolve(reports=(REPORT.evolve(duration=Duration(days)),))
            self._mended("week_duration", message, (f">{days}<", f">{text}<"))

    def test_fractions_of_a_second_are_dropped_from_a_duration(self) -> None:
        for text, kept in (("PT1.5S", "PT1S"), ("-P1DT2M0.25S", "-P1DT2M0S"), ("PT10.0S", "PT10S")):
            message = UPDATE.evolve(reports=(REPORT.evolve(duration=Duration(kept)),))
            self._mended("fractional_duration", message, (f">{kept}<", f">{text}<"))

    def test_money_without_description_is_described(self) -> None:
        for name in ("currency", "currencyPerKW", "currencyPerKWh", "currencyPerThm"):
            description = "currency" if name == "currencyPerThm" else name
            message = next(m for m in (full(OadrRegisterReport, pick) for pick in range(20)) if name == _unit(m))
            element = "<oadr:itemDescription>{}</oadr:itemDescription>"
            good = self._decoded(message, (element.format("currency"), element.format(description)), allowed=())
            self._mended(
                "empty_currency_description", good.message, (element.format(description), "<oadr:itemDescription/>")
            )

    def test_no_other_empty_description_is_touched(self) -> None:
        for pick in range(20):
            message = full(OadrRegisterReport, pick)
            if _unit(message) == "customUnit":
                found = self._decoded(message, ("itemDescription>text<", "itemDescription><"), allowed=())
                self.assertEqual(found.message.reports[0].descriptions[0].item_base.item_description, "")

    def test_intervals_that_hold_none_are_dropped_from_a_report(self) -> None:
        for intervals in ("<strm:intervals/>", "<strm:intervals>\n</strm:intervals>"):
            self._mended("empty_intervals", UPDATE, ("<oadr:oadrReport>", f"<oadr:oadrReport>{intervals}"))
        signals = "<strm:intervals>"
        event = full(MESSAGES["oadrDistributeEvent"])
        text = encode(event).decode()
        start, end = text.index(signals) + len(signals), text.index("</strm:intervals>")
        self.assertRaises(Undecodable, decode, (text[:start] + text[end:]).encode())

    def test_a_version_without_namespace_is_qualified(self) -> None:
        for message in (OadrPoll(ven_id="v"), CREATED):
            self._mended("unqualified_version", message, ("ei:schemaVersion=", "schemaVersion="))
        self._mended("unqualified_version", CREATED, (" ei:schemaVersion=", ' schemaVersion="1" ei:schemaVersion='))

    def test_elements_of_neighbouring_namespaces_and_of_none_are_known_by_their_local_names(self) -> None:
        moved = (
            (CREATED, "pyld:requestID", "requestID"),
            (CREATED, "ei:eventResponse>", "pyld:eventResponse>"),
            (METERED, "oadr:oadrReportPayload", "ei:oadrReportPayload"),
            (METERED, "ei:payloadFloat", "oadr:payloadFloat"),
            (METERED, "ei:value", "value"),
        )
        for message, name, other in moved:
            self._mended("neighbour_namespace", message, (name, other))
        self._mended("neighbour_namespace", METERED, ("strm:intervals", "ei:intervals"), ("ei:interval>", "interval>"))

    def test_elements_of_other_namespaces_stay_strangers(self) -> None:
        declared = ("<oadr:oadrCreatedEvent", '<oadr:oadrCreatedEvent xmlns:x="urn:x"')
        change = ("pyld:requestID", "x:requestID")
        self.assertRaises(Undecodable, self._decoded, CREATED, declared, change)

    def test_elements_under_the_names_of_their_types_are_known(self) -> None:
        self._mended("type_name", METERED, ("oadr:oadrReportPayload", "ei:oadrReportPayloadType"))
        self._mended("type_name", OFFER, ("power:powerReal", "oadr:PowerRealType"))

    def test_a_unit_without_scale_or_attributes_is_completed(self) -> None:
        attributes = "<power:hertz>0</power:hertz><power:voltage>0</power:voltage><power:ac>true</power:ac>"
        self._mended("missing_scale", OFFER, ("<scale:siScaleCode>none</scale:siScaleCode>", ""))
        self._mended(
            "missing_power_attributes", OFFER, (f"<power:powerAttributes>{attributes}</power:powerAttributes>", "")
        )

    def test_an_offer_with_all_of_it_is_read_under_the_profile_that_is_for_it(self) -> None:
        attributes = "<power:hertz>0</power:hertz><power:voltage>0</power:voltage><power:ac>true</power:ac>"
        changes = (
            ("ei:schemaVersion=", "schemaVersion="),
            ("<ei:reportRequestID>0</ei:reportRequestID>", ""),
            ("<scale:siScaleCode>none</scale:siScaleCode>", ""),
            (f"<power:powerAttributes>{attributes}</power:powerAttributes>", ""),
            ("power:powerReal", "oadr:PowerRealType"),
        )
        found = self._decoded(OFFER, *changes, allowed=bends.PROFILES["neighbours"])
        needed = (
            "unqualified_version",
            "type_name",
            "missing_scale",
            "missing_power_attributes",
            "missing_metadata_id",
        )
        self.assertEqual(found, Envelope(OFFER, bends=needed))
        self.assertRaises(Undecodable, self._decoded, OFFER, *changes, allowed=bends.STANDARD)

    def test_metadata_without_report_request_id_has_that_of_metadata(self) -> None:
        element = "<ei:reportRequestID>0</ei:reportRequestID>"
        self._mended("missing_metadata_id", OFFER, (element, ""))
        change = (element.replace("0", "q"), "")
        self.assertRaises(Undecodable, self._decoded, UPDATE, change)  # whose data would that be?

    def test_an_opt_type_that_says_nothing_promises_nothing(self) -> None:
        message = CREATED.evolve(event_responses=(CREATED.event_responses[0].evolve(opt_type="optOut"),))
        self._mended("opt_type_none", message, ("optOut", "none"))

    def test_data_under_the_name_of_its_metadata_gets_its_own_where_that_is_allowed(self) -> None:
        offer, data = (
            UPDATE.evolve(reports=(REPORT.evolve(report_name=name), REPORT))
            for name in ("METADATA_TELEMETRY_USAGE", "TELEMETRY_USAGE")
        )
        self.assertEqual(bends.unoffered(offer, bends.NAMES), (data, ("metadata_name",)))
        self.assertEqual(bends.unoffered(data, ()), (data, ()))
        error = self.assertRaises(InvalidData, bends.unoffered, offer, bends.STANDARD)
        self.assertTrue(error.description.startswith("oadrUpdateReport/oadrReport[1]/reportName: 'METADATA_"))

    def test_the_message_may_be_the_root(self) -> None:
        for message in (OadrPoll(ven_id="v"), CREATED, OFFER):
            data = encode(message, bare=True)
            self.assertFalse(b"oadrPayload" in data or b"oadrSignedObject" in data)
            self.assertEqual(decode(data, bends.PROFILES["bare"]), Envelope(message, bends=("bare_root",)))
            self.assertRaises(NotRecognized, decode, data, {*bends.NAMES} - {"bare_root"})
        self.assertRaises(NotRecognized, decode, to_xml(RESPONSE), bends.NAMES)  # an element, but no message

    def test_a_signature_may_stand_behind_what_it_signs(self) -> None:
        signature, message = f'<Signature xmlns="{NAMESPACES["ds"]}"/>'.encode(), OadrPoll(ven_id="v")
        data = encode(message).replace(b"</oadr:oadrPayload>", signature + b"</oadr:oadrPayload>")
        found = decode(data, bends.PROFILES["enveloped"])
        self.assertEqual(found, Envelope(message, signed=True, bends=("late_signature",)))
        self.assertRaises(NotRecognized, decode, data, {*bends.NAMES} - {"late_signature"})
        twice = data.replace(b"<oadr:oadrSignedObject>", signature + b"<oadr:oadrSignedObject>")
        self.assertRaises(NotRecognized, decode, twice, bends.NAMES)
        self.assertRaises(
            NotRecognized,
            decode,
            data.replace(b"<oadr:oadrSignedObject>", b"").replace(b"</oadr:oadrSignedObject>", b""),
            bends.NAMES,
        )

    def test_a_bare_message_is_mended_like_any_other(self) -> None:
        data = encode(OadrPoll(ven_id=""), bare=True).replace(b"<ei:venID></ei:venID>", b"")
        found = decode(data, bends.NAMES)
        self.assertEqual(found, Envelope(OadrPoll(ven_id=""), bends=("bare_root", "missing_ven_id")))

    def test_what_they_do_not_mend_is_told_with_its_place(self) -> None:
        change = ("<pyld:requestID></pyld:requestID>", ""), ("optIn", "maybe")
        self.assertIn("optType: 'maybe'", self.assertRaises(Undecodable, self._decoded, CREATED, *change).description)

    def test_attributes_are_not_read_in_the_square_of_their_number(self) -> None:
        many = " ".join(f'a{number}=""' for number in range(50_000))
        change = "<oadr:oadrCreatedEvent", f"<oadr:oadrCreatedEvent {many}"
        self.assertLess(effort(self.assertRaises, Undecodable, self._decoded, CREATED, change), MOMENT)

    def test_do_not_take_the_square_of_a_message(self) -> None:
        interval = (
            "<ei:interval><xcal:dtstart><xcal:date-time>2026-01-31T13:00:00+01:00</xcal:date-time></xcal:dtstart>"
            "<xcal:duration><xcal:duration>PT1.5S</xcal:duration></xcal:duration>"
            "<oadr:oadrReportPayload><ei:rID>r</ei:rID><ei:payloadFloat><value>1</value></ei:payloadFloat>"
            "</oadr:oadrReportPayload></ei:interval>"
        )

        def read(count: int) -> None:
            intervals = f"<oadr:oadrReport><strm:intervals>{interval * count}</strm:intervals>"
            found = self._decoded(UPDATE, ("<oadr:oadrReport>", intervals))
            self.assertEqual(len(found.message.reports[0].intervals), count)
            self.assertEqual(found.bends, ("neighbour_namespace", "offset_time", "fractional_duration"))

        read(50)
        self.assertLess(effort(read, 5000, enough=0), 25 * effort(read, 500, enough=0))

    def test_do_not_take_the_square_of_a_text(self) -> None:
        for text in ("P" + "1" * 1_000_000, "2026-01-31T12:00:00." + "1" * 1_000_000 + "+", " " * 1_000_000 + "x"):
            report = UPDATE.evolve(reports=(REPORT.evolve(dtstart=NOON, duration=Duration("PT1M")),))
            for good in ("PT1M", "2026-01-31T12:00:00Z"):
                change = f">{good}<", f">{text}<"
                self.assertLess(effort(self.assertRaises, Undecodable, self._decoded, report, change), MOMENT)


def _unit(message: OadrRegisterReport) -> str:
    unit = message.reports[0].descriptions[0].item_base
    assert unit is not None
    return unit.tag.partition(":")[2]


class Profiles(SynchronousTestCase):
    def test_are_those_that_can_be_configured(self) -> None:
        self.assertEqual(get_args(Leniency), tuple(bends.PROFILES))

    def test_strict_allows_nothing_and_lenient_everything(self) -> None:
        self.assertEqual(bends.PROFILES["strict"], frozenset())
        self.assertEqual(bends.PROFILES["lenient"], frozenset(bends.NAMES))
        for profile in ("standard", "bare", "enveloped", "neighbours"):
            self.assertTrue(bends.STANDARD <= bends.PROFILES[profile] < bends.PROFILES["lenient"])

    def test_bare_enveloped_and_neighbours_add_what_they_are_for(self) -> None:
        self.assertEqual(bends.PROFILES["bare"] - bends.STANDARD, {"bare_root"})
        self.assertEqual(bends.PROFILES["enveloped"] - bends.STANDARD, {"late_signature"})
        self.assertTrue(bends.PROFILES["neighbours"].isdisjoint({"bare_root", "late_signature"}))
        for name in ("unqualified_version", "neighbour_namespace", "opt_type_none", "metadata_name"):
            self.assertIn(name, bends.PROFILES["neighbours"] - bends.STANDARD)


class Field(SynchronousTestCase):
    """What real VENs send and the schema allows needs no bend."""

    def _taken(self, message: Any, *changes: tuple[str, str]) -> Any:
        text = encode(message).decode()
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return decode(text.encode(), allowed=()).message

    def test_empty_request_ids_and_no_description(self) -> None:
        self.assertEqual(self._taken(CREATED), CREATED)

    def test_empty_event_responses(self) -> None:
        message = CREATED.evolve(event_responses=())
        found = self._taken(message, ("</ei:eiResponse>", "</ei:eiResponse><ei:eventResponses/>"))
        self.assertEqual(found, message)

    def test_an_empty_address_or_the_text_none(self) -> None:
        for address in ("", "None"):
            message = full(OadrCreatePartyRegistration).evolve(transport_address=address)
            self.assertEqual(self._taken(message), message)

    def test_an_empty_market_context_and_description(self) -> None:
        for pick in range(20):
            message = full(OadrRegisterReport, pick)
            if _unit(message) in ("powerReal", "temperature", "frequency"):
                changes = [
                    ("http://program", ""),
                    (
                        f"itemDescription>{message.reports[0].descriptions[0].item_base.item_description}<",
                        "itemDescription><",
                    ),
                ]
                found = self._taken(message, *changes)
                self.assertEqual(found.reports[0].descriptions[0].market_context, "")
                self.assertEqual(
                    found.reports[0].descriptions[0].item_base, message.reports[0].descriptions[0].item_base
                )

    def test_a_report_without_intervals(self) -> None:
        self.assertEqual(self._taken(UPDATE), UPDATE)

    def test_odd_durations(self) -> None:
        for text in ("P", "PT120M", "1W", "P1DT", "P1D2H"):
            message = UPDATE.evolve(reports=(REPORT.evolve(duration=Duration(text)),))
            self.assertEqual(self._taken(message).reports[0].duration.text, text)

    def test_times_without_zone_and_with_long_fractions(self) -> None:
        for text, microsecond in (
            ("2026-01-31T12:00:00", 0),
            ("2026-01-31T12:00:00.12", 120_000),
            ("2026-01-31T12:00:00.1234567Z", 123_456),
            ("2026-01-31T12:00:00.1234567", 123_456),
        ):
            found = self._taken(UPDATE, ("2026-01-31T12:00:00Z", text)).reports[0].created_date_time
            self.assertEqual(found, NOON.replace(microsecond=microsecond))
