"""EiReport: what a party can report, what the other wants of it, and the data."""

from __future__ import annotations

from datetime import datetime

from .event import ITEM_BASES, EiTarget, Interval, ItemBase, Properties
from .party import EiResponse
from .schema import Element, Message, child, element, message, one_of, table
from .values import (
    ANY_URI,
    BOOLEAN,
    DURATION,
    INSTANT,
    READING_TYPE,
    REPORT_NAME,
    REPORT_TYPE,
    STRING,
    Duration,
)


@table("oadr:oadrSamplingRate")
class OadrSamplingRate(Element):
    """How often a data point can be sampled: between the two periods, or on change (not faster than the first)."""

    min_period: Duration = element("oadr:oadrMinPeriod", DURATION)
    max_period: Duration = element("oadr:oadrMaxPeriod", DURATION)
    on_change: bool = element("oadr:oadrOnChange", BOOLEAN)


@table("oadr:oadrReportDescription")
class OadrReportDescription(Element):
    """One data point that can be reported; ``data_source`` is the resource or meter it comes from."""

    r_id: str = element("ei:rID", STRING)
    subject: EiTarget | None = child("ei:reportSubject?", EiTarget)
    data_source: EiTarget | None = child("ei:reportDataSource?", EiTarget)
    report_type: str = element("ei:reportType", REPORT_TYPE)
    item_base: ItemBase | None = one_of("emix:itemBase?", *ITEM_BASES)
    reading_type: str = element("ei:readingType", READING_TYPE)
    market_context: str | None = element("emix:marketContext?", ANY_URI)
    sampling_rate: OadrSamplingRate | None = child("oadr:oadrSamplingRate?", OadrSamplingRate)


@table("oadr:oadrReport")
class OadrReport(Element):
    """A report: descriptions in METADATA, intervals in an update; ``dtstart`` is their default start (rule 314)."""

    dtstart: datetime | None = element("xcal:dtstart?/xcal:date-time", INSTANT)
    duration: Duration | None = element("xcal:duration?/xcal:duration", DURATION)
    intervals: tuple[Interval, ...] = child("strm:intervals?/ei:interval+", Interval)
    report_id: str | None = element("ei:eiReportID?", STRING)
    descriptions: tuple[OadrReportDescription, ...] = child("oadr:oadrReportDescription*", OadrReportDescription)
    report_request_id: str = element("ei:reportRequestID", STRING)
    report_specifier_id: str = element("ei:reportSpecifierID", STRING)
    report_name: str | None = element("ei:reportName?", REPORT_NAME)
    created_date_time: datetime = element("ei:createdDateTime", INSTANT)


@table("ei:specifierPayload")
class SpecifierPayload(Element):
    """A data point that is wanted."""

    r_id: str = element("ei:rID", STRING)
    item_base: ItemBase | None = one_of("emix:itemBase?", *ITEM_BASES)
    reading_type: str = element("ei:readingType", READING_TYPE)


@table("ei:reportSpecifier")
class ReportSpecifier(Element):
    """What is wanted: of which METADATA report, sampled each ``granularity``, sent each ``report_back_duration``.

    A report_back_duration of zero asks for one report only (rule 324).
    """

    report_specifier_id: str = element("ei:reportSpecifierID", STRING)
    granularity: Duration = element("xcal:granularity/xcal:duration", DURATION)
    report_back_duration: Duration = element("ei:reportBackDuration/xcal:duration", DURATION)
    report_interval: Properties | None = child("ei:reportInterval?/xcal:properties", Properties)
    specifier_payloads: tuple[SpecifierPayload, ...] = child("ei:specifierPayload+", SpecifierPayload)


@table("oadr:oadrReportRequest")
class OadrReportRequest(Element):
    """One report that is wanted, under the ID that its updates will carry."""

    report_request_id: str = element("ei:reportRequestID", STRING)
    report_specifier: ReportSpecifier = child("ei:reportSpecifier", ReportSpecifier)


@message("oadr:oadrRegisterReport", service="EiReport")
class OadrRegisterReport(Message):
    """What the sender can report (rule 301); replaces what it said before."""

    request_id: str = element("pyld:requestID", STRING)
    reports: tuple[OadrReport, ...] = child("oadr:oadrReport*", OadrReport)
    ven_id: str | None = element("ei:venID?", STRING)
    report_request_id: str | None = element("ei:reportRequestID?", STRING)


@message("oadr:oadrRegisteredReport", service="EiReport")
class OadrRegisteredReport(Message):
    """The answer to oadrRegisterReport, with what is wanted of it."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    report_requests: tuple[OadrReportRequest, ...] = child("oadr:oadrReportRequest*", OadrReportRequest)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrCreateReport", service="EiReport")
class OadrCreateReport(Message):
    """A request for reports."""

    request_id: str = element("pyld:requestID", STRING)
    report_requests: tuple[OadrReportRequest, ...] = child("oadr:oadrReportRequest+", OadrReportRequest)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrCreatedReport", service="EiReport")
class OadrCreatedReport(Message):
    """The answer to a request; ``pending_reports`` lists all that is still to be delivered (rule 329)."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    pending_reports: tuple[str, ...] = element("oadr:oadrPendingReports/ei:reportRequestID*", STRING)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrUpdateReport", service="EiReport")
class OadrUpdateReport(Message):
    """The data."""

    request_id: str = element("pyld:requestID", STRING)
    reports: tuple[OadrReport, ...] = child("oadr:oadrReport*", OadrReport)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrCancelReport", service="EiReport")
class OadrCancelReport(Message):
    """An end of reports; ``report_to_follow`` asks for a last one."""

    request_id: str = element("pyld:requestID", STRING)
    report_request_ids: tuple[str, ...] = element("ei:reportRequestID+", STRING)
    report_to_follow: bool = element("pyld:reportToFollow", BOOLEAN)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrUpdatedReport", service="EiReport")
class OadrUpdatedReport(Message):
    """The data has arrived; may carry a cancel."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    cancel_report: OadrCancelReport | None = child("oadr:oadrCancelReport?", OadrCancelReport)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrCanceledReport", service="EiReport")
class OadrCanceledReport(Message):
    """The answer to a cancel; ``pending_reports`` lists what remains."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    pending_reports: tuple[str, ...] = element("oadr:oadrPendingReports/ei:reportRequestID*", STRING)
    ven_id: str | None = element("ei:venID?", STRING)
