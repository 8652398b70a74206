"""A VTN and VENs without a network, of which every message goes over the wire and through the chain."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers.chain import Chain
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.model.config import Config
from oadrvtn.model.event import EiTarget, OadrDistributeEvent, OadrEvent, OadrRequestEvent, Properties, QualifiedEventID
from oadrvtn.model.opt import OadrCreateOpt
from oadrvtn.model.party import OadrPoll
from oadrvtn.model.report import OadrCreateReport, OadrReportRequest, ReportSpecifier, SpecifierPayload
from oadrvtn.model.schema import Message
from oadrvtn.model.values import Duration
from oadrvtn.vtn import registration
from oadrvtn.wire import decode, encode
from tests.handlers.house import RESOURCES, code, made
from tests.vtn.house import START, FakeVen, House, result

AVAILABLE = (Properties(dtstart=START, duration=Duration("PT1H")),)


def opt(event: tuple[str, int] | None = None, **changes: Any) -> OadrCreateOpt:
    """An opt out of an event, or else of an hour from the start of the lab."""
    fields: dict[str, Any] = {
        "opt_id": "o",
        "opt_type": "optOut",
        "opt_reason": "economic",
        "ven_id": "",
        "available": () if event else AVAILABLE,
        "created_date_time": START,
        "request_id": "r",
        "qualified_event_id": QualifiedEventID(event_id=event[0], modification_number=event[1]) if event else None,
        "target": EiTarget(),
    }
    return OadrCreateOpt(**fields | changes)


def plain(name: str) -> Any:
    """A message with everything in it that is good at any time."""
    return made(name, reports=()) if name == "oadrUpdateReport" else made(name)


def wanted(
    request_id: str = "q",
    specifier: str = "usage",
    *r_ids: str,
    granularity: str = "PT1M",
    back: str = "PT0S",
    window: tuple[float, str] | None = None,
) -> OadrReportRequest:
    """A report that somebody wants; ``window``: seconds from the start of the lab, and a duration."""
    return OadrReportRequest(
        report_request_id=request_id,
        report_specifier=ReportSpecifier(
            report_specifier_id=specifier,
            granularity=Duration(granularity),
            report_back_duration=Duration(back),
            report_interval=Properties(dtstart=START + timedelta(seconds=window[0]), duration=Duration(window[1]))
            if window
            else None,
            specifier_payloads=tuple(
                SpecifierPayload(r_id=r_id, reading_type="x-notApplicable") for r_id in r_ids or ("power",)
            ),
        ),
    )


def own_request(*requests: OadrReportRequest, request_id: str = "ask") -> OadrCreateReport:
    """A VEN's oadrCreateReport."""
    return OadrCreateReport(request_id=request_id, report_requests=requests or (wanted(),))


class Lab(House):
    """The house of the rules with the services in front of it."""

    policy = "closed"

    def open(self) -> None:
        """Begin with what the database says."""
        super().open()
        self.chain = Chain(self.vtn)
        self.resources = {name: cls(self.vtn, self.chain, self.policy) for name, cls in RESOURCES.items()}

    def ven(self, ven_id: str = "ven-1") -> LabVen:
        """A VEN that is registered and has had the VTN's oadrRegisterReport."""
        ven = self.stranger(ven_id)
        ven.register()
        ven.take_register_report()
        return ven

    def stranger(self, ven_id: str = "ven-1") -> LabVen:
        """A VEN that is known and not registered."""
        ven = LabVen(self, ven_id)
        self.write(registration.add, self.config, ven_id, ven_id, [ven.full], "operator")
        return ven


class LabVen(FakeVen):
    """A VEN whose messages are bytes; ``xml`` is the last answer, ``status`` that of HTTP."""

    xml = b""
    status = 0

    def send(self, message: Message | bytes, *service: Any, clean: bool = True) -> Any:
        """The answer to a message at its ``service``, or this one; None where HTTP says no."""
        body = message if isinstance(message, bytes) else encode(message)
        assert isinstance(self.house, Lab)
        resource = self.house.resources[service[0] if service else getattr(message, "service", "")]
        exchange = result(resource.handle(Exchange(resource, body, self.full, "192.0.2.1", lambda: self.ven_id)))
        if clean:
            exchange.written()
        self.xml, self.status = exchange.answer, exchange.status
        return decode(self.xml, allowed=()).message if self.status == 200 else None

    def poll(self, clean: bool = True) -> Any:
        """The answer to a poll."""
        return self.send(OadrPoll(ven_id=self.ven_id), clean=clean)

    def request_event(self, reply_limit: int | None = None) -> OadrDistributeEvent:
        """The answer to oadrRequestEvent."""
        message = OadrRequestEvent(request_id="ask", ven_id=self.ven_id, reply_limit=reply_limit)
        reply: OadrDistributeEvent = self.send(message)
        return reply

    def sees(self, event_id: str) -> OadrEvent:
        """An event as it is shown to this VEN at this moment."""
        return next(one for one in self.request_event().events if one.event.descriptor.event_id == event_id)

    def order(self) -> list[str]:
        """The eventIDs that this VEN is shown, in their order."""
        return [one.event.descriptor.event_id for one in self.request_event().events]

    @property
    def root(self) -> Any:
        """The last answer as a tree."""
        return etree.fromstring(self.xml)

    def texts(self, name: str) -> list[str]:
        """The texts of all elements of a local name in the last answer."""
        return [text.strip() for text in self.root.xpath(f"//*[local-name()='{name}']//text()") if text.strip()]


class LabTestCase(SynchronousTestCase):
    """A lab with one registered VEN."""

    config: Config | None = None

    def setUp(self) -> None:
        self.lab = Lab(self.config)
        self.addCleanup(self.lab.database.stop)
        self.ven = self.lab.ven()

    def assertCode(self, expected: str, answer: Any) -> None:
        """The answer has this response code."""
        self.assertEqual(expected, code(answer), answer)
