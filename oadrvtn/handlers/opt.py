"""EiOpt: when a VEN is available, and opts on single events."""

from __future__ import annotations

from ..model.opt import OadrCancelOpt, OadrCreateOpt
from ..model.party import OadrResponse
from .resource import ServiceResource


class EiOpt(ServiceResource):
    """Opts."""

    service = "EiOpt"
    methods = {  # noqa: RUF012
        OadrCreateOpt: "on_create_opt",
        OadrCancelOpt: "on_cancel_opt",
        OadrResponse: "on_response",
    }

    on_create_opt = ServiceResource.apply
    on_cancel_opt = ServiceResource.apply
