"""A VTN without a network: rules, roster and duties on an in-memory database and a clock that the test turns."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from twisted.internet.task import Clock

from oadrvtn.model.config import Config
from oadrvtn.model.event import (
    EventResponse,
    Interval,
    OadrCreatedEvent,
    OadrDistributeEvent,
    OadrReportPayload,
    OadrRequestEvent,
    PayloadFloat,
    QualifiedEventID,
)
from oadrvtn.model.party import (
    EiResponse,
    OadrCreatedPartyRegistration,
    OadrCreatePartyRegistration,
)
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCreatedReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrUpdateReport,
)
from oadrvtn.model.schema import Message
from oadrvtn.model.values import Duration
from oadrvtn.storage.database import Database
from oadrvtn.testing import result
from oadrvtn.vtn import events, registration
from oadrvtn.vtn.duties import Duties
from oadrvtn.vtn.events import EventSpec, SignalSpec
from oadrvtn.vtn.hooks import NEWS
from oadrvtn.vtn.reporter import Reporter
from oadrvtn.vtn.roster import Entry
from oadrvtn.vtn.vtn import Vtn

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""The moment at which each house opens."""


def response(code: str = "200", request_id: str = "") -> EiResponse:
    """A VEN's eiResponse."""
    return EiResponse(response_code=code, response_description=None, request_id=request_id)


_programs = count()


def spec(start: float = 3600, *, length: str = "PT1H", **more: Any) -> EventSpec:
    """An event of level 1 that starts ``start`` seconds after the house opened, in a program of its own."""
    values: dict[str, Any] = {
        "market_context": f"http://example.com/program/{next(_programs)}",
        "dtstart": START + timedelta(seconds=start),
        "signals": (SignalSpec(intervals=((Duration(length), 1.0),)),),
    }
    return EventSpec(**{**values, **more})


class House:
    """The VTN, the VENs that were made, and the hooks that were called."""

    def __init__(self, config: Config | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(START.timestamp())
        self.config = config or Config()
        self.hooks: list[tuple[Any, ...]] = []
        self.sources: dict[str, Any] = {}
        self.database = Database(None)
        self.database.start()
        self.open()

    def open(self) -> None:
        """Begin with what the database says: as after a kill, all else is lost."""
        self.vtn = Vtn(self.config, self.database, self.clock)
        for name in NEWS:
            self.vtn.hooks.add(name, partial(lambda *call: self.hooks.append(call), name))
        self.duties = Duties(self.vtn, self.clock)
        self.reporter = Reporter(self.vtn, self.clock, self.sources)
        result(self.vtn.start())

    def after(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def round(self) -> None:
        """The duties do one round, and the VTN's own reports are made."""
        result(self.duties.round())
        result(self.reporter.round())

    def live(self, seconds: float) -> None:
        """Let time pass with a round every ten seconds, and one at the end."""
        while seconds > 0:
            self.after(min(seconds, 10))
            seconds -= 10
            self.round()

    def write(self, rule: Any, *arguments: Any) -> Any:
        """Run a rule that writes."""
        return result(self.vtn.write(getattr(rule, "__name__", "rule"), rule, *arguments))

    def read(self, query: Any, *arguments: Any) -> Any:
        """Run a query."""
        return result(self.database.read(query.__name__, query, *arguments))

    def sql(self, statement: str) -> list[Any]:
        """The rows of an SQL query."""
        return result(self.database.read("sql", lambda txn: [tuple(row) for row in txn.exec_driver_sql(statement)]))

    def event(self, start: float = 3600, **more: Any) -> events.Event:
        """An operator makes an event."""
        return self.write(events.create, spec(start, **more), "operator")

    def modify(self, event_id: str, **changes: Any) -> events.Event:
        """An operator changes an event."""
        return self.write(events.modify, event_id, changes, None)

    def cancel(self, event_id: str) -> events.Event:
        """An operator cancels an event."""
        return self.write(events.cancel, event_id, None, None)

    def delete(self, event_id: str) -> events.Event:
        """An operator deletes an event."""
        return self.write(events.delete, event_id, None)

    def ven(self, ven_id: str = "ven-1") -> FakeVen:
        """A VEN that is known and registered, and has had the VTN's oadrRegisterReport."""
        ven = self.stranger(ven_id)
        ven.register()
        ven.take_register_report()
        return ven

    def stranger(self, ven_id: str = "ven-1") -> FakeVen:
        """A VEN that is known and not registered."""
        ven = FakeVen(self, ven_id)
        self.write(registration.add, self.config, ven_id, ven_id, [ven.full], "operator")
        return ven


class FakeVen:
    """One VEN, whose messages go straight to the rules, as the chain would pass them on."""

    def __init__(self, house: House, ven_id: str) -> None:
        self.house = house
        self.ven_id = ven_id
        self.full = hashlib.sha256(ven_id.encode()).digest()
        self.registration_id: str | None = None

    @property
    def entry(self) -> Entry:
        """What the roster finds for its certificate."""
        return result(self.house.vtn.identify(self.full))

    def send(self, message: Message, *more: Any) -> Any:
        """The answer to a message."""
        entry = self.entry
        self.house.vtn.seen(entry)
        return result(self.house.vtn.handle(entry, message, *more))

    def register(self, **changes: Any) -> OadrCreatedPartyRegistration:
        """Register, for the first time or again."""
        values: dict[str, Any] = {
            "request_id": "r",
            "profile_name": "2.0b",
            "transport_name": "simpleHttp",
            "report_only": False,
            "xml_signature": False,
            "http_pull_model": True,
            "registration_id": self.registration_id,
            "ven_id": self.ven_id,
        }
        created = self.send(OadrCreatePartyRegistration(**{**values, **changes}))
        self.registration_id = created.registration_id
        return created

    def take_register_report(self) -> None:
        """Poll, and answer the oadrRegisterReport that comes."""
        offered = self.poll()
        assert isinstance(offered, OadrRegisterReport), offered
        self.send(OadrRegisteredReport(response=response(request_id=offered.request_id), ven_id=self.ven_id))

    def poll(self, clean: bool = True) -> Any:
        """The answer to a poll, which leaves whole if ``clean``."""
        entry = self.entry
        self.house.vtn.seen(entry)
        return result(self.house.vtn.poll(entry, lambda written: written() if clean else None))

    def poll_names(self, times: int, every: float = 0) -> list[str]:
        """What so many polls get, by the names of the messages."""
        names = []
        for _ in range(times):
            names.append(self.poll().name())
            self.house.after(every)
        return names

    def request_event(self, reply_limit: int | None = None) -> OadrDistributeEvent:
        """The answer to oadrRequestEvent."""
        message = OadrRequestEvent(request_id="ask", ven_id=self.ven_id, reply_limit=reply_limit)
        return result(self.house.vtn.request_event(self.entry, message, lambda written: written()))

    def answer(self, *answers: tuple[Any, ...], code: str = "200") -> Any:
        """Send oadrCreatedEvent: ``(event_id, modification_number[, opt_type[, response_code]])`` each."""
        responses = [self._answer(*answer) for answer in answers]
        return self.send(
            OadrCreatedEvent(response=response(code), event_responses=tuple(responses), ven_id=self.ven_id)
        )

    def _answer(self, event_id: str, number: int, opt: str = "optIn", code: str = "200") -> EventResponse:
        return EventResponse(
            response_code=code,
            response_description=None,
            request_id="",
            qualified_event_id=QualifiedEventID(event_id=event_id, modification_number=number),
            opt_type=opt,
        )

    def answer_all(self, distributed: OadrDistributeEvent, opt: str = "optIn") -> Any:
        """Answer all events of an oadrDistributeEvent."""
        descriptors = [shown.event.descriptor for shown in distributed.events]
        return self.answer(*((one.event_id, one.modification_number, opt) for one in descriptors))

    def offer_reports(self, *r_ids: str, **changes: Any) -> OadrRegisteredReport:
        """Send METADATA of one TELEMETRY_USAGE report with these data points."""
        return self.offer(offered("TELEMETRY_USAGE", *r_ids, **changes))

    def offer(self, *reports: OadrReport, **more: Any) -> OadrRegisteredReport:
        """Send METADATA."""
        return self.send(OadrRegisterReport(request_id="offer", reports=reports, ven_id=self.ven_id, **more))

    def created_report(self, *pending: str, code: str = "200", request_id: str = "") -> Any:
        """Answer a request for reports."""
        answer = response(code, request_id)
        return self.send(OadrCreatedReport(response=answer, pending_reports=pending, ven_id=self.ven_id))

    def canceled_report(self, *pending: str, code: str = "200", request_id: str = "") -> Any:
        """Answer the end of reports."""
        answer = response(code, request_id)
        return self.send(OadrCanceledReport(response=answer, pending_reports=pending, ven_id=self.ven_id))

    def report(self, report_request_id: str, *intervals: Interval, **more: Any) -> Any:
        """Send data."""
        report = OadrReport(
            intervals=intervals,
            report_request_id=report_request_id,
            report_specifier_id="usage",
            report_name="TELEMETRY_USAGE",
            created_date_time=START,
            **more,
        )
        return self.send(OadrUpdateReport(request_id="data", reports=(report,), ven_id=self.ven_id))


def offered(report_name: str, *r_ids: str, specifier: str = "", **changes: Any) -> OadrReport:
    """METADATA of one report: "usage" is the reportSpecifierID of TELEMETRY_USAGE."""
    point = {"report_type": "usage", "reading_type": "Direct Read", **changes}
    return OadrReport(
        descriptions=tuple(OadrReportDescription(r_id=r_id, **point) for r_id in r_ids),
        report_request_id="0",
        report_specifier_id=specifier or report_name.rpartition("_")[2].lower(),
        report_name=f"METADATA_{report_name}",
        created_date_time=START,
    )


def reading(r_id: str, value: float, start: float | None = 0, duration: str | None = None, **more: Any) -> Interval:
    """An interval with one value; ``start`` in seconds after the house opened, None for no dtstart."""
    return Interval(
        dtstart=None if start is None else START + timedelta(seconds=start),
        duration=Duration(duration) if duration else None,
        payloads=(OadrReportPayload(r_id=r_id, payload=PayloadFloat(value=value), **more),),
    )
