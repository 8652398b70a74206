"""EiRegisterParty and OadrPoll: who is who, and is there anything for me; and the responses that all services share."""

from __future__ import annotations

from .schema import Element, Message, child, element, message, table
from .values import (
    BOOLEAN,
    DURATION,
    PROFILE_NAME,
    RESPONSE_CODE,
    SERVICE_NAME,
    STRING,
    TRANSPORT_NAME,
    Duration,
)


def says_yes(response_code: str) -> bool:
    """Whether a response code is a good one: 2xx."""
    return response_code.startswith("2")


@table("ei:eiResponse")
class EiResponse(Element):
    """How a request went: three digits, a text for people, and the requestID that is answered (may be empty)."""

    response_code: str = element("ei:responseCode", RESPONSE_CODE)
    response_description: str | None = element("ei:responseDescription?", STRING)
    request_id: str = element("pyld:requestID", STRING)

    @classmethod
    def ok(cls, request_id: str = "") -> EiResponse:
        """The response that all went well."""
        return cls(response_code="200", response_description="OK", request_id=request_id)


@message("oadr:oadrResponse", service=None)
class OadrResponse(Message):
    """The answer where no other message is due."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrPoll", service="OadrPoll")
class OadrPoll(Message):
    """A pull VEN asks for the next message that the VTN would have pushed."""

    ven_id: str = element("ei:venID", STRING)


@message("oadr:oadrQueryRegistration", service="EiRegisterParty")
class OadrQueryRegistration(Message):
    """What does the VTN support, and does it know me?"""

    request_id: str = element("pyld:requestID", STRING)


@message("oadr:oadrCreatePartyRegistration", service="EiRegisterParty")
class OadrCreatePartyRegistration(Message):
    """A VEN registers, or registers again with its registrationID."""

    request_id: str = element("pyld:requestID", STRING)
    registration_id: str | None = element("ei:registrationID?", STRING)
    ven_id: str | None = element("ei:venID?", STRING)
    profile_name: str = element("oadr:oadrProfileName", PROFILE_NAME)
    transport_name: str = element("oadr:oadrTransportName", TRANSPORT_NAME)
    transport_address: str | None = element("oadr:oadrTransportAddress?", STRING)
    report_only: bool = element("oadr:oadrReportOnly", BOOLEAN)
    xml_signature: bool = element("oadr:oadrXmlSignature", BOOLEAN)
    ven_name: str | None = element("oadr:oadrVenName?", STRING)
    http_pull_model: bool | None = element("oadr:oadrHttpPullModel?", BOOLEAN)


@table("oadr:oadrProfile")
class OadrProfile(Element):
    """A profile and the transports on which it is offered."""

    profile_name: str = element("oadr:oadrProfileName", PROFILE_NAME)
    transports: tuple[str, ...] = element(
        "oadr:oadrTransports/oadr:oadrTransport+/oadr:oadrTransportName", TRANSPORT_NAME
    )


@table("oadr:oadrInfo")
class OadrInfo(Element):
    """A key and its value, for free use."""

    key: str = element("oadr:oadrKey", STRING)
    value: str = element("oadr:oadrValue", STRING)


@table("oadr:oadrService")
class OadrService(Element):
    """What is special about a service."""

    service_name: str = element("oadr:oadrServiceName", SERVICE_NAME)
    infos: tuple[OadrInfo, ...] = child("oadr:oadrInfo+", OadrInfo)


@table("oadr:oadrExtension")
class OadrExtension(Element):
    """An extension of the protocol, by name."""

    extension_name: str = element("oadr:oadrExtensionName", STRING)
    infos: tuple[OadrInfo, ...] = child("oadr:oadrInfo*", OadrInfo)


@message("oadr:oadrCreatedPartyRegistration", service=None)
class OadrCreatedPartyRegistration(Message):
    """The VTN's answer to a query or a registration."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    registration_id: str | None = element("ei:registrationID?", STRING)
    ven_id: str | None = element("ei:venID?", STRING)
    vtn_id: str = element("ei:vtnID", STRING)
    profiles: tuple[OadrProfile, ...] = child("oadr:oadrProfiles/oadr:oadrProfile+", OadrProfile)
    requested_poll_freq: Duration | None = element("oadr:oadrRequestedOadrPollFreq?/xcal:duration", DURATION)
    service_specific_info: tuple[OadrService, ...] = child(
        "oadr:oadrServiceSpecificInfo?/oadr:oadrService*", OadrService
    )
    extensions: tuple[OadrExtension, ...] = child("oadr:oadrExtensions?/oadr:oadrExtension*", OadrExtension)


@message("oadr:oadrCancelPartyRegistration", service="EiRegisterParty")
class OadrCancelPartyRegistration(Message):
    """Either side ends the registration."""

    request_id: str = element("pyld:requestID", STRING)
    registration_id: str = element("ei:registrationID", STRING)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrCanceledPartyRegistration", service="EiRegisterParty")
class OadrCanceledPartyRegistration(Message):
    """The registration is ended."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    registration_id: str | None = element("ei:registrationID?", STRING)
    ven_id: str | None = element("ei:venID?", STRING)


@message("oadr:oadrRequestReregistration", service=None)
class OadrRequestReregistration(Message):
    """The VTN asks a VEN to register again."""

    ven_id: str = element("ei:venID", STRING)
