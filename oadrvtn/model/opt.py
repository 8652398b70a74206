"""EiOpt: when a VEN is available, and what it says of an event outside oadrCreatedEvent."""

from __future__ import annotations

from datetime import datetime

from .event import EiTarget, Properties, QualifiedEventID
from .party import EiResponse
from .schema import Message, child, element, message
from .values import ANY_URI, INSTANT, OPT_REASON, OPT_TYPE, STRING


@message("oadr:oadrCreateOpt", service="EiOpt")
class OadrCreateOpt(Message):
    """A schedule of availability (``available``), or an opt of one event (``qualified_event_id``)."""

    opt_id: str = element("ei:optID", STRING)
    opt_type: str = element("ei:optType", OPT_TYPE)
    opt_reason: str = element("ei:optReason", OPT_REASON)
    market_context: str | None = element("emix:marketContext?", ANY_URI)
    ven_id: str = element("ei:venID", STRING)
    available: tuple[Properties, ...] = child(
        "xcal:vavailability?/xcal:components/xcal:available*/xcal:properties", Properties
    )
    created_date_time: datetime = element("ei:createdDateTime", INSTANT)
    request_id: str = element("pyld:requestID", STRING)
    qualified_event_id: QualifiedEventID | None = child("ei:qualifiedEventID?", QualifiedEventID)
    target: EiTarget = child("ei:eiTarget", EiTarget)
    device_class: EiTarget | None = child("oadr:oadrDeviceClass?", EiTarget)


@message("oadr:oadrCreatedOpt", service=None)
class OadrCreatedOpt(Message):
    """The answer to oadrCreateOpt."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    opt_id: str = element("ei:optID", STRING)


@message("oadr:oadrCancelOpt", service="EiOpt")
class OadrCancelOpt(Message):
    """An end of an opt."""

    request_id: str = element("pyld:requestID", STRING)
    opt_id: str = element("ei:optID", STRING)
    ven_id: str = element("ei:venID", STRING)


@message("oadr:oadrCanceledOpt", service=None)
class OadrCanceledOpt(Message):
    """The answer to oadrCancelOpt."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    opt_id: str | None = element("ei:optID?", STRING)
