"""OadrPoll: is there anything for me?"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from ..model.party import OadrPoll as OadrPollMessage
from ..model.party import OadrResponse
from ..model.report import OadrReport, OadrUpdateReport
from ..model.schema import Message
from ..vtn.roster import Entry
from ..vtn.vtn import Written
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
        polled: Deferred[Any] = self.vtn.poll(exchange.entry, exchange.when_written)
        if type(self).on_request_report is not OadrPoll.on_request_report:
            polled.addCallback(self._ask, exchange.entry, exchange.when_written)
        return polled

    def on_request_report(self, ven_id: str) -> Any:
        """The next report that there is for a VEN whose poll finds nothing else; None: there is none.

        An OadrReport, several in a list, or a whole OadrUpdateReport; or a Deferred of that.  It is stored, and
        goes out until the VEN has it.  Asked once in the time between two polls, so that each burst of polls ends.
        """
        return None

    def _ask(self, answer: Message, entry: Entry, written: Written) -> Any:
        if not isinstance(answer, OadrResponse) or not self.vtn.lacks_report(entry):
            return answer
        asked: Deferred[Any] = maybeDeferred(self.on_request_report, entry.ven.ven_id)
        return asked.addCallback(self._supply, answer, entry, written)

    def _supply(self, found: Any, answer: OadrResponse, entry: Entry, written: Written) -> Any:
        reports = found if isinstance(found, list | tuple) else [found]
        if not found:
            return answer
        if isinstance(found, OadrUpdateReport):
            message = found
        elif all(isinstance(report, OadrReport) for report in reports):
            message = OadrUpdateReport(request_id="", reports=tuple(reports))
        else:
            raise TypeError(f"{type(self).__name__}.on_request_report returned {found!r}, which is no report")
        return self.vtn.supply(entry, message, written)
