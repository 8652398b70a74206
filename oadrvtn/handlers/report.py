"""EiReport: what can be reported, what is wanted, and the data."""

from __future__ import annotations

from ..model.party import OadrResponse
from ..model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrUpdatedReport,
    OadrUpdateReport,
)
from .resource import ServiceResource


class EiReport(ServiceResource):
    """Reports, which either side may ask of the other."""

    service = "EiReport"
    methods = {  # noqa: RUF012
        OadrRegisterReport: "on_register_report",
        OadrRegisteredReport: "on_registered_report",
        OadrCreateReport: "on_create_report",
        OadrCreatedReport: "on_created_report",
        OadrUpdateReport: "on_update_report",
        OadrUpdatedReport: "on_updated_report",
        OadrCancelReport: "on_cancel_report",
        OadrCanceledReport: "on_canceled_report",
        OadrResponse: "on_response",
    }

    on_register_report = ServiceResource.apply
    on_registered_report = ServiceResource.apply
    on_create_report = ServiceResource.apply
    on_created_report = ServiceResource.apply
    on_update_report = ServiceResource.apply
    on_updated_report = ServiceResource.apply
    on_cancel_report = ServiceResource.apply
    on_canceled_report = ServiceResource.apply
