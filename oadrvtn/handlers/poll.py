"""OadrPoll: is there anything for me?"""

from __future__ import annotations

from typing import Any

from ..model.party import OadrPoll as OadrPollMessage
from ..model.party import OadrResponse
from .exchange import Exchange
from .resource import ServiceResource


class OadrPoll(ServiceResource):
    """Polls, and the acknowledgements that some VENs send here."""

    service = "OadrPoll"
    methods = {  # noqa: RUF012
        OadrPollMessage: "on_poll",
        OadrResponse: "on_response",
    }

    def on_poll(self, payload: OadrPollMessage, exchange: Exchange) -> Any:
        """The next message that waits for the VEN, else an oadrResponse."""
        assert exchange.entry
        return self.vtn.poll(exchange.entry, exchange.when_written)
