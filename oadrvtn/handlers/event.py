"""EiEvent: events asked for, and answered."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..model.event import OadrCreatedEvent, OadrRequestEvent
from ..model.party import OadrResponse
from .exchange import Exchange
from .resource import ServiceResource


class EiEvent(ServiceResource):
    """Events."""

    service = "EiEvent"
    methods = {  # noqa: RUF012
        OadrRequestEvent: "on_request_event",
        OadrCreatedEvent: "on_created_event",
        OadrResponse: "on_response",
    }

    def on_request_event(self, payload: OadrRequestEvent, exchange: Exchange) -> Any:
        """All events that apply to the VEN, as an oadrDistributeEvent."""
        assert exchange.entry
        requested = partial(self.vtn.request_event, exchange.entry, payload, exchange.when_written)
        if "on_request_event" not in self.vtn.hooks:
            return requested()
        return self.make_up("on_request_event", exchange).addCallback(lambda _: requested())

    def on_created_event(self, payload: OadrCreatedEvent, exchange: Exchange) -> Any:
        """A VEN opts in to events or out of them."""
        return self.apply(payload, exchange)
