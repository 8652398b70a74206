"""OadrPoll: is there anything for me?"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ..model.party import OadrPoll as OadrPollMessage
from ..model.party import OadrResponse
from ..model.schema import Message
from ..vtn.hooks import called
from .exchange import Exchange
from .resource import ServiceResource

_REPORT = "on_request_report"


class OadrPoll(ServiceResource):
    """Polls, and the acknowledgements that some VENs send here."""

    service = "OadrPoll"
    methods = {  # noqa: RUF012
        OadrPollMessage: "on_poll",
        OadrResponse: "on_response",
    }

    @property
    def constant(self) -> bool:
        """Not where a subclass or a user's function has a say."""
        return type(self) is OadrPoll and "on_poll" not in self.vtn.hooks and _REPORT not in self.vtn.hooks

    def on_poll(self, payload: OadrPollMessage, exchange: Exchange) -> Any:
        """The next message that waits for the VEN, else an oadrResponse."""
        assert exchange.entry
        if "on_poll" in self.vtn.hooks and exchange.entry.ven.registered:
            return self.make_up("on_poll", exchange).addCallback(self._next, exchange)
        return self._next(None, exchange)

    def _next(self, _: None, exchange: Exchange) -> Deferred[Any]:
        assert exchange.entry
        polled: Deferred[Any] = self.vtn.poll(exchange.entry, exchange.when_written)
        if _REPORT in self.vtn.hooks or self._reports:
            polled.addCallback(self._ask, exchange)
        return polled

    @property
    def _reports(self) -> bool:
        """Whether a subclass has reports of its own."""
        return type(self).on_request_report is not OadrPoll.on_request_report

    def on_request_report(self, ven_id: str) -> Any:
        """The next report that there is for a VEN whose poll finds nothing else; None: there is none.

        An OadrReport, several in a list, or a whole OadrUpdateReport; or a Deferred of that, or it is a coroutine.
        It is stored, and goes out until the VEN has it.  Asked once in the time between two polls, so that each
        burst of polls ends.
        """
        return self.vtn.hooks.ask(_REPORT, ven_id) if _REPORT in self.vtn.hooks else None

    def _ask(self, answer: Message, exchange: Exchange) -> Any:
        entry = exchange.entry
        assert entry
        if not isinstance(answer, OadrResponse) or not self.vtn.lacks_report(entry):
            return answer
        exchange.handler = f"{type(self).__name__}.{_REPORT}" if self._reports else _REPORT
        asked = called(self.on_request_report, entry.ven.ven_id).addCallback(self.heard, exchange)
        asked.addCallback(self.keep, _REPORT, exchange)
        return asked.addCallback(lambda _: self.vtn.poll(entry, exchange.when_written))
